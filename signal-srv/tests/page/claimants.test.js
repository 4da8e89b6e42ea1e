/** Several that claim to be the camera: who is asked, who is kept, who counts as not there. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MOST_CLAIMANTS } from '../../web/claimants.js';
import { INTERRUPTED_MS } from '../../web/picture.js';
import { PICTURE_MS, PROOF_MS, REFUSED_MS, RESERVE_MS, SILENT_MS, STOPPED_MS } from '../../web/room.js';
import { ACCESS, Page, closed, inRoom, live, offered, opening, proves, refutes, sdp } from './scripted.js';

/** @import {Event} from '../../web/state.js' */

const AGAIN = { do: 'connect', access: ACCESS };

/** @param {string} peer */
function asks(peer) {
    return [
        { do: 'ask', peer },
        { do: 'start', timer: 'picture', after: PICTURE_MS },
    ];
}

/** @param {number} after */
function waits(after) {
    return [{ do: 'start', timer: 'picture', after }];
}

test('nobody is asked before the proof, and an offer of somebody who was not asked is nothing', () => {
    const page = inRoom('a', 'b');
    assert.deepEqual(page.on({ type: 'offer', peer: 'a', sdp: sdp('1') }).effects, []);
    assert.deepEqual(page.on({ type: 'bye', peer: 'a', reason: 'busy' }).effects, []);
    assert.equal(page.screen, 'connecting');
    proves(page, 'b');
    assert.deepEqual(page.effects, asks('b'));
    proves(page, 'a');
    assert.deepEqual(page.on({ type: 'offer', peer: 'a', sdp: sdp('1') }).effects, []);
    assert.equal(page.state.coming, null);
});

test('three squatters first: the camera is asked as soon as it has proven itself', () => {
    const page = inRoom('x', 'y', 'z');
    refutes(refutes(page, 'x'), 'y');
    assert.equal(page.screen, 'connecting', 'one may yet be the camera');
    page.on({ type: 'camera-joined', peer: 'a' });
    proves(page, 'a');
    assert.deepEqual(page.effects, asks('a'));
    assert.equal(page.on({ type: 'offer', peer: 'a', sdp: sdp('1') }).on({ type: 'picture', session: 1 }).screen, 'live');
    refutes(page, 'z');
    assert.deepEqual(page.effects, []);
    assert.equal(page.screen, 'live');
});

test('a second camera that proves itself is the reserve, and is asked when the first fails', () => {
    const page = proves(proves(inRoom('a', 'b'), 'a'), 'b');
    assert.deepEqual(page.effects, [{ do: 'start', timer: 'reserve', after: RESERVE_MS }]);
    page.on({ type: 'offer', peer: 'a', sdp: sdp('1') }).on({ type: 'failed', session: 1 });
    assert.deepEqual(page.effects, [{ do: 'bye', peer: 'a', reason: 'failed' }, { do: 'close', session: 1 }, ...asks('b')]);
    assert.equal(page.screen, 'connecting', 'nothing has failed while there is another');
    page.on({ type: 'offer', peer: 'b', sdp: sdp('2') }).on({ type: 'failed', session: 2 });
    assert.equal(page.screen, 'failed');
    assert.deepEqual(page.does('plan-retry'), [{ do: 'plan-retry', attempt: 1, shortest: REFUSED_MS }]);
});

test('the reserve is asked when the first says bye, goes, is refuted, or loses its picture', () => {
    const two = () => proves(proves(inRoom('a', 'b'), 'a'), 'b');
    for (const reason of /** @type {const} */ (['busy', 'stopping', 'failed', 'left'])) {
        assert.deepEqual(two().on({ type: 'bye', peer: 'a', reason }).does('ask'), [{ do: 'ask', peer: 'b' }], reason);
    }
    assert.deepEqual(two().on({ type: 'camera-left', peer: 'a' }).does('ask'), [{ do: 'ask', peer: 'b' }]);
    assert.deepEqual(refutes(two(), 'a').does('ask'), [{ do: 'ask', peer: 'b' }]);
    const page = two().on({ type: 'offer', peer: 'a', sdp: sdp('1') }).on({ type: 'picture', session: 1 });
    page.on({ type: 'stalled', session: 1, seconds: 5 });
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.effects, asks('b'));
    page.on({ type: 'offer', peer: 'b', sdp: sdp('2') }).on({ type: 'picture', session: 2 });
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
});

test('a reserve that has waited for too long takes a fresh greeting', () => {
    const page = proves(proves(inRoom('a', 'b'), 'a'), 'b').on({ type: 'timer', timer: 'reserve' });
    assert.deepEqual(page.effects, []);
    page.on({ type: 'camera-left', peer: 'a' });
    assert.deepEqual(page.does('ask'), []);
    assert.deepEqual(page.does('connect'), [AGAIN]);
});

test('a reserve that says bye, or a stranger, disturbs nobody', () => {
    const page = proves(proves(inRoom('a', 'b'), 'a'), 'b');
    for (const peer of ['b', 'x']) {
        assert.deepEqual(page.on({ type: 'bye', peer, reason: 'busy' }).effects, []);
    }
    assert.equal(page.screen, 'connecting');
});

test('impostors alone: said at once, nothing is asked, and the true camera is waited for', () => {
    const page = refutes(inRoom('x', 'y'), 'x');
    assert.equal(page.screen, 'connecting');
    refutes(page, 'y');
    assert.equal(page.screen, 'impostor');
    assert.deepEqual(page.effects, waits(STOPPED_MS));
    assert.deepEqual(page.does('ask'), []);
    page.on({ type: 'camera-joined', peer: 'a' });
    assert.equal(page.screen, 'impostor', 'nothing better is known yet');
    proves(page, 'a');
    assert.equal(page.screen, 'connecting');
    assert.equal(page.on({ type: 'offer', peer: 'a', sdp: sdp('1') }).on({ type: 'picture', session: 1 }).screen, 'live');
});

test('impostors alone: everybody is greeted anew after a while, without a flicker; at once when somebody asks', () => {
    const page = refutes(inRoom('x'), 'x').on({ type: 'timer', timer: 'picture' });
    assert.deepEqual(page.does('connect'), [AGAIN]);
    assert.equal(page.screen, 'impostor');
    page.on({ type: 'joined', cameras: ['x'], iceServers: [] });
    assert.equal(page.screen, 'impostor');
    page.on({ type: 'retry' });
    assert.deepEqual(page.does('connect'), [AGAIN]);
    assert.equal(page.screen, 'connecting');
    page.on({ type: 'joined', cameras: [], iceServers: [] });
    assert.equal(page.screen, 'waiting');
});

test('an impostor that goes leaves an empty room', () => {
    const page = refutes(inRoom('x'), 'x').on({ type: 'camera-left', peer: 'x' });
    assert.equal(page.screen, 'waiting');
    assert.equal(refutes(live().on({ type: 'bye', peer: 'a', reason: 'stopping' }), 'x').screen, 'camera-gone');
});

test('whoever does not answer is not there, and is greeted again after a while', () => {
    const page = inRoom('a').on({ type: 'timer', timer: 'picture' });
    assert.equal(page.screen, 'waiting');
    assert.deepEqual(page.effects, waits(SILENT_MS));
    page.on({ type: 'timer', timer: 'picture' });
    assert.deepEqual(page.does('connect'), [AGAIN]);
    assert.equal(page.state.failures, 0);
    assert.equal(page.screen, 'waiting', 'without a flicker');
    page.on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.equal(page.screen, 'waiting');
    assert.equal(offered(page, 'a').on({ type: 'picture', session: 1 }).screen, 'live');
});

test('whoever answers late is heard all the same', () => {
    const page = inRoom('a').on({ type: 'timer', timer: 'picture' });
    assert.deepEqual(proves(page, 'a').effects, asks('a'));
    assert.equal(page.screen, 'connecting');
});

test('silence and impostors: the impostor is what there is to say', () => {
    const page = refutes(inRoom('x', 'y'), 'x').on({ type: 'timer', timer: 'picture' });
    assert.equal(page.screen, 'impostor');
});

test('a proof counts once, and only of somebody in the room', () => {
    const page = live();
    assert.deepEqual(proves(page, 'a').effects, []);
    assert.deepEqual(proves(page, 'x').effects, []);
    assert.deepEqual(proves(refutes(inRoom('x'), 'x'), 'x').effects, [], 'refuted once and for all');
});

test('somebody meddles with the messages of the camera that is shown: over, and tried again after a while', () => {
    const page = refutes(live(), 'a');
    assert.equal(page.screen, 'reconnecting');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.deepEqual(page.does('disconnect').length, 1);
    assert.deepEqual(page.does('plan-retry'), [{ do: 'plan-retry', attempt: 1, shortest: REFUSED_MS }]);
});

test('somebody meddles with a negotiation: it is over, and it was no camera', () => {
    const page = refutes(offered(inRoom('a'), 'a'), 'a');
    assert.deepEqual(page.does('close'), [{ do: 'close', session: 1 }]);
    assert.equal(page.screen, 'impostor');
});

test('a picture runs on while somebody new in the room turns out to be nobody', () => {
    const page = closed(live()).on({ type: 'timer', timer: 'retry' });
    page.on({ type: 'joined', cameras: ['x'], iceServers: [] });
    refutes(page, 'x');
    assert.equal(page.screen, 'live');
    assert.deepEqual(page.effects, []);
    assert.equal(page.on({ type: 'stalled', session: 1, seconds: 2 }).screen, 'impostor');
});

test('a camera that comes back is a new peer: greeted, asked, and shown in the place of the old one', () => {
    const page = live().on({ type: 'camera-left', peer: 'a' }).on({ type: 'camera-joined', peer: 'b' });
    proves(page, 'b');
    assert.deepEqual(page.effects, asks('b'));
    assert.equal(page.screen, 'live');
    page.on({ type: 'timer', timer: 'picture' });
    assert.equal(page.screen, 'live', 'no offer came, but there is a picture');
    page.on({ type: 'stalled', session: 1, seconds: 2 });
    assert.deepEqual(page.does('connect'), [AGAIN], 'without one, a fresh start');
});

test('while one that was asked is expected to offer, another in the room is no loss', () => {
    const page = proves(inRoom('a', 'b'), 'a');
    assert.deepEqual(page.on({ type: 'camera-joined', peer: 'c' }).effects, []);
    assert.deepEqual(page.on({ type: 'camera-left', peer: 'b' }).effects, []);
    assert.deepEqual(refutes(page, 'c').effects, []);
    assert.equal(page.on({ type: 'camera-left', peer: 'a' }).screen, 'impostor');
});

test('a camera that was asked and goes leaves those who have not answered yet', () => {
    const page = proves(inRoom('a', 'b'), 'a').on({ type: 'camera-left', peer: 'a' });
    assert.deepEqual(page.effects, waits(PROOF_MS));
});

test('the picture of one is interrupted and nobody else has answered: it may go on', () => {
    const page = live().on({ type: 'camera-joined', peer: 'x' }).on({ type: 'stalled', session: 1, seconds: 5 });
    assert.deepEqual(page.effects, waits(INTERRUPTED_MS));
});

test('more claimants than a room can have are not remembered', () => {
    const page = inRoom(...Array.from({ length: 100 }, (_, i) => String(i)));
    assert.equal(page.state.claimants.length, MOST_CLAIMANTS);
    page.on({ type: 'camera-joined', peer: 'one more' });
    assert.equal(page.state.claimants.length, MOST_CLAIMANTS);
});

test('a typed code without check digits is trusted when a camera has proven itself', () => {
    const page = new Page().on({ ...opening(), checked: false });
    assert.equal(page.state.checked, false);
    proves(page.on({ type: 'joined', cameras: ['a'], iceServers: [] }), 'a');
    assert.equal(page.state.checked, true);
});

/**
 * Lets somebody come into the camera's place every four seconds and go again after three, by the page's own timer.
 * @param {Page} page
 * @param {boolean} refuted whether that one is refuted at once; else it says nothing
 * @returns {number} after how many milliseconds the page joins the room anew; Infinity if it does not within 100 s
 */
function besieged(page, refuted) {
    let due = Infinity;
    for (let now = 0; now < 100_000; now += 1000) {
        const peer = `squatter ${Math.floor(now / 4000)}`;
        /** @type {Event[]} */
        const events = due <= now ? [{ type: 'timer', timer: 'picture' }] : [];
        if (now % 4000 === 0 && now > 0) {
            events.push({ type: 'camera-joined', peer });
            if (refuted) {
                events.push({ type: 'camera-refuted', peer });
            }
        } else if (now % 4000 === 3000) {
            events.push({ type: 'camera-left', peer });
        }
        // To begin with, what the page did last.
        for (const effects of [now === 0 ? page.effects : [], ...events.map((event) => page.on(event).effects)]) {
            for (const effect of effects) {
                if (effect.do === 'connect') {
                    return now;
                }
                if ((effect.do === 'start' || effect.do === 'stop') && effect.timer === 'picture') {
                    due = effect.do === 'start' ? now + effect.after : Infinity;
                }
            }
        }
    }
    return Infinity;
}

test('who comes and goes in the camera’s place does not keep the page from greeting the camera anew', () => {
    for (const refuted of [false, true]) {
        const after = (/** @type {Page} */ page) => besieged(page, refuted);
        // Who was refuted and is still there when the time for proofs is over makes the wait the longer one.
        assert.equal(after(inRoom('a')), PROOF_MS + (refuted ? STOPPED_MS : SILENT_MS), 'it dropped the greeting');
        assert.equal(after(refutes(inRoom('a'), 'a')), STOPPED_MS, 'somebody has meddled with its answer');
        assert.equal(after(live().on({ type: 'bye', peer: 'a', reason: 'stopping' })), STOPPED_MS, 'it has stopped');
        const lost = live().on({ type: 'stalled', session: 1, seconds: 5 });
        assert.equal(after(lost), INTERRUPTED_MS, 'its picture was lost');
    }
});

test('who comes while the page waits to greet everybody anew is heard all the same', () => {
    const page = inRoom('a').on({ type: 'timer', timer: 'picture' }).on({ type: 'camera-joined', peer: 'b' });
    assert.deepEqual(page.effects, [], 'and the wait goes on');
    assert.deepEqual(proves(page, 'b').effects, asks('b'));
});
