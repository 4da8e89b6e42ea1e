/**
 * What the page knows and what it does next. Pure: `reduce(state, event)` gives the next state and a list of effects,
 * which main.js carries out; no clock, no network, no document.
 *
 * Two things are kept apart, because one outlives the other:
 *
 *     the link (WebSocket)    down -> opening -> joined -> down ...     room.js      comes back by itself, with jitter
 *     the picture (sessions)  coming -> shown -> lost                   picture.js   goes on while the link is down
 *
 * A session stays up while its camera has no picture: absence.js. Then its own screen stands in the picture's place.
 *
 * A camera whose link was broken joins as a new peer, proves itself anew and offers again. The new session is `coming`
 * beside the one that is `shown` and takes its place with its first frame: make before break. What a person sees is
 * derived from both by `screenOf`. Here is what happens at the door: codes, remembered cameras, coming and going.
 */

import { doubtOf, some } from './claimants.js';
import { flowing, pictureState } from './absence.js';
import { bye, candidate, disconnected, connected, offer, picture, sessionFailed, stalled, timer } from './picture.js';
import { cameraJoined, cameraLeft, joined, proven, refused, refuted, rejoin, socketClosed, stop } from './room.js';

/** @import {Access} from './access.js' */
/** @import {Remembered} from './cameras.js' */
/** @import {Claimants} from './claimants.js' */
/** @import {CodeProblem} from './code.js' */
/** @import {ScanProblem} from './scan.js' */
/** @import {SessionEvent} from './session.js' */
/** @import {ByeReason, Candidate, SignalingEvent} from './signaling.js' */

/**
 * The names of the screens; `document.body.dataset.state` carries the current one.
 * @typedef {'unsupported' | 'insecure' | 'misconfigured' | 'cameras' | 'enter-code' | 'wrong-code' | 'scanning'
 *   | 'connecting' | 'waiting' | 'live' | 'paused' | 'no-picture' | 'reconnecting' | 'camera-gone' | 'impostor'
 *   | 'room-full' | 'unreachable' | 'failed'} Screen
 */

/**
 * Why this page can watch nothing, whatever the code: the browser lacks something, the page came by plain HTTP, or
 * whoever hosts it has named a server that is none.
 * @typedef {'unsupported' | 'insecure' | 'misconfigured'} Obstacle
 */

/**
 * One negotiation with one camera. `origin` is what tells a new connection from a new offer on the same one; `absence`
 * is why there is no picture, where the camera has said that there is none.
 * @typedef {{session: number, peer: string, origin: string, connected: boolean, absence: 'paused' | 'lost' | null}} Coming
 */

/**
 * The session that has the screen. `interrupted`: its frames stay away for no reason that the camera has named. `due`:
 * the camera has its picture back, and the first frame of it is awaited.
 * @typedef {Coming & {interrupted: boolean, due: boolean}} Shown
 */

/**
 * @typedef {object} State
 * @property {Obstacle | null} obstacle
 * @property {readonly Remembered[]} list the cameras that this device remembers
 * @property {boolean} forgetful whether this browser cannot remember any
 * @property {boolean} adding whether a code is asked for although there are remembered cameras
 * @property {boolean} scanning
 * @property {ScanProblem | null} scanProblem what came of scanning
 * @property {CodeProblem | null} problem what is wrong with the code that was given
 * @property {Access | null} access to the camera that is watched; the code itself is gone
 * @property {boolean} checked whether the code is known to be free of typing errors
 * @property {boolean} keep whether this camera is to be remembered as soon as it has proven itself
 * @property {'down' | 'opening' | 'joined'} link
 * @property {number} attempt attempts to reach the server that have failed in a row
 * @property {boolean} timedOut whether one of them got no answer at all
 * @property {number | null} retryAt when the next attempt is due, by the page's clock in milliseconds
 * @property {Claimants} claimants who is in the room as a camera; empty while the link is down
 * @property {boolean} resting whether nobody in the room was the camera, so that the page waits to greet everybody anew
 * @property {'silent' | 'impostor' | null} doubt what the room was last found to hold in place of the camera
 * @property {RTCIceServer[]} iceServers
 * @property {Coming | null} coming the session that has neither a picture yet nor a camera known to have none
 * @property {Shown | null} shown the session whose picture, or absence of one, is on the screen
 * @property {number} sessions how many sessions there were, which numbers them
 * @property {boolean} seen whether this code has led to a session with its camera before
 * @property {number} failures sessions in a row that came to nothing
 * @property {'full' | 'mode' | null} refusal why there is no place for this viewer
 * @property {boolean} blocked whether the browser wants a tap before it plays
 */

/** @typedef {'patience' | 'picture' | 'reserve' | 'retry'} Timer */

/**
 * What happens while there is a camera to watch.
 * @typedef {SignalingEvent
 *   | SessionEvent
 *   | {type: 'retry'}
 *   | {type: 'online'}
 *   | {type: 'visible'}
 *   | {type: 'retry-planned', at: number}
 *   | {type: 'timer', timer: Timer}
 *   | {type: 'picture', session: number}
 *   | {type: 'blocked'}
 *   | {type: 'playing'}
 *   | {type: 'resume'}
 *   | {type: 'remember', name: string}} RoomEvent
 */

/**
 * @typedef {RoomEvent
 *   | {type: 'obstacle', obstacle: Obstacle}
 *   | {type: 'cameras', list: readonly Remembered[]}
 *   | {type: 'cannot-remember'}
 *   | {type: 'open', access: Access, checked: boolean, keep: boolean}
 *   | {type: 'wrong-code', problem: CodeProblem}
 *   | {type: 'add'}
 *   | {type: 'leave'}
 *   | {type: 'scan'}
 *   | {type: 'scan-problem', problem: ScanProblem}
 *   | {type: 'scan-over', problem: ScanProblem | null}
 *   | {type: 'suspend'}} Event
 */

/**
 * `bookmark`: the remembered camera that this tab comes back to after a reload. `ask`: for the picture. `rest`:
 * no more frames are sent. `watch`: for the next frame, which is the first after that.
 * @typedef {{do: 'connect', access: Access}
 *   | {do: 'disconnect'}
 *   | {do: 'bookmark', id: string | null}
 *   | {do: 'remember', access: Access, name: string}
 *   | {do: 'scan'}
 *   | {do: 'end-scan'}
 *   | {do: 'plan-retry', attempt: number, shortest: number}
 *   | {do: 'start', timer: Timer, after: number}
 *   | {do: 'stop', timer: Timer}
 *   | {do: 'ask', peer: string}
 *   | {do: 'answer', session: number, peer: string, sdp: string, iceServers: RTCIceServer[]}
 *   | {do: 'renegotiate', session: number, sdp: string}
 *   | {do: 'candidate', session: number, candidate: Candidate}
 *   | {do: 'show', session: number}
 *   | {do: 'rest', session: number}
 *   | {do: 'watch', session: number}
 *   | {do: 'close', session: number}
 *   | {do: 'bye', peer: string, reason: ByeReason}} Effect
 */

/** @typedef {{state: State, effects: Effect[]}} Step */

/**
 * @param {Obstacle | null} [obstacle]
 * @returns {State}
 */
export function initialState(obstacle = null) {
    return {
        obstacle,
        list: [],
        forgetful: false,
        adding: false,
        scanning: false,
        scanProblem: null,
        problem: null,
        access: null,
        checked: false,
        keep: false,
        link: 'down',
        attempt: 0,
        timedOut: false,
        retryAt: null,
        claimants: [],
        resting: false,
        doubt: null,
        iceServers: [],
        coming: null,
        shown: null,
        sessions: 0,
        seen: false,
        failures: 0,
        refusal: null,
        blocked: false,
    };
}

/**
 * The screen that a person sees in a state.
 * @param {State} state
 * @returns {Screen}
 */
export function screenOf(state) {
    if (state.obstacle) {
        return state.obstacle;
    }
    if (state.scanning) {
        return 'scanning';
    }
    if (state.problem) {
        return 'wrong-code';
    }
    if (!state.access) {
        return state.list.length > 0 && !state.adding ? 'cameras' : 'enter-code';
    }
    if (state.shown) {
        const { absence, interrupted } = state.shown;
        return interrupted ? 'reconnecting' : absence === 'lost' ? 'no-picture' : absence ?? 'live';
    }
    if (state.refusal) {
        return 'room-full';
    }
    // Once there was a session, a single failed session is more likely the end of the old network than a wall.
    if (state.failures >= (state.seen ? 2 : 1)) {
        return 'failed';
    }
    if (state.link !== 'joined' && (state.attempt >= 2 || state.timedOut)) {
        return 'unreachable';
    }
    const absent = state.link === 'joined' && !state.coming && !some(state.claimants, 'greeted', 'proven', 'asked', 'spent');
    if (state.doubt === 'impostor') {
        return 'impostor';
    }
    if (state.doubt || absent) {
        return state.seen ? 'camera-gone' : 'waiting';
    }
    return state.seen ? 'reconnecting' : 'connecting';
}

/**
 * The entry of the list that is the camera being watched.
 * @param {State} state
 * @returns {Remembered | null}
 */
export function entryOf({ list, access }) {
    return list.find((entry) => entry.access.room === access?.room) ?? null;
}

/**
 * @param {State} state
 * @param {Event} event
 * @returns {Step}
 */
export function reduce(state, event) {
    if (state.obstacle) {
        return { state, effects: [] };
    }
    switch (event.type) {
        case 'obstacle':
            return leave(state, { obstacle: event.obstacle });
        case 'cameras':
            return listed(state, event.list);
        case 'cannot-remember':
            return { state: { ...state, forgetful: true }, effects: [] };
        case 'open':
            return enter(state, event);
        case 'wrong-code':
            return leave(state, { problem: event.problem, adding: true });
        case 'add':
            return leave(state, { adding: true });
        case 'leave':
            return leave(state, {});
        case 'scan':
            return state.access || state.scanning
                ? { state, effects: [] }
                : { state: { ...state, scanning: true, scanProblem: null }, effects: [{ do: 'scan' }] };
        case 'scan-problem':
            return { state: state.scanning ? { ...state, scanProblem: event.problem } : state, effects: [] };
        case 'scan-over':
            return scanOver(state, event.problem);
        case 'suspend':
            return suspend(state);
        default:
            return state.access === null ? { state, effects: [] } : judged(inRoom(state, state.access, event));
    }
}

/**
 * Everything that can happen while there is a camera to watch.
 * @param {State} state
 * @param {Access} access
 * @param {RoomEvent} event
 * @returns {Step}
 */
function inRoom(state, access, event) {
    switch (event.type) {
        case 'joined':
            return joined(state, event.cameras, event.iceServers);
        case 'camera-joined':
            return cameraJoined(state, event.peer);
        case 'camera-left':
            return cameraLeft(state, event.peer);
        case 'camera-proven':
            return proven(state, event.peer);
        case 'camera-refuted':
            return refuted(state, event.peer);
        case 'offer':
            return offer(state, event.peer, event.sdp);
        case 'candidate':
            return candidate(state, event.peer, event.candidate);
        case 'bye':
            return bye(state, event.peer, event.reason);
        case 'picture-state':
            return pictureState(state, event.peer, event.picture);
        case 'refused':
            return refused(state, event.code);
        case 'socket-closed':
            return socketClosed(state, event.timedOut);
        case 'retry':
            // A person asked: whatever was refused or failed gets a fresh start.
            return rejoin({ ...state, attempt: 0, timedOut: false, failures: 0, refusal: null, doubt: null });
        case 'resume':
            return rejoin(state);
        case 'online':
            // The network has changed under an open WebSocket as well; it may take minutes to notice that it is dead.
            return rejoin(state);
        case 'visible':
            return state.link === 'down' || state.shown?.interrupted ? rejoin(state) : { state, effects: [] };
        case 'retry-planned':
            return { state: { ...state, retryAt: event.at }, effects: [] };
        case 'timer':
            return timer(state, event.timer);
        case 'picture':
            return picture(state, event.session);
        case 'connected':
            return connected(state, event.session);
        case 'disconnected':
            return disconnected(state, event.session);
        case 'failed':
            return sessionFailed(state, event.session);
        case 'stalled':
            return stalled(state, event.session, event.seconds);
        case 'flowing':
            return flowing(state, event.session);
        case 'blocked':
            return { state: { ...state, blocked: true }, effects: [] };
        case 'playing':
            return { state: { ...state, blocked: false }, effects: [] };
        case 'remember':
            return { state, effects: [{ do: 'remember', access, name: event.name }] };
        default:
            return { state, effects: [] };
    }
}

/**
 * What the room holds in place of the camera is found again after every event, and said until something better is
 * known: while somebody in it may yet turn out to be the camera, and while the way back into it is under way.
 * @param {Step} step
 * @returns {Step}
 */
function judged({ state, effects }) {
    const found = some(state.claimants, 'proven', 'asked', 'stopped', 'spent');
    const open = state.link !== 'joined' || (some(state.claimants, 'greeted') && !found);
    const doubt = open ? state.doubt : doubtOf(state.claimants);
    return { state: doubt === state.doubt ? state : { ...state, doubt }, effects };
}

/**
 * @param {State} state
 * @param {readonly Remembered[]} list
 * @returns {Step}
 */
function listed(state, list) {
    const next = { ...state, list };
    return { state: next, effects: state.access ? [{ do: 'bookmark', id: entryOf(next)?.id ?? null }] : [] };
}

/**
 * @param {State} state
 * @param {ScanProblem | null} problem
 * @returns {Step}
 */
function scanOver(state, problem) {
    return state.scanning
        ? { state: { ...state, scanning: false, scanProblem: problem }, effects: [{ do: 'end-scan' }] }
        : { state, effects: [] };
}

/**
 * Everything that belongs to the present sessions and the present link comes to its end.
 * @param {State} state
 * @returns {Step}
 */
function suspend(state) {
    const open = [state.coming, state.shown].filter((session) => session !== null);
    const timers = /** @type {Timer[]} */ (['patience', 'picture', 'reserve', 'retry']);
    const scan = scanOver(state, null);
    return {
        state: { ...scan.state, link: 'down', retryAt: null, claimants: [], coming: null, shown: null, blocked: false },
        effects: [
            ...scan.effects,
            ...timers.map((name) => stop(name)),
            ...open.flatMap(({ session, peer }) => /** @type {Effect[]} */ ([
                { do: 'bye', peer, reason: 'left' },
                { do: 'close', session },
            ])),
            { do: 'disconnect' },
        ],
    };
}

/**
 * What outlives a camera.
 * @param {State} state
 * @returns {State}
 */
function fresh({ list, forgetful, sessions }) {
    return { ...initialState(), list, forgetful, sessions };
}

/**
 * @param {State} state
 * @param {Partial<State>} next where it leads
 * @returns {Step}
 */
function leave(state, next) {
    const { effects } = suspend(state);
    return { state: { ...fresh(state), ...next }, effects: [...effects, { do: 'bookmark', id: null }] };
}

/**
 * @param {State} state
 * @param {{access: Access, checked: boolean, keep: boolean}} camera
 * @returns {Step}
 */
function enter(state, { access, checked, keep }) {
    const { effects } = suspend(state);
    /** @type {State} */
    const next = { ...fresh(state), access, checked, link: 'opening' };
    const known = entryOf(next);
    // A code that may hold a typing error is remembered when a camera has proven that it does not.
    next.keep = keep && !known && !checked;
    return {
        state: next,
        effects: [
            ...effects,
            { do: 'bookmark', id: known?.id ?? null },
            { do: 'connect', access },
            ...(keep && !known && checked ? [/** @type {Effect} */ ({ do: 'remember', access, name: '' })] : []),
        ],
    };
}
