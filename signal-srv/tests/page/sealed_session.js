/**
 * A viewer's channel under test: what it sends and what it reports, in the order in which it does.
 */

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { Channel } from '../../web/sealing.js';
import { NoiseCamera, codeOf, keyPair, randomBytes, randomIdentity } from './noise_camera.js';

/** @import {Access} from '../../web/access.js' */
/** @import {KeyPair} from '../../web/noise.js' */
/** @import {Sealed} from '../../web/sealing.js' */
/** @import {Identity} from './noise_camera.js' */

export const VIEWER = '00010203-0405-0607-0809-0a0b0c0d0e0f';
export const CAMERA = 'f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff';
export const OTHER = '10111213-1415-1617-1819-1a1b1c1d1e1f';

/** What the camera of a recorded session has said: enough for every kind of mix-up. */
export const SIGNALS = [
    { type: 'offer', sdp: `v=0\r\n${'a=filler\r\n'.repeat(100)}` },
    { candidate: 'candidate:1 1 udp 1 192.0.2.1 4 typ host', sdpMLineIndex: 0, sdpMid: '0' },
    { candidate: 'candidate:2 1 udp 1 192.0.2.1 5 typ host', sdpMLineIndex: 0, sdpMid: '0' },
    { type: 'picture', state: 'paused' },
    { type: 'bye', reason: 'stopping' },
];

/**
 * Waits for something that comes by itself.
 * @param {() => unknown} condition
 */
export async function until(condition) {
    for (let turn = 0; !condition(); turn += 1) {
        if (turn > 100_000) {
            throw new Error(`this never came: ${condition}`);
        }
        await new Promise((resolve) => setImmediate(resolve));
    }
}

export class Viewer {
    /** @type {Sealed[]} */
    sent = [];
    /** Each is 'proven', 'refuted' or a signal. @type {unknown[]} */
    reported = [];

    /**
     * @param {Access} access
     * @param {{viewer?: string, camera?: string}} [ids]
     */
    constructor(access, { viewer = VIEWER, camera = CAMERA } = {}) {
        this.channel = new Channel({
            access,
            viewer,
            camera,
            transmit: (sealed) => this.sent.push(sealed),
            onProven: () => this.reported.push('proven'),
            onRefuted: () => this.reported.push('refuted'),
            onOpened: (signal) => this.reported.push(signal),
        });
    }

    /** All that came in is dealt with. */
    async settled() {
        for (let next = this.channel.reported; next; next = this.channel.reported) {
            await next;
        }
        return this;
    }

    /** @param {...unknown} values */
    async hears(...values) {
        values.forEach((value) => this.channel.receive(value));
        return this.settled();
    }

    /** The greeting. */
    async first() {
        await until(() => this.sent.length > 0);
        return this.sent[0];
    }
}

/** A camera, what its code gives, and a viewer that has greeted it. */
export async function meeting() {
    const identity = await randomIdentity();
    const access = await accessOf(await codeOf(identity));
    const viewer = new Viewer(access);
    const camera = new NoiseCamera(identity, access, VIEWER, CAMERA);
    return { identity, access, viewer, camera };
}

/** The same, and the camera has proven itself. */
export async function acquaintance() {
    const all = await meeting();
    await all.viewer.hears(await all.camera.answer(await all.viewer.first()));
    return all;
}

/**
 * @typedef {object} Recording
 * @property {KeyPair} e the viewer's ephemeral key
 * @property {Sealed} first
 * @property {Sealed} second
 * @property {Sealed} start
 * @property {Sealed[]} messages `SIGNALS`, sealed by the camera
 */

/**
 * All the messages of one session.
 * @param {Identity} identity
 * @param {Access} access
 * @param {{viewer?: string, camera?: string}} [ids]
 * @returns {Promise<Recording>}
 */
export async function record(identity, access, ids = {}) {
    const e = await keyPair(randomBytes());
    const camera = new NoiseCamera(identity, access, ids.viewer ?? VIEWER, ids.camera ?? CAMERA);
    return withEphemeral(e, async () => {
        const viewer = new Viewer(access, ids);
        const first = await viewer.first();
        const second = await camera.answer(first);
        await viewer.hears(second);
        viewer.channel.send({ type: 'start' });
        await until(() => viewer.sent.length === 2);
        const messages = [];
        for (const signal of SIGNALS) {
            messages.push(await camera.seal(signal));
        }
        const start = viewer.sent[1];
        if (!first || !start) {
            throw new Error('the viewer has sent nothing');
        }
        return { e, first, second, start, messages };
    });
}

/**
 * Gives every viewer that greets meanwhile the same ephemeral key, so that a recorded session can be played to it again.
 * @template T
 * @param {KeyPair} e
 * @param {() => Promise<T>} run
 * @returns {Promise<T>}
 */
export async function withEphemeral(e, run) {
    const { generateKey } = crypto.subtle;
    const publicKey = await crypto.subtle.importKey('raw', e.publicKey, 'X25519', true, []);
    Object.assign(crypto.subtle, { generateKey: async () => ({ privateKey: e.privateKey, publicKey }) });
    try {
        return await run();
    } finally {
        Object.assign(crypto.subtle, { generateKey });
    }
}
