import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';

import { Session, WAITING_CANDIDATES } from '../../web/session.js';
import { Clock } from './clock.js';

/** @import {SessionEvent} from '../../web/session.js' */

/** @param {number} i */
function candidate(i) {
    return { candidate: `candidate:${i}`, sdpMLineIndex: 0, sdpMid: '0' };
}

/** What the code under test needs of a peer connection; `gate` holds setRemoteDescription back. */
class FakeConnection {
    /** @type {unknown[]} */
    calls = [];
    /** @type {any} */
    localDescription = null;
    connectionState = 'new';
    /** @type {any} */
    onicecandidate;
    /** @type {any} */
    ontrack;
    /** @type {any} */
    onconnectionstatechange;
    /** @type {Promise<void>} */
    gate = Promise.resolve();
    frames = 0;

    /** @param {unknown} configuration */
    constructor(configuration) {
        if (/bad/u.test(JSON.stringify(configuration ?? ''))) {
            throw new SyntaxError('bad ICE server');
        }
        connection = this;
    }

    /** @param {any} description */
    async setRemoteDescription(description) {
        await this.gate;
        if (description.sdp === 'broken') {
            throw new Error('broken SDP');
        }
        this.calls.push(description.sdp);
    }

    async setLocalDescription() {
        this.onicecandidate?.({ candidate: candidate(1) });
        this.localDescription = { sdp: 'answer' };
    }

    /** @param {unknown} value */
    async addIceCandidate(value) {
        this.calls.push(value);
        throw new Error('no use for it');
    }

    async getStats() {
        return new Map([['v', { id: 'v', type: 'inbound-rtp', kind: 'video', framesDecoded: this.frames }]]);
    }

    close() {
        this.calls.push('close');
    }
}

class FakeStream {
    /** @type {any[]} */
    tracks = [];

    /** @param {any} track */
    addTrack(track) {
        this.tracks.push(track);
    }

    getAudioTracks() {
        return this.tracks.filter((track) => track.kind === 'audio');
    }
}

/** @type {FakeConnection} */
let connection;
/** @type {unknown[]} */
let sent = [];
/** @type {SessionEvent[]} */
let events = [];
let streams = 0;
let clock = new Clock();
let now = 0;

/** @param {RTCIceServer[]} [iceServers] */
function open(iceServers = []) {
    return new Session(7, iceServers, {
        send: (signal) => sent.push(signal),
        report: (event) => events.push(event),
        onStream: () => (streams += 1),
        onSample: () => {},
    });
}

/** Lets every promise that is ready go on. */
async function settle() {
    for (let i = 0; i < 20; i += 1) {
        await Promise.resolve();
    }
}

/** @param {number} seconds */
async function pass(seconds) {
    for (let i = 0; i < seconds; i += 1) {
        now += 1000;
        clock.tick(1000);
        await settle();
    }
}

beforeEach(() => {
    sent = [];
    events = [];
    streams = 0;
    now = 0;
    const world = /** @type {any} */ (globalThis);
    world.RTCPeerConnection = FakeConnection;
    world.MediaStream = FakeStream;
    world.document = { hidden: false };
    mock.method(performance, 'now', () => now);
    mock.method(console, 'warn', () => {});
    clock = new Clock();
    clock.install();
});

afterEach(() => {
    clock.remove();
    mock.restoreAll();
});

test('the answer goes first, the candidates found meanwhile and later follow', async () => {
    open().answer('offer');
    await settle();
    connection.onicecandidate({ candidate: candidate(2) });
    connection.onicecandidate({ candidate: null });
    connection.onicecandidate({ candidate: { ...candidate(3), candidate: '' } });
    assert.deepEqual(sent, [{ type: 'answer', sdp: 'answer' }, candidate(1), candidate(2)]);
});

test('candidates that come before the offer is applied wait for it, so many and no more', async () => {
    const session = open();
    const gate = /** @type {{open: () => void}} */ ({});
    connection.gate = new Promise((resolve) => (gate.open = resolve));
    session.answer('offer');
    for (let i = 0; i < WAITING_CANDIDATES + 50; i += 1) {
        session.candidate(candidate(i));
    }
    await settle();
    assert.deepEqual(connection.calls, []);
    gate.open();
    await settle();
    assert.equal(connection.calls[0], 'offer');
    assert.equal(connection.calls.length, 1 + WAITING_CANDIDATES);
    session.candidate(candidate(999));
    assert.deepEqual(connection.calls.at(-1), candidate(999));
    assert.deepEqual(events, [], 'a useless candidate is no failure');
});

test('offers are applied one after the other', async () => {
    const session = open();
    session.answer('first');
    session.answer('second');
    await settle();
    assert.deepEqual(connection.calls, ['first', 'second']);
    assert.equal(sent.filter((signal) => /** @type {any} */ (signal).type === 'answer').length, 2);
});

test('an offer that cannot be applied is a failed session, unless it is closed', async () => {
    open().answer('broken');
    await settle();
    assert.deepEqual(events, [{ type: 'failed', session: 7 }]);
    const session = open();
    session.answer('broken');
    session.close();
    await settle();
    assert.equal(events.length, 1);
});

test('a session that was closed while it answered sends nothing', async () => {
    const session = open();
    session.answer('offer');
    session.close();
    await settle();
    assert.deepEqual(sent, []);
});

test('ICE servers that the browser refuses do not cost the picture', async () => {
    open([{ urls: 'bad' }]).answer('offer');
    await settle();
    assert.equal(sent.length, 2);
});

test('the states that matter are reported', () => {
    open();
    for (const state of ['connecting', 'connected', 'disconnected', 'failed', 'closed']) {
        connection.connectionState = state;
        connection.onconnectionstatechange();
    }
    assert.deepEqual(
        events.map((event) => event.type),
        ['connected', 'disconnected', 'failed'],
    );
});

test('tracks make one stream, without a jitter buffer where it can be had', () => {
    const session = open();
    const receiver = { jitterBufferTarget: null };
    connection.ontrack({ track: { kind: 'video' }, receiver });
    assert.equal(receiver.jitterBufferTarget, 0);
    assert.equal(session.audible, false);
    connection.ontrack({ track: { kind: 'audio' }, receiver: {} });
    assert.equal(session.audible, true);
    assert.equal(streams, 1);
});

test('frames are counted once a second: flowing, stalled, flowing', async () => {
    open();
    connection.ontrack({ track: { kind: 'video' }, receiver: {} });
    connection.frames = 30;
    await pass(1);
    assert.deepEqual(events.splice(0), [{ type: 'flowing', session: 7 }]);
    await pass(2);
    assert.deepEqual(events.splice(0), [
        { type: 'stalled', session: 7, seconds: 1 },
        { type: 'stalled', session: 7, seconds: 2 },
    ]);
    connection.frames = 31;
    await pass(1);
    assert.deepEqual(events.splice(0), [{ type: 'flowing', session: 7 }]);
});

test('a picture that comes back is noticed at once, and by a frame that is new', async () => {
    const session = open();
    session.watch();
    connection.ontrack({ track: { kind: 'video' }, receiver: {} });
    await pass(1);
    connection.frames = 30;
    session.watch();
    await settle();
    assert.deepEqual(events.splice(0).map(({ type }) => type), ['stalled', 'stalled'], 'old ones, though not counted yet');
    const soon = async () => {
        now += 100;
        clock.tick(100);
        await settle();
        return events.splice(0).map(({ type }) => type);
    };
    assert.deepEqual(await soon(), ['stalled']);
    connection.frames = 31;
    assert.deepEqual(await soon(), ['flowing']);
    assert.deepEqual(await soon(), [], 'and counted as ever then');
});

test('the last frames of a picture that goes away do not say that it is there', async () => {
    const session = open();
    connection.ontrack({ track: { kind: 'video' }, receiver: {} });
    connection.frames = 30;
    await pass(1);
    session.rest();
    connection.frames = 33;
    await pass(1);
    connection.frames = 34;
    await pass(1);
    assert.deepEqual(events.splice(0).map(({ type }) => type), ['flowing', 'flowing'], 'the one before and the one long after');
    session.watch();
    session.rest();
    await settle();
    assert.deepEqual(events.splice(0).map(({ type }) => type), ['stalled']);
    now += 100;
    clock.tick(100);
    await settle();
    assert.deepEqual(events, [], 'nothing is watched for any more');
});

test('a page that nobody sees does not stall', async () => {
    open();
    connection.ontrack({ track: { kind: 'video' }, receiver: {} });
    /** @type {any} */ (globalThis).document.hidden = true;
    await pass(60);
    /** @type {any} */ (globalThis).document.hidden = false;
    await pass(1);
    assert.deepEqual(events.splice(0), [{ type: 'stalled', session: 7, seconds: 1 }]);
    /** @type {any} */ (globalThis).document.hidden = true;
    connection.frames = 1;
    await pass(2);
    assert.deepEqual(events, [{ type: 'flowing', session: 7 }], 'what it does decode, it has');
});

test('after close nothing is counted or reported', async () => {
    const session = open();
    connection.ontrack({ track: { kind: 'video' }, receiver: {} });
    session.close();
    await pass(10);
    assert.deepEqual(events, []);
    assert.equal(connection.onconnectionstatechange, null);
});
