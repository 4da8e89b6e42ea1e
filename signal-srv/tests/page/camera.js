/**
 * A server and a camera inside of the page under test: a WebSocket that needs no network, a peer connection that sends a
 * drawing, and the camera's end of sealed signaling. `installCamera` is handed to the browser as source and runs before
 * the page's own scripts, so it sees nothing of this module.
 */

import { createHash, generateKeyPairSync } from 'node:crypto';

/**
 * Who stands in the camera's place: the camera, one that knows the code and has a key of its own, one that answers
 * anything, one that says nothing.
 * @typedef {'camera' | 'impostor' | 'babbler' | 'silent'} Claimant
 */

/**
 * What the fake server does with a viewer, and the fake camera with it.
 * @typedef {object} Scene
 * @property {'never' | 'refuse' | 'accept'} [open] what becomes of a new WebSocket
 * @property {string} [error] the code of an ERROR in place of JOINED
 * @property {Claimant[]} [claimants] who is in the room; the camera offers when it is asked
 * @property {string} [bye] the reason of a bye in place of the camera's offer
 * @property {'paused' | 'lost'} [picture] why the camera has no picture when a viewer comes
 * @property {boolean} [sound] whether the camera sends sound as well
 * @property {boolean} [tap] whether the browser wants a tap before it plays
 * @property {boolean} [ancient] whether the browser lacks WebRTC
 * @property {boolean} [old] whether the browser lacks X25519
 * @property {boolean} [slow] whether no code becomes access to its camera before `goOn` is called
 * @property {boolean} [insecure] whether the page came by plain HTTP from another machine
 * @property {boolean} [forgetful] whether the browser lacks IndexedDB
 * @property {boolean} [keyless] whether the browser stores no keys in it
 * @property {'code' | 'foreign' | 'nothing' | 'denied' | 'no-camera'} [scan] what a scan comes upon; without it, none
 */

/** A camera's key and nonce, and the code that both give. Private keys are in JWK's spelling. */
export class Identity {
    constructor() {
        const { d = '', x = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
        this.d = d;
        this.x = x;
        this.nonce = createHash('sha256').update(d).digest('base64url');
        const hash = (/** @type {string} */ label) => createHash('sha256').update(label);
        const key = Buffer.from(x, 'base64url');
        const code = hash('roomcam/1 code').update(key).update(Buffer.from(this.nonce, 'base64url')).digest();
        this.code = code.toString('hex');
        this.link = code.toString('base64url');
        this.check = hash('roomcam/1 check').update(code).digest('hex').slice(0, 4);
    }
}

/** @typedef {{d: string, x: string, nonce: string, code: string, link: string}} IdentityParts */

/** @param {{scene: Scene, identity: IdentityParts}} given */
export function installCamera({ scene, identity }) {
    /** @type {any} */
    const world = globalThis;
    world.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
        world.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`),
    );
    if (scene.ancient) {
        delete world.RTCPeerConnection;
    }
    if (scene.old) {
        Object.defineProperty(crypto.subtle, 'generateKey', {
            value: () => Promise.reject(new DOMException('', 'NotSupportedError')),
        });
    }
    if (scene.slow) {
        const { deriveBits } = crypto.subtle;
        /** @param {Parameters<typeof deriveBits>} parameters */
        crypto.subtle.deriveBits = async (...parameters) => {
            const { info } = /** @type {{info?: Uint8Array}} */ (parameters[0]);
            if (new TextDecoder().decode(info) === 'room') {
                await new Promise((resolve) => (world.goOn = resolve));
            }
            return deriveBits.apply(crypto.subtle, parameters);
        };
    }
    if (scene.insecure) {
        Object.defineProperty(world, 'isSecureContext', { value: false });
    }
    if (scene.forgetful) {
        Object.defineProperty(world, 'indexedDB', { value: undefined });
    }
    if (scene.keyless) {
        IDBObjectStore.prototype.put = () => {
            throw new DOMException('a key', 'DataCloneError');
        };
    }
    if (scene.tap) {
        HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException('a tap is needed', 'NotAllowedError'));
        document.addEventListener('DOMContentLoaded', () => document.querySelector('video')?.removeAttribute('autoplay'));
    }
    const Connection = world.RTCPeerConnection;
    const viewer = 'f0f1f2f3-0405-4607-8809-0a0b0c0d0e0f';
    const peerOf = (/** @type {number} */ i) => `0${i}010203-0405-4607-8809-0a0b0c0d0e0f`;

    if (scene.scan) {
        world.scanStreams = [];
        world.BarcodeDetector = class {
            static getSupportedFormats() {
                return Promise.resolve(['qr_code']);
            }

            detect() {
                const texts = { code: `https://any.example/page#${identity.link}`, foreign: 'https://example.com/' };
                const rawValue = /** @type {Record<string, string>} */ (texts)[scene.scan ?? ''];
                return Promise.resolve(rawValue === undefined ? [] : [{ rawValue }]);
            }
        };
        navigator.mediaDevices.getUserMedia = async () => {
            if (scene.scan === 'denied' || scene.scan === 'no-camera') {
                throw new DOMException('', scene.scan === 'denied' ? 'NotAllowedError' : 'NotFoundError');
            }
            const stream = drawing();
            world.scanStreams.push(stream);
            return stream;
        };
    }

    function drawing() {
        const canvas = document.createElement('canvas');
        canvas.width = 720;
        canvas.height = 480;
        const paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        let frame = 0;
        const rectangle = (/** @type {string} */ colour, /** @type {[number, number, number, number]} */ place) => {
            paint.fillStyle = colour;
            paint.fillRect(...place);
        };
        setInterval(() => {
            frame += 1;
            rectangle('#cdbfae', [0, 0, 720, 340]);
            rectangle('#8b6f58', [0, 340, 720, 140]);
            rectangle('#f3ede2', [70, 60, 200, 190]);
            rectangle('#8fb7cf', [84, 74, 172, 162]);
            rectangle('#f3ede2', [165, 74, 10, 162]);
            rectangle('#3f5a53', [350, 240, 290, 130]);
            rectangle('#4d6d64', [370, 205, 250, 80]);
            paint.fillStyle = '#d9793f';
            paint.beginPath();
            paint.arc(90 + ((frame * 4) % 540), 400, 30, 0, 7);
            paint.fill();
        }, 33);
        const stream = canvas.captureStream(30);
        if (scene.sound) {
            stream.addTrack(/** @type {MediaStreamTrack} */ (new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]));
        }
        return stream;
    }

    /** One claimant's end of sealed signaling with this viewer. */
    class Sealed {
        /** @type {any} */
        handshake = null;
        /** @type {any} */
        ciphers = null;
        /** @type {RTCPeerConnection | null} */
        camera = null;
        /** @type {MediaStream | null} */
        stream = null;
        /** @type {Promise<unknown>} */
        last = Promise.resolve();

        /**
         * @param {FakeWebSocket} socket
         * @param {string} peer
         * @param {Claimant} kind
         */
        constructor(socket, peer, kind) {
            this.socket = socket;
            this.peer = peer;
            this.kind = kind;
        }

        /** @param {string} noise */
        say(noise) {
            this.socket.say({ type: 'ROOM', data: { type: 'SIGNAL', data: { peer: this.peer, signal: { noise } } } });
        }

        /** @param {{noise: string}} signal */
        hear({ noise }) {
            this.last = this.last.then(() => this.take(noise));
        }

        /** @param {string} noise */
        async take(noise) {
            const { fromBase64url, toBase64url } = await import(`${location.origin}/bytes.js`);
            if (this.kind === 'silent') {
                return;
            }
            if (this.kind === 'babbler') {
                this.say(toBase64url(crypto.getRandomValues(new Uint8Array(128))));
                return;
            }
            const message = fromBase64url(noise);
            if (!this.ciphers) {
                this.say(toBase64url(await this.answer(message)));
                return;
            }
            const plaintext = await this.ciphers.receive.open(message);
            const length = plaintext[0] * 256 + plaintext[1];
            await this.act(JSON.parse(new TextDecoder().decode(plaintext.slice(2, 2 + length))));
        }

        /** @param {Uint8Array<ArrayBuffer>} message */
        async answer(message) {
            const { Handshake } = await import(`${location.origin}/noise.js`);
            const { bytesOf, concat, fromBase64url, fromHex } = await import(`${location.origin}/bytes.js`);
            const code = await crypto.subtle.importKey('raw', fromHex(identity.code), 'HKDF', false, ['deriveBits']);
            const derive = async (/** @type {string} */ info) => {
                const parameters = { name: 'HKDF', hash: 'SHA-256', salt: bytesOf('roomcam/1'), info: bytesOf(info) };
                return new Uint8Array(await crypto.subtle.deriveBits(parameters, code, 256));
            };
            const id = (/** @type {string} */ uuid) => fromHex(uuid.replaceAll('-', ''));
            this.handshake = await Handshake.begin({
                name: 'Noise_NXpsk0_25519_AESGCM_SHA256',
                messages: [
                    ['psk', 'e'],
                    ['e', 'ee', 's', 'es'],
                ],
                initiator: false,
                prologue: concat(bytesOf('roomcam/1'), await derive('room'), id(viewer), id(this.peer)),
                psks: [await crypto.subtle.importKey('raw', await derive('psk'), 'HKDF', false, ['deriveBits'])],
                s: await this.key(),
            });
            await this.handshake.readMessage(message);
            const reply = await this.handshake.writeMessage(fromBase64url(identity.nonce));
            this.ciphers = await this.handshake.split();
            return reply;
        }

        /** The camera's own key, or one that is as good as any. */
        async key() {
            const { fromBase64url } = await import(`${location.origin}/bytes.js`);
            if (this.kind === 'impostor') {
                const pair = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey('X25519', false, ['deriveBits']));
                return {
                    privateKey: pair.privateKey,
                    publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)),
                };
            }
            const jwk = { kty: 'OKP', crv: 'X25519', d: identity.d, x: identity.x };
            return {
                privateKey: await crypto.subtle.importKey('jwk', jwk, 'X25519', false, ['deriveBits']),
                publicKey: fromBase64url(identity.x),
            };
        }

        /** @param {unknown} signal */
        signal(signal) {
            this.last = this.last.then(async () => {
                const { toBase64url } = await import(`${location.origin}/bytes.js`);
                const body = new TextEncoder().encode(JSON.stringify(signal));
                const plaintext = new Uint8Array(Math.ceil((body.length + 2) / 1024) * 1024);
                plaintext.set([body.length >> 8, body.length & 255]);
                plaintext.set(body, 2);
                this.say(toBase64url(await this.ciphers.send.seal(plaintext)));
            });
        }

        /**
         * Says whether it has a picture; without one, it sends no frames.
         * @param {'live' | 'paused' | 'lost'} state
         */
        async picture(state) {
            this.signal({ type: 'picture', state });
            const senders = this.camera?.getSenders() ?? [];
            await senders[0]?.replaceTrack(state === 'live' ? this.stream?.getVideoTracks()[0] ?? null : null);
        }

        /** @param {any} signal */
        async act(signal) {
            if (signal.type === 'start') {
                if (scene.bye) {
                    this.signal({ type: 'bye', reason: scene.bye });
                } else {
                    await this.offer();
                }
            } else if (signal.type === 'answer') {
                await this.camera?.setRemoteDescription(signal);
            } else if (signal.candidate) {
                await this.camera?.addIceCandidate(signal);
            }
        }

        async offer() {
            const camera = new Connection();
            this.camera = camera;
            const stream = drawing();
            this.stream = stream;
            stream.getTracks().forEach((track) => camera.addTrack(track, stream));
            camera.onicecandidate = (/** @type {RTCPeerConnectionIceEvent} */ { candidate }) => {
                if (candidate?.candidate) {
                    this.signal(candidate.toJSON());
                }
            };
            await camera.setLocalDescription();
            this.signal({ type: 'offer', sdp: camera.localDescription?.sdp });
            if (scene.picture) {
                await this.picture(scene.picture);
            }
        }
    }

    class FakeWebSocket {
        static OPEN = 1;
        readyState = 0;
        binaryType = 'blob';
        /** @type {any} */
        onmessage = null;
        /** @type {any} */
        onclose = null;
        /** @type {Map<string, Sealed>} */
        claimants = new Map();

        /** @param {string} url */
        constructor(url) {
            this.url = url;
            world.socket = this;
            if (scene.open === 'refuse') {
                setTimeout(() => this.close(), 5);
            } else if (scene.open !== 'never') {
                setTimeout(() => {
                    this.readyState = 1;
                    this.say({ type: 'HELLO', data: viewer });
                }, 5);
            }
        }

        /** The first claimant that is the camera. */
        get camera() {
            return [...this.claimants.values()].find(({ kind }) => kind === 'camera');
        }

        /** @param {unknown} message */
        say(message) {
            this.onmessage?.({ data: new TextEncoder().encode(JSON.stringify(message)).buffer });
        }

        /** @param {Uint8Array} bytes */
        send(bytes) {
            const message = JSON.parse(new TextDecoder().decode(bytes));
            setTimeout(() => this.hear(message), 5);
        }

        /** @param {any} message */
        hear({ type, to, data }) {
            if (type === 'SIGNAL') {
                this.claimants.get(to)?.hear(data);
                return;
            }
            if (scene.error) {
                this.say({ type: 'ERROR', data: '', code: scene.error });
                this.close();
                return;
            }
            (scene.claimants ?? []).forEach((kind) => this.add(kind));
            const peers = [...this.claimants.keys()].map((peer) => ({ peer, role: 'camera' }));
            this.say({ type: 'JOINED', data: { peers, ice_servers: [] } });
        }

        /** @param {Claimant} kind */
        add(kind) {
            const peer = peerOf(this.claimants.size);
            this.claimants.set(peer, new Sealed(this, peer, kind));
            return peer;
        }

        /**
         * Somebody joins the room.
         * @param {Claimant} kind
         */
        comes(kind) {
            this.say({ type: 'ROOM', data: { type: 'JOIN', data: { peer: this.add(kind), role: 'camera' } } });
        }

        close() {
            if (this.readyState !== 3) {
                this.readyState = 3;
                setTimeout(() => this.onclose?.({}), 0);
            }
        }
    }
    world.WebSocket = FakeWebSocket;
}
