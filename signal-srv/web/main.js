/**
 * Wires the page together: events go into the state machine, its effects come out and are carried out here.
 *
 *     address bar, form, buttons ┐                          ┌ signaling.js  WebSocket
 *     WebSocket, connections     ├> state.js reduce ─effects─┼ session.js    RTCPeerConnection
 *     timers, browser            ┘        └─state─> view.js └ player.js     <video>
 */

import { backoff } from './backoff.js';
import { parseCode, parseFragment } from './code.js';
import { Player } from './player.js';
import { Session } from './session.js';
import { Signaling, webSocketUrl } from './signaling.js';
import { initialState, reduce, screenOf } from './state.js';
import { figuresOf } from './stats.js';
import { chooseLanguage } from './strings.js';
import { View } from './view.js';

/** @import {Effect, Event, Timer} from './state.js' */
/** @import {Sample} from './stats.js' */

/**
 * Where the code lives while this tab is open, so that a reload comes back to the same camera. Session storage, because
 * it ends with the tab: whoever uses this browser next finds no code, neither here nor in the history.
 */
const CODE_KEY = 'roomcam.code';

const supported = 'RTCPeerConnection' in globalThis && 'WebSocket' in globalThis;
const { language, words } = chooseLanguage(navigator.languages ?? [navigator.language]);

let state = initialState(supported);
/** @type {Event[]} */
const queue = [];
/** @type {Signaling | null} */
let signaling = null;
/** @type {Map<number, Session>} */
const sessions = new Map();
/** @type {Map<Timer, ReturnType<typeof setTimeout>>} */
const timers = new Map();
/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;
/** @type {{session: number, sample: Sample} | null} */
let lastSample = null;
let detailsOpen = false;

const view = new View(language, words, {
    onCode: (text) => give(parseCode(text)),
    onAction: (action) => dispatch({ type: action === 'other' ? 'forget' : 'retry' }),
    onPlay: () => player.play(),
    onDetails: (open) => {
        detailsOpen = open;
    },
});

const player = new Player(view.video, {
    onPicture: (session) => dispatch({ type: 'picture', session }),
    onBlocked: () => dispatch({ type: 'blocked' }),
    onPlaying: () => dispatch({ type: 'playing' }),
});

/**
 * One event at a time, also where an effect causes the next.
 * @param {Event} event
 */
function dispatch(event) {
    queue.push(event);
    if (queue.length > 1) {
        return;
    }
    for (let next = queue[0]; next; next = queue[0]) {
        try {
            const step = reduce(state, next);
            state = step.state;
            step.effects.forEach(carryOut);
            render();
        } finally {
            // An event that fails must not hold up those after it: the browser reports it, the page goes on.
            queue.shift();
        }
    }
}

/** @param {Effect} effect */
function carryOut(effect) {
    switch (effect.do) {
        case 'connect':
            signaling?.close();
            signaling = new Signaling(webSocketUrl(location), effect.room, dispatch);
            return;
        case 'disconnect':
            signaling?.close();
            signaling = null;
            return;
        case 'remember':
            return remember(effect.room);
        case 'forget':
            return remember(null);
        case 'plan-retry': {
            const after = backoff(effect.attempt, Math.random(), effect.shortest);
            start('retry', after);
            return dispatch({ type: 'retry-planned', at: performance.now() + after });
        }
        case 'start':
            return start(effect.timer, effect.after);
        case 'stop':
            clearTimeout(timers.get(effect.timer));
            return;
        case 'answer':
            return answer(effect.session, effect.peer, effect.sdp, effect.iceServers);
        case 'renegotiate':
            return sessions.get(effect.session)?.answer(effect.sdp);
        case 'candidate':
            return sessions.get(effect.session)?.candidate(effect.candidate);
        case 'show':
            player.show(effect.session);
            view.renderSound(sessions.get(effect.session)?.audible ?? false);
            return;
        case 'close':
            sessions.get(effect.session)?.close();
            sessions.delete(effect.session);
            player.drop(effect.session);
            return;
        case 'bye':
            return signaling?.send(effect.peer, { type: 'bye', reason: effect.reason });
    }
}

function render() {
    const screen = screenOf(state);
    if (screen !== 'live' && screen !== 'reconnecting') {
        player.clear();
    }
    view.render(state, performance.now());
    clearInterval(countdown);
    if (state.retryAt !== null) {
        countdown = setInterval(() => view.render(state, performance.now()), 250);
    }
    void keepAwake(screen === 'live');
}

/**
 * @param {Timer} name
 * @param {number} after milliseconds
 */
function start(name, after) {
    clearTimeout(timers.get(name));
    timers.set(
        name,
        setTimeout(() => dispatch({ type: 'timer', timer: name }), after),
    );
}

/**
 * @param {number} number
 * @param {string} peer
 * @param {string} sdp
 * @param {RTCIceServer[]} iceServers
 */
function answer(number, peer, sdp, iceServers) {
    const session = new Session(number, iceServers, {
        send: (signal) => signaling?.send(peer, signal),
        report: dispatch,
        onStream: (stream) => player.prepare(number, stream),
        onSample: (sample) => sampled(number, sample),
    });
    sessions.set(number, session);
    session.answer(sdp);
}

/**
 * @param {number} session
 * @param {Sample} sample
 */
function sampled(session, sample) {
    if (sample.frames > 0) {
        player.arrived(session);
    }
    if (session !== state.shown?.session) {
        return;
    }
    if (detailsOpen) {
        view.renderFigures(figuresOf(lastSample?.session === session ? lastSample.sample : null, sample));
    }
    lastSample = { session, sample };
}

/**
 * Takes a code, right or wrong.
 * @param {import('./code.js').ParsedCode} parsed
 */
function give(parsed) {
    dispatch(
        parsed.room === undefined
            ? { type: 'wrong-code', problem: parsed.problem }
            : { type: 'code', room: parsed.room },
    );
}

/**
 * Takes the code out of the address bar, so that it stays neither there nor in the history.
 * @returns {boolean} whether there was one
 */
function takeFragment() {
    const { hash, pathname, search } = location;
    if (hash.length <= 1) {
        return false;
    }
    history.replaceState(null, '', pathname + search);
    view.prefill(hash.slice(1));
    give(parseFragment(hash));
    return true;
}

/** @param {string | null} room */
function remember(room) {
    try {
        if (room === null) {
            sessionStorage.removeItem(CODE_KEY);
        } else {
            sessionStorage.setItem(CODE_KEY, room);
        }
    } catch {
        // Storage may be switched off; then a reload asks for the code.
    }
}

/** @returns {string} */
function remembered() {
    try {
        return sessionStorage.getItem(CODE_KEY) ?? '';
    } catch {
        return '';
    }
}

/** @type {WakeLockSentinel | null} */
let awake = null;
let wanted = false;

/**
 * Keeps the screen on while there is a picture to watch.
 * @param {boolean} on
 */
async function keepAwake(on) {
    if (on === wanted) {
        return;
    }
    wanted = on;
    if (!on) {
        await awake?.release();
        awake = null;
        return;
    }
    try {
        const lock = (await navigator.wakeLock?.request('screen')) ?? null;
        if (wanted) {
            awake = lock;
        } else {
            await lock?.release();
        }
    } catch {
        // Refused, for example by a low battery: the picture runs all the same.
    }
}

window.addEventListener('hashchange', takeFragment);
window.addEventListener('online', () => dispatch({ type: 'online' }));
window.addEventListener('pagehide', () => dispatch({ type: 'suspend' }));
window.addEventListener('pageshow', (event) => event.persisted && dispatch({ type: 'resume' }));
document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
        // The lock ended with the last look at the page.
        wanted = false;
        dispatch({ type: 'visible' });
    }
});

if (!takeFragment()) {
    const { room } = parseCode(remembered());
    if (room === undefined) {
        render();
    } else {
        dispatch({ type: 'code', room });
    }
}
