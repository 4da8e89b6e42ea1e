import assert from 'node:assert/strict';
import { test } from 'node:test';

import { stageOf } from '../../web/claimants.js';
import { OTHER_ACCESS, Page, offered, opening, sdp } from './scripted.js';

/** @import {Event} from '../../web/state.js' */

test('whatever comes in whatever order: nothing without a proof, each session closed once, no wait without an end', () => {
    /** @type {Event[]} */
    const events = ['a', 'b'].flatMap((peer) => /** @type {Event[]} */ ([
        { type: 'joined', cameras: [peer], iceServers: [] },
        { type: 'camera-joined', peer },
        { type: 'camera-left', peer },
        { type: 'camera-proven', peer },
        { type: 'camera-proven', peer },
        { type: 'camera-refuted', peer },
        { type: 'offer', peer, sdp: sdp('1') },
        { type: 'offer', peer, sdp: sdp('2') },
        { type: 'bye', peer, reason: 'busy' },
        { type: 'bye', peer, reason: 'stopping' },
        { type: 'bye', peer, reason: 'failed' },
        { type: 'picture-state', peer, picture: 'paused' },
        { type: 'picture-state', peer, picture: 'lost' },
        { type: 'picture-state', peer, picture: 'live' },
    ]));
    events.push(
        { type: 'joined', cameras: [], iceServers: [] },
        { type: 'socket-closed', timedOut: false },
        { type: 'refused', code: 'ROOM_FULL' },
        { type: 'retry' },
        { type: 'online' },
        { type: 'visible' },
        { type: 'suspend' },
        { type: 'resume' },
        { type: 'timer', timer: 'retry' },
        { type: 'timer', timer: 'picture' },
        { type: 'timer', timer: 'patience' },
        { type: 'timer', timer: 'reserve' },
        opening(OTHER_ACCESS),
    );
    let seed = 1;
    const random = (/** @type {number} */ below) => {
        seed = (seed * 48271) % 2147483647;
        return seed % below;
    };
    for (let run = 0; run < 1000; run += 1) {
        const page = new Page().on(opening());
        const open = new Set();
        const proven = new Set();
        const asked = new Set();
        let waiting = false;
        const log = [];
        for (let i = 0; i < 60; i += 1) {
            const session = Math.max(1, page.state.sessions - random(3));
            const own = /** @type {Event[]} */ ([
                { type: 'picture', session },
                { type: 'failed', session },
                { type: 'connected', session },
                { type: 'disconnected', session },
                { type: 'stalled', session, seconds: 3 + random(4) },
                { type: 'flowing', session },
            ]);
            const all = random(2) ? own : events;
            const event = /** @type {Event} */ (all[random(all.length)]);
            // A link that is down delivers nothing.
            const fromServer = [
                ...['joined', 'camera-joined', 'camera-left', 'camera-proven', 'camera-refuted'],
                ...['offer', 'bye', 'picture-state', 'refused', 'socket-closed'],
            ];
            if (page.state.link === 'down' && fromServer.includes(event.type)) {
                continue;
            }
            if (event.type === 'timer' && event.timer === 'picture') {
                if (!waiting) {
                    continue;
                }
                waiting = false;
            }
            log.push(event.type);
            const stage = event.type === 'camera-proven' && stageOf(page.state.claimants, event.peer);
            if (event.type === 'camera-proven' && (stage === 'greeted' || stage === 'silent')) {
                proven.add(event.peer);
            } else if (event.type === 'camera-refuted') {
                proven.delete(event.peer);
                asked.delete(event.peer);
            }
            page.on(event);
            for (const effect of page.effects) {
                if (effect.do === 'connect') {
                    // Everybody has to prove it anew to a new viewer.
                    proven.clear();
                    asked.clear();
                } else if (effect.do === 'ask') {
                    assert.ok(proven.delete(effect.peer), `asked without a proof, or twice: ${log.join(' ')}`);
                    asked.add(effect.peer);
                } else if (effect.do === 'answer') {
                    assert.ok(asked.has(effect.peer), `answered without having asked: ${log.join(' ')}`);
                    open.add(effect.session);
                } else if (effect.do === 'close') {
                    assert.ok(open.delete(effect.session), `closed twice: ${log.join(' ')}`);
                } else if ((effect.do === 'start' || effect.do === 'stop') && effect.timer === 'picture') {
                    waiting = effect.do === 'start';
                }
            }
            const { link, claimants, coming, shown } = page.state;
            const due = coming !== null || (claimants.length > 0 && shown === null) || shown?.interrupted || shown?.due;
            assert.ok(waiting || link !== 'joined' || !due, `waits for ever: ${log.join(' ')}`);
            const held = [page.state.coming, page.state.shown].filter((entry) => entry !== null).map((entry) => entry.session);
            assert.deepEqual([...open].sort(), held.sort(), log.join(' '));
            assert.ok(!shown?.due || (shown.absence && !shown.interrupted), `due, and not absent: ${log.join(' ')}`);
        }
        page.on({ type: 'retry' }).on({ type: 'joined', cameras: ['c'], iceServers: [] });
        offered(page, 'c', '3').on({ type: 'picture', session: page.state.sessions });
        assert.equal(page.screen, 'live', log.join(' '));
        assert.equal(page.state.shown?.peer, 'c', log.join(' '));
    }
});
