import assert from 'node:assert/strict';
import { test } from 'node:test';

import { INTERRUPTED_MS, PATIENCE_MS, originOf } from '../../web/picture.js';
import { PICTURE_MS, PROOF_MS, REFUSED_MS, STOPPED_MS } from '../../web/room.js';
import { initialState } from '../../web/state.js';
import { ACCESS, OTHER_ACCESS, Page, closed, inRoom, live, offered, opening, proves, sdp } from './scripted.js';

/** @import {Event} from '../../web/state.js' */

test('where something is in the way of every camera, nothing happens', () => {
    for (const obstacle of /** @type {const} */ (['unsupported', 'insecure', 'misconfigured'])) {
        const page = new Page(initialState(obstacle));
        assert.equal(page.screen, obstacle);
        assert.equal(page.on(opening()).screen, obstacle);
        assert.deepEqual(page.effects, []);
    }
    const late = live().on({ type: 'obstacle', obstacle: 'unsupported' });
    assert.equal(late.screen, 'unsupported');
    assert.equal(late.does('disconnect').length, 1);
});

test('without a code the page asks for one, and nothing else happens', () => {
    const page = new Page();
    assert.equal(page.screen, 'enter-code');
    for (const event of /** @type {Event[]} */ ([
        { type: 'online' },
        { type: 'visible' },
        { type: 'retry' },
        { type: 'resume' },
        { type: 'timer', timer: 'retry' },
    ])) {
        assert.deepEqual(page.on(event).effects, [], event.type);
        assert.equal(page.screen, 'enter-code');
    }
});

test('a wrong code is said to be wrong, a right one is used', () => {
    const page = new Page().on({ type: 'wrong-code', problem: { kind: 'empty' } });
    assert.equal(page.screen, 'wrong-code');
    assert.equal(page.does('connect').length, 0);
    page.on(opening());
    assert.equal(page.screen, 'connecting');
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('the straight way: connect, join, proof, offer, picture', () => {
    const page = new Page().on(opening());
    assert.equal(page.screen, 'connecting');
    const iceServers = [{ urls: ['stun:stun.example.org'] }];
    page.on({ type: 'joined', cameras: ['a'], iceServers });
    assert.equal(page.screen, 'connecting');
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'picture', after: PROOF_MS }]);
    proves(page, 'a');
    assert.equal(page.screen, 'connecting');
    assert.deepEqual(page.effects, [
        { do: 'ask', peer: 'a' },
        { do: 'start', timer: 'picture', after: PICTURE_MS },
    ]);
    page.on({ type: 'offer', peer: 'a', sdp: sdp('7') });
    assert.deepEqual(page.does('answer'), [{ do: 'answer', session: 1, peer: 'a', sdp: sdp('7'), iceServers }]);
    assert.equal(page.screen, 'connecting');
    page.on({ type: 'picture', session: 1 });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('show'), [{ do: 'show', session: 1 }]);
    assert.deepEqual(page.does('close'), []);
    assert.ok(page.effects.some((effect) => effect.do === 'stop' && effect.timer === 'picture'));
});

test('an empty room is waited in, until the camera joins and offers', () => {
    const page = inRoom();
    assert.equal(page.screen, 'waiting');
    page.on({ type: 'camera-joined', peer: 'a' });
    assert.equal(page.screen, 'connecting');
    assert.equal(offered(page, 'a').on({ type: 'picture', session: 1 }).screen, 'live');
});

test('candidates go to the session of their camera, others nowhere', () => {
    const candidate = { candidate: 'c', sdpMLineIndex: 0, sdpMid: '0' };
    const page = inRoom('a', 'b');
    assert.deepEqual(page.on({ type: 'candidate', peer: 'a', candidate }).effects, []);
    offered(page, 'a');
    assert.deepEqual(page.on({ type: 'candidate', peer: 'a', candidate }).effects, [{ do: 'candidate', session: 1, candidate }]);
    assert.deepEqual(page.on({ type: 'candidate', peer: 'b', candidate }).effects, []);
    page.on({ type: 'picture', session: 1 });
    assert.deepEqual(page.on({ type: 'candidate', peer: 'a', candidate }).effects, [{ do: 'candidate', session: 1, candidate }]);
});

test('a later offer of the same connection is negotiated in it, one of another connection beside it', () => {
    const page = offered(inRoom('a'), 'a', '7');
    page.on({ type: 'offer', peer: 'a', sdp: sdp('7') });
    assert.deepEqual(page.effects, [{ do: 'renegotiate', session: 1, sdp: sdp('7') }]);
    page.on({ type: 'picture', session: 1 }).on({ type: 'offer', peer: 'a', sdp: sdp('7') });
    assert.deepEqual(page.effects, [{ do: 'renegotiate', session: 1, sdp: sdp('7') }]);
    page.on({ type: 'offer', peer: 'a', sdp: sdp('8') });
    assert.deepEqual(page.does('answer').length, 1);
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.on({ type: 'picture', session: 2 }).effects.slice(-2), [
        { do: 'show', session: 2 },
        { do: 'close', session: 1 },
    ]);
});

test('an offer without an origin is always a new connection', () => {
    const page = proves(inRoom('a'), 'a').on({ type: 'offer', peer: 'a', sdp: 'v=0' }).on({ type: 'offer', peer: 'a', sdp: 'v=0' });
    assert.equal(page.state.coming?.session, 2);
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
});

test('the origin is the session id of the o= line', () => {
    assert.equal(originOf(sdp('4611731400430051336')), '4611731400430051336');
    assert.equal(originOf('v=0'), '');
    assert.equal(originOf('v=0\r\na=x o=- 5'), '');
});

test('server restart: the picture runs on, and the new session takes its place with its first frame', () => {
    const page = closed(live());
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects, [{ do: 'plan-retry', attempt: 1, shortest: 0 }]);
    page.on({ type: 'retry-planned', at: 500 }).on({ type: 'timer', timer: 'retry' });
    assert.deepEqual(page.effects, [{ do: 'connect', access: ACCESS }]);
    page.on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'live');
    page.on({ type: 'camera-joined', peer: 'a2' });
    offered(page, 'a2');
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('close'), [], 'make before break');
    page.on({ type: 'picture', session: 2 });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects.slice(-2), [
        { do: 'show', session: 2 },
        { do: 'close', session: 1 },
    ]);
});

test('server restart with the camera first in the room', () => {
    const page = closed(live()).on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['a2'], iceServers: [] });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects, []);
    assert.equal(offered(page, 'a2').on({ type: 'picture', session: 2 }).state.shown?.peer, 'a2');
});

test('server down during a negotiation: it may still succeed', () => {
    const page = closed(offered(inRoom('a'), 'a')).on({ type: 'timer', timer: 'retry' });
    assert.deepEqual(page.does('close'), []);
    assert.equal(page.on({ type: 'picture', session: 1 }).screen, 'live');
});

test('a new session that fails leaves the running picture alone', () => {
    const page = offered(live(), 'a', '99').on({ type: 'failed', session: 2 });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 2 }]);
    assert.deepEqual(page.does('disconnect'), []);
});

test('camera restart, orderly: gone at once, back by itself', () => {
    const page = live().on({ type: 'bye', peer: 'a', reason: 'stopping' });
    assert.equal(page.screen, 'camera-gone');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('start'), [{ do: 'start', timer: 'picture', after: STOPPED_MS }]);
    page.on({ type: 'camera-left', peer: 'a' });
    assert.equal(page.screen, 'camera-gone');
    page.on({ type: 'camera-joined', peer: 'b' });
    assert.equal(page.screen, 'reconnecting');
    assert.equal(offered(page, 'b').on({ type: 'picture', session: 2 }).screen, 'live');
});

test('a camera that stops and stays in the room is asked again', () => {
    const page = live().on({ type: 'bye', peer: 'a', reason: 'stopping' }).on({ type: 'timer', timer: 'picture' });
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('camera restart, killed: it leaves the room, the frames stop, it is gone', () => {
    const page = live().on({ type: 'camera-left', peer: 'a' });
    assert.equal(page.screen, 'live', 'what flows is shown');
    assert.equal(page.on({ type: 'stalled', session: 1, seconds: 1 }).screen, 'live');
    assert.equal(page.on({ type: 'stalled', session: 1, seconds: 2 }).screen, 'camera-gone');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
});

test('camera restart, killed: the server notices after the page', () => {
    const page = live().on({ type: 'stalled', session: 1, seconds: 5 });
    assert.equal(page.screen, 'reconnecting');
    assert.equal(page.on({ type: 'camera-left', peer: 'a' }).screen, 'camera-gone');
});

test('camera restart, quick: the new peer offers while the old picture still stands', () => {
    const page = live().on({ type: 'camera-left', peer: 'a' }).on({ type: 'camera-joined', peer: 'b' });
    assert.equal(page.screen, 'live');
    offered(page, 'b');
    assert.equal(page.on({ type: 'stalled', session: 1, seconds: 3 }).screen, 'reconnecting');
    assert.equal(page.on({ type: 'picture', session: 2 }).screen, 'live');
});

test('the picture stops while the camera is there: reconnecting, and on again when it flows', () => {
    const page = live().on({ type: 'stalled', session: 1, seconds: 4 });
    assert.equal(page.screen, 'live');
    page.on({ type: 'stalled', session: 1, seconds: 5 });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'picture', after: INTERRUPTED_MS }]);
    assert.deepEqual(page.on({ type: 'stalled', session: 1, seconds: 6 }).effects, []);
    page.on({ type: 'flowing', session: 1 });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects, [{ do: 'stop', timer: 'picture' }]);
});

test('the picture stays away: join anew', () => {
    const page = live().on({ type: 'stalled', session: 1, seconds: 5 }).on({ type: 'timer', timer: 'picture' });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
    assert.equal(page.state.failures, 0);
});

test('a connection may be disconnected for a while', () => {
    const page = live().on({ type: 'disconnected', session: 1 });
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'patience', after: PATIENCE_MS }]);
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.on({ type: 'connected', session: 1 }).effects, [{ do: 'stop', timer: 'patience' }]);
    page.on({ type: 'disconnected', session: 1 }).on({ type: 'timer', timer: 'patience' });
    assert.equal(page.screen, 'reconnecting');
});

test('the shown connection fails: join anew at once', () => {
    const page = live().on({ type: 'failed', session: 1 });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
    page.on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(offered(page, 'a').on({ type: 'picture', session: 2 }).screen, 'live');
});

test('the shown connection fails without a camera in the room: gone', () => {
    const page = live().on({ type: 'camera-left', peer: 'a' }).on({ type: 'failed', session: 1 });
    assert.equal(page.screen, 'camera-gone');
    assert.deepEqual(page.does('connect'), []);
});

test('the shown connection fails while the server is down', () => {
    const page = closed(live()).on({ type: 'failed', session: 1 });
    assert.equal(page.screen, 'reconnecting');
    assert.equal(closed(page).screen, 'unreachable');
});

test('no way through the network: said at the first failure, tried again after a while', () => {
    const page = offered(inRoom('a'), 'a').on({ type: 'failed', session: 1 });
    assert.equal(page.screen, 'failed');
    assert.deepEqual(page.does('bye'), [{ do: 'bye', peer: 'a', reason: 'failed' }]);
    assert.deepEqual(page.does('plan-retry'), [{ do: 'plan-retry', attempt: 1, shortest: REFUSED_MS }]);
    assert.ok(page.effects.findIndex((e) => e.do === 'bye') < page.effects.findIndex((e) => e.do === 'disconnect'));
    page.on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(page.screen, 'failed', 'the screen stays until something is better');
    assert.equal(offered(page, 'a').on({ type: 'picture', session: 2 }).screen, 'live');
    assert.equal(page.state.failures, 0);
});

test('after a picture was seen, only the second failure is called one', () => {
    const page = live().on({ type: 'failed', session: 1 }).on({ type: 'joined', cameras: ['a'], iceServers: [] });
    offered(page, 'a').on({ type: 'failed', session: 2 });
    assert.equal(page.screen, 'reconnecting');
    page.on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['a'], iceServers: [] });
    offered(page, 'a').on({ type: 'failed', session: 3 });
    assert.equal(page.screen, 'failed');
    assert.deepEqual(page.does('plan-retry'), [{ do: 'plan-retry', attempt: 2, shortest: REFUSED_MS }]);
});

test('no picture in time is a failure, and so is no offer', () => {
    const silent = offered(inRoom('a'), 'a').on({ type: 'timer', timer: 'picture' });
    assert.equal(silent.screen, 'failed');
    const mute = proves(inRoom('a'), 'a').on({ type: 'timer', timer: 'picture' });
    assert.equal(mute.screen, 'failed');
    assert.deepEqual(mute.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('a failure is forgotten when the camera is not there', () => {
    const page = offered(inRoom('a'), 'a').on({ type: 'failed', session: 1 }).on({ type: 'timer', timer: 'retry' });
    page.on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'waiting');
});

test('the camera says that it failed: try again after a while', () => {
    const page = offered(inRoom('a'), 'a').on({ type: 'bye', peer: 'a', reason: 'failed' });
    assert.equal(page.screen, 'failed');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.equal(page.does('plan-retry').length, 1);
});

test('room full: by the server', () => {
    const page = closed(new Page().on(opening()).on({ type: 'refused', code: 'ROOM_FULL' }));
    assert.equal(page.screen, 'room-full');
    assert.deepEqual(page.effects, [{ do: 'plan-retry', attempt: 1, shortest: REFUSED_MS }]);
    page.on({ type: 'retry-planned', at: 4000 });
    assert.equal(page.state.retryAt, 4000);
    page.on({ type: 'timer', timer: 'retry' });
    assert.equal(page.screen, 'room-full');
    page.on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(offered(page, 'a').screen, 'connecting');
});

test('room full: by the camera', () => {
    const page = proves(inRoom('a'), 'a').on({ type: 'bye', peer: 'a', reason: 'busy' });
    assert.equal(page.screen, 'room-full');
    assert.deepEqual(page.does('disconnect'), [{ do: 'disconnect' }]);
    assert.deepEqual(page.does('plan-retry'), [{ do: 'plan-retry', attempt: 1, shortest: REFUSED_MS }]);
    page.on({ type: 'retry' });
    assert.equal(page.screen, 'connecting');
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('a room of the other kind is full in its own way; an empty one is not full', () => {
    const page = closed(new Page().on(opening()).on({ type: 'refused', code: 'ROOM_MODE' }));
    assert.equal(page.screen, 'room-full');
    assert.equal(page.state.refusal, 'mode');
    page.on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'waiting');
});

test('a camera that is busy for a new session leaves the running picture alone', () => {
    const page = closed(live()).on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['a2'], iceServers: [] });
    page.on({ type: 'bye', peer: 'a2', reason: 'busy' });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('disconnect'), []);
});

test('a full room does not disturb a running picture', () => {
    const page = closed(closed(live()).on({ type: 'timer', timer: 'retry' }).on({ type: 'refused', code: 'ROOM_FULL' }));
    assert.equal(page.screen, 'live');
});

test('other errors are the server closing', () => {
    const page = closed(inRoom().on({ type: 'refused', code: 'SHUTTING_DOWN' }));
    assert.equal(page.screen, 'connecting');
    assert.deepEqual(page.effects, [{ do: 'plan-retry', attempt: 1, shortest: 0 }]);
});

test('the server cannot be reached: said at the second failure in a row, or after silence', () => {
    const page = closed(new Page().on(opening()));
    assert.equal(page.screen, 'connecting');
    closed(page.on({ type: 'timer', timer: 'retry' }));
    assert.equal(page.screen, 'unreachable');
    assert.deepEqual(page.effects, [{ do: 'plan-retry', attempt: 2, shortest: 0 }]);
    page.on({ type: 'timer', timer: 'retry' });
    assert.equal(page.screen, 'unreachable', 'no flicker while it tries');
    page.on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'waiting');
    assert.equal(page.state.attempt, 0);
    const silent = new Page().on(opening()).on({ type: 'socket-closed', timedOut: true });
    assert.equal(silent.screen, 'unreachable');
});

test('back at once: when the network is back, when somebody looks, when somebody asks', () => {
    for (const type of /** @type {const} */ (['online', 'visible', 'retry', 'resume'])) {
        const page = closed(inRoom()).on({ type });
        assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }], type);
        assert.deepEqual(page.does('stop').length, 3, type);
        assert.equal(page.state.retryAt, null);
    }
});

test('looking at a page that is well changes nothing; at an interrupted one, it joins anew', () => {
    assert.deepEqual(live().on({ type: 'visible' }).effects, []);
    assert.deepEqual(inRoom().on({ type: 'visible' }).effects, []);
    const page = live().on({ type: 'stalled', session: 1, seconds: 5 }).on({ type: 'visible' });
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('a changed network under a running picture: join anew, keep the picture', () => {
    const page = live().on({ type: 'online' });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('close'), []);
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('several cameras: one goes while it negotiates', () => {
    const page = offered(inRoom('a', 'b'), 'a').on({ type: 'camera-left', peer: 'a' });
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.equal(page.screen, 'connecting');
    assert.equal(offered(page, 'b').state.coming?.peer, 'b');
});

test('a bye of a stranger, or of a camera that is not shown, disturbs nobody', () => {
    const page = live().on({ type: 'bye', peer: 'x', reason: 'stopping' });
    assert.equal(page.screen, 'live');
    page.on({ type: 'camera-joined', peer: 'b' }).on({ type: 'bye', peer: 'b', reason: 'stopping' });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects, []);
});

test('sessions of the past are heard no more', () => {
    const page = offered(live(), 'a', '99').on({ type: 'picture', session: 2 });
    for (const event of /** @type {Event[]} */ ([
        { type: 'picture', session: 1 },
        { type: 'failed', session: 1 },
        { type: 'disconnected', session: 1 },
        { type: 'connected', session: 1 },
        { type: 'stalled', session: 1, seconds: 60 },
        { type: 'flowing', session: 1 },
    ])) {
        assert.deepEqual(page.on(event).effects, [], event.type);
        assert.equal(page.screen, 'live');
    }
});

test('a browser that wants a tap: live, and blocked until it plays', () => {
    const page = live().on({ type: 'blocked' });
    assert.equal(page.screen, 'live');
    assert.equal(page.state.blocked, true);
    assert.equal(page.on({ type: 'playing' }).state.blocked, false);
});

test('the page goes: it says so, and lets everything go', () => {
    const page = live().on({ type: 'suspend' });
    assert.deepEqual(page.does('bye'), [{ do: 'bye', peer: 'a', reason: 'left' }]);
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.equal(page.effects.at(-1)?.do, 'disconnect');
    page.on({ type: 'resume' });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
});

test('another code: the old camera hears of it, nothing of it is left', () => {
    const page = live().on(opening(OTHER_ACCESS));
    assert.deepEqual(page.does('bye'), [{ do: 'bye', peer: 'a', reason: 'left' }]);
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: OTHER_ACCESS }]);
    assert.equal(page.screen, 'connecting');
    assert.equal(page.state.seen, false);
    page.on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(offered(page, 'a').state.coming?.session, 2, 'numbers are never used twice');
});
