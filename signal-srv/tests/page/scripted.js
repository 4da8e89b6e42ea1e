/**
 * The state machine of the page, driven by hand: what the tests of its transitions share.
 */

import assert from 'node:assert/strict';

import { initialState, reduce, screenOf } from '../../web/state.js';

/** @import {Effect, Event, Screen, State} from '../../web/state.js' */

export const ROOM = 'ab'.repeat(32);
export const OTHER_ROOM = 'cd'.repeat(32);

/** A page: a state, and the effects of the last event. */
export class Page {
    /** @type {State} */
    state;
    /** @type {Effect[]} */
    effects = [];

    /** @param {State} [state] */
    constructor(state = initialState(true)) {
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

/** @param {string[]} cameras */
export function inRoom(...cameras) {
    return new Page().on({ type: 'code', room: ROOM }).on({ type: 'joined', cameras, iceServers: [] });
}

/**
 * @param {Page} page
 * @param {string} peer
 * @param {string} [origin]
 */
export function offered(page, peer, origin = `1${peer}`) {
    return page.on({ type: 'offer', peer, sdp: sdp(origin) });
}

/** A page that shows session 1 with camera "a". */
export function live() {
    return offered(inRoom('a'), 'a').on({ type: 'picture', session: 1 });
}

/** @param {Page} page */
export function closed(page) {
    return page.on({ type: 'socket-closed', timedOut: false });
}
