/**
 * Wires the page together: events go into the state machine, its effects come out and are carried out here.
 *
 *     address bar, form, scanner, buttons ┐                          ┌ signaling.js  WebSocket, sealed
 *     WebSocket, connections              ├> state.js reduce ─effects─┼ session.js    RTCPeerConnection
 *     timers, browser, remembered cameras ┘        └─state─> view.js ├ player.js     <video>
 *                                                                    ├ cameras.js    IndexedDB
 *                                                                    └ scan.js       this device's camera
 *
 * A code is turned into access to its camera at once and is gone then: no code is kept anywhere.
 */

import { supported } from './access.js';
import { backoff } from './backoff.js';
import { all, forget, freeName, remember, rename, tidyName } from './cameras.js';
import { HEX_DIGITS, digitCount, parseCode, parseFragment } from './code.js';
import { Player } from './player.js';
import { Reading } from './reading.js';
import { Scan, scannable } from './scan.js';
import { serverUrl } from './server.js';
import { Session } from './session.js';
import { Signaling } from './signaling.js';
import { initialState, reduce, screenOf } from './state.js';
import { figuresOf } from './stats.js';
import { chooseLanguage } from './strings.js';
import { View } from './view.js';

/** @import {Effect, Event, Obstacle, Timer} from './state.js' */
/** @import {Sample} from './stats.js' */
/** @import {Action} from './view.js' */

/**
 * Which remembered camera this tab is on, so that a reload comes back to it. The id opens nothing: where the camera is
 * not remembered, nothing of it is kept, and a reload asks for the code.
 */
const CAMERA_KEY = 'roomcam.camera';
/** How long the list of remembered cameras may take before the page shows itself without, in milliseconds. */
const LIST_MS = 1000;

const named = document.querySelector('meta[name="roomcam-server"]')?.getAttribute('content') ?? '';
const server = serverUrl(named, location);
const { language, words } = chooseLanguage(navigator.languages ?? [navigator.language]);

let state = initialState(obstacle());
/** @type {Event[]} */
const queue = [];
/** @type {Signaling | null} */
let signaling = null;
/** @type {Scan | null} */
let scan = null;
/** @type {Map<number, Session>} */
const sessions = new Map();
/** @type {Map<Timer, ReturnType<typeof setTimeout>>} */
const timers = new Map();
/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;
/** @type {{session: number, sample: Sample} | null} */
let lastSample = null;
let detailsOpen = false;
const reading = new Reading(dispatch);

const view = new View(language, words, {
    onCode: typed,
    onScan: () => dispatch({ type: 'scan' }),
    onOpen: open,
    onRename: (id, name) => change(rename(id, tidyName(name) || nameFor())),
    onForget: (id) => change(forget(id)),
    onRemember: (name) => dispatch({ type: 'remember', name }),
    onAction: act,
    onPlay: () => player.play(),
    onDetails: (shown) => {
        detailsOpen = shown;
    },
});

const player = new Player(view.video, {
    onPicture: (session) => dispatch({ type: 'picture', session }),
    onBlocked: () => dispatch({ type: 'blocked' }),
    onPlaying: () => dispatch({ type: 'playing' }),
});

/**
 * What is known at once to stand in the way.
 * @returns {Obstacle | null}
 */
function obstacle() {
    if (server === null) {
        console.error('<meta name="roomcam-server"> has to be empty or the wss:// address of a signaling server');
        return 'misconfigured';
    }
    if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) {
        return 'insecure';
    }
    return 'RTCPeerConnection' in globalThis && 'WebSocket' in globalThis ? null : 'unsupported';
}

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
            signaling = new Signaling(server ?? '', effect.access, dispatch);
            return;
        case 'disconnect':
            signaling?.close();
            signaling = null;
            return;
        case 'bookmark':
            return bookmark(effect.id);
        case 'remember':
            return change(remember(effect.access, tidyName(effect.name) || nameFor()));
        case 'scan':
            scan = new Scan(view.start.viewfinder, {
                onText: (text) => void reading.scan(text, view.start.keep),
                onOver: (problem) => dispatch({ type: 'scan-over', problem }),
            });
            return;
        case 'end-scan':
            reading.dropScan();
            scan?.stop();
            scan = null;
            return;
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
        case 'ask':
            return signaling?.send(effect.peer, { type: 'start' });
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
        case 'rest':
            return sessions.get(effect.session)?.rest();
        case 'watch':
            return sessions.get(effect.session)?.watch();
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
 * @param {string} text
 * @param {boolean} keep
 */
function typed(text, keep) {
    const unchecked = !text.includes('#') && digitCount(text) === HEX_DIGITS;
    void reading.give(parseCode(text), { checked: !unchecked, keep });
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
    if (!state.obstacle) {
        void reading.give(prefilled(hash), { checked: true, keep: false });
    }
    return true;
}

/**
 * Reads a fragment; one that is wrong goes into the field, where it can be corrected.
 * @param {string} hash
 */
async function prefilled(hash) {
    const parsed = await parseFragment(hash);
    if (parsed.problem) {
        view.start.prefill(hash.slice(1));
    }
    return parsed;
}

/** @param {Action} action */
function act(action) {
    if (action !== 'retry') {
        reading.drop();
    }
    dispatch(action === 'cancel' ? { type: 'scan-over', problem: null } : { type: action });
}

/** @param {string} id of a remembered camera */
function open(id) {
    const entry = state.list.find((remembered) => remembered.id === id);
    if (entry) {
        reading.drop();
        dispatch({ type: 'open', access: entry.access, checked: true, keep: false });
    }
    return entry !== undefined;
}

function nameFor() {
    return freeName(state.list, words['camera.name']);
}

/**
 * Waits for a change of the remembered cameras and shows what has come of it.
 * @param {Promise<unknown>} changing
 */
async function change(changing) {
    try {
        await changing;
    } catch (error) {
        console.warn('This browser does not store cameras:', error);
        dispatch({ type: 'cannot-remember' });
    }
    await refresh();
}

async function refresh() {
    try {
        dispatch({ type: 'cameras', list: await all() });
    } catch {
        dispatch({ type: 'cannot-remember' });
    }
}

/** @param {string | null} id */
function bookmark(id) {
    try {
        if (id === null) {
            sessionStorage.removeItem(CAMERA_KEY);
        } else {
            sessionStorage.setItem(CAMERA_KEY, id);
        }
    } catch {
        // Storage may be switched off; then a reload asks for the camera.
    }
}

/** @returns {string} */
function bookmarked() {
    try {
        return sessionStorage.getItem(CAMERA_KEY) ?? '';
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

/** Shows what there is to begin with: the camera of the link or of this tab, the list of cameras, or the form. */
async function begin() {
    const linked = takeFragment();
    if (state.obstacle) {
        return render();
    }
    void supported().then((able) => able || dispatch({ type: 'obstacle', obstacle: 'unsupported' }));
    void scannable().then((able) => able && view.start.offerScan());
    const listed = refresh();
    if (!linked) {
        const id = bookmarked();
        await Promise.race([listed, new Promise((resolve) => setTimeout(resolve, LIST_MS))]);
        if (!reading.begun && !open(id)) {
            render();
        }
    }
}

window.addEventListener('hashchange', takeFragment);
window.addEventListener('online', () => dispatch({ type: 'online' }));
window.addEventListener('pagehide', () => dispatch({ type: 'suspend' }));
window.addEventListener('pageshow', (event) => event.persisted && dispatch({ type: 'resume' }));
document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
        dispatch({ type: 'scan-over', problem: null });
    } else {
        // The lock ended with the last look at the page.
        wanted = false;
        dispatch({ type: 'visible' });
        // Another tab may have changed it.
        void refresh();
    }
});

void begin();
