import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import './webcrypto.js';

import { fromHex, toHex } from '../../web/bytes.js';
import { CipherState, Handshake, MOST_MESSAGES } from '../../web/noise.js';
import { PROTOCOL } from '../../web/sealing.js';
import { keyPair, randomBytes } from './noise_camera.js';

/** @import {Parameters, Token} from '../../web/noise.js' */

/**
 * @typedef {{source: string, protocol_name: string, init_prologue: string, resp_prologue: string, init_psks?: string[],
 *   resp_psks?: string[], init_ephemeral: string, resp_ephemeral: string, resp_static?: string, handshake_hash?: string,
 *   messages: {payload: string, ciphertext: string}[]}} Vector
 */

/** @type {{vectors: Vector[]}} */
const { vectors } = JSON.parse(readFileSync(new URL('../../proto/tests/vectors/noise.json', import.meta.url), 'utf8'));

/**
 * The tokens of a pattern with its modifiers (§9.4): psk0 precedes the first message, pskN follows the Nth.
 * @param {string} protocol
 * @returns {Token[][]}
 */
function messagesOf(protocol) {
    const [, pattern, modifiers] = /^Noise_([A-Z]+)([^_]*)_25519_AESGCM_SHA256$/u.exec(protocol) ?? [];
    /** @type {Record<string, Token[][]>} */
    const patterns = { NN: [['e'], ['e', 'ee']], NX: [['e'], ['e', 'ee', 's', 'es']] };
    const messages = patterns[pattern ?? ''];
    assert.ok(messages, protocol);
    for (const [, place] of (modifiers ?? '').matchAll(/psk(\d)/gu)) {
        if (place === '0') {
            messages[0]?.unshift('psk');
        } else {
            messages[Number(place) - 1]?.push('psk');
        }
    }
    return messages;
}

/** @param {Uint8Array<ArrayBuffer>} secret */
function pskOf(secret) {
    return crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
}

/**
 * @param {Vector} vector
 * @returns {Promise<[Handshake, Handshake]>}
 */
async function ends(vector) {
    const common = { name: vector.protocol_name, messages: messagesOf(vector.protocol_name) };
    const psks = (/** @type {string[] | undefined} */ texts) => Promise.all((texts ?? []).map((text) => pskOf(fromHex(text))));
    return [
        await Handshake.begin({
            ...common,
            initiator: true,
            prologue: fromHex(vector.init_prologue),
            psks: await psks(vector.init_psks),
            e: await keyPair(fromHex(vector.init_ephemeral)),
        }),
        await Handshake.begin({
            ...common,
            initiator: false,
            prologue: fromHex(vector.resp_prologue),
            psks: await psks(vector.resp_psks),
            e: await keyPair(fromHex(vector.resp_ephemeral)),
            ...(vector.resp_static ? { s: await keyPair(fromHex(vector.resp_static)) } : {}),
        }),
    ];
}

for (const vector of vectors) {
    test(`published vector, both ends, byte for byte: ${vector.protocol_name}, ${vector.source}`, async () => {
        const [initiator, responder] = await ends(vector);
        const [first, second, ...transport] = vector.messages;
        assert.ok(first && second && transport.length > 0);

        assert.equal(toHex(await initiator.writeMessage(fromHex(first.payload))), first.ciphertext);
        assert.equal(toHex(await responder.readMessage(fromHex(first.ciphertext))), first.payload);
        assert.equal(toHex(await responder.writeMessage(fromHex(second.payload))), second.ciphertext);
        assert.equal(toHex(await initiator.readMessage(fromHex(second.ciphertext))), second.payload);

        assert.deepEqual(initiator.hash, responder.hash);
        if (vector.handshake_hash) {
            assert.equal(toHex(initiator.hash), vector.handshake_hash);
        }
        if (vector.resp_static) {
            const { publicKey } = await keyPair(fromHex(vector.resp_static));
            assert.deepEqual(initiator.remoteStatic, publicKey);
        }

        const left = await initiator.split();
        const right = await responder.split();
        for (const [i, { payload, ciphertext }] of transport.entries()) {
            const [sender, receiver] = i % 2 === 0 ? [left, right] : [right, left];
            assert.equal(toHex(await sender.send.seal(fromHex(payload))), ciphertext);
            assert.equal(toHex(await receiver.receive.open(fromHex(ciphertext))), payload);
        }
    });
}

test('the vectors are of these patterns', () => {
    const patterns = vectors.map((vector) => vector.protocol_name.split('_')[1]);
    assert.deepEqual(patterns, ['NX', 'NNpsk0', 'NXpsk2', 'NX', 'NXpsk0+psk1+psk2']);
    assert.deepEqual(messagesOf(PROTOCOL.name), PROTOCOL.messages);
});

/**
 * @param {Partial<Parameters>} [viewer]
 * @param {Partial<Parameters>} [camera]
 */
async function pair(viewer, camera) {
    const psk = await pskOf(new Uint8Array(32).fill(7));
    const common = { ...PROTOCOL, prologue: Uint8Array.of(1), psks: [psk] };
    return {
        initiator: await Handshake.begin({ ...common, initiator: true, ...viewer }),
        responder: await Handshake.begin({ ...common, initiator: false, s: await keyPair(randomBytes()), ...camera }),
    };
}

const EMPTY = new Uint8Array();

test('two ends that disagree on anything do not understand each other', async () => {
    const psks = [await pskOf(new Uint8Array(32).fill(8))];
    for (const other of [{ psks }, { prologue: Uint8Array.of(2) }, { name: 'Noise_NXpsk0_25519_AESGCM_SHA512' }]) {
        const { initiator, responder } = await pair({}, other);
        await assert.rejects(responder.readMessage(await initiator.writeMessage(EMPTY)), JSON.stringify(other));
    }
});

test('no bit of a handshake can be changed', async () => {
    const { initiator } = await pair();
    const first = await initiator.writeMessage(EMPTY);
    for (let bit = 0; bit < first.length * 8; bit += 1) {
        const changed = first.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const { responder } = await pair();
        await assert.rejects(responder.readMessage(changed), `bit ${bit}`);
    }
    for (const length of [0, 31, 32, 47]) {
        const { responder } = await pair();
        await assert.rejects(responder.readMessage(first.slice(0, length)), `${length} bytes`);
    }
});

test('a public key of low order is refused', async () => {
    // The points of order 1, 2, 4 and 8, RFC 7748 §6.1 and §7: whatever the private key, the secret is zero.
    const low = [
        '00'.repeat(32),
        `01${'00'.repeat(31)}`,
        'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
        '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
        `ec${'ff'.repeat(30)}7f`,
        `ed${'ff'.repeat(30)}7f`,
        `ee${'ff'.repeat(30)}7f`,
    ].map(fromHex);
    const derive = crypto.subtle.deriveBits;
    for (const lenient of [false, true]) {
        for (const publicKey of low) {
            const { initiator, responder } = await pair({}, { e: { ...(await keyPair(randomBytes())), publicKey } });
            await responder.readMessage(await initiator.writeMessage(EMPTY));
            const second = await responder.writeMessage(EMPTY);
            try {
                if (lenient) {
                    // A WebCrypto that hands the zeros out must not help either.
                    crypto.subtle.deriveBits = async (algorithm, key, length) =>
                        /** @type {any} */ (algorithm).name === 'X25519'
                            ? new ArrayBuffer(32)
                            : derive.call(crypto.subtle, algorithm, key, length);
                }
                await assert.rejects(initiator.readMessage(second), lenient ? /low order/u : Error);
            } finally {
                crypto.subtle.deriveBits = derive;
            }
        }
    }
});

test('messages come in their turn, and ciphers only at the end', async () => {
    const { initiator, responder } = await pair();
    await assert.rejects(initiator.readMessage(EMPTY), /due/u);
    await assert.rejects(responder.writeMessage(EMPTY), /due/u);
    await assert.rejects(initiator.split(), /not over/u);
    await responder.readMessage(await initiator.writeMessage(EMPTY));
    await assert.rejects(initiator.writeMessage(EMPTY), /due/u);
    await initiator.readMessage(await responder.writeMessage(EMPTY));
    await assert.rejects(initiator.writeMessage(EMPTY), /due/u);
    await assert.rejects(responder.readMessage(EMPTY), /due/u);
    const [left, right] = [await initiator.split(), await responder.split()];
    const sealed = await left.send.seal(Uint8Array.of(1, 2, 3));
    assert.deepEqual(await right.receive.open(sealed), Uint8Array.of(1, 2, 3));
    await assert.rejects(right.receive.open(sealed), 'a second time');
});

test('each handshake has an ephemeral key of its own', async () => {
    const keys = new Set();
    for (let i = 0; i < 50; i += 1) {
        const { initiator } = await pair();
        keys.add(toHex((await initiator.writeMessage(EMPTY)).slice(0, 32)));
    }
    assert.equal(keys.size, 50);
});

test('no script reads a key, and none is used for more than it is for', async () => {
    /** @type {{extractable: boolean, usages: string}[]} */
    const seen = [];
    const { importKey, generateKey } = crypto.subtle;
    const note = (/** @type {CryptoKey} */ key) => {
        if (key.type !== 'public') {
            seen.push({ extractable: key.extractable, usages: `${key.algorithm.name} ${key.usages.join()}` });
        }
    };
    crypto.subtle.importKey = async (/** @type {any[]} */ ...args) => {
        const key = await /** @type {any} */ (importKey).apply(crypto.subtle, args);
        note(key);
        return key;
    };
    crypto.subtle.generateKey = async (/** @type {any[]} */ ...args) => {
        const made = await /** @type {any} */ (generateKey).apply(crypto.subtle, args);
        note(made.privateKey);
        return made;
    };
    try {
        const { initiator, responder } = await pair();
        await responder.readMessage(await initiator.writeMessage(EMPTY));
        await initiator.readMessage(await responder.writeMessage(EMPTY));
        await initiator.split();
    } finally {
        Object.assign(crypto.subtle, { importKey, generateKey });
    }
    assert.ok(seen.length > 5);
    assert.deepEqual(seen.filter(({ extractable }) => extractable), []);
    assert.deepEqual(seen.slice(-2).map(({ usages }) => usages), ['AES-GCM encrypt', 'AES-GCM decrypt']);
});

test('no nonce is used twice, not even after very many messages', async () => {
    const secret = () => new Uint8Array(32).fill(9);
    const key = await crypto.subtle.importKey('raw', secret(), 'AES-GCM', false, ['encrypt', 'decrypt']);
    const last = new CipherState(key, MOST_MESSAGES - 1);
    const sealed = await last.seal(EMPTY);
    await assert.rejects(last.seal(EMPTY), /too many/u);
    assert.notDeepEqual(sealed, await new CipherState(key).seal(EMPTY));
    assert.deepEqual(await new CipherState(key, MOST_MESSAGES - 1).open(sealed), EMPTY);

    const given = secret();
    const state = await CipherState.keyed(given, ['encrypt', 'decrypt']);
    assert.deepEqual(given, new Uint8Array(32), 'the secret is wiped');
    const all = await Promise.all(Array.from({ length: 100 }, () => state.seal(EMPTY)));
    assert.equal(new Set(all.map(toHex)).size, 100, 'calls at once do not share one');
});
