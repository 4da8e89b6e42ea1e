import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { bytesOf, concat, fromBase64url, fromHex, toBase64url, toHex } from '../../web/bytes.js';
import { PLAINTEXT_BYTES, WAITING_MESSAGES, padded, prologueOf, unpadded } from '../../web/sealing.js';
import { NoiseCamera, codeOf, keyPair } from './noise_camera.js';
import { CAMERA, SIGNALS, Viewer, acquaintance, meeting, until, withEphemeral } from './sealed_session.js';

/** @import {OutgoingSignal} from '../../web/signaling.js' */

/**
 * @type {Record<'private_key' | 'nonce' | 'code' | 'room' | 'viewer' | 'camera' | 'prologue' | 'viewer_ephemeral'
 *   | 'camera_ephemeral' | 'message_1' | 'message_2', string>
 *   & {transport: {from: string, signal: string, plaintext_bytes: number, noise: string}[]}}
 */
const vector = JSON.parse(readFileSync(new URL('../../proto/tests/vectors/roomcam.json', import.meta.url), 'utf8'));

/** @param {string} hex */
function sealed(hex) {
    return { noise: toBase64url(fromHex(hex)) };
}

test('the session that the camera program has written down, byte for byte', async () => {
    const identity = { key: await keyPair(fromHex(vector.private_key)), nonce: fromHex(vector.nonce) };
    assert.equal(toHex(await codeOf(identity)), vector.code);
    const access = await accessOf(fromHex(vector.code));
    assert.equal(access.room, vector.room);
    assert.equal(toHex(prologueOf(access.room, vector.viewer, vector.camera)), vector.prologue);

    await withEphemeral(await keyPair(fromHex(vector.viewer_ephemeral)), async () => {
        const viewer = new Viewer(access, vector);
        const e = await keyPair(fromHex(vector.camera_ephemeral));
        const camera = new NoiseCamera(identity, access, vector.viewer, vector.camera, e);
        assert.deepEqual(await viewer.first(), sealed(vector.message_1));
        assert.deepEqual(await camera.answer(sealed(vector.message_1)), sealed(vector.message_2));
        await viewer.hears(sealed(vector.message_2));
        assert.deepEqual(viewer.reported, ['proven']);

        const senders = new Set();
        for (const { from, signal, plaintext_bytes, noise } of vector.transport) {
            const body = JSON.parse(signal);
            const plaintext = padded(body);
            assert.equal(plaintext.length, plaintext_bytes);
            assert.equal(new TextDecoder().decode(plaintext.subarray(2)).replace(/\0+$/u, ''), signal);
            senders.add(from);
            if (from === 'viewer') {
                viewer.channel.send(body);
                const count = viewer.sent.length + 1;
                await until(() => viewer.sent.length === count);
                assert.deepEqual(viewer.sent.at(-1), { noise });
                assert.deepEqual(await camera.open({ noise }), body);
            } else {
                assert.deepEqual(await camera.seal(body), { noise });
                await viewer.hears({ noise });
                assert.deepEqual(viewer.reported.at(-1), body);
            }
        }
        assert.deepEqual([...senders].sort(), ['camera', 'viewer']);
    });
});

test('a session from the greeting to the bye', async () => {
    const { viewer, camera } = await acquaintance();
    assert.deepEqual(viewer.reported, ['proven']);
    assert.equal(fromBase64url(viewer.sent[0]?.noise ?? '')?.length, 48);
    /** @type {OutgoingSignal[]} */
    const signals = [
        { type: 'start' },
        { type: 'answer', sdp: 'v=0\r\n' },
        { candidate: 'candidate:1', sdpMLineIndex: 0, sdpMid: null },
        { type: 'bye', reason: 'left' },
    ];
    signals.forEach((signal) => viewer.channel.send(signal));
    await until(() => viewer.sent.length === 5);
    for (const [i, signal] of signals.entries()) {
        assert.deepEqual(await camera.open(viewer.sent[i + 1]), signal);
    }
    for (const signal of SIGNALS) {
        await viewer.hears(await camera.seal(signal));
    }
    assert.deepEqual(viewer.reported, ['proven', ...SIGNALS]);
});

test('nothing is sent before start, start is sent once, and nothing before the proof', async () => {
    const { viewer, camera } = await meeting();
    viewer.channel.send({ type: 'start' });
    await viewer.hears(await camera.answer(await viewer.first()));
    viewer.channel.send({ type: 'answer', sdp: 'v=0' });
    viewer.channel.send({ type: 'start' });
    viewer.channel.send({ type: 'start' });
    viewer.channel.send({ type: 'bye', reason: 'left' });
    await viewer.channel.close();
    assert.equal(viewer.sent.length, 3);
    assert.deepEqual(await camera.open(viewer.sent[1]), { type: 'start' });
    assert.deepEqual(await camera.open(viewer.sent[2]), { type: 'bye', reason: 'left' });
});

test('many messages at once keep their order, in and out', async () => {
    const { viewer, camera } = await acquaintance();
    const numbered = (/** @type {number} */ i) => ({ candidate: `candidate:${i}`, sdpMLineIndex: 0, sdpMid: 'x'.repeat(i * 97) });
    const all = Array.from({ length: WAITING_MESSAGES }, (_, i) => numbered(i));
    await viewer.hears(...(await Promise.all(all.map((signal) => camera.seal(signal)))));
    assert.deepEqual(viewer.reported, ['proven', ...all]);

    viewer.channel.send({ type: 'start' });
    all.slice(1).forEach((signal) => viewer.channel.send(signal));
    await until(() => viewer.sent.length === 1 + WAITING_MESSAGES);
    assert.deepEqual(await camera.open(viewer.sent[1]), { type: 'start' });
    for (const [i, signal] of all.slice(1).entries()) {
        assert.deepEqual(await camera.open(viewer.sent[i + 2]), signal);
    }
});

test('more messages than can wait are a flood: the channel is over, and none of them is reported', async () => {
    const { viewer, camera } = await acquaintance();
    const flood = await Promise.all(Array.from({ length: WAITING_MESSAGES + 1 }, () => camera.seal({ type: 'bye' })));
    await viewer.hears(...flood);
    assert.deepEqual(viewer.reported, ['proven', 'refuted']);
    await viewer.hears(await camera.seal({ type: 'bye' }));
    assert.equal(viewer.reported.length, 2);
});

test('the same answer to the greeting a second time changes nothing, whenever it comes', async () => {
    const { viewer, camera } = await meeting();
    const second = await camera.answer(await viewer.first());
    await viewer.hears(second, { ...second }, await camera.seal({ type: 'bye' }), second, await camera.seal({ type: 'offer' }));
    assert.deepEqual(viewer.reported, ['proven', { type: 'bye' }, { type: 'offer' }]);
});

test('after close nothing is reported, whatever is under way', async () => {
    const early = await meeting();
    early.viewer.channel.close();
    await early.viewer.settled();
    assert.deepEqual([early.viewer.sent, early.viewer.reported], [[], []], 'the greeting was under way');

    const greeted = await meeting();
    const second = await greeted.camera.answer(await greeted.viewer.first());
    greeted.viewer.channel.receive(second);
    greeted.viewer.channel.close();
    await greeted.viewer.settled();
    assert.deepEqual(greeted.viewer.reported, [], 'the proof was under way');

    for (const hostile of [false, true]) {
        const { viewer, camera } = await acquaintance();
        const message = await camera.seal({ type: 'bye' });
        viewer.channel.receive(hostile ? { noise: message.noise.replace(/^./u, '') + 'A' } : message);
        await null;
        viewer.channel.close();
        await viewer.settled();
        await viewer.hears(message);
        assert.deepEqual(viewer.reported, ['proven'], 'a signal was under way');
    }
});

test('what was handed over before close is still sent', async () => {
    const silent = await acquaintance();
    assert.equal(silent.viewer.channel.close(), null, 'nothing waits');
    const { viewer, camera } = await acquaintance();
    viewer.channel.send({ type: 'start' });
    viewer.channel.send({ type: 'bye', reason: 'left' });
    const sent = viewer.channel.close();
    viewer.channel.send({ type: 'answer', sdp: 'v=0' });
    await sent;
    assert.equal(viewer.sent.length, 3);
    assert.deepEqual(await camera.open(viewer.sent[1]), { type: 'start' });
    assert.deepEqual(await camera.open(viewer.sent[2]), { type: 'bye', reason: 'left' });
});

test('a camera learns that its messages were meddled with', async () => {
    const { viewer, camera } = await acquaintance();
    viewer.channel.send({ type: 'start' });
    await viewer.hears({ noise: 'AAAA' });
    viewer.channel.send({ type: 'answer', sdp: 'v=0' });
    await viewer.channel.close();
    assert.equal(viewer.sent.length, 3);
    assert.deepEqual(await camera.open(viewer.sent[1]), { type: 'start' });
    assert.deepEqual(await camera.open(viewer.sent[2]), { type: 'bye', reason: 'failed' });
});

test('a signal that is too long is not sent, and the next one is', async (context) => {
    const complaints = context.mock.method(console, 'error', () => {});
    const { viewer, camera } = await acquaintance();
    viewer.channel.send({ type: 'start' });
    viewer.channel.send({ type: 'answer', sdp: 'x'.repeat(PLAINTEXT_BYTES) });
    viewer.channel.send({ type: 'bye', reason: 'left' });
    await viewer.channel.close();
    assert.deepEqual(await camera.open(viewer.sent[1]), { type: 'start' });
    assert.deepEqual(await camera.open(viewer.sent[2]), { type: 'bye', reason: 'left' });
    assert.equal(complaints.mock.callCount(), 1);
});

test('what is done with a report does not touch the channel', async (context) => {
    const complaints = context.mock.method(console, 'error', () => {});
    const { viewer, camera } = await acquaintance();
    viewer.reported.push = () => {
        throw new Error('a fault of the page');
    };
    await viewer.hears(await camera.seal({ type: 'bye' }));
    // @ts-expect-error the array's own method comes to light again
    delete viewer.reported.push;
    await viewer.hears(await camera.seal({ type: 'offer' }));
    assert.deepEqual(viewer.reported, ['proven', { type: 'offer' }]);
    assert.equal(complaints.mock.callCount(), 1);
});

test('signals are padded to steps of 1024 bytes, at most 47 of them', () => {
    const withLength = (/** @type {number} */ length) => ({ a: 'x'.repeat(length - '{"a":""}'.length) });
    for (const [length, steps] of /** @type {[number, number][]} */ ([
        [8, 1],
        [1022, 1],
        [1023, 2],
        [2046, 2],
        [2047, 3],
        [47 * 1024 - 2, 47],
    ])) {
        const plaintext = padded(withLength(length));
        assert.equal(plaintext.length, steps * 1024, `${length} bytes`);
        assert.deepEqual(unpadded(plaintext), withLength(length));
    }
    assert.throws(() => padded(withLength(47 * 1024 - 1)), /too long/u);
    assert.throws(() => padded(withLength(70_000)), /too long/u);
    assert.deepEqual(unpadded(padded({ sdp: 'ä€😀\r\n' })), { sdp: 'ä€😀\r\n' });
});

/** Plaintexts that no camera makes. @type {Record<string, () => Uint8Array<ArrayBuffer>>} */
const MALFORMED = {
    'nothing at all': () => new Uint8Array(),
    'a byte': () => Uint8Array.of(0),
    'no padding': () => concat(Uint8Array.of(0, 2), bytesOf('{}')),
    'a byte too few': () => padded({}).slice(0, 1023),
    'a byte too many': () => concat(padded({}), Uint8Array.of(0)),
    'a step too many': () => concat(padded({}), new Uint8Array(1024)),
    'padding that is not zero at its end': () => withByte(padded({}), 1023, 1),
    'padding that is not zero at its start': () => withByte(padded({}), 4, 0x20),
    'a length beyond the end': () => withByte(padded({}), 0, 0xff),
    'a length that cuts the JSON off': () => withByte(padded({ a: 1 }), 1, 3),
    'more steps than are allowed': () => concat(Uint8Array.of(0, 2), bytesOf('{}'), new Uint8Array(48 * 1024 - 4)),
    'a length that is more than is allowed': () => plain(`{"a":"${'x'.repeat(47 * 1024)}"}`, 48),
};

/** Plaintexts that are padded well and hold no signal. @type {Record<string, () => Uint8Array<ArrayBuffer>>} */
const MEANINGLESS = {
    'no length': () => new Uint8Array(1024),
    'no JSON': () => plain('{type:"bye"}'),
    'two JSONs': () => plain('{}{}'),
    'JSON that is no object': () => plain('[]'),
    null: () => plain('null'),
    text: () => plain('"bye"'),
    'no UTF-8': () => withByte(plain('{"a":"x"}'), 8, 0xff),
    'a byte order mark': () => plain('\ufeff{}'),
};

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {number} at
 * @param {number} value
 */
function withByte(bytes, at, value) {
    bytes[at] = value;
    return bytes;
}

/**
 * @param {string} json
 * @param {number} [steps]
 */
function plain(json, steps = 1) {
    const bytes = bytesOf(json);
    const plaintext = new Uint8Array(steps * 1024);
    plaintext.set(concat(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes));
    return plaintext;
}

for (const [what, make] of Object.entries(MALFORMED)) {
    test(`even the camera itself cannot seal ${what}`, async () => {
        const { viewer, camera } = await acquaintance();
        await viewer.hears(await camera.sealBytes(make()));
        assert.deepEqual(viewer.reported, ['proven', 'refuted']);
    });
}

for (const [what, make] of Object.entries(MEANINGLESS)) {
    test(`what the camera has sealed and is no signal is ignored, and the session goes on: ${what}`, async () => {
        const { viewer, camera } = await acquaintance();
        await viewer.hears(await camera.sealBytes(make()), await camera.seal({ type: 'bye' }));
        assert.deepEqual(viewer.reported, ['proven', { type: 'bye' }]);
        assert.equal(viewer.channel.refuted, false);
    });
}

test('everything has one spelling', async () => {
    const { viewer, camera, access } = await meeting();
    const { noise } = await camera.answer(await viewer.first());
    // 128 bytes end in a character of which two bits count; the other four are zero.
    const stray = noise.slice(0, -1) + String.fromCharCode(noise.charCodeAt(noise.length - 1) + 1);
    const spellings = [
        `${noise}=`,
        `${noise}==`,
        ` ${noise}`,
        `${noise}\n`,
        noise.replace(/[-_]?/u, '+'),
        `${noise.slice(0, 50)}/${noise.slice(51)}`,
        `${noise.slice(0, 50)}%41${noise.slice(53)}`,
        stray,
        noise.slice(0, -1),
        `${noise}A`,
        '',
    ];
    const others = [null, undefined, 7, 'x', [], [noise], {}, noise, { noise: 7 }, { noise: null }, { noise: [noise] }];
    const extra = [{ noise, more: 1 }, { Noise: noise }, { noise: 'A'.repeat(10_000_000) }];
    for (const value of [...spellings.map((text) => ({ noise: text })), ...others, ...extra]) {
        const fresh = new Viewer(access);
        await fresh.first();
        await fresh.hears(value);
        assert.deepEqual(fresh.reported, ['refuted'], JSON.stringify(value)?.slice(0, 300));
        assert.equal(fresh.sent.length, 1);
    }
    await viewer.hears({ noise });
    assert.deepEqual(viewer.reported, ['proven']);
});

test('the prologue is made of the room and of both ids', () => {
    assert.equal(vector.camera, CAMERA);
    const prologue = prologueOf('ab'.repeat(32), '00010203-0405-0607-0809-0a0b0c0d0e0f', CAMERA);
    assert.equal(prologue.length, 73);
    assert.equal(toHex(prologue.slice(9)), `${'ab'.repeat(32)}000102030405060708090a0b0c0d0e0f${CAMERA.replaceAll('-', '')}`);
});
