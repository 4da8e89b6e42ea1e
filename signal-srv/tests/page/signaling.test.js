import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { CHANNELS, JOIN_MS, MESSAGE_BYTES, Signaling, decode, signalOf } from '../../web/signaling.js';
import { Clock } from './clock.js';
import { NoiseCamera, codeOf, randomIdentity } from './noise_camera.js';
import { until } from './sealed_session.js';

/** @import {OutgoingSignal, SignalingEvent} from '../../web/signaling.js' */
/** @import {Identity} from './noise_camera.js' */

const VIEWER = '00010203-0405-0607-0809-0a0b0c0d0e00';
const PEER = '00010203-0405-0607-0809-0a0b0c0d0e01';
const IDENTITY = await randomIdentity();
const ACCESS = await accessOf(await codeOf(IDENTITY));

/** @param {number} number */
function peer(number) {
    return `00010203-0405-0607-0809-${String(number).padStart(12, '0')}`;
}

/**
 * @param {unknown} message
 * @returns {ArrayBuffer}
 */
function bytes(message) {
    return new Uint8Array(Buffer.from(typeof message === 'string' ? message : JSON.stringify(message))).buffer;
}

/** @param {unknown} signal */
function relayed(signal) {
    return decode(bytes({ type: 'ROOM', data: { type: 'SIGNAL', data: { peer: PEER, signal } } }));
}

/** @param {Record<string, unknown>} body */
function opened(body) {
    return signalOf(PEER, body);
}

test('every message of the protocol is understood', () => {
    assert.deepEqual(decode(bytes({ type: 'HELLO', data: VIEWER })), { type: 'hello', viewer: VIEWER });
    assert.deepEqual(
        decode(
            bytes({
                type: 'JOINED',
                data: {
                    peers: [
                        { peer: PEER, role: 'camera' },
                        { peer: peer(1), role: 'viewer' },
                    ],
                    ice_servers: [
                        { urls: ['stun:stun.example.org'] },
                        { urls: ['turn:turn.example.org:3478'], username: 'name', credential: 'secret' },
                    ],
                },
            }),
        ),
        {
            type: 'joined',
            cameras: [PEER],
            iceServers: [
                { urls: ['stun:stun.example.org'] },
                { urls: ['turn:turn.example.org:3478'], username: 'name', credential: 'secret' },
            ],
        },
    );
    assert.deepEqual(decode(bytes({ type: 'ROOM', data: { type: 'JOIN', data: { peer: PEER, role: 'camera' } } })), {
        type: 'camera-joined',
        peer: PEER,
    });
    assert.deepEqual(decode(bytes({ type: 'ROOM', data: { type: 'LEAVE', data: { peer: PEER } } })), {
        type: 'camera-left',
        peer: PEER,
    });
    const sealed = { noise: 'AAAA' };
    assert.deepEqual(relayed(sealed), { type: 'signal', peer: PEER, signal: sealed });
    assert.deepEqual(opened({ type: 'offer', sdp: 'v=0\r\n' }), { type: 'offer', peer: PEER, sdp: 'v=0\r\n' });
    const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 4 typ host', sdpMLineIndex: 0, sdpMid: '0' };
    assert.deepEqual(opened(candidate), { type: 'candidate', peer: PEER, candidate });
    for (const reason of ['busy', 'stopping', 'failed', 'left']) {
        assert.deepEqual(opened({ type: 'bye', reason }), { type: 'bye', peer: PEER, reason });
    }
    for (const picture of ['live', 'paused', 'lost']) {
        assert.deepEqual(opened({ type: 'picture', state: picture }), { type: 'picture-state', peer: PEER, picture });
    }
    assert.deepEqual(decode(bytes({ type: 'ERROR', data: 'The room is full.', code: 'ROOM_FULL' })), {
        type: 'refused',
        code: 'ROOM_FULL',
    });
});

test('what a newer server or camera may say is passed over, or taken for what it surely means', () => {
    assert.equal(decode(bytes({ type: 'WEATHER', data: {} })), null);
    assert.equal(decode(bytes({ type: 'ROOM', data: { type: 'KNOCK', data: { peer: PEER } } })), null);
    assert.equal(opened({ type: 'pause' }), null);
    assert.deepEqual(opened({ type: 'bye', reason: 'tired' }), { type: 'bye', peer: PEER, reason: 'failed' });
    for (const state of ['resting', 'LIVE', '', ' live', '__proto__', 'x'.repeat(60_000), undefined, null]) {
        assert.deepEqual(opened({ type: 'picture', state }), { type: 'picture-state', peer: PEER, picture: 'lost' });
    }
    assert.deepEqual(opened({ type: 'offer', sdp: 'v=0', more: 1 }), { type: 'offer', peer: PEER, sdp: 'v=0' });
    assert.deepEqual(decode(bytes({ type: 'JOINED' })), { type: 'joined', cameras: [], iceServers: [] });
});

/** What is not the UUID form of 128 bits. */
const NO_IDS = [
    '',
    'a',
    'x'.repeat(36),
    'x'.repeat(65),
    PEER.slice(1),
    `${PEER}0`,
    ` ${PEER}`,
    `${PEER}\n`,
    PEER.replaceAll('-', ''),
    PEER.replace('0', 'g'),
    `{${PEER}}`,
    null,
    [PEER],
];

test('an id is the same in either case', () => {
    const upper = PEER.toUpperCase();
    assert.deepEqual(decode(bytes({ type: 'HELLO', data: upper })), { type: 'hello', viewer: PEER });
    const joined = decode(bytes({ type: 'JOINED', data: { peers: [upper, ...NO_IDS].map((id) => ({ peer: id, role: 'camera' })) } }));
    assert.deepEqual(joined, { type: 'joined', cameras: [PEER], iceServers: [] });
});

test('what is not a message of the protocol is dropped', () => {
    const wrong = [
        'nonsense',
        '',
        'null',
        '[]',
        '7',
        '{"type":"ROOM"}',
        '{"type":"ROOM","data":{"type":"SIGNAL","data":{"signal":{"type":"offer","sdp":"x"}}}}',
        '{"type":"ROOM","data":{"type":"SIGNAL","data":{"peer":7,"signal":{"type":"offer","sdp":"x"}}}}',
        '{"type":"HELLO"}',
        '{"type":"HELLO","data":"somebody"}',
        ...NO_IDS.map((id) => JSON.stringify({ type: 'ROOM', data: { type: 'JOIN', data: { peer: id, role: 'camera' } } })),
        `{"type":"ROOM","data":{"type":"JOIN","data":{"peer":"${PEER}","role":"viewer"}}}`,
    ];
    for (const text of wrong) {
        assert.equal(decode(bytes(text)), null, text);
    }
    assert.equal(decode('{"type":"HELLO"}'), null, 'a text message');
    assert.equal(decode(undefined), null);
    assert.equal(decode(new Uint8Array([0x22, 0xff, 0x22]).buffer), null, 'not UTF-8');
    const states = [7, true, {}, ['paused'], { state: 'paused' }].map((state) => ({ type: 'picture', state }));
    for (const signal of [{}, { type: 'offer' }, { type: 'offer', sdp: 7 }, { candidate: 7 }, { type: 'start' }, ...states]) {
        assert.equal(opened(signal), null, JSON.stringify(signal));
    }
});

test('what is too large is dropped', () => {
    assert.equal(decode(bytes(`{"type":"HELLO","data":"${'x'.repeat(MESSAGE_BYTES)}"}`)), null);
    assert.equal(opened({ type: 'offer', sdp: 'x'.repeat(32 * 1024 + 1) }), null);
    assert.equal(opened({ candidate: 'x'.repeat(1025), sdpMid: '0', sdpMLineIndex: 0 }), null);
    const many = Array.from({ length: 300 }, (_, i) => ({ peer: peer(i), role: 'camera' }));
    const joined = decode(bytes({ type: 'JOINED', data: { peers: many, ice_servers: many } }));
    assert.ok(joined?.type === 'joined' && joined.cameras.length === 32 && joined.iceServers.length === 0);
});

test('odd parts of a message are left out', () => {
    assert.deepEqual(opened({ candidate: 'c', sdpMLineIndex: -1, sdpMid: 5 }), {
        type: 'candidate',
        peer: PEER,
        candidate: { candidate: 'c', sdpMLineIndex: null, sdpMid: null },
    });
    const servers = [{ urls: 'stun:a.example' }, { urls: ['https://evil.example'] }, { urls: [] }, 'x', { urls: [7] }];
    const joined = decode(bytes({ type: 'JOINED', data: { peers: 'x', ice_servers: servers } }));
    assert.deepEqual(joined, { type: 'joined', cameras: [], iceServers: [{ urls: ['stun:a.example'] }] });
});

test('no bytes at all make it throw', () => {
    for (let round = 0; round < 2000; round += 1) {
        decode(new Uint8Array(randomBytes(round % 300)).buffer);
    }
});

class FakeWebSocket {
    static OPEN = 1;
    readyState = 0;
    binaryType = 'blob';
    closed = false;
    /** @type {any[]} */
    sent = [];
    /** @type {((event: {data: unknown}) => void) | null} */
    onmessage = null;
    /** @type {(() => void) | null} */
    onclose = null;

    /** @param {string} url */
    constructor(url) {
        this.url = url;
        sockets.push(this);
    }

    /** @param {Uint8Array} data */
    send(data) {
        this.sent.push(JSON.parse(new TextDecoder().decode(data)));
    }

    close() {
        this.closed = true;
        this.readyState = 3;
    }

    /** @param {unknown} message */
    receive(message) {
        this.readyState = 1;
        this.onmessage?.({ data: bytes(message) });
    }
}

/** @type {FakeWebSocket[]} */
let sockets = [];
/** @type {SignalingEvent[]} */
let events = [];
let clock = new Clock();

function open() {
    const signaling = new Signaling('ws://host/ws', ACCESS, (event) => events.push(event));
    return { signaling, socket: /** @type {FakeWebSocket} */ (sockets.at(-1)) };
}

const JOINED = { type: 'JOINED', data: { peers: [], ice_servers: [] } };

beforeEach(() => {
    sockets = [];
    events = [];
    clock = new Clock();
    clock.install();
    /** @type {any} */ (globalThis).WebSocket = FakeWebSocket;
});

afterEach(() => {
    clock.remove();
});

test('it joins as a viewer once it has been greeted', () => {
    const { socket } = open();
    assert.equal(socket.binaryType, 'arraybuffer');
    assert.deepEqual(socket.sent, []);
    socket.receive({ type: 'HELLO', data: VIEWER });
    socket.receive({ type: 'HELLO', data: VIEWER });
    assert.deepEqual(socket.sent, [{ type: 'JOIN_OR_CREATE', data: { room: ACCESS.room, role: 'viewer' } }]);
    socket.receive(JOINED);
    assert.deepEqual(events, [{ type: 'joined', cameras: [], iceServers: [] }]);
});

test('room events before JOINED are none', () => {
    const { socket } = open();
    socket.receive({ type: 'ROOM', data: { type: 'JOIN', data: { peer: PEER, role: 'camera' } } });
    assert.deepEqual(events, []);
});

test('a refusal is reported, then the end', () => {
    const { socket } = open();
    socket.receive({ type: 'HELLO', data: VIEWER });
    socket.receive({ type: 'ERROR', data: '', code: 'ROOM_FULL' });
    socket.onclose?.();
    assert.deepEqual(events, [
        { type: 'refused', code: 'ROOM_FULL' },
        { type: 'socket-closed', timedOut: false },
    ]);
});

test('a server that never lets in counts as silent', () => {
    const { socket } = open();
    clock.tick(JOIN_MS - 1);
    assert.deepEqual(events, []);
    clock.tick(1);
    assert.deepEqual(events, [{ type: 'socket-closed', timedOut: true }]);
    assert.ok(socket.closed);
    socket.onclose?.();
    assert.equal(events.length, 1, 'the end is reported once');
});

test('in a room there is no deadline any more', () => {
    const { socket } = open();
    socket.receive({ type: 'HELLO', data: VIEWER });
    socket.receive(JOINED);
    clock.tick(10 * JOIN_MS);
    assert.equal(events.length, 1);
});

test('after close nothing is reported', () => {
    const { signaling, socket } = open();
    signaling.close();
    socket.receive(JOINED);
    socket.onclose?.();
    clock.tick(JOIN_MS);
    assert.deepEqual(events, []);
});

test('JOINED before HELLO is none, and a second one neither', () => {
    const { socket } = open();
    socket.receive(JOINED);
    assert.deepEqual(events, []);
    socket.receive({ type: 'HELLO', data: VIEWER });
    socket.receive(JOINED);
    socket.receive(JOINED);
    assert.equal(events.length, 1);
});

/**
 * A viewer in a room with cameras.
 * @param {...string} cameras
 */
function enter(...cameras) {
    const { signaling, socket } = open();
    socket.receive({ type: 'HELLO', data: VIEWER });
    socket.receive({ type: 'JOINED', data: { peers: cameras.map((id) => ({ peer: id, role: 'camera' })), ice_servers: [] } });
    const room = (/** @type {string} */ type, /** @type {object} */ data) => socket.receive({ type: 'ROOM', data: { type, data } });
    return {
        signaling,
        socket,
        joins: (/** @type {string} */ id) => room('JOIN', { peer: id, role: 'camera' }),
        leaves: (/** @type {string} */ id) => room('LEAVE', { peer: id }),
        says: (/** @type {string} */ id, /** @type {unknown} */ signal) => room('SIGNAL', { peer: id, signal }),
        /** What was sent to a peer. */
        to: (/** @type {string} */ id) => socket.sent.filter((message) => message.to === id).map((message) => message.data),
    };
}

/**
 * A camera that answers the greeting.
 * @param {ReturnType<typeof enter>} room
 * @param {string} id
 * @param {Identity} [identity]
 */
async function answered(room, id, identity = IDENTITY) {
    const camera = new NoiseCamera(identity, ACCESS, VIEWER, id);
    await until(() => room.to(id).length > 0);
    room.says(id, await camera.answer(room.to(id)[0]));
    return camera;
}

/** @param {SignalingEvent['type']} type */
function reported(type) {
    return events.filter((event) => event.type === type);
}

test('a camera is greeted, proves itself, and then signals go both ways', async () => {
    const room = enter(PEER);
    /** @type {OutgoingSignal} */
    const bye = { type: 'bye', reason: 'left' };
    room.signaling.send(PEER, bye);
    const camera = await answered(room, PEER);
    await until(() => reported('camera-proven').length === 1);
    room.signaling.send(PEER, bye);
    room.signaling.send(PEER, { type: 'start' });
    room.signaling.send(PEER, bye);
    await until(() => room.to(PEER).length === 3);
    assert.deepEqual(await camera.open(room.to(PEER)[1]), { type: 'start' });
    assert.deepEqual(await camera.open(room.to(PEER)[2]), bye);
    const candidate = { candidate: 'candidate:1', sdpMLineIndex: 0, sdpMid: '0' };
    for (const signal of [{ type: 'offer', sdp: 'v=0' }, candidate, { type: 'weather' }]) {
        room.says(PEER, await camera.seal(signal));
    }
    room.says(PEER, await camera.picture('paused'));
    room.says(PEER, await camera.seal({ type: 'bye', reason: 'busy' }));
    room.leaves(PEER);
    await until(() => reported('camera-left').length === 1);
    assert.deepEqual(events, [
        { type: 'joined', cameras: [PEER], iceServers: [] },
        { type: 'camera-proven', peer: PEER },
        { type: 'offer', peer: PEER, sdp: 'v=0' },
        { type: 'candidate', peer: PEER, candidate },
        { type: 'picture-state', peer: PEER, picture: 'paused' },
        { type: 'bye', peer: PEER, reason: 'busy' },
        { type: 'camera-left', peer: PEER },
    ]);
    assert.deepEqual(Object.keys(room.to(PEER)[0]), ['noise']);
});

test('what a handshake took is measured', async () => {
    performance.clearMeasures();
    const room = enter(PEER);
    await answered(room, PEER);
    await until(() => reported('camera-proven').length === 1);
    const [measure, ...more] = performance.getEntriesByName('roomcam:handshake', 'measure');
    assert.ok(measure && measure.duration > 0 && measure.duration < 10_000);
    assert.equal(more.length, 0);
    assert.ok(!JSON.stringify(measure).includes(PEER));
});

test('whoever is not the camera is refuted, the others are tried, and nobody is told more', async () => {
    const fake = await randomIdentity();
    const room = enter(peer(1), peer(2), peer(3));
    await answered(room, peer(1), fake);
    room.says(peer(2), { type: 'offer', sdp: 'v=0' });
    await answered(room, peer(3));
    await until(() => reported('camera-proven').length + reported('camera-refuted').length === 3);
    assert.deepEqual(reported('camera-proven'), [{ type: 'camera-proven', peer: peer(3) }]);
    room.signaling.send(peer(1), { type: 'start' });
    room.signaling.send(peer(3), { type: 'start' });
    await until(() => room.to(peer(3)).length === 2);
    assert.equal(room.to(peer(1)).length, 1);
    for (const id of [peer(1), peer(2)]) {
        room.says(id, { type: 'bye', reason: 'busy' });
        room.leaves(id);
    }
    await until(() => reported('camera-left').length === 2);
    assert.equal(reported('bye').length + reported('offer').length, 0);
});

test('a refuted camera is not tried again under the same id', async () => {
    const room = enter(PEER);
    await answered(room, PEER, await randomIdentity());
    await until(() => reported('camera-refuted').length === 1);
    room.leaves(PEER);
    await until(() => reported('camera-left').length === 1);
    room.joins(PEER);
    room.joins(peer(2));
    await until(() => room.to(peer(2)).length === 1);
    assert.equal(room.to(PEER).length, 1);
    assert.deepEqual(events.slice(-2), [
        { type: 'camera-left', peer: PEER },
        { type: 'camera-joined', peer: peer(2) },
    ]);
});

test('a message that was meddled with ends the channel of a proven camera', async () => {
    const room = enter(PEER);
    const camera = await answered(room, PEER);
    const [first, second] = [await camera.seal({ type: 'offer', sdp: 'v=0' }), await camera.seal({ type: 'bye', reason: 'left' })];
    room.says(PEER, second);
    room.says(PEER, first);
    await until(() => reported('camera-refuted').length === 1);
    room.leaves(PEER);
    await until(() => reported('camera-left').length === 1);
    assert.deepEqual(events.map((event) => event.type), ['joined', 'camera-proven', 'camera-refuted', 'camera-left']);
});

test('so many cameras are greeted at once, each once, and the next when one is out of the way', async () => {
    const ids = Array.from({ length: CHANNELS + 3 }, (_, i) => peer(i));
    const room = enter(...ids, ...ids);
    const greeted = () => ids.filter((id) => room.to(id).length > 0);
    await until(() => greeted().length === CHANNELS);
    room.joins(peer(0));
    room.leaves(peer(0));
    await until(() => greeted().length === CHANNELS + 1);
    room.says(peer(1), 'nonsense');
    await until(() => greeted().length === CHANNELS + 2);
    await answered(room, peer(2));
    await until(() => reported('camera-proven').length === 1);
    room.joins(peer(99));
    room.leaves(peer(3));
    await until(() => greeted().length === CHANNELS + 3);
    assert.equal(room.to(peer(99)).length, 0);
    assert.ok(ids.every((id) => room.to(id).length === 1));
    assert.equal(reported('camera-joined').length, 1);
});

test('a flood of cameras is not remembered', () => {
    const room = enter();
    for (let i = 0; i < 1000; i += 1) {
        room.joins(peer(i));
    }
    assert.equal(reported('camera-joined').length, 32);
    room.leaves(peer(999));
    assert.equal(reported('camera-left').length, 0);
});

test('a camera that was greeted long ago and is still there is not greeted again', async () => {
    const room = enter(PEER);
    await answered(room, PEER);
    await until(() => reported('camera-proven').length === 1);
    for (let i = 1000; i < 1300; i += 1) {
        room.joins(peer(i));
        await until(() => room.to(peer(i)).length === 1);
        room.leaves(peer(i));
        await until(() => reported('camera-left').length === i - 999);
    }
    assert.equal(room.to(PEER).length, 1);
});

test('signals of peers that were never announced are none', async () => {
    const room = enter(PEER);
    room.says(peer(7), { type: 'offer', sdp: 'v=0' });
    room.says(VIEWER, { noise: 'AAAA' });
    await answered(room, PEER);
    await until(() => events.length === 2);
    assert.deepEqual(events.map((event) => event.type), ['joined', 'camera-proven']);
});

test('what was said before close is still sent, and then the socket is closed', async () => {
    const room = enter(PEER);
    const camera = await answered(room, PEER);
    await until(() => reported('camera-proven').length === 1);
    room.signaling.send(PEER, { type: 'start' });
    room.signaling.send(PEER, { type: 'bye', reason: 'left' });
    room.says(PEER, await camera.seal({ type: 'bye', reason: 'busy' }));
    room.signaling.close();
    room.signaling.close();
    assert.equal(room.socket.closed, false);
    room.signaling.send(PEER, { type: 'bye', reason: 'failed' });
    await until(() => room.socket.closed);
    assert.deepEqual(await camera.open(room.to(PEER)[1]), { type: 'start' });
    assert.deepEqual(await camera.open(room.to(PEER)[2]), { type: 'bye', reason: 'left' });
    assert.equal(room.to(PEER).length, 3);
    assert.deepEqual(events.map((event) => event.type), ['joined', 'camera-proven']);
});

test('a socket that closes while something is opened reports its end and nothing after', async () => {
    const room = enter(PEER);
    const camera = await answered(room, PEER);
    await until(() => reported('camera-proven').length === 1);
    room.says(PEER, await camera.seal({ type: 'offer', sdp: 'v=0' }));
    room.leaves(PEER);
    room.socket.onclose?.();
    const other = enter(PEER);
    await answered(other, PEER);
    await until(() => reported('camera-proven').length === 2);
    assert.deepEqual(events.map((event) => event.type), ['joined', 'camera-proven', 'socket-closed', 'joined', 'camera-proven']);
});
