/**
 * The other end of a sealed channel: a camera, in so far as it answers handshakes, seals and opens. It needs nothing
 * but WebCrypto, so that it runs under Node and inside of a page alike.
 */

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { bytesOf, concat, fromBase64url, toBase64url } from '../../web/bytes.js';
import { Handshake } from '../../web/noise.js';
import { PROTOCOL, padded, prologueOf, unpadded } from '../../web/sealing.js';

/** @import {Access} from '../../web/access.js' */
/** @import {Bytes} from '../../web/bytes.js' */
/** @import {CipherState, KeyPair} from '../../web/noise.js' */

/** What a camera keeps. @typedef {{key: KeyPair, nonce: Bytes}} Identity */

/** What precedes the 32 bytes of an X25519 private key in PKCS #8 (RFC 8410 §7). */
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);
/** The base point of Curve25519 (RFC 7748 §4.1): multiplied with a private key, it gives the public one. */
const BASE_POINT = concat(Uint8Array.of(9), new Uint8Array(31));

/**
 * The key pair of a private key.
 * @param {Uint8Array} privateKey 32 bytes
 * @returns {Promise<KeyPair>}
 */
export async function keyPair(privateKey) {
    const { subtle } = crypto;
    const key = await subtle.importKey('pkcs8', concat(PKCS8, privateKey), 'X25519', false, ['deriveBits']);
    const base = await subtle.importKey('raw', BASE_POINT, 'X25519', false, []);
    return { privateKey: key, publicKey: new Uint8Array(await subtle.deriveBits({ name: 'X25519', public: base }, key, 256)) };
}

/** @param {number} [count] */
export function randomBytes(count = 32) {
    return crypto.getRandomValues(new Uint8Array(count));
}

/** @returns {Promise<Identity>} */
export async function randomIdentity() {
    return { key: await keyPair(randomBytes()), nonce: randomBytes() };
}

/**
 * @param {Identity} identity
 * @returns {Promise<Bytes>}
 */
export async function codeOf({ key, nonce }) {
    const committed = concat(bytesOf('roomcam/1 code'), key.publicKey, nonce);
    return new Uint8Array(await crypto.subtle.digest('SHA-256', committed));
}

/** One sealed channel of a camera with one viewer. */
export class NoiseCamera {
    #identity;
    #access;
    #handshake;
    /** @type {{send: CipherState, receive: CipherState} | null} */
    #ciphers = null;

    /**
     * @param {Identity} identity its own, or what a fake would like to pass for its own
     * @param {Access} access what the code gives to everybody who holds it
     * @param {string} viewer peer id
     * @param {string} camera its own peer id
     * @param {KeyPair} [e] a fixed ephemeral key, for test vectors
     */
    constructor(identity, access, viewer, camera, e) {
        this.#identity = identity;
        this.#access = access;
        this.#handshake = Handshake.begin({
            ...PROTOCOL,
            initiator: false,
            prologue: prologueOf(access.room, viewer, camera),
            psks: [access.psk],
            s: identity.key,
            ...(e ? { e } : {}),
        });
    }

    /**
     * A camera with an identity of its own, in the room of its own code.
     * @param {Identity} identity
     * @param {string} viewer
     * @param {string} camera
     */
    static async genuine(identity, viewer, camera) {
        return new NoiseCamera(identity, await accessOf(await codeOf(identity)), viewer, camera);
    }

    get access() {
        return this.#access;
    }

    /**
     * Answers a greeting.
     * @param {unknown} first
     * @returns {Promise<{noise: string}>}
     */
    async answer(first) {
        const handshake = await this.#handshake;
        const payload = await handshake.readMessage(sealedBytes(first));
        if (payload.length > 0) {
            throw new Error('a greeting has no payload');
        }
        const second = await handshake.writeMessage(this.#identity.nonce);
        this.#ciphers = await handshake.split();
        return { noise: toBase64url(second) };
    }

    /**
     * @param {object} signal
     * @returns {Promise<{noise: string}>}
     */
    async seal(signal) {
        return this.sealBytes(padded(signal));
    }

    /**
     * Says whether it has a picture.
     * @param {string} state
     */
    async picture(state) {
        return this.seal({ type: 'picture', state });
    }

    /**
     * @param {Bytes} plaintext padded, or not as it should be
     * @returns {Promise<{noise: string}>}
     */
    async sealBytes(plaintext) {
        return { noise: toBase64url(await this.#open.send.seal(plaintext)) };
    }

    /**
     * @param {unknown} value
     * @returns {Promise<Record<string, unknown> | null>}
     */
    async open(value) {
        return unpadded(await this.#open.receive.open(sealedBytes(value)));
    }

    get #open() {
        if (!this.#ciphers) {
            throw new Error('nobody has greeted this camera');
        }
        return this.#ciphers;
    }
}

/**
 * @param {unknown} value
 * @returns {Bytes}
 */
function sealedBytes(value) {
    const bytes = fromBase64url(/** @type {{noise: string}} */ (value).noise);
    if (!bytes) {
        throw new Error('this is not sealed');
    }
    return bytes;
}
