/**
 * The Noise protocol framework, revision 34, as far as sealed signaling needs it: X25519, AES-GCM and SHA-256 over
 * WebCrypto alone. Section numbers are those of noiseprotocol.org/noise.html.
 *
 *     Handshake   ck, h, one cipher; runs the tokens of one message after the other   §5.2, §5.3, §9
 *        └ split ─> two CipherStates, one for each direction                          §5.1
 *
 * Nothing here may be called twice at once on the same object: each call goes on from the state that the one before
 * has left. An object of which a call has failed is of no use any more.
 */

import { bytesOf, concat } from './bytes.js';

/** @import {Bytes} from './bytes.js' */

/** @typedef {'e' | 's' | 'ee' | 'es' | 'psk'} Token */
/** @typedef {{privateKey: CryptoKey, publicKey: Bytes}} KeyPair */

/**
 * @typedef {object} Parameters
 * @property {string} name of the protocol, in full
 * @property {Token[][]} messages the tokens of each message; the initiator writes the first
 * @property {boolean} initiator
 * @property {Uint8Array} prologue
 * @property {CryptoKey[]} psks one for each `psk` token, as HKDF keys
 * @property {KeyPair} [s] the own static key, where a message has one
 * @property {KeyPair} [e] the own ephemeral key, for published test vectors alone: a fresh one is made otherwise
 */

/** Bytes in a public key, a shared secret and a hash. */
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const NOTHING = new Uint8Array();
/** Messages under one key. Noise allows 2^64-1 (§5.1); this many are never sent, and count exactly. */
export const MOST_MESSAGES = 2 ** 32;

/**
 * A key and the number of the next message under it, which is its nonce: no message can be opened out of its order.
 */
export class CipherState {
    #key;
    #next;

    /**
     * @param {CryptoKey} key
     * @param {number} [next] the first nonce; 0 but in tests
     */
    constructor(key, next = 0) {
        this.#key = key;
        this.#next = next;
    }

    /**
     * @param {Bytes} secret they are zeros afterwards
     * @param {('encrypt' | 'decrypt')[]} usages
     */
    static async keyed(secret, usages) {
        const key = await crypto.subtle.importKey('raw', secret, 'AES-GCM', false, usages);
        secret.fill(0);
        return new CipherState(key);
    }

    /**
     * @param {Bytes} plaintext
     * @param {Bytes} [additionalData]
     * @returns {Promise<Bytes>}
     */
    async seal(plaintext, additionalData = NOTHING) {
        return new Uint8Array(await crypto.subtle.encrypt(this.#step(additionalData), this.#key, plaintext));
    }

    /**
     * @param {Bytes} ciphertext
     * @param {Bytes} [additionalData]
     * @returns {Promise<Bytes>}
     */
    async open(ciphertext, additionalData = NOTHING) {
        return new Uint8Array(await crypto.subtle.decrypt(this.#step(additionalData), this.#key, ciphertext));
    }

    /**
     * §12.3: 32 bits of zeros, then the nonce as 64 bits, big-endian.
     * @param {Bytes} additionalData
     * @returns {AesGcmParams}
     */
    #step(additionalData) {
        if (this.#next >= MOST_MESSAGES) {
            throw new RangeError('too many messages under one key');
        }
        const iv = new Uint8Array(12);
        new DataView(iv.buffer).setUint32(8, this.#next);
        this.#next += 1;
        return { name: 'AES-GCM', iv, additionalData };
    }
}

export class Handshake {
    /** @type {Parameters} */
    #parameters;
    /** @type {Bytes} */
    #ck;
    /** @type {Bytes} */
    #h;
    /** @type {CipherState | null} */
    #cipher = null;
    #message = 0;
    #psk = 0;
    /** @type {KeyPair | undefined} */
    #e;
    /** @type {Bytes | undefined} */
    #re;
    /** @type {Bytes | undefined} */
    #rs;

    /**
     * @param {Parameters} parameters
     * @param {Bytes} h
     */
    constructor(parameters, h) {
        this.#parameters = parameters;
        this.#ck = h;
        this.#h = h;
    }

    /** @param {Parameters} parameters */
    static async begin(parameters) {
        const name = bytesOf(parameters.name);
        const h = name.length > KEY_BYTES ? await sha256(name) : concat(name, new Uint8Array(KEY_BYTES - name.length));
        const handshake = new Handshake(parameters, h);
        await handshake.#mixHash(parameters.prologue);
        return handshake;
    }

    /** The hash of all that was said, the same at both ends (§11.2). */
    get hash() {
        return this.#h;
    }

    /** The other's static public key, once a message has brought it. */
    get remoteStatic() {
        return this.#rs;
    }

    /**
     * @param {Bytes} payload
     * @returns {Promise<Bytes>} the next message
     */
    async writeMessage(payload) {
        const parts = [];
        for (const token of this.#tokens(true)) {
            if (token === 'e') {
                this.#e = this.#parameters.e ?? (await ephemeral());
                parts.push(this.#e.publicKey);
                await this.#mixEphemeral(this.#e.publicKey);
            } else if (token === 's') {
                parts.push(await this.#seal(must(this.#parameters.s).publicKey));
            } else {
                await this.#mix(token);
            }
        }
        parts.push(await this.#seal(payload));
        return concat(...parts);
    }

    /**
     * @param {Bytes} message
     * @returns {Promise<Bytes>} its payload
     * @throws if it is not the next message of somebody who holds the keys
     */
    async readMessage(message) {
        let rest = message;
        const take = (/** @type {number} */ count) => {
            if (rest.length < count) {
                throw new RangeError('the message is too short');
            }
            const part = rest.slice(0, count);
            rest = rest.slice(count);
            return part;
        };
        for (const token of this.#tokens(false)) {
            if (token === 'e') {
                this.#re = take(KEY_BYTES);
                await this.#mixEphemeral(this.#re);
            } else if (token === 's') {
                this.#rs = await this.#open(take(KEY_BYTES + (this.#cipher ? TAG_BYTES : 0)));
            } else {
                await this.#mix(token);
            }
        }
        return this.#open(rest);
    }

    /**
     * §5.2 Split: the ciphers of what follows. HKDF is spelled out in HMAC here: there is no key material, and that a
     * WebCrypto takes an HKDF key of no bytes is nothing to count on.
     * @returns {Promise<{send: CipherState, receive: CipherState}>}
     */
    async split() {
        if (this.#message !== this.#parameters.messages.length) {
            throw new Error('the handshake is not over');
        }
        const extracted = await hmac(this.#ck, NOTHING);
        const first = await hmac(extracted, Uint8Array.of(1));
        const second = await hmac(extracted, concat(first, Uint8Array.of(2)));
        const [send, receive] = this.#parameters.initiator ? [first, second] : [second, first];
        [extracted, this.#ck].forEach((secret) => secret.fill(0));
        return { send: await CipherState.keyed(send, ['encrypt']), receive: await CipherState.keyed(receive, ['decrypt']) };
    }

    /** @param {boolean} writing */
    #tokens(writing) {
        const tokens = this.#parameters.messages[this.#message];
        if (!tokens || (this.#message % 2 === 0) !== (this.#parameters.initiator === writing)) {
            throw new Error('no such message is due');
        }
        this.#message += 1;
        return tokens;
    }

    /** @param {'ee' | 'es' | 'psk'} token */
    async #mix(token) {
        if (token === 'psk') {
            // §9.2: MixKeyAndHash
            const [ck, hash, secret] = await hkdf(this.#ck, must(this.#parameters.psks[this.#psk]), 3);
            this.#psk += 1;
            await this.#mixHash(must(hash));
            return this.#rekey(must(ck), must(secret));
        }
        // `es` is the initiator's ephemeral key and the responder's static one.
        const own = token === 'es' && !this.#parameters.initiator ? this.#parameters.s : this.#e;
        const other = token === 'es' && this.#parameters.initiator ? this.#rs : this.#re;
        const shared = await agree(must(own), must(other));
        await this.#mixKey(shared);
        shared.fill(0);
    }

    /** @param {Bytes} publicKey */
    async #mixEphemeral(publicKey) {
        await this.#mixHash(publicKey);
        if (this.#parameters.psks.length > 0) {
            // §9.2: with a psk, an ephemeral key goes into the key as well.
            await this.#mixKey(publicKey);
        }
    }

    /** @param {Bytes} material */
    async #mixKey(material) {
        const key = await crypto.subtle.importKey('raw', material, 'HKDF', false, ['deriveBits']);
        const [ck, secret] = await hkdf(this.#ck, key, 2);
        await this.#rekey(must(ck), must(secret));
    }

    /**
     * @param {Bytes} ck
     * @param {Bytes} secret
     */
    async #rekey(ck, secret) {
        this.#ck = ck;
        this.#cipher = await CipherState.keyed(secret, ['encrypt', 'decrypt']);
    }

    /** @param {Uint8Array} data */
    async #mixHash(data) {
        this.#h = await sha256(concat(this.#h, data));
    }

    /**
     * §5.2 EncryptAndHash
     * @param {Bytes} plaintext
     */
    async #seal(plaintext) {
        const ciphertext = this.#cipher ? await this.#cipher.seal(plaintext, this.#h) : plaintext;
        await this.#mixHash(ciphertext);
        return ciphertext;
    }

    /**
     * §5.2 DecryptAndHash
     * @param {Bytes} ciphertext
     */
    async #open(ciphertext) {
        const plaintext = this.#cipher ? await this.#cipher.open(ciphertext, this.#h) : ciphertext;
        await this.#mixHash(ciphertext);
        return plaintext;
    }
}

/** @returns {Promise<KeyPair>} */
async function ephemeral() {
    const pair = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey('X25519', false, ['deriveBits']));
    const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    return { privateKey: pair.privateKey, publicKey };
}

/**
 * @param {KeyPair} own
 * @param {Bytes} other
 * @returns {Promise<Bytes>} the shared secret
 */
async function agree(own, other) {
    const theirs = await crypto.subtle.importKey('raw', other, 'X25519', false, []);
    const secret = new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: theirs }, own.privateKey, 256));
    // RFC 7748 §6.1: a public key of low order makes a secret that everybody knows.
    if (secret.every((byte) => byte === 0)) {
        throw new Error('the public key is of low order');
    }
    return secret;
}

/**
 * §4.3. This is the HKDF of RFC 5869 without info, which lets a key stay where no script reads it.
 * @param {Bytes} ck
 * @param {CryptoKey} key
 * @param {number} count
 * @returns {Promise<Bytes[]>}
 */
async function hkdf(ck, key, count) {
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: ck, info: NOTHING };
    const bits = await crypto.subtle.deriveBits(parameters, key, count * KEY_BYTES * 8);
    return Array.from({ length: count }, (_, i) => new Uint8Array(bits.slice(i * KEY_BYTES, (i + 1) * KEY_BYTES)));
}

/**
 * @param {Bytes} key
 * @param {Bytes} data
 */
async function hmac(key, data) {
    const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data));
}

/** @param {Bytes} data */
async function sha256(data) {
    return new Uint8Array(await crypto.subtle.digest('SHA-256', data));
}

/**
 * @template T
 * @param {T | undefined} value
 * @returns {T}
 */
function must(value) {
    if (value === undefined) {
        throw new Error('a key is missing');
    }
    return value;
}
