/**
 * The link to the server and who is in the room: the part of state.js that decides whom to ask for the picture.
 *
 * Every claimant in the room is greeted. The first that proves to be the camera is asked; others that prove it are the
 * reserve, which is asked when the first fails. Without a picture and without a reserve, a fresh start as a new viewer
 * (`rejoin`, `pause`) is the way to greet everybody anew.
 */

import { allMoved, greeted, moved, reserve, some, stageOf, MOST_CLAIMANTS } from './claimants.js';

/** @import {Coming, Effect, Shown, State, Step, Timer} from './state.js' */

/** How long everybody in the room may take to prove to be the camera, in milliseconds. */
export const PROOF_MS = 5000;
/** How long the camera that was asked may take from its last sign to its first frame, in milliseconds. */
export const PICTURE_MS = 15_000;
/** How long a camera that has proven itself can be asked, in milliseconds: it keeps a handshake for ten seconds. */
export const RESERVE_MS = 8000;
/** How long a room in which nobody answers is waited in before everybody is greeted anew, in milliseconds. */
export const SILENT_MS = 10_000;
/** The same where a camera said that it stops, or where there are impostors alone, in milliseconds. */
export const STOPPED_MS = 30_000;
/** Least wait after a refusal or a failed session, in milliseconds. */
export const REFUSED_MS = 5000;

/**
 * @param {Timer} name
 * @returns {Effect}
 */
export function stop(name) {
    return { do: 'stop', timer: name };
}

/**
 * @param {number} milliseconds
 * @returns {Effect}
 */
export function expect(milliseconds) {
    return { do: 'start', timer: 'picture', after: milliseconds };
}

/**
 * @param {Coming | null} session
 * @returns {Effect[]}
 */
export function closing(session) {
    return session ? [{ do: 'close', session: session.session }] : [];
}

/**
 * @param {Effect[]} effects of what came before
 * @param {Step} step
 * @returns {Step}
 */
export function after(effects, step) {
    return { state: step.state, effects: [...effects, ...step.effects] };
}

/**
 * Whether the session on the screen is as it should be: frames flow, or the camera has said that none will come.
 * @param {Shown | null} shown
 * @returns {boolean}
 */
export function settled(shown) {
    return shown !== null && !shown.interrupted && !shown.due;
}

/**
 * Ends the wait of the timer `picture`, unless it is another camera's picture that is waited for.
 * @param {State} state
 * @returns {Effect[]}
 */
export function awaitNothing({ claimants, coming, shown }) {
    const asked = claimants.some(({ peer, stage }) => stage === 'asked' && peer !== shown?.peer);
    return coming || asked ? [] : [stop('picture')];
}

/**
 * Whether a picture of somebody in the room is there or on its way, so that nobody else need be asked.
 * @param {State} state
 * @param {string} [but] leaves this one out
 * @returns {boolean}
 */
export function served(state, but) {
    // Where a camera has no picture, another that proves to be the same one may know better: it may have been away.
    const flows = settled(state.shown) && state.shown?.absence === null;
    const sessions = [state.coming, flows ? state.shown : null];
    return (
        sessions.some((session) => session && session.peer !== but && stageOf(state.claimants, session.peer)) ||
        state.claimants.some(({ peer, stage }) => stage === 'asked' && peer !== but && peer !== state.shown?.peer)
    );
}

/**
 * Asks a camera that has proven itself for its picture.
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
export function ask(state, peer) {
    return {
        state: { ...state, resting: false, claimants: moved(state.claimants, peer, 'asked') },
        effects: [{ do: 'ask', peer }, expect(PICTURE_MS)],
    };
}

/**
 * Leaves the room and joins it again, at once; for the camera that is a new viewer, who greets it anew.
 * @param {State} state
 * @returns {Step}
 */
export function rejoin(state) {
    if (!state.access) {
        return { state, effects: [] };
    }
    return {
        state: { ...state, link: 'opening', retryAt: null, claimants: [], coming: null },
        effects: [
            ...closing(state.coming),
            stop('retry'),
            stop('picture'),
            stop('reserve'),
            { do: 'disconnect' },
            { do: 'connect', access: state.access },
        ],
    };
}

/**
 * Goes back to the server. A session that is under way goes on: once descriptions are exchanged it may well get its
 * picture without the server.
 * @param {State} state
 * @returns {Step}
 */
export function reconnect(state) {
    return state.access && state.link === 'down'
        ? { state: { ...state, link: 'opening', retryAt: null }, effects: [{ do: 'connect', access: state.access }] }
        : { state, effects: [] };
}

/**
 * Leaves the room and comes back after a while.
 * @param {State} state
 * @param {number} attempt
 * @returns {Step}
 */
export function pause(state, attempt) {
    return {
        state: { ...state, link: 'down', retryAt: null, claimants: [], coming: null },
        effects: [
            ...closing(state.coming),
            stop('picture'),
            stop('reserve'),
            { do: 'disconnect' },
            { do: 'plan-retry', attempt, shortest: REFUSED_MS },
        ],
    };
}

/**
 * @param {State} state
 * @param {string[]} peers
 * @param {RTCIceServer[]} iceServers
 * @returns {Step}
 */
export function joined(state, peers, iceServers) {
    const claimants = greeted(peers);
    /** @type {State} */
    const next = {
        ...state,
        link: 'joined',
        attempt: 0,
        timedOut: false,
        retryAt: null,
        claimants,
        resting: false,
        iceServers,
    };
    if (claimants.length === 0) {
        return emptied({ ...next, refusal: null });
    }
    // A picture that still runs needs no other; without one, a proof is due.
    return { state: next, effects: settled(next.shown) ? [] : [expect(PROOF_MS)] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
export function cameraJoined(state, peer) {
    const known = stageOf(state.claimants, peer) !== undefined;
    if (state.link !== 'joined' || known || state.claimants.length >= MOST_CLAIMANTS) {
        return { state, effects: [] };
    }
    const claimants = [...state.claimants, ...greeted([peer])];
    // With others in the room, or a picture that was lost, the page waits already: who comes and goes must not prolong that.
    const waiting = state.claimants.length > 0 || state.coming !== null || state.shown !== null;
    return { state: { ...state, claimants }, effects: waiting ? [] : [expect(PROOF_MS)] };
}

/**
 * A claimant has shown that it is the camera.
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
export function proven(state, peer) {
    const stage = stageOf(state.claimants, peer);
    if (!state.access || (stage !== 'greeted' && stage !== 'silent')) {
        return { state, effects: [] };
    }
    /** @type {Effect[]} */
    const effects = state.keep ? [{ do: 'remember', access: state.access, name: '' }] : [];
    /** @type {State} */
    const next = { ...state, keep: false, checked: true, claimants: moved(state.claimants, peer, 'proven') };
    if (!served(next)) {
        return after(effects, ask(next, peer));
    }
    if (reserve(state.claimants) === undefined) {
        effects.push({ do: 'start', timer: 'reserve', after: RESERVE_MS });
    }
    return { state: next, effects };
}

/**
 * The reserve has waited for so long that its handshake is forgotten.
 * @param {State} state
 * @returns {Step}
 */
export function reserveExpired(state) {
    return { state: { ...state, claimants: allMoved(state.claimants, 'proven', 'spent') }, effects: [] };
}

/**
 * A claimant is not the camera, or somebody has tampered with what it said: nothing that comes from it counts.
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
export function refuted(state, peer) {
    const stage = stageOf(state.claimants, peer);
    if (stage === undefined || stage === 'refuted') {
        return { state, effects: [] };
    }
    const coming = state.coming?.peer === peer ? state.coming : null;
    const shown = state.shown?.peer === peer ? state.shown : null;
    /** @type {State} */
    const next = {
        ...state,
        claimants: moved(state.claimants, peer, 'refuted'),
        coming: coming ? null : state.coming,
        shown: shown ? null : state.shown,
        blocked: shown ? false : state.blocked,
    };
    const effects = [...closing(coming), ...closing(shown), ...(shown ? [stop('patience')] : [])];
    if (shown && !next.coming && reserve(next.claimants) === undefined) {
        // It was the camera, so it may be again for a new viewer: not at once, or who tampers could keep this page busy.
        return after(effects, pause({ ...next, failures: state.failures + 1 }, state.failures + 1));
    }
    // Somebody who never was the camera is no loss: what the page waits for, it waits for already.
    const lost = coming !== null || shown !== null || stage === 'asked';
    const waiting = !lost && (state.resting || some(next.claimants, 'greeted'));
    return after(effects, waiting || served(next) ? { state: next, effects: [] } : afterLoss(next));
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
export function cameraLeft(state, peer) {
    const stage = stageOf(state.claimants, peer);
    const claimants = state.claimants.filter((claimant) => claimant.peer !== peer);
    const next = { ...state, claimants };
    if (state.coming?.peer === peer) {
        return after(closing(state.coming), afterLoss({ ...next, coming: null }));
    }
    // What still flows is still shown: the camera may only have lost its link to the server.
    if (state.shown?.peer === peer && (state.shown.interrupted || state.shown.absence)) {
        return dropShown(next);
    }
    if (claimants.length === 0) {
        return emptied(next);
    }
    // The camera that was asked goes without a picture: is there another?
    return stage === 'asked' && !served(next) ? afterLoss(next) : { state: next, effects: [] };
}

/**
 * No camera is there: nothing is due and nothing has failed.
 * @param {State} state
 * @returns {Step}
 */
export function emptied(state) {
    if (state.shown && !settled(state.shown)) {
        return dropShown(state);
    }
    return { state: { ...state, failures: 0, resting: false }, effects: [stop('picture')] };
}

/**
 * The picture on the screen is over.
 * @param {State} state
 * @returns {Step}
 */
export function dropShown(state) {
    const effects = [...closing(state.shown), stop('patience')];
    return after(effects, afterLoss({ ...state, shown: null, blocked: false }));
}

/**
 * A session is gone: is there another way to a picture?
 * @param {State} state
 * @returns {Step}
 */
export function afterLoss(state) {
    if (state.coming || state.shown || state.link !== 'joined') {
        return { state, effects: [] };
    }
    const { claimants } = state;
    const next = reserve(claimants);
    if (next !== undefined) {
        return ask(state, next);
    }
    if (some(claimants, 'asked')) {
        return { state, effects: [expect(PICTURE_MS)] };
    }
    // It can show its picture only to a viewer that is new to it.
    if (some(claimants, 'spent')) {
        return rejoin(state);
    }
    if (some(claimants, 'greeted')) {
        return { state: { ...state, resting: false }, effects: [expect(PROOF_MS)] };
    }
    if (claimants.length === 0) {
        return emptied(state);
    }
    const patience = some(claimants, 'stopped', 'refuted') ? STOPPED_MS : SILENT_MS;
    return { state: { ...state, failures: 0, resting: true }, effects: [expect(patience)] };
}

/**
 * @param {State} state
 * @param {string} code
 * @returns {Step}
 */
export function refused(state, code) {
    // The server closes after an error; what follows is decided when it has.
    const refusal = code === 'ROOM_FULL' ? 'full' : code === 'ROOM_MODE' ? 'mode' : state.refusal;
    return { state: { ...state, refusal }, effects: [] };
}

/**
 * @param {State} state
 * @param {boolean} timedOut
 * @returns {Step}
 */
export function socketClosed(state, timedOut) {
    const attempt = state.attempt + 1;
    return {
        state: { ...state, link: 'down', attempt, timedOut: state.timedOut || timedOut, retryAt: null, claimants: [] },
        effects: [{ do: 'plan-retry', attempt, shortest: state.refusal ? REFUSED_MS : 0 }],
    };
}
