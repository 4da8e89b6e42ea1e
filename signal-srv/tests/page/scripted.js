/**
 * The state machine of the page, driven by hand: what the tests of its transitions share.
 */

import assert from 'node:assert/strict';

import { initialState, reduce, screenOf } from '../../web/state.js';

/** @import {Access} from '../../web/access.js' */
/** @import {Remembered} from '../../web/cameras.js' */
/** @import {Effect, Event, Screen, State} from '../../web/state.js' */

/**
 * To the state machine an access is a thing to hand on; it only compares rooms.
 * @param {string} digit
 * @returns {Access}
 */
function accessTo(digit) {
    return { room: digit.repeat(64), psk: /** @type {any} */ ({}), verifier: new Uint8Array(32) };
}

export const ACCESS = accessTo('a');
export const OTHER_ACCESS = accessTo('b');

/**
 * @param {string} id
 * @param {Access} [access]
 * @returns {Remembered}
 */
export function entry(id, access = ACCESS) {
    return { id, name: `Camera ${id}`, access, addedAt: 1 };
}

/**
 * @param {Access} [access]
 * @returns {Event & {type: 'open'}}
 */
export function opening(access = ACCESS) {
    return { type: 'open', access, checked: true, keep: false };
}

/** A page: a state, and the effects of the last event. */
export class Page {
    /** @type {State} */
    state;
    /** @type {Effect[]} */
    effects = [];

    /** @param {State} [state] */
    constructor(state = initialState()) {
        this.state = state;
    }

    /** @param {Event} event */
    on(event) {
        const before = JSON.stringify(this.state);
        const { state, effects } = reduce(this.state, event);
        assert.equal(JSON.stringify(this.state), before, 'the old state is left alone');
        this.state = state;
        this.effects = effects;
        return this;
    }

    /** @returns {Screen} */
    get screen() {
        return screenOf(this.state);
    }

    /** @param {Effect['do']} name */
    does(name) {
        return this.effects.filter((effect) => effect.do === name);
    }
}

/**
 * @param {string} origin
 * @returns {string}
 */
export function sdp(origin) {
    return `v=0\r\no=- ${origin} 2 IN IP4 127.0.0.1\r\ns=-\r\n`;
}

/**
 * A room with these in the camera's place; none has said anything yet.
 * @param {string[]} cameras
 */
export function inRoom(...cameras) {
    return new Page().on(opening()).on({ type: 'joined', cameras, iceServers: [] });
}

/**
 * @param {Page} page
 * @param {string} peer
 */
export function proves(page, peer) {
    return page.on({ type: 'camera-proven', peer });
}

/**
 * @param {Page} page
 * @param {string} peer
 */
export function refutes(page, peer) {
    return page.on({ type: 'camera-refuted', peer });
}

/**
 * A camera proves itself and, if it is asked, offers.
 * @param {Page} page
 * @param {string} peer
 * @param {string} [origin]
 */
export function offered(page, peer, origin = `1${peer}`) {
    return proves(page, peer).on({ type: 'offer', peer, sdp: sdp(origin) });
}

/** A page that shows session 1 with camera "a". */
export function live() {
    return offered(inRoom('a'), 'a').on({ type: 'picture', session: 1 });
}

/** @param {Page} page */
export function closed(page) {
    return page.on({ type: 'socket-closed', timedOut: false });
}
