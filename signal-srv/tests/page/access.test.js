import assert from 'node:assert/strict';
import { createHash, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import './webcrypto.js';

import { accessOf, checkDigits, provesCode, supported } from '../../web/access.js';
import { bytesOf, fromBase64url, fromHex, toBase64url, toHex } from '../../web/bytes.js';
import { codeOf, keyPair, randomBytes, randomIdentity } from './noise_camera.js';

/** @type {Record<string, string>} */
const vector = JSON.parse(readFileSync(new URL('../../proto/tests/vectors/roomcam.json', import.meta.url), 'utf8'));

/** @param {...(string | Uint8Array)} parts */
function sha256(...parts) {
    const hash = createHash('sha256');
    parts.forEach((part) => hash.update(part));
    return hash.digest('hex');
}

/**
 * What a key gives that cannot be looked at: two are the same if this is.
 * @param {CryptoKey} key
 */
async function fingerprint(key) {
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: bytesOf('salt'), info: bytesOf('info') };
    return toHex(new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256)));
}

test('what follows from a code is what the camera program has written down', async () => {
    const code = vector['code'] ?? '';
    const identity = { key: await keyPair(fromHex(vector['private_key'] ?? '')), nonce: fromHex(vector['nonce'] ?? '') };
    assert.equal(toHex(await codeOf(identity)), code);
    assert.equal(toBase64url(fromHex(code)), vector['link_fragment']);
    assert.equal(await checkDigits(fromHex(code)), vector['check_digits']);
    const { room, psk, verifier } = await accessOf(fromHex(code));
    assert.equal(room, vector['room']);
    const written = fromHex(vector['psk'] ?? '');
    assert.equal(await fingerprint(psk), await fingerprint(await crypto.subtle.importKey('raw', written, 'HKDF', false, ['deriveBits'])));
    assert.equal(toHex(verifier), sha256('roomcam/1 verifier', fromHex(code)));
});

test('and what another implementation makes of it', async () => {
    for (let round = 0; round < 50; round += 1) {
        const code = randomBytes();
        const { room, psk, verifier } = await accessOf(code.slice());
        const derived = (/** @type {string} */ info) => Buffer.from(hkdfSync('sha256', code, 'roomcam/1', info, 32));
        assert.equal(room, derived('room').toString('hex'));
        assert.equal(await fingerprint(psk), Buffer.from(hkdfSync('sha256', derived('psk'), 'salt', 'info', 32)).toString('hex'));
        assert.equal(toHex(verifier), sha256('roomcam/1 verifier', code));
        assert.equal(await checkDigits(code), sha256('roomcam/1 check', code).slice(0, 4));
    }
});

test('the code is gone afterwards, and its key can be stored and not read', async () => {
    const code = randomBytes();
    const text = toHex(code);
    const access = await accessOf(code);
    assert.deepEqual(code, new Uint8Array(32));
    assert.equal(access.psk.extractable, false);
    assert.deepEqual(access.psk.usages, ['deriveBits']);
    await assert.rejects(crypto.subtle.exportKey('raw', access.psk));
    assert.ok(!JSON.stringify([access.room, toHex(access.verifier)]).includes(text));
    const { psk } = structuredClone({ psk: access.psk });
    assert.equal(await fingerprint(psk), await fingerprint(access.psk));
});

test('what is no code gives nothing, and is gone all the same', async () => {
    for (const length of [0, 31, 33, 64]) {
        const wrong = new Uint8Array(length).fill(7);
        await assert.rejects(accessOf(wrong), RangeError);
        assert.deepEqual(wrong, new Uint8Array(length));
    }
});

test('only the key and the nonce that a code was made of prove it', async () => {
    const identity = await randomIdentity();
    const { publicKey } = identity.key;
    const access = await accessOf(await codeOf(identity));
    assert.equal(await provesCode(access, publicKey, identity.nonce), true);
    const other = await randomIdentity();
    const together = new Uint8Array([...publicKey, ...identity.nonce]);
    /** @type {[Uint8Array, Uint8Array][]} */
    const wrong = [
        [other.key.publicKey, identity.nonce],
        [publicKey, other.nonce],
        [other.key.publicKey, other.nonce],
        [identity.nonce, publicKey],
        [new Uint8Array(), together],
        [together, new Uint8Array()],
        [together.slice(0, 31), together.slice(31)],
        [together.slice(0, 33), together.slice(33)],
        [new Uint8Array(32), new Uint8Array(32)],
    ];
    for (const [key, nonce] of wrong) {
        assert.equal(await provesCode(access, key, nonce), false);
    }
    for (let bit = 0; bit < 512; bit += 1) {
        const changed = together.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.equal(await provesCode(access, changed.slice(0, 32), changed.slice(32)), false, `bit ${bit}`);
    }
});

test('whether a browser can do it is tried out', async () => {
    assert.equal(await supported(), true);
    const { subtle } = crypto;
    const lacking = (/** @type {string} */ method, /** @type {string} */ algorithm) => {
        const original = /** @type {any} */ (subtle)[method];
        Object.assign(subtle, {
            [method]: async (/** @type {any[]} */ ...args) => {
                if (args.some((argument) => argument === algorithm || argument?.name === algorithm)) {
                    throw new DOMException('unknown', 'NotSupportedError');
                }
                return original.apply(subtle, args);
            },
        });
        return () => Object.assign(subtle, { [method]: original });
    };
    for (const [method, algorithm] of /** @type {[string, string][]} */ ([
        ['generateKey', 'X25519'],
        ['deriveBits', 'X25519'],
        ['importKey', 'HKDF'],
        ['deriveBits', 'HKDF'],
        ['importKey', 'AES-GCM'],
    ])) {
        const restore = lacking(method, algorithm);
        assert.equal(await supported(), false, `${method} ${algorithm}`);
        restore();
    }
    assert.equal(await supported(), true);
});

test('outside of a secure context nothing can be done', async () => {
    const original = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(globalThis, 'crypto'));
    try {
        Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
        assert.equal(await supported(), false);
    } finally {
        Object.defineProperty(globalThis, 'crypto', original);
    }
});

test('bytes and texts lead to each other', () => {
    for (let length = 0; length < 300; length += 1) {
        const bytes = randomBytes(length);
        assert.equal(toHex(bytes), Buffer.from(bytes).toString('hex'));
        assert.deepEqual(fromHex(toHex(bytes)), bytes);
        assert.equal(toBase64url(bytes), Buffer.from(bytes).toString('base64url'));
        assert.deepEqual(fromBase64url(toBase64url(bytes)), bytes);
    }
    const long = randomBytes(60_000);
    assert.equal(toBase64url(long), Buffer.from(long).toString('base64url'));
    assert.deepEqual(fromBase64url(toBase64url(long)), long);
});

test('base64url has one spelling for everything', () => {
    for (const wrong of ['A', 'AB', 'AAB', 'AAAAA', 'AA==', 'AAA=', 'A A', '+/', 'AA\n', ' AA', 'ÄÄ', 'AA\0', 'AA.', 'A'.repeat(4097)]) {
        assert.equal(fromBase64url(wrong), null, JSON.stringify(wrong));
    }
    assert.deepEqual(fromBase64url('-_8'), Uint8Array.of(0xfb, 0xff));
});
