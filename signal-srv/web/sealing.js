/**
 * The sealed channel to one camera claimant: docs/protocol.md. A viewer greets it, believes it once it has proven to be
 * the camera that the code belongs to, and from then on everything goes through the two ciphers of the handshake.
 *
 *     greeting ──message 2 proves the code──> proven ──start sent──> signals both ways
 *        └──────────── anything that does not open ─────┴──> refuted: nothing goes in or out any more
 *
 * WebCrypto answers later, and order is what the ciphers count by. So all that comes in goes through one line and all
 * that goes out through another; each takes the next when the one before is done.
 */

import { provesCode } from './access.js';
import { bytesOf, concat, fromBase64url, fromHex, toBase64url } from './bytes.js';
import { Handshake } from './noise.js';

/** @import {Access} from './access.js' */
/** @import {Bytes} from './bytes.js' */
/** @import {CipherState, Parameters} from './noise.js' */
/** @import {OutgoingSignal} from './signaling.js' */

/** What the viewer writes first, the camera second: `psk` proves the code, `es` the camera's key. */
export const PROTOCOL = /** @type {Pick<Parameters, 'name' | 'messages'>} */ ({
    name: 'Noise_NXpsk0_25519_AESGCM_SHA256',
    messages: [
        ['psk', 'e'],
        ['e', 'ee', 's', 'es'],
    ],
});
/** Bytes of the camera's message: an ephemeral key, and a static key and 32 bytes of payload, each with its tag. */
const SECOND_BYTES = 32 + (32 + 16) + (32 + 16);
const TAG_BYTES = 16;
/** Plaintexts are padded to a multiple of this, so that their length says little about what is in them. */
const STEP_BYTES = 1024;
/** Longest plaintext: sealed and in base64url, it stays below the protocol's 64 KiB. */
export const PLAINTEXT_BYTES = 47 * STEP_BYTES;
/** Characters of the longest sealed message. */
const SEALED_CHARACTERS = Math.ceil(((PLAINTEXT_BYTES + TAG_BYTES) * 4) / 3);
/** Most messages that wait in a line. A camera sends an offer and some twenty candidates at once. */
export const WAITING_MESSAGES = 128;

/** @typedef {{noise: string}} Sealed */

/**
 * @typedef {object} Surroundings
 * @property {Access} access
 * @property {string} viewer the own peer id
 * @property {string} camera the claimant's peer id
 * @property {(sealed: Sealed) => void} transmit to this camera
 * @property {() => void} onProven it is the camera that the code belongs to; called once at most
 * @property {() => void} onRefuted it is not, or somebody has meddled; called once at most, and last
 * @property {(signal: Record<string, unknown>) => void} onOpened called with each signal that it has sealed
 */

/**
 * The prologue of the handshake: who speaks with whom, and where. A message of another room, viewer or claimant does
 * not open.
 * @param {string} room
 * @param {string} viewer
 * @param {string} camera
 * @returns {Bytes}
 */
export function prologueOf(room, viewer, camera) {
    const ids = [viewer, camera].map((id) => fromHex(id.replaceAll('-', '')));
    return concat(bytesOf('roomcam/1'), fromHex(room), ...ids);
}

/**
 * @param {object} signal
 * @returns {Bytes} the length of its JSON in two bytes, its JSON, zeros
 */
export function padded(signal) {
    const json = bytesOf(JSON.stringify(signal));
    const size = paddedSize(json.length);
    if (size > PLAINTEXT_BYTES) {
        throw new RangeError('the signal is too long to be sealed');
    }
    const plaintext = new Uint8Array(size);
    new DataView(plaintext.buffer).setUint16(0, json.length);
    plaintext.set(json, 2);
    return plaintext;
}

/**
 * @param {Bytes} plaintext
 * @returns {Record<string, unknown> | null} the signal; null if it is padded well and holds none, which is the camera's
 *   own doing: it may be newer than this page
 * @throws if the padding is not exactly as `padded` makes it
 */
export function unpadded(plaintext) {
    const length = plaintext.length < 2 ? 0 : new DataView(plaintext.buffer, plaintext.byteOffset).getUint16(0);
    const end = 2 + length;
    if (plaintext.length !== paddedSize(length) || plaintext.subarray(end).some((byte) => byte !== 0)) {
        throw new RangeError('the padding is not as it has to be');
    }
    try {
        const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plaintext.subarray(2, end));
        const signal = JSON.parse(text);
        return typeof signal === 'object' && !Array.isArray(signal) ? signal : null;
    } catch {
        return null;
    }
}

/** @param {number} length */
function paddedSize(length) {
    return Math.ceil((2 + length) / STEP_BYTES) * STEP_BYTES;
}

/**
 * @param {unknown} value the data of a SIGNAL
 * @returns {string} the sealed text
 * @throws if it is anything but `{"noise": "..."}` of a length that can be
 */
function sealedText(value) {
    if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) {
        throw new TypeError('this is not sealed');
    }
    const text = /** @type {Record<string, unknown>} */ (value)['noise'];
    if (typeof text !== 'string' || text.length > SEALED_CHARACTERS) {
        throw new TypeError('this is not sealed');
    }
    return text;
}

/**
 * @param {string} text
 * @returns {Bytes}
 */
function decoded(text) {
    const bytes = fromBase64url(text);
    if (!bytes) {
        throw new TypeError('this is not base64url');
    }
    return bytes;
}

/** One thing after the other, and no more than so many that wait. */
class Line {
    /** @type {Promise<void>} */
    #last = Promise.resolve();
    #waiting = 0;

    /**
     * @param {() => Promise<void>} work
     * @returns {boolean} whether there was room for it
     */
    add(work) {
        if (this.#waiting >= WAITING_MESSAGES) {
            return false;
        }
        this.#waiting += 1;
        this.#last = this.#last
            .then(work)
            .catch((error) => console.error(error))
            .then(() => {
                this.#waiting -= 1;
            });
        return true;
    }

    /** Settles when all that waits now is done; null if nothing waits. */
    get done() {
        return this.#waiting > 0 ? this.#last : null;
    }
}

export class Channel {
    #around;
    #incoming = new Line();
    #outgoing = new Line();
    /** @type {Handshake | null} */
    #handshake = null;
    /** The camera's message of the handshake, to know it again. */
    #second = '';
    /** @type {{send: CipherState, receive: CipherState} | null} */
    #ciphers = null;
    #started = false;
    #refuted = false;
    #closed = false;

    /**
     * Greets the claimant.
     * @param {Surroundings} around
     */
    constructor(around) {
        this.#around = around;
        // In the line of what comes in, since nothing can be understood before this is done.
        this.#incoming.add(() => this.#attempt(() => this.#greet()));
    }

    /**
     * Takes a signal of the claimant.
     * @param {unknown} value
     */
    receive(value) {
        if (!this.#over && !this.#incoming.add(() => this.#attempt(() => this.#take(value)))) {
            this.#refute();
        }
    }

    /**
     * Seals a signal and sends it. The first is `start`, and there is none before the claimant has proven itself; what
     * comes at another time is lost, as it is without a connection.
     * @param {OutgoingSignal} signal
     */
    send(signal) {
        const starts = 'type' in signal && signal.type === 'start';
        if (this.#over || !this.#ciphers || starts === this.#started) {
            return;
        }
        this.#started = true;
        this.#post(signal);
    }

    /** Whether the claimant has failed to prove itself, or somebody has meddled with its messages. */
    get refuted() {
        return this.#refuted;
    }

    /** Settles when all that came in has been reported; null if that is so already. */
    get reported() {
        return this.#incoming.done;
    }

    /**
     * Reports nothing any more. What was handed to `send` is still sent.
     * @returns {Promise<void> | null} settles when it is; null if nothing waits
     */
    close() {
        this.#closed = true;
        return this.#outgoing.done;
    }

    get #over() {
        return this.#closed || this.#refuted;
    }

    async #greet() {
        const { access, viewer, camera, transmit } = this.#around;
        this.#handshake = await Handshake.begin({
            ...PROTOCOL,
            initiator: true,
            prologue: prologueOf(access.room, viewer, camera),
            psks: [access.psk],
        });
        const first = await this.#handshake.writeMessage(new Uint8Array());
        if (!this.#over) {
            transmit({ noise: toBase64url(first) });
        }
    }

    /** @param {unknown} value */
    async #take(value) {
        const text = sealedText(value);
        if (!this.#ciphers) {
            return this.#prove(text);
        }
        // The server may have said it twice; that changes nothing.
        if (text === this.#second) {
            return;
        }
        const ciphertext = decoded(text);
        if (ciphertext.length <= TAG_BYTES || (ciphertext.length - TAG_BYTES) % STEP_BYTES !== 0) {
            throw new RangeError('no sealed signal has this length');
        }
        const signal = unpadded(await this.#ciphers.receive.open(ciphertext));
        if (signal && !this.#over) {
            return () => this.#around.onOpened(signal);
        }
    }

    /** @param {string} text */
    async #prove(text) {
        const second = decoded(text);
        const handshake = this.#handshake;
        if (!handshake || second.length !== SECOND_BYTES) {
            throw new RangeError('this is not the answer to the greeting');
        }
        const nonce = await handshake.readMessage(second);
        if (!handshake.remoteStatic || !(await provesCode(this.#around.access, handshake.remoteStatic, nonce))) {
            throw new Error('the claimant is not the camera that the code belongs to');
        }
        const ciphers = await handshake.split();
        this.#handshake = null;
        if (!this.#over) {
            this.#second = text;
            this.#ciphers = ciphers;
            return () => this.#around.onProven();
        }
    }

    /**
     * Does one thing that only an honest claimant lets succeed.
     * @param {() => Promise<(() => void) | undefined | void>} work gives what is to be reported
     */
    async #attempt(work) {
        if (this.#over) {
            return;
        }
        let report;
        try {
            report = await work();
        } catch {
            this.#refute();
        }
        report?.();
    }

    /** @param {OutgoingSignal} signal */
    #post(signal) {
        this.#outgoing.add(async () => {
            const { send } = this.#ciphers ?? {};
            const sealed = await send?.seal(padded(signal));
            if (sealed) {
                this.#around.transmit({ noise: toBase64url(sealed) });
            }
        });
    }

    #refute() {
        if (this.#over) {
            return;
        }
        this.#refuted = true;
        if (this.#started) {
            // What somebody has meddled with is over at the other end too.
            this.#post({ type: 'bye', reason: 'failed' });
        }
        this.#around.onRefuted();
    }
}
