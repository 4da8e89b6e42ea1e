/**
 * The sessions and their picture: the part of state.js that follows negotiations from the offer to the last frame.
 */

import { allMoved, moved, reserve, some, stageOf } from './claimants.js';
import {
    PICTURE_MS,
    after,
    afterLoss,
    ask,
    awaitNothing,
    closing,
    dropShown,
    expect,
    pause,
    reconnect,
    rejoin,
    reserveExpired,
    served,
    settled,
    stop,
} from './room.js';

/** @import {ByeReason, Candidate} from './signaling.js' */
/** @import {Coming, Effect, State, Step, Timer} from './state.js' */

/** How long a connection may be `disconnected` before the picture counts as interrupted, in milliseconds. */
export const PATIENCE_MS = 3000;
/** How long no frame may arrive before the picture counts as interrupted, in seconds. */
export const STALL_S = 5;
/** The same when the camera has left the room: then nothing is expected any more. */
export const STALL_WITHOUT_CAMERA_S = 2;
/** How long an interrupted picture may take to go on before the page joins anew, in milliseconds. */
export const INTERRUPTED_MS = 5000;

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
 * @param {string} peer
 * @param {string} sdp
 * @returns {Step}
 */
export function offer(state, peer, sdp) {
    const stage = stageOf(state.claimants, peer);
    if (state.link !== 'joined' || (stage !== 'asked' && stage !== 'stopped')) {
        return { state, effects: [] };
    }
    const origin = originOf(sdp);
    const known = [state.coming, state.shown].find((session) => session?.peer === peer && session.origin === origin);
    if (known && origin !== '') {
        return { state, effects: [{ do: 'renegotiate', session: known.session, sdp }] };
    }
    if (served(state, peer)) {
        return { state: { ...state, claimants: moved(state.claimants, peer, 'spent') }, effects: [] };
    }
    const claimants = moved(state.claimants, peer, 'asked');
    const session = state.sessions + 1;
    const coming = { session, peer, origin, connected: false, absence: null };
    return {
        state: { ...state, claimants, resting: false, sessions: session, coming, refusal: null },
        effects: [
            ...closing(state.coming),
            { do: 'answer', session, peer, sdp, iceServers: state.iceServers },
            expect(PICTURE_MS),
        ],
    };
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {Candidate} value
 * @returns {Step}
 */
export function candidate(state, peer, value) {
    const session = [state.coming, state.shown].find((open) => open?.peer === peer)?.session;
    return { state, effects: session === undefined ? [] : [{ do: 'candidate', session, candidate: value }] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {ByeReason} reason
 * @returns {Step}
 */
export function bye(state, peer, reason) {
    const stage = stageOf(state.claimants, peer);
    if (stage !== 'proven' && stage !== 'asked' && stage !== 'stopped' && stage !== 'spent') {
        return { state, effects: [] };
    }
    const coming = state.coming?.peer === peer ? state.coming : null;
    // With a new session under way, a bye belongs to that one and not to the picture that it would have replaced.
    const shown = !coming && state.shown?.peer === peer ? state.shown : null;
    const effects = [...closing(coming), ...closing(shown), ...(shown ? [stop('patience')] : [])];
    const ended = reason === 'busy' || reason === 'failed' ? 'spent' : 'stopped';
    /** @type {State} */
    const next = {
        ...state,
        coming: coming ? null : state.coming,
        shown: shown ? null : state.shown,
        blocked: shown ? false : state.blocked,
        claimants: moved(state.claimants, peer, ended),
    };
    if (next.shown || next.coming || served(next)) {
        return { state: next, effects };
    }
    const other = reserve(next.claimants);
    if (other !== undefined) {
        return after(effects, ask(next, other));
    }
    if (reason === 'busy') {
        return after(effects, pause({ ...next, refusal: 'full' }, 1));
    }
    if (reason === 'failed') {
        return after(effects, pause({ ...next, failures: state.failures + 1 }, state.failures + 1));
    }
    return after(effects, afterLoss(next));
}

/**
 * @param {State} state
 * @param {Timer} name
 * @returns {Step}
 */
export function timer(state, name) {
    switch (name) {
        case 'retry':
            return reconnect(state);
        case 'patience':
            return interrupted(state);
        case 'reserve':
            return reserveExpired(state);
        case 'picture':
            return overdue(state);
    }
}

/**
 * What was expected has not come: a proof, an offer, or a frame.
 * @param {State} state
 * @returns {Step}
 */
function overdue(state) {
    if (state.coming) {
        return sessionFailed(state, state.coming.session);
    }
    if (settled(state.shown)) {
        return { state: { ...state, claimants: withoutOffer(state) }, effects: [] };
    }
    if (!state.shown && !some(state.claimants, 'asked')) {
        // Who came while the page rested is greeted anew with everybody else.
        if (state.resting || !some(state.claimants, 'greeted')) {
            return again(state);
        }
        // Who has not proven anything by now is as good as absent.
        return afterLoss({ ...state, claimants: allMoved(state.claimants, 'greeted', 'silent') });
    }
    // Neither an offer nor a frame came: begin again, as a new viewer. A picture that was lost is no failed session yet.
    const dropped = { ...state, shown: null, blocked: false, failures: state.failures + (state.shown ? 0 : 1) };
    return after(closing(state.shown), again(dropped));
}

/**
 * @param {State} state
 * @returns {Step}
 */
function again(state) {
    return state.link === 'joined' ? rejoin(state) : { state, effects: [] };
}

/**
 * A camera that was asked and never offered must not stand in the way of another.
 * @param {State} state
 */
function withoutOffer({ claimants, shown }) {
    return claimants.map((claimant) =>
        claimant.stage === 'asked' && claimant.peer !== shown?.peer
            ? { ...claimant, stage: /** @type {const} */ ('spent') }
            : claimant,
    );
}

/**
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
export function picture(state, session) {
    const { coming } = state;
    return coming?.session === session ? show(state, { ...coming, connected: true }) : { state, effects: [] };
}

/**
 * A session takes the screen: its first frame is there, or it is connected to a camera that has none.
 * @param {State} state
 * @param {Coming} coming
 * @returns {Step}
 */
export function show(state, coming) {
    return {
        state: { ...state, coming: null, shown: { ...coming, interrupted: false, due: false }, seen: true, failures: 0 },
        effects: [
            stop('picture'),
            stop('patience'),
            { do: 'show', session: coming.session },
            ...closing(state.shown),
        ],
    };
}

/**
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
export function connected(state, session) {
    if (state.coming?.session === session) {
        const coming = { ...state.coming, connected: true };
        return coming.absence ? show(state, coming) : { state: { ...state, coming }, effects: [] };
    }
    if (state.shown?.session !== session) {
        return { state, effects: [] };
    }
    // Without a picture, the connection is all that can have been interrupted.
    const over = state.shown.interrupted && state.shown.absence !== null;
    const shown = { ...state.shown, connected: true, interrupted: state.shown.interrupted && !over };
    return { state: { ...state, shown }, effects: [stop('patience'), ...(over ? awaitNothing(state) : [])] };
}

/**
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
export function disconnected(state, session) {
    if (state.coming?.session === session) {
        return { state: { ...state, coming: { ...state.coming, connected: false } }, effects: [] };
    }
    if (state.shown?.session !== session) {
        return { state, effects: [] };
    }
    /** @type {Effect} */
    const wait = { do: 'start', timer: 'patience', after: PATIENCE_MS };
    return { state: { ...state, shown: { ...state.shown, connected: false } }, effects: [wait] };
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
    if (gone(state, state.shown.peer)) {
        return dropShown(state);
    }
    const { absence, due } = state.shown;
    /** @type {State} */
    const next = { ...state, shown: { ...state.shown, interrupted: true, due: false, absence: due ? null : absence } };
    const other = reserve(state.claimants);
    if (!state.coming && other !== undefined && !served(next)) {
        return ask(next, other);
    }
    return { state: next, effects: state.coming ? [] : [expect(INTERRUPTED_MS)] };
}

/**
 * Whether a camera is certainly not in the room.
 * @param {State} state
 * @param {string} peer
 */
function gone(state, peer) {
    return state.link === 'joined' && stageOf(state.claimants, peer) === undefined;
}

/**
 * @param {State} state
 * @param {number} session
 * @param {number} seconds
 * @returns {Step}
 */
export function stalled(state, session, seconds) {
    // A camera that has no picture sends no frames; when it has one again, the first has a time of its own.
    if (state.shown?.session !== session || state.shown.absence) {
        return { state, effects: [] };
    }
    const patience = gone(state, state.shown.peer) ? STALL_WITHOUT_CAMERA_S : STALL_S;
    return seconds >= patience ? interrupted(state) : { state, effects: [] };
}

/**
 * A connection has failed for good.
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
export function sessionFailed(state, session) {
    if (state.shown?.session === session) {
        return shownFailed(state);
    }
    if (!state.coming || state.coming.session !== session) {
        return { state, effects: [] };
    }
    const { peer } = state.coming;
    /** @type {Effect} */
    const farewell = { do: 'bye', peer, reason: 'failed' };
    const failures = state.failures + 1;
    const claimants = moved(state.claimants, peer, 'spent');
    if (state.shown && settled(state.shown)) {
        // One that shares its peer still runs, and the camera with it.
        const kept = state.shown.peer === peer ? state.claimants : claimants;
        const next = { ...state, coming: null, failures, claimants: kept };
        return { state: next, effects: [farewell, ...closing(state.coming)] };
    }
    if (state.link !== 'joined') {
        // The way back to the server is under way already.
        return { state: { ...state, coming: null, failures }, effects: closing(state.coming) };
    }
    const other = reserve(claimants);
    if (other !== undefined) {
        return after([farewell, ...closing(state.coming)], ask({ ...state, coming: null, claimants }, other));
    }
    return after([farewell], pause({ ...state, failures }, failures));
}

/**
 * @param {State} state
 * @returns {Step}
 */
function shownFailed(state) {
    const peer = state.shown?.peer ?? '';
    const effects = [...closing(state.shown), stop('patience')];
    /** @type {State} */
    const lost = { ...state, shown: null, blocked: false };
    if (state.coming || state.link !== 'joined') {
        return { state: lost, effects };
    }
    if (gone(state, peer)) {
        return after(effects, afterLoss(lost));
    }
    const spent = { ...lost, claimants: moved(state.claimants, peer, 'spent') };
    return after(effects, afterLoss(spent));
}
