/**
 * Somebody who holds the code of a camera, from its label or from having been let in once, and poses as the camera: it
 * answers greetings as well as can be done without the camera's private key, and offers.
 */

import { accessOf } from '../../web/access.js';
import { Handshake } from '../../web/noise.js';
import { PROTOCOL, prologueOf } from '../../web/sealing.js';
import { NoiseCamera, codeOf, keyPair, randomIdentity } from '../page/noise_camera.js';
import { Stranger } from './stranger.js';

/** @import {Access} from '../../web/access.js' */
/** @import {Identity} from '../page/noise_camera.js' */

/**
 * What it answers a greeting with: a key and a nonce of its own; its own key with the camera's nonce; the camera's public
 * key and nonce, which every viewer learns, without the private key; what the camera answered to somebody else; what it
 * was sent; nothing at all; an offer that nobody has sealed.
 * @typedef {'own' | 'own key' | 'public key' | 'old reply' | 'echo' | 'silence' | 'unsealed'} Pose
 */

/** @type {Pose[]} */
export const POSES = ['own', 'own key', 'public key', 'old reply', 'echo', 'silence', 'unsealed'];

const OFFER = { type: 'offer', sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n' };

/** The identity of a camera, from the private key that it keeps. @param {string} privateKey @param {string} nonce */
export async function identityOf(privateKey, nonce) {
    return { key: await keyPair(Buffer.from(privateKey, 'hex')), nonce: new Uint8Array(Buffer.from(nonce, 'hex')) };
}

/** See above. */
export class FakeCamera {
    #identity;
    #access;
    #pose;
    #stranger;

    /**
     * @param {Identity} identity what it can know of the true one is taken, according to the pose
     * @param {Access} access
     * @param {Pose} pose
     * @param {Stranger} stranger
     */
    constructor(identity, access, pose, stranger) {
        this.#identity = identity;
        this.#access = access;
        this.#pose = pose;
        this.#stranger = stranger;
        stranger.onSignal = (peer, signal) => void this.#answer(peer, signal);
    }

    /**
     * @param {{url: string}} server
     * @param {Identity} identity of the true camera
     * @param {Pose} pose
     */
    static async join(server, identity, pose) {
        const access = await accessOf(await codeOf(identity));
        return new FakeCamera(identity, access, pose, await Stranger.join(server, access.room, 'camera'));
    }

    /** What viewers have sent it. @returns {any[]} */
    get heard() {
        return this.#stranger.signals.map(({ signal }) => signal);
    }

    close() {
        return this.#stranger.close();
    }

    /**
     * @param {string} peer
     * @param {any} greeting
     */
    async #answer(peer, greeting) {
        const say = (/** @type {unknown} */ data) => this.#stranger.send({ type: 'SIGNAL', to: peer, data });
        switch (this.#pose) {
            case 'silence':
                return;
            case 'echo':
                return say(greeting);
            case 'unsealed':
                return say(OFFER);
            case 'old reply': {
                const genuine = await NoiseCamera.genuine(this.#identity, peer, this.#stranger.id);
                return say(await genuine.answer(await this.#greetingOf(peer)));
            }
            default: {
                const camera = new NoiseCamera(await this.#posing(), this.#access, peer, this.#stranger.id);
                say(await camera.answer(greeting));
                return say(await camera.seal(OFFER));
            }
        }
    }

    /** @returns {Promise<Identity>} */
    async #posing() {
        const other = await randomIdentity();
        switch (this.#pose) {
            case 'public key': {
                const key = { privateKey: other.key.privateKey, publicKey: this.#identity.key.publicKey };
                return { key, nonce: this.#identity.nonce };
            }
            case 'own key':
                return { key: other.key, nonce: this.#identity.nonce };
            default:
                return other;
        }
    }

    /**
     * What a viewer of that id has said another time: with another ephemeral key.
     * @param {string} viewer
     */
    async #greetingOf(viewer) {
        const handshake = await Handshake.begin({
            ...PROTOCOL,
            initiator: true,
            prologue: prologueOf(this.#access.room, viewer, this.#stranger.id),
            psks: [this.#access.psk],
        });
        const message = await handshake.writeMessage(new Uint8Array());
        return { noise: Buffer.from(message).toString('base64url') };
    }
}
