/**
 * A camera that has no picture, by its own word: somebody there has switched it off (`paused`), or its sensor gives none
 * (`lost`). The part of state.js that keeps such a session up, without a wait for frames and without a failure.
 *
 *     coming ──> connected, absent ─┐                      "live"          a frame
 *     shown ────────────────────────┴> absent, on screen ────────> due ────────────> shown
 *
 * The word of the camera counts as long as it can be heard. Without a link to it, frames that flow say more.
 */

import { stageOf } from './claimants.js';
import { show } from './picture.js';
import { PICTURE_MS, after, awaitNothing, expect, settled } from './room.js';

/** @import {PictureState} from './signaling.js' */
/** @import {Effect, State, Step} from './state.js' */

/**
 * Whether what a camera says of its picture can be heard: it was asked for it since the page is in the room.
 * @param {State} state
 * @param {string} peer
 */
function heard({ link, claimants }, peer) {
    const stage = stageOf(claimants, peer);
    return link === 'joined' && (stage === 'asked' || stage === 'stopped' || stage === 'spent');
}

/**
 * A camera says whether it has a picture. That is true of all its sessions.
 * @param {State} state
 * @param {string} peer
 * @param {PictureState} said
 * @returns {Step}
 */
export function pictureState(state, peer, said) {
    if (!heard(state, peer)) {
        return { state, effects: [] };
    }
    const { state: next, effects } = said === 'live' ? ofShownBack(state, peer) : ofShownAway(state, peer, said);
    const { coming } = next;
    if (coming?.peer !== peer) {
        return { state: next, effects };
    }
    const absence = said === 'live' ? null : said;
    const told = { ...coming, absence };
    if (absence && coming.connected) {
        // It takes the place of whatever is shown of the same camera, and what was to be done about that is not.
        return after([{ do: 'rest', session: told.session }], show(next, told));
    }
    /** @type {Effect[]} */
    const anew = coming.absence && !absence ? [expect(PICTURE_MS)] : [];
    return { state: { ...next, coming: told }, effects: [...effects, ...anew] };
}

/**
 * @param {State} state
 * @param {string} peer
 * @param {'paused' | 'lost'} absence
 * @returns {Step}
 */
function ofShownAway(state, peer, absence) {
    const { shown } = state;
    if (shown?.peer !== peer || (shown.absence === absence && !shown.due)) {
        return { state, effects: [] };
    }
    // Frames that stay away are explained by it, a connection that is broken is not.
    const interrupted = shown.interrupted && !shown.connected;
    return {
        state: { ...state, shown: { ...shown, absence, interrupted, due: false } },
        effects: [{ do: 'rest', session: shown.session }, ...(interrupted ? [] : awaitNothing(state))],
    };
}

/**
 * @param {State} state
 * @param {string} peer
 * @returns {Step}
 */
function ofShownBack(state, peer) {
    const { shown } = state;
    if (shown?.peer !== peer || !shown.absence || shown.due) {
        return { state, effects: [] };
    }
    if (shown.interrupted) {
        // What the connection may take is counted already.
        return { state: { ...state, shown: { ...shown, absence: null } }, effects: [] };
    }
    return {
        state: { ...state, shown: { ...shown, due: true } },
        effects: [{ do: 'watch', session: shown.session }, ...(state.coming ? [] : [expect(PICTURE_MS)])],
    };
}

/**
 * Frames come.
 * @param {State} state
 * @param {number} session
 * @returns {Step}
 */
export function flowing(state, session) {
    const { shown } = state;
    if (shown?.session !== session || (settled(shown) && !shown.absence)) {
        return { state, effects: [] };
    }
    // The last ones may still be under way when the camera says that they were the last.
    if (shown.absence && !shown.due && heard(state, shown.peer)) {
        return { state, effects: [] };
    }
    return {
        state: { ...state, shown: { ...shown, absence: null, interrupted: false, due: false } },
        effects: [...awaitNothing(state), ...(shown.absence ? [/** @type {Effect} */ ({ do: 'show', session })] : [])],
    };
}
