/** A camera that has no picture, and says so. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { INTERRUPTED_MS, PATIENCE_MS } from '../../web/picture.js';
import { PICTURE_MS, PROOF_MS } from '../../web/room.js';
import { ACCESS, closed, inRoom, live, offered, proves, refutes } from './scripted.js';

/** @import {PictureState} from '../../web/signaling.js' */
/** @import {Page} from './scripted.js' */

const STATES = /** @type {const} */ ([
    ['paused', 'paused'],
    ['lost', 'no-picture'],
]);
const STOP = { do: 'stop', timer: 'picture' };
const REST = { do: 'rest', session: 1 };
const WATCH = { do: 'watch', session: 1 };
const EXPECT = { do: 'start', timer: 'picture', after: PICTURE_MS };
const BACK = [WATCH, EXPECT];

/**
 * @param {Page} page
 * @param {PictureState} picture
 * @param {string} [peer]
 */
function says(page, picture, peer = 'a') {
    return page.on({ type: 'picture-state', peer, picture });
}

/** A page that was live, and whose camera has been paused. */
function paused() {
    return says(live(), 'paused');
}

/** A page that came while the camera was paused, and is connected to it. */
function late() {
    return says(offered(inRoom('a'), 'a'), 'paused').on({ type: 'connected', session: 1 });
}

for (const [state, screen] of STATES) {
    test(`${state}: a screen of its own, nothing is closed or waited for, and back with the first frame`, () => {
        const page = says(live(), state);
        assert.equal(page.screen, screen);
        assert.deepEqual(page.effects, [REST, STOP]);
        for (const seconds of [1, 5, 3600]) {
            assert.deepEqual(page.on({ type: 'stalled', session: 1, seconds }).effects, []);
        }
        assert.equal(page.screen, screen);
        says(page, 'live');
        assert.equal(page.screen, screen, 'the last frame is not the picture');
        assert.deepEqual(page.effects, BACK);
        assert.deepEqual(page.on({ type: 'stalled', session: 1, seconds: 3600 }).effects, [], 'a wait of its own');
        page.on({ type: 'flowing', session: 1 });
        assert.equal(page.screen, 'live');
        assert.deepEqual(page.effects, [STOP, { do: 'show', session: 1 }]);
        assert.deepEqual([page.state.sessions, page.state.failures], [1, 0], 'the same session');
        assert.equal(page.on({ type: 'stalled', session: 1, seconds: 5 }).screen, 'reconnecting', 'judged as ever');
    });

    test(`${state}: said to a viewer who has just come, as soon as the connection is up`, () => {
        const page = says(offered(inRoom('a'), 'a'), state);
        assert.equal(page.screen, 'connecting');
        assert.deepEqual(page.effects, [], 'the connection is waited for');
        page.on({ type: 'connected', session: 1 });
        assert.equal(page.screen, screen);
        assert.deepEqual(page.effects, [STOP, { do: 'stop', timer: 'patience' }, { do: 'show', session: 1 }]);
        assert.deepEqual(says(page, 'live').effects, BACK);
        assert.equal(page.on({ type: 'flowing', session: 1 }).screen, 'live');
        assert.equal(page.state.sessions, 1);
    });

    test(`${state}: said after the connection came up and before the first frame`, () => {
        const page = offered(inRoom('a'), 'a').on({ type: 'connected', session: 1 });
        assert.deepEqual(page.effects, []);
        assert.equal(says(page, state).screen, screen);
        assert.deepEqual(page.effects.slice(0, 2), [REST, STOP]);
    });
}

test('from one to the other, twice the same, and live to one that is', () => {
    const page = paused();
    assert.deepEqual(says(page, 'paused').effects, []);
    assert.equal(says(page, 'lost').screen, 'no-picture');
    assert.equal(says(page, 'paused').screen, 'paused');
    says(page, 'live');
    assert.deepEqual(says(page, 'live').effects, [], 'the wait is not prolonged');
    assert.equal(says(page, 'lost').screen, 'no-picture', 'and away again before a frame came');
    assert.deepEqual(page.effects, [REST, STOP]);
    const running = live();
    const before = running.state;
    assert.deepEqual(says(running, 'live').effects, []);
    assert.equal(running.state, before);
});

test('a change before the connection is up: what is waited for is what the camera said last', () => {
    const page = says(says(offered(inRoom('a'), 'a'), 'paused'), 'live');
    assert.deepEqual(page.effects, [EXPECT], 'the first frame is waited for from now on');
    assert.deepEqual(says(page, 'live').effects, []);
    assert.equal(page.on({ type: 'connected', session: 1 }).screen, 'connecting');
    assert.equal(page.on({ type: 'picture', session: 1 }).screen, 'live');
});

test('a connection that does not come up to a paused camera is a failed session all the same', () => {
    const page = says(offered(inRoom('a'), 'a'), 'paused');
    assert.equal(page.on({ type: 'timer', timer: 'picture' }).screen, 'failed');
    assert.equal(says(offered(inRoom('a'), 'a'), 'lost').on({ type: 'failed', session: 1 }).screen, 'failed');
});

test('nobody is heard before an offer, without a session, or in the place of the camera', () => {
    for (const page of [inRoom('a'), proves(inRoom('a'), 'a'), offered(inRoom('a', 'b'), 'a'), live()]) {
        const before = page.state;
        const peers = page.state.coming || page.state.shown ? ['b', 'x', ''] : ['a', 'b', 'x'];
        for (const peer of peers) {
            for (const picture of /** @type {const} */ (['paused', 'lost', 'live'])) {
                assert.deepEqual(says(page, picture, peer).effects, []);
                assert.equal(page.state, before, `${peer} says ${picture}`);
            }
        }
    }
    const other = proves(live().on({ type: 'camera-joined', peer: 'b' }), 'b');
    assert.equal(says(other, 'paused', 'b').screen, 'live', 'the reserve has not been asked');
    const gone = refutes(live(), 'a');
    assert.equal(says(gone, 'paused').screen, gone.screen);
    assert.equal(gone.state.shown, null);
});

test('before the offer it says nothing of the session to come', () => {
    const page = says(proves(inRoom('a'), 'a'), 'paused');
    page.on({ type: 'offer', peer: 'a', sdp: 'v=0' }).on({ type: 'connected', session: 1 });
    assert.equal(page.screen, 'connecting');
});

test('the camera goes while it is paused: gone, and there again when it is', () => {
    const page = paused().on({ type: 'camera-left', peer: 'a' });
    assert.equal(page.screen, 'camera-gone');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    page.on({ type: 'camera-joined', peer: 'b' });
    says(offered(page, 'b'), 'paused', 'b').on({ type: 'connected', session: 2 });
    assert.equal(page.screen, 'paused');
    assert.equal(paused().on({ type: 'bye', peer: 'a', reason: 'stopping' }).screen, 'camera-gone');
    assert.equal(late().on({ type: 'camera-left', peer: 'a' }).screen, 'camera-gone');
    assert.equal(says(paused(), 'live').on({ type: 'camera-left', peer: 'a' }).screen, 'camera-gone');
});

test('the frames do not come although the camera is live again: join anew', () => {
    const page = says(paused(), 'live').on({ type: 'timer', timer: 'picture' });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('connect'), [{ do: 'connect', access: ACCESS }]);
    assert.equal(page.state.failures, 0);
});

test('frames that were under way when the camera was paused do not bring the picture back', () => {
    const page = paused().on({ type: 'flowing', session: 1 });
    assert.equal(page.screen, 'paused');
    assert.deepEqual(page.effects, []);
});

test('an interrupted picture is explained by its camera', () => {
    const page = says(live().on({ type: 'stalled', session: 1, seconds: 5 }), 'lost');
    assert.equal(page.screen, 'no-picture');
    assert.deepEqual(page.effects, [REST, STOP]);
    says(page, 'live');
    assert.equal(page.on({ type: 'flowing', session: 1 }).screen, 'live');
});

test('a connection that breaks while the camera is paused is interrupted, and well when it is back', () => {
    const page = paused().on({ type: 'disconnected', session: 1 });
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'patience', after: PATIENCE_MS }]);
    assert.equal(page.screen, 'paused');
    assert.deepEqual(page.on({ type: 'connected', session: 1 }).effects, [{ do: 'stop', timer: 'patience' }]);
    page.on({ type: 'disconnected', session: 1 }).on({ type: 'timer', timer: 'patience' });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'picture', after: INTERRUPTED_MS }]);
    assert.equal(says(page, 'lost').screen, 'reconnecting', 'its word does not mend the connection');
    page.on({ type: 'connected', session: 1 });
    assert.equal(page.screen, 'no-picture');
    assert.deepEqual(page.effects, [{ do: 'stop', timer: 'patience' }, STOP]);
    page.on({ type: 'disconnected', session: 1 }).on({ type: 'timer', timer: 'patience' });
    assert.equal(says(page, 'live').screen, 'reconnecting');
    assert.deepEqual(page.effects, [], 'the wait goes on');
    assert.equal(page.on({ type: 'flowing', session: 1 }).screen, 'live');
    const failed = paused().on({ type: 'failed', session: 1 });
    assert.deepEqual([failed.screen, failed.does('connect').length], ['reconnecting', 1]);
    const due = says(paused(), 'live').on({ type: 'disconnected', session: 1 }).on({ type: 'timer', timer: 'patience' });
    assert.equal(due.screen, 'reconnecting');
    assert.equal(due.on({ type: 'connected', session: 1 }).screen, 'reconnecting', 'its frames are what is missed');
});

test('server restart: paused all the while, and the new session takes the place of the old one', () => {
    const page = closed(paused());
    assert.equal(page.screen, 'paused');
    page.on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'paused');
    page.on({ type: 'camera-joined', peer: 'a2' });
    assert.deepEqual(proves(page, 'a2').does('ask'), [{ do: 'ask', peer: 'a2' }], 'only a new session can be heard');
    says(offered(page, 'a2'), 'paused', 'a2');
    assert.deepEqual(page.does('close'), [], 'make before break');
    page.on({ type: 'connected', session: 2 });
    assert.equal(page.screen, 'paused');
    assert.deepEqual(page.effects.slice(-2), [
        { do: 'show', session: 2 },
        { do: 'close', session: 1 },
    ]);
});

test('the same, and the camera is live by then', () => {
    const page = closed(paused()).on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.deepEqual(proves(page, 'a').effects, [{ do: 'ask', peer: 'a' }, EXPECT], 'also where it has its old name');
    offered(page, 'a', '99').on({ type: 'connected', session: 2 });
    assert.equal(page.screen, 'paused');
    assert.equal(page.on({ type: 'picture', session: 2 }).screen, 'live');
});

test('while the camera cannot be heard, frames that flow say that it is live', () => {
    const page = closed(paused()).on({ type: 'flowing', session: 1 });
    assert.equal(page.screen, 'live');
    assert.equal(page.on({ type: 'stalled', session: 1, seconds: 5 }).screen, 'reconnecting', 'as ever');
    const rejoined = paused().on({ type: 'online' }).on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(says(rejoined, 'lost').screen, 'paused', 'this viewer is new to the camera, which says nothing yet');
    assert.equal(rejoined.on({ type: 'flowing', session: 1 }).screen, 'live');
});

test('a stall while the server is away is one: there is nobody to explain it', () => {
    assert.equal(closed(live()).on({ type: 'stalled', session: 1, seconds: 5 }).screen, 'reconnecting');
});

test('a picture that was due when the room turned out empty is not waited for', () => {
    const page = says(paused(), 'live').on({ type: 'online' });
    assert.ok(page.does('stop').length > 0);
    page.on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'camera-gone');
    const other = says(paused(), 'live').on({ type: 'online' }).on({ type: 'joined', cameras: ['a2'], iceServers: [] });
    assert.deepEqual(other.effects, [{ do: 'start', timer: 'picture', after: PROOF_MS }]);
});

test('a later session of the same camera: its word counts for both', () => {
    const page = offered(live(), 'a', '99');
    says(page, 'paused');
    assert.equal(page.screen, 'paused', 'the one on the screen');
    assert.equal(page.state.coming?.absence, 'paused', 'and the one to come, whose connection is waited for');
    page.on({ type: 'connected', session: 2 });
    assert.deepEqual(page.effects.slice(-2), [
        { do: 'show', session: 2 },
        { do: 'close', session: 1 },
    ]);
    const back = offered(paused(), 'a', '99').on({ type: 'connected', session: 2 });
    assert.deepEqual(says(back, 'live').effects, [WATCH], 'the new session is waited for already');
    assert.equal(back.on({ type: 'picture', session: 2 }).screen, 'live');
    const fails = offered(paused(), 'a', '99').on({ type: 'failed', session: 2 });
    assert.equal(fails.screen, 'paused', 'a session that fails leaves the other alone');
    assert.equal(fails.state.shown?.session, 1);
});

test('another camera of the code that proves itself meanwhile is asked, and the wait for it ends', () => {
    const page = proves(paused().on({ type: 'camera-joined', peer: 'b' }), 'b');
    assert.deepEqual(page.effects, [{ do: 'ask', peer: 'b' }, EXPECT]);
    assert.deepEqual(says(page, 'lost').effects, [REST], 'the wait is for the other');
    assert.equal(page.on({ type: 'timer', timer: 'picture' }).screen, 'no-picture');
    assert.deepEqual(page.effects, []);
    assert.deepEqual(page.state.claimants.find(({ peer }) => peer === 'b')?.stage, 'spent');
});

test('looking at a paused page, or leaving it, is as ever', () => {
    assert.deepEqual(paused().on({ type: 'visible' }).effects, []);
    const page = paused().on({ type: 'leave' });
    assert.equal(page.screen, 'enter-code');
    assert.deepEqual(page.does('bye'), [{ do: 'bye', peer: 'a', reason: 'left' }]);
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.equal(paused().on({ type: 'suspend' }).on({ type: 'resume' }).screen, 'reconnecting');
});

test('a session of the past brings nothing back', () => {
    const page = says(paused(), 'live');
    for (const session of [0, 2]) {
        assert.deepEqual(page.on({ type: 'flowing', session }).effects, []);
        assert.deepEqual(page.on({ type: 'connected', session }).effects, []);
    }
    assert.equal(page.on({ type: 'picture', session: 1 }).screen, 'paused', 'counted frames are old ones, too');
});
