import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';

import { JOIN_MS, MESSAGE_BYTES, Signaling, decode, webSocketUrl } from '../../web/signaling.js';
import { Clock } from './clock.js';

/** @import {SignalingEvent} from '../../web/signaling.js' */

const ROOM = 'ab'.repeat(32);
const PEER = '00010203-0405-0607-0809-0a0b0c0d0e01';

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

test('every message of the protocol is understood', () => {
    assert.deepEqual(decode(bytes({ type: 'HELLO', data: PEER })), { type: 'hello' });
    assert.deepEqual(
        decode(
            bytes({
                type: 'JOINED',
                data: {
                    peers: [
                        { peer: PEER, role: 'camera' },
                        { peer: 'v', role: 'viewer' },
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
    assert.deepEqual(relayed({ type: 'offer', sdp: 'v=0\r\n' }), { type: 'offer', peer: PEER, sdp: 'v=0\r\n' });
    const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 4 typ host', sdpMLineIndex: 0, sdpMid: '0' };
    assert.deepEqual(relayed(candidate), { type: 'candidate', peer: PEER, candidate });
    for (const reason of ['busy', 'stopping', 'failed', 'left']) {
        assert.deepEqual(relayed({ type: 'bye', reason }), { type: 'bye', peer: PEER, reason });
    }
    assert.deepEqual(decode(bytes({ type: 'ERROR', data: 'The room is full.', code: 'ROOM_FULL' })), {
        type: 'refused',
        code: 'ROOM_FULL',
    });
});

test('what a newer server or camera may say is passed over, or taken for what it surely means', () => {
    assert.equal(decode(bytes({ type: 'WEATHER', data: {} })), null);
    assert.equal(decode(bytes({ type: 'ROOM', data: { type: 'KNOCK', data: { peer: PEER } } })), null);
    assert.equal(relayed({ type: 'pause' }), null);
    assert.deepEqual(relayed({ type: 'bye', reason: 'tired' }), { type: 'bye', peer: PEER, reason: 'failed' });
    assert.deepEqual(relayed({ type: 'offer', sdp: 'v=0', more: 1 }), { type: 'offer', peer: PEER, sdp: 'v=0' });
    assert.deepEqual(decode(bytes({ type: 'JOINED' })), { type: 'joined', cameras: [], iceServers: [] });
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
        `{"type":"ROOM","data":{"type":"JOIN","data":{"peer":"${'x'.repeat(65)}","role":"camera"}}}`,
        `{"type":"ROOM","data":{"type":"JOIN","data":{"peer":"${PEER}","role":"viewer"}}}`,
    ];
    for (const text of wrong) {
        assert.equal(decode(bytes(text)), null, text);
    }
    assert.equal(decode('{"type":"HELLO"}'), null, 'a text message');
    assert.equal(decode(undefined), null);
    assert.equal(decode(new Uint8Array([0x22, 0xff, 0x22]).buffer), null, 'not UTF-8');
    for (const signal of [null, 7, 'x', [], {}, { type: 'offer' }, { type: 'offer', sdp: 7 }, { candidate: 7 }]) {
        assert.equal(relayed(signal), null, JSON.stringify(signal));
    }
});

test('what is too large is dropped', () => {
    assert.equal(decode(bytes(`{"type":"HELLO","data":"${'x'.repeat(MESSAGE_BYTES)}"}`)), null);
    assert.equal(relayed({ type: 'offer', sdp: 'x'.repeat(32 * 1024 + 1) }), null);
    assert.equal(relayed({ candidate: 'x'.repeat(1025), sdpMid: '0', sdpMLineIndex: 0 }), null);
    const many = Array.from({ length: 1000 }, (_, i) => ({ peer: String(i), role: 'camera' }));
    const joined = decode(bytes({ type: 'JOINED', data: { peers: many, ice_servers: many } }));
    assert.ok(joined?.type === 'joined' && joined.cameras.length <= 32 && joined.iceServers.length === 0);
});

test('odd parts of a message are left out', () => {
    assert.deepEqual(relayed({ candidate: 'c', sdpMLineIndex: -1, sdpMid: 5 }), {
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

test('the WebSocket is beside the page', () => {
    assert.equal(webSocketUrl({ protocol: 'https:', host: 'cam.example' }), 'wss://cam.example/ws');
    assert.equal(webSocketUrl({ protocol: 'http:', host: 'localhost:8192' }), 'ws://localhost:8192/ws');
});

class FakeWebSocket {
    static OPEN = 1;
    readyState = 0;
    binaryType = 'blob';
    closed = false;
    /** @type {unknown[]} */
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
    const signaling = new Signaling('ws://host/ws', ROOM, (event) => events.push(event));
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
    socket.receive({ type: 'HELLO', data: PEER });
    socket.receive({ type: 'HELLO', data: PEER });
    assert.deepEqual(socket.sent, [{ type: 'JOIN_OR_CREATE', data: { room: ROOM, role: 'viewer' } }]);
    socket.receive(JOINED);
    assert.deepEqual(events, [{ type: 'joined', cameras: [], iceServers: [] }]);
});

test('signals are addressed, and sent in a room only', () => {
    const { signaling, socket } = open();
    signaling.send(PEER, { type: 'bye', reason: 'left' });
    socket.receive({ type: 'HELLO', data: PEER });
    signaling.send(PEER, { type: 'bye', reason: 'left' });
    socket.receive(JOINED);
    signaling.send(PEER, { type: 'answer', sdp: 'v=0' });
    assert.deepEqual(socket.sent.slice(1), [{ type: 'SIGNAL', to: PEER, data: { type: 'answer', sdp: 'v=0' } }]);
    signaling.close();
    signaling.send(PEER, { type: 'answer', sdp: 'v=0' });
    assert.equal(socket.sent.length, 2);
});

test('room events before JOINED are none', () => {
    const { socket } = open();
    socket.receive({ type: 'ROOM', data: { type: 'JOIN', data: { peer: PEER, role: 'camera' } } });
    assert.deepEqual(events, []);
});

test('a refusal is reported, then the end', () => {
    const { socket } = open();
    socket.receive({ type: 'HELLO', data: PEER });
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
    socket.receive({ type: 'HELLO', data: PEER });
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
