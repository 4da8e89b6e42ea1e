/**
 * What the page knows and what it does next. Pure: `reduce(state, event)` gives the next state and a list of effects,
 * which main.js carries out; no clock, no network, no document.
 *
 * Two things are kept apart, because one outlives the other:
 *
 *     the link (WebSocket)    down -> opening -> joined -> down ...     comes back by itself, with jitter
 *     the picture (sessions)  coming -> shown -> lost                   goes on while the link is down
 *
 * A camera whose link was broken joins as a new peer and offers again. The new session is `coming` beside the one that
 * is `shown` and takes its place with its first frame: make before break. What a person sees is derived from both by
 * `screenOf`.
 */

/** @import {CodeProblem} from './code.js' */
/** @import {ByeReason, Candidate, SignalingEvent} from './signaling.js' */

/** How long a connection may be `disconnected` before the picture counts as interrupted, in milliseconds. */
export const PATIENCE_MS = 3000;
/** How long no frame may arrive before the picture counts as interrupted, in seconds. */
export const STALL_S = 5;
/** The same when the camera has left the room: then nothing is expected any more. */
export const STALL_WITHOUT_CAMERA_S = 2;
/** How long a camera in the room may take from its last sign to its first frame, in milliseconds. */
export const PICTURE_MS = 15_000;
/** How long an interrupted picture may take to go on before the page joins anew, in milliseconds. */
export const INTERRUPTED_MS = 5000;
/** How long a camera that said that it stops may stay in the room before it is asked again, in milliseconds. */
export const STOPPED_MS = 30_000;
/** Least wait after a refusal or a failed session, in milliseconds. */
export const REFUSED_MS = 5000;
/** More cameras than a room can have are not remembered. */
const CAMERAS = 16;

/**
 * The names of the screens; `document.body.dataset.state` carries the current one.
 * @typedef {'unsupported' | 'enter-code' | 'wrong-code' | 'connecting' | 'waiting' | 'live' | 'reconnecting'
 *   | 'camera-gone' | 'room-full' | 'unreachable' | 'failed'} Screen
 */

/**
 * A camera in the room. `stopped`: it has said bye. `declined`: its offer was not taken, since another camera's was.
 * @typedef {{peer: string, stopped: boolean, declined: boolean}} Camera
 */

/**
 * One negotiation with one camera. `origin` is what tells a new connection from a new offer on the same one.
 * @typedef {{session: number, peer: string, origin: string}} Coming
 */

/** @typedef {Coming & {interrupted: boolean}} Shown */

/**
 * @typedef {object} State
 * @property {boolean} supported whether this browser has WebRTC and WebSocket
 * @property {string | null} room the room id, 64 hex digits
 * @property {CodeProblem | null} problem what is wrong with the code that was given
 * @property {'down' | 'opening' | 'joined'} link
 * @property {number} attempt attempts to reach the server that have failed in a row
 * @property {boolean} timedOut whether one of them got no answer at all
 * @property {number | null} retryAt when the next attempt is due, by the page's clock in milliseconds
 * @property {Camera[]} cameras who is in the room; empty while the link is down
 * @property {RTCIceServer[]} iceServers
 * @property {Coming | null} coming the session that has no picture yet
 * @property {Shown | null} shown the session whose picture is on the screen
 * @property {number} sessions how many sessions there were, which numbers them
 * @property {boolean} seen whether this code has shown a picture before
 * @property {number} failures sessions in a row that came to nothing
 * @property {'full' | 'mode' | null} refusal why there is no place for this viewer
 * @property {boolean} blocked whether the browser wants a tap before it plays
 */

/** @typedef {'patience' | 'picture' | 'retry'} Timer */

/**
 * @typedef {SignalingEvent
 *   | {type: 'code', room: string}
 *   | {type: 'wrong-code', problem: CodeProblem}
 *   | {type: 'forget'}
 *   | {type: 'retry'}
 *   | {type: 'online'}
 *   | {type: 'visible'}
 *   | {type: 'retry-planned', at: number}
 *   | {type: 'timer', timer: Timer}
 *   | {type: 'picture', session: number}
 *   | {type: 'connected', session: number}
 *   | {type: 'disconnected', session: number}
 *   | {type: 'failed', session: number}
 *   | {type: 'stalled', session: number, seconds: number}
 *   | {type: 'flowing', session: number}
 *   | {type: 'blocked'}
 *   | {type: 'playing'}
 *   | {type: 'suspend'}
 *   | {type: 'resume'}} Event
 */

/**
 * @typedef {{do: 'connect', room: string}
 *   | {do: 'disconnect'}
 *   | {do: 'remember', room: string}
 *   | {do: 'forget'}
 *   | {do: 'plan-retry', attempt: number, shortest: number}
 *   | {do: 'start', timer: Timer, after: number}
 *   | {do: 'stop', timer: Timer}
 *   | {do: 'answer', session: number, peer: string, sdp: string, iceServers: RTCIceServer[]}
 *   | {do: 'renegotiate', session: number, sdp: string}
 *   | {do: 'candidate', session: number, candidate: Candidate}
 *   | {do: 'show', session: number}
 *   | {do: 'close', session: number}
 *   | {do: 'bye', peer: string, reason: ByeReason}} Effect
 */

/** @typedef {{state: State, effects: Effect[]}} Step */

/**
 * @param {boolean} supported
 * @returns {State}
 */
export function initialState(supported) {
    return {
        supported,
        room: null,
        problem: null,
        link: 'down',
        attempt: 0,
        timedOut: false,
        retryAt: null,
        cameras: [],
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
    if (!state.supported) {
        return 'unsupported';
    }
    if (state.problem) {
        return 'wrong-code';
    }
    if (!state.room) {
        return 'enter-code';
    }
    if (state.shown) {
        return state.shown.interrupted ? 'reconnecting' : 'live';
    }
    if (state.refusal) {
        return 'room-full';
    }
    // Once there was a picture, a single failed session is more likely the end of the old network than a wall.
    if (state.failures >= (state.seen ? 2 : 1)) {
        return 'failed';
    }
    if (state.link !== 'joined') {
        if (state.attempt >= 2 || state.timedOut) {
            return 'unreachable';
        }
    } else if (!state.coming && !state.cameras.some((camera) => !camera.stopped)) {
        return state.seen ? 'camera-gone' : 'waiting';
    }
    return state.seen ? 'reconnecting' : 'connecting';
}

/**
 * The identity of the peer connection behind an offer: the session id in its `o=` line, which stays the same for every
 * later offer of that connection and is random for another (RFC 9429 §5.2.1 and §5.2.2).
 * @param {string} sdp
 * @returns {string}
 */
export function originOf(sdp) {
    return /^o=\S+ (\S+)/mu.exec(sdp)?.[1] ?? '';
}

/**
 * @param {State} state
 * @param {Event} event
 * @returns {Step}
 */
export function reduce(state, event) {
    if (!state.supported) {
        return { state, effects: [] };
    }
    switch (event.type) {
        case 'code':
            return enter(state, event.room);
        case 'wrong-code':
            return leave({ ...state, problem: event.problem });
        case 'forget':
            return leave({ ...state, problem: null });
        case 'suspend':
            return suspend(state);
        default:
            return state.room === null ? { state, effects: [] } : inRoom(state, event);
    }
}

/**
 * Everything that can happen while there is a code.
 * @param {State} state
 * @param {Exclude<Event, {type: 'code' | 'wrong-code' | 'forget' | 'suspend'}>} event
 * @returns {Step}
 */
function inRoom(state, event) {
    switch (event.type) {
        case 'hello':
            return { state, effects: [] };
        case 'joined':
            return joined(state, event.cameras, event.iceServers);
        case 'camera-joined':
            return cameraJoined(state, event.peer);
        case 'camera-left':
            return cameraLeft(state, event.peer);
        case 'offer':
            return offer(state, event.peer, event.sdp);
        case 'candidate':
            return candidate(state, event.peer, event.candidate);
        case 'bye':
            return bye(state, event.peer, event.reason);
        case 'refused':
            return refused(state, event.code);
        case 'socket-closed':
            return socketClosed(state, event.timedOut);
        case 'retry':
            // A person asked: whatever was refused or failed gets a fresh start.
            return rejoin({ ...state, attempt: 0, timedOut: false, failures: 0, refusal: null });
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
            return event.session === state.shown?.session
                ? { state, effects: [{ do: 'stop', timer: 'patience' }] }
                : { state, effects: [] };
        case 'disconnected':
            return event.session === state.shown?.session
                ? { state, effects: [{ do: 'start', timer: 'patience', after: PATIENCE_MS }] }
                : { state, effects: [] };
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
        default:
            return { state, effects: [] };
    }
}

/**
 * Everything that belongs to the present sessions and the present link comes to its end.
 * @param {State} state
 * @returns {Step}
 */
function suspend(state) {
    const open = [state.coming, state.shown].filter((session) => session !== null);
    return {
        state: { ...state, link: 'down', retryAt: null, cameras: [], coming: null, shown: null, blocked: false },
        effects: [
            .../** @type {Timer[]} */ (['patience', 'picture', 'retry']).map((name) => stop(name)),
            ...open.flatMap(({ session, peer }) => /** @type {Effect[]} */ ([
                { do: 'bye', peer, reason: 'left' },
                { do: 'close', session },
            ])),
            { do: 'disconnect' },
        ],
    };
}

/**
 * @param {State} state
 * @returns {Step}
 */
function leave(state) {
    const { effects } = suspend(state);
    return {
        state: { ...initialState(true), problem: state.problem, sessions: state.sessions },
        effects: [...effects, { do: 'forget' }],
    };
}

/**
 * @param {State} state
 * @param {string} room
 * @returns {Step}
 */
function enter(state, room) {
    const { effects } = suspend(state);
    return {
        state: { ...initialState(true), room, link: 'opening', sessions: state.sessions },
        effects: [...effects, { do: 'remember', room }, { do: 'connect', room }],
    };
}

/**
 * Leaves the room and joins it again, at once; for the camera that is a new viewer, to whom it offers.
 * @param {State} state
 * @returns {Step}
 */
function rejoin(state) {
    if (!state.room) {
        return { state, effects: [] };
    }
    return {
        state: { ...state, link: 'opening', retryAt: null, cameras: [], coming: null },
        effects: [
            ...closing(state.coming),
            stop('retry'),
            stop('picture'),
            { do: 'disconnect' },
            { do: 'connect', room: state.room },
        ],
    };
}

/**
 * Goes back to the server. A session that is under way goes on: once descriptions are exchanged it may well get its
 * picture without the server.
 * @param {State} state
 * @returns {Step}
 */
function reconnect(state) {
    return state.room && state.link === 'down'
        ? { state: { ...state, link: 'opening', retryAt: null }, effects: [{ do: 'connect', room: state.room }] }
        : { state, effects: [] };
}

/**
 * Leaves the room and comes back after a while.
 * @param {State} state
 * @param {number} attempt
 * @returns {Step}
 */
function pause(state, attempt) {
    return {
        state: { ...state, link: 'down', retryAt: null, cameras: [], coming: null },
        effects: [
            ...closing(state.coming),
            stop('picture'),
            { do: 'disconnect' },
            { do: 'plan-retry', attempt, shortest: REFUSED_MS },
        ],
    };
}

/**
 * @param {Timer} name
 * @returns {Effect}
 */
function stop(name) {
    return { do: 'stop', timer: name };
}

/**
 * @param {number} after
 * @returns {Effect}
 */
function expectPicture(after = PICTURE_MS) {
    return { do: 'start', timer: 'picture', after };
}

/**
 * @param {Coming | null} session
 * @returns {Effect[]}
 */
function closing(session) {
    return session ? [{ do: 'close', session: session.session }] : [];
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Camera | undefined}
 */
function cameraOf(state, peer) {
    return state.cameras.find((camera) => camera.peer === peer);
}

/**
 * @param {State} state
 * @param {string[]} peers
 * @param {RTCIceServer[]} iceServers
 * @returns {Step}
 */
function joined(state, peers, iceServers) {
    const cameras = [...new Set(peers)].slice(0, CAMERAS).map((peer) => ({ peer, stopped: false, declined: false }));
    /** @type {State} */
    const next = { ...state, link: 'joined', attempt: 0, timedOut: false, retryAt: null, cameras, iceServers };
    if (cameras.length === 0) {
        return emptied({ ...next, refusal: null });
    }
    // A picture that still runs needs no other; without one, an offer is due.
    return { state: next, effects: next.shown && !next.shown.interrupted ? [] : [expectPicture()] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
function cameraJoined(state, peer) {
    if (state.link !== 'joined' || cameraOf(state, peer) || state.cameras.length >= CAMERAS) {
        return { state, effects: [] };
    }
    const cameras = [...state.cameras, { peer, stopped: false, declined: false }];
    const served = state.coming !== null || (state.shown !== null && !state.shown.interrupted);
    return { state: { ...state, cameras }, effects: served ? [] : [expectPicture()] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
function cameraLeft(state, peer) {
    const cameras = state.cameras.filter((camera) => camera.peer !== peer);
    const next = { ...state, cameras };
    if (state.coming?.peer === peer) {
        const lost = afterLoss({ ...next, coming: null });
        return { state: lost.state, effects: [...closing(state.coming), ...lost.effects] };
    }
    // What still flows is still shown: the camera may only have lost its link to the server.
    if (state.shown?.peer === peer && state.shown.interrupted) {
        return dropShown(next);
    }
    return cameras.length === 0 ? emptied(next) : { state: next, effects: [] };
}

/**
 * No camera is there: nothing is due and nothing has failed.
 * @param {State} state
 * @returns {Step}
 */
function emptied(state) {
    if (state.shown?.interrupted) {
        return dropShown(state);
    }
    return { state: { ...state, failures: 0 }, effects: [stop('picture')] };
}

/**
 * The picture on the screen is over.
 * @param {State} state
 * @returns {Step}
 */
function dropShown(state) {
    const lost = afterLoss({ ...state, shown: null, blocked: false });
    return { state: lost.state, effects: [...closing(state.shown), stop('patience'), ...lost.effects] };
}

/**
 * A session is gone: is there another way to a picture?
 * @param {State} state
 * @returns {Step}
 */
function afterLoss(state) {
    if (state.coming || state.shown || state.link !== 'joined') {
        return { state, effects: [] };
    }
    const present = state.cameras.filter((camera) => !camera.stopped);
    // It has offered before and will do so again only to a viewer that is new to it.
    if (present.some((camera) => camera.declined)) {
        return rejoin(state);
    }
    if (present.length > 0) {
        return { state, effects: [expectPicture()] };
    }
    return state.cameras.length > 0
        ? { state: { ...state, failures: 0 }, effects: [expectPicture(STOPPED_MS)] }
        : emptied(state);
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {string} sdp
 * @returns {Step}
 */
function offer(state, peer, sdp) {
    if (state.link !== 'joined') {
        return { state, effects: [] };
    }
    const origin = originOf(sdp);
    const known = [state.coming, state.shown].find((session) => session?.peer === peer && session.origin === origin);
    if (known && origin !== '') {
        return { state, effects: [{ do: 'renegotiate', session: known.session, sdp }] };
    }
    const served = [state.coming, state.shown?.interrupted ? null : state.shown];
    const other = served.some((session) => session && session.peer !== peer && cameraOf(state, session.peer));
    const cameras = state.cameras.map((camera) =>
        camera.peer === peer ? { ...camera, stopped: false, declined: other } : camera,
    );
    if (other) {
        return { state: { ...state, cameras }, effects: [] };
    }
    const session = state.sessions + 1;
    return {
        state: { ...state, cameras, sessions: session, coming: { session, peer, origin }, refusal: null },
        effects: [
            ...closing(state.coming),
            { do: 'answer', session, peer, sdp, iceServers: state.iceServers },
            expectPicture(),
        ],
    };
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {Candidate} value
 * @returns {Step}
 */
function candidate(state, peer, value) {
    const session = [state.coming, state.shown].find((open) => open?.peer === peer)?.session;
    return { state, effects: session === undefined ? [] : [{ do: 'candidate', session, candidate: value }] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {ByeReason} reason
 * @returns {Step}
 */
function bye(state, peer, reason) {
    const camera = cameraOf(state, peer);
    if (!camera) {
        return { state, effects: [] };
    }
    const coming = state.coming?.peer === peer ? state.coming : null;
    // With a new session under way, a bye belongs to that one and not to the picture that it would have replaced.
    const shown = !coming && state.shown?.peer === peer ? state.shown : null;
    const effects = [...closing(coming), ...closing(shown), ...(shown ? [stop('patience')] : [])];
    /** @type {State} */
    const next = {
        ...state,
        coming: coming ? null : state.coming,
        shown: shown ? null : state.shown,
        blocked: shown ? false : state.blocked,
        cameras: state.cameras.map((entry) => (entry === camera ? { ...entry, stopped: true } : entry)),
    };
    if (next.shown || next.coming) {
        return { state: next, effects };
    }
    /** @type {Step} */
    let step;
    if (reason === 'busy') {
        step = pause({ ...next, refusal: 'full' }, 1);
    } else if (reason === 'failed') {
        step = pause({ ...next, failures: state.failures + 1 }, state.failures + 1);
    } else {
        step = afterLoss(next);
    }
    return { state: step.state, effects: [...effects, ...step.effects] };
}

/**
 * @param {State} state
 * @param {string} code
 * @returns {Step}
 */
function refused(state, code) {
    // The server closes after an error; what follows is decided when it has.
    const refusal = code === 'ROOM_FULL' ? 'full' : code === 'ROOM_MODE' ? 'mode' : state.refusal;
    return { state: { ...state, refusal }, effects: [] };
}

/**
 * @param {State} state
 * @param {boolean} timedOut
 * @returns {Step}
 */
function socketClosed(state, timedOut) {
    const attempt = state.attempt + 1;
    return {
        state: { ...state, link: 'down', attempt, timedOut: state.timedOut || timedOut, retryAt: null, cameras: [] },
        effects: [{ do: 'plan-retry', attempt, shortest: state.refusal ? REFUSED_MS : 0 }],
    };
}

/**
 * @param {State} state
 * @param {Timer} name
 * @returns {Step}
 */
function timer(state, name) {
    if (name === 'retry') {
        return reconnect(state);
    }
    if (name === 'patience') {
        return interrupted(state);
    }
    if (state.coming) {
        return sessionFailed(state, state.coming.session);
    }
    if (state.shown && !state.shown.interrupted) {
        return { state, effects: [] };
    }
    // Neither an offer nor a frame came: begin again, as a new viewer. A picture that was lost is no failed session yet.
    const dropped = { ...state, shown: null, blocked: false, failures: state.failures + (state.shown ? 0 : 1) };
    const again = state.link === 'joined' ? rejoin(dropped) : { state: dropped, effects: [] };
    return { state: again.state, effects: [...closing(state.shown), ...again.effects] };
}

/**
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
function picture(state, session) {
    if (state.coming?.session !== session) {
        return { state, effects: [] };
    }
    return {
        state: { ...state, coming: null, shown: { ...state.coming, interrupted: false }, seen: true, failures: 0 },
        effects: [stop('picture'), stop('patience'), { do: 'show', session }, ...closing(state.shown)],
    };
}

/**
 * The picture has stopped, and it may go on.
 * @param {State} state
 * @returns {Step}
 */
function interrupted(state) {
    if (!state.shown || state.shown.interrupted) {
        return { state, effects: [] };
    }
    if (state.link === 'joined' && !cameraOf(state, state.shown.peer)) {
        return dropShown(state);
    }
    return {
        state: { ...state, shown: { ...state.shown, interrupted: true } },
        effects: state.coming ? [] : [expectPicture(INTERRUPTED_MS)],
    };
}

/**
 * @param {State} state
 * @param {number} session
 * @param {number} seconds
 * @returns {Step}
 */
function stalled(state, session, seconds) {
    if (state.shown?.session !== session) {
        return { state, effects: [] };
    }
    const gone = state.link === 'joined' && !cameraOf(state, state.shown.peer);
    return seconds >= (gone ? STALL_WITHOUT_CAMERA_S : STALL_S) ? interrupted(state) : { state, effects: [] };
}

/**
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
function flowing(state, session) {
    if (state.shown?.session !== session || !state.shown.interrupted) {
        return { state, effects: [] };
    }
    return {
        state: { ...state, shown: { ...state.shown, interrupted: false } },
        effects: state.coming ? [] : [stop('picture')],
    };
}

/**
 * A connection has failed for good.
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
function sessionFailed(state, session) {
    if (state.shown?.session === session) {
        if (state.coming || state.link !== 'joined') {
            const lost = { ...state, shown: null, blocked: false };
            return { state: lost, effects: [...closing(state.shown), stop('patience')] };
        }
        if (state.cameras.length === 0) {
            return dropShown(state);
        }
        const again = rejoin({ ...state, shown: null, blocked: false });
        return { state: again.state, effects: [...closing(state.shown), stop('patience'), ...again.effects] };
    }
    if (!state.coming || state.coming.session !== session) {
        return { state, effects: [] };
    }
    /** @type {Effect} */
    const farewell = { do: 'bye', peer: state.coming.peer, reason: 'failed' };
    const failures = state.failures + 1;
    if (state.shown && !state.shown.interrupted) {
        return { state: { ...state, coming: null, failures }, effects: [farewell, ...closing(state.coming)] };
    }
    if (state.link !== 'joined') {
        // The way back to the server is under way already.
        return { state: { ...state, coming: null, failures }, effects: closing(state.coming) };
    }
    const paused = pause({ ...state, failures }, failures);
    return { state: paused.state, effects: [farewell, ...paused.effects] };
}
