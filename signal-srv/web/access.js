/**
 * What a code gives: the room to meet in, the key that proves the code to the camera, and the means to recognise the
 * camera that the code belongs to.
 *
 *     code ─HKDF─┬─ "room" ─> room        all that the server learns
 *                └─ "psk"  ─> psk         a key that no script can read, not even this one
 *     code ─SHA-256─────────> verifier    recognises the camera's key, and gives the code away to nobody
 *
 * None of the three leads back to the code, so that a page that remembers a camera need not keep its code.
 */

import { bytesOf, concat, toHex } from './bytes.js';

/** @import {Bytes} from './bytes.js' */

/** Bytes in a code. */
export const CODE_BYTES = 32;

/**
 * May be stored as it is: IndexedDB keeps the key without showing it.
 * @typedef {{room: string, psk: CryptoKey, verifier: Bytes}} Access
 */

/**
 * @param {Bytes} code 32 bytes; they are zeros afterwards
 * @returns {Promise<Access>}
 */
export async function accessOf(code) {
    try {
        if (code.length !== CODE_BYTES) {
            throw new RangeError(`a code has ${CODE_BYTES} bytes`);
        }
        const key = await crypto.subtle.importKey('raw', code, 'HKDF', false, ['deriveBits']);
        const verifier = await verifierOf(code);
        const room = await derive(key, 'room');
        const bits = await derive(key, 'psk');
        const psk = await crypto.subtle.importKey('raw', bits, 'HKDF', false, ['deriveBits']);
        bits.fill(0);
        return { room: toHex(room), psk, verifier };
    } finally {
        code.fill(0);
    }
}

/**
 * The digits that are printed after a code, so that a mistyped one is told from a camera that is not there.
 * @param {Bytes} code
 * @returns {Promise<string>} four lower-case hex digits
 */
export async function checkDigits(code) {
    return toHex((await sha256(bytesOf('roomcam/1 check'), code)).subarray(0, 2));
}

/**
 * Whether these are the key and the nonce that a code was made of: the camera itself.
 * @param {Access} access
 * @param {Uint8Array} staticKey the camera's public key, which the handshake has proven to be its own
 * @param {Uint8Array} nonce
 * @returns {Promise<boolean>}
 */
export async function provesCode({ verifier }, staticKey, nonce) {
    if (staticKey.length !== 32 || nonce.length !== 32) {
        return false;
    }
    const claimed = await verifierOf(await sha256(bytesOf('roomcam/1 code'), staticKey, nonce));
    return claimed.every((byte, i) => byte === verifier[i]);
}

/**
 * Whether this browser has what sealed signaling is made of; outside of a secure context none has.
 * @returns {Promise<boolean>}
 */
export async function supported() {
    try {
        const { subtle } = crypto;
        const pair = /** @type {CryptoKeyPair} */ (await subtle.generateKey('X25519', false, ['deriveBits']));
        const secret = await subtle.deriveBits({ name: 'X25519', public: pair.publicKey }, pair.privateKey, 256);
        const key = await subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
        await derive(key, '');
        await subtle.importKey('raw', secret, 'AES-GCM', false, ['encrypt', 'decrypt']);
        return true;
    } catch {
        return false;
    }
}

/** @param {Uint8Array} code */
function verifierOf(code) {
    return sha256(bytesOf('roomcam/1 verifier'), code);
}

/**
 * @param {...Uint8Array} parts
 * @returns {Promise<Bytes>}
 */
async function sha256(...parts) {
    const whole = concat(...parts);
    const digest = await crypto.subtle.digest('SHA-256', whole);
    whole.fill(0);
    return new Uint8Array(digest);
}

/**
 * @param {CryptoKey} key
 * @param {string} purpose
 * @returns {Promise<Bytes>}
 */
async function derive(key, purpose) {
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: bytesOf('roomcam/1'), info: bytesOf(purpose) };
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
}
