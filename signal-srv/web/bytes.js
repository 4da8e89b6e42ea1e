/**
 * Bytes and the two texts that they travel in. Pure.
 */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/** So many bytes become text at once: a function takes no more arguments than this everywhere. */
const CHUNK = 8192;

/**
 * @param {string} text of ASCII or any other characters, as UTF-8
 * @returns {Bytes}
 */
export function bytesOf(text) {
    return new TextEncoder().encode(text);
}

/**
 * @param {...Uint8Array} parts
 * @returns {Bytes}
 */
export function concat(...parts) {
    const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
        whole.set(part, at);
        at += part.length;
    }
    return whole;
}

/**
 * @param {string} hex an even number of hex digits
 * @returns {Bytes}
 */
export function fromHex(hex) {
    return Uint8Array.from(hex.match(/../gu) ?? [], (pair) => Number.parseInt(pair, 16));
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} lower-case hex digits
 */
export function toHex(bytes) {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * base64url without padding, RFC 4648 §5.
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64url(bytes) {
    let binary = '';
    for (let at = 0; at < bytes.length; at += CHUNK) {
        binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
    }
    return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * Reads what `toBase64url` writes and nothing else: no padding, no white space, no stray bits in the last character.
 * @param {string} text
 * @returns {Bytes | null}
 */
export function fromBase64url(text) {
    if (!/^[\w-]*$/u.test(text) || text.length % 4 === 1) {
        return null;
    }
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < bytes.length; at += 1) {
        bytes[at] = binary.charCodeAt(at);
    }
    return toBase64url(bytes) === text ? bytes : null;
}
