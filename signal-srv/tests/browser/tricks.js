/**
 * The ways in which a server can meddle with what passes it between a page and the camera. Each is a rule, made anew
 * for every page, that tells when it has struck.
 */

import { randomBytes, randomUUID } from 'node:crypto';

import { REPLY_BYTES, delivered, outgoing, resealed } from './evil_server.js';

/** @import {Connection, EvilServer, Passage, Rule, Sealed, Way} from './evil_server.js' */

/**
 * @typedef {object} Trick
 * @property {string} name what the server does
 * @property {(strike: () => void, evil: EvilServer) => Rule} rule
 * @property {number} made most connections that a page may make of genuine messages before it is struck
 * @property {number} [pages] how many pages it takes to play it; 1 without
 * @property {boolean} [harmless] whether the picture has to come all the same
 */

/** Any connection data would do: no page may get as far as looking at it. */
const OFFER = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n';

/**
 * A rule for the nth sealed signal of a kind on every connection of a viewer.
 * @param {Way} way as the viewer sees it
 * @param {Sealed['kind']} kind
 * @param {number} number from 0
 * @param {(passage: Passage & {sealed: Sealed}, evil: EvilServer) => unknown[]} change gives what goes on in its place
 * @returns {Trick['rule']}
 */
function nth(way, kind, number, change) {
    return (strike, evil) => {
        /** @type {Map<Connection, number>} */
        const counts = new Map();
        return (passage) => {
            const { connection, sealed } = passage;
            if (connection.role !== 'viewer' || passage.way !== way || sealed?.kind !== kind) {
                return undefined;
            }
            const count = counts.get(connection) ?? 0;
            counts.set(connection, count + 1);
            if (count !== number) {
                return undefined;
            }
            strike();
            return change({ ...passage, sealed }, evil);
        };
    };
}

/**
 * The same signal with one bit turned over; a place below 0 counts from the end.
 * @param {number} place
 * @param {number} [mask]
 */
function flipped(place, mask = 0x01) {
    return (/** @type {Passage & {sealed: Sealed}} */ passage) => {
        const bytes = Buffer.from(passage.sealed.bytes);
        const at = place < 0 ? bytes.length + place : place;
        bytes.writeUInt8(bytes.readUInt8(at) ^ mask, at);
        return [resealed(passage, bytes)];
    };
}

/** @param {(bytes: Buffer) => Buffer} change */
function changed(change) {
    return (/** @type {Passage & {sealed: Sealed}} */ passage) => [resealed(passage, change(passage.sealed.bytes))];
}

/** @type {(passage: Passage) => unknown[]} */
const twice = ({ bytes }) => [bytes, bytes];

/** Back to where it came from, as if the other had sent it. @param {Passage & {sealed: Sealed}} passage */
function reflected({ way, connection, sealed }) {
    if (way === 'up') {
        connection.tellClient(delivered(sealed.peer, sealed.bytes));
    } else {
        connection.tellServer(outgoing(sealed.peer, sealed.bytes));
    }
    return [];
}

/**
 * Puts something before or after a message.
 * @param {(peer: string) => unknown} make
 * @param {'before' | 'after' | 'instead'} [where]
 */
function beside(make, where = 'before') {
    return (/** @type {Passage & {sealed: Sealed}} */ { bytes, sealed }) => {
        const made = make(sealed.peer);
        return where === 'before' ? [made, bytes] : where === 'after' ? [bytes, made] : [made];
    };
}

/** An unsealed signal, as it comes from a camera. @param {unknown} signal */
function unsealed(signal) {
    return (/** @type {string} */ peer) => ({ type: 'ROOM', data: { type: 'SIGNAL', data: { peer, signal } } });
}

/**
 * Each page is given what was meant for the other: two pages, the same kind of message.
 * @param {Way} way
 * @param {Sealed['kind']} kind
 * @returns {Trick['rule']}
 */
function crossed(way, kind) {
    return (strike) => {
        /** @type {Map<string, Passage & {sealed: Sealed}>} */
        const held = new Map();
        return (passage) => {
            const { connection, sealed } = passage;
            if (connection.role !== 'viewer' || passage.way !== way || sealed?.kind !== kind) {
                return undefined;
            }
            const [other] = [...held.values()].filter((one) => one.connection !== connection);
            held.set(connection.id, { ...passage, sealed });
            if (!other) {
                return [];
            }
            held.clear();
            strike();
            const theirs = resealed(other, sealed.bytes);
            other.connection[way === 'up' ? 'tellServer' : 'tellClient'](theirs);
            return [resealed(passage, other.sealed.bytes)];
        };
    };
}

/**
 * The next two sealed transport messages change places.
 * @param {Way} way
 * @returns {Trick['rule']}
 */
function swapped(way) {
    return (strike) => {
        /** @type {Map<Connection, Buffer>} */
        const held = new Map();
        return ({ connection, way: direction, sealed, bytes }) => {
            if (connection.role !== 'viewer' || direction !== way || sealed?.kind !== 'transport') {
                return undefined;
            }
            const first = held.get(connection);
            if (!first) {
                held.set(connection, bytes);
                return [];
            }
            strike();
            return [bytes, first];
        };
    };
}

/**
 * Tells a client another id than the one that everybody else knows, and goes on translating.
 * @param {'viewer' | 'camera'} whose
 * @returns {Trick['rule']}
 */
function renamed(whose) {
    return (strike) => {
        /** @type {Map<string, string>} */
        const names = new Map();
        const other = (/** @type {string} */ id) => {
            const name = names.get(id) ?? randomUUID();
            names.set(id, name).set(name, id);
            return name;
        };
        return ({ way, message, connection }) => {
            if (whose === 'viewer' && message?.type === 'HELLO') {
                strike();
                return [{ ...message, data: other(message.data) }];
            }
            if (whose === 'camera' && way === 'down' && message?.type === 'JOINED' && connection.role === 'viewer') {
                strike();
                const peers = message.data.peers.map((/** @type {any} */ one) => ({ ...one, peer: other(one.peer) }));
                return [{ ...message, data: { ...message.data, peers } }];
            }
            if (whose === 'camera' && message?.type === 'SIGNAL') {
                return [{ ...message, to: other(message.to) }];
            }
            if (whose === 'camera' && message?.type === 'ROOM' && way === 'down') {
                const { data } = message;
                return [{ ...message, data: { ...data, data: { ...data.data, peer: other(data.data.peer) } } }];
            }
            return undefined;
        };
    };
}

/**
 * Answers a greeting with what the camera has answered to an earlier one.
 * @returns {Trick['rule']}
 */
function staleReply() {
    return (strike) => {
        /** @type {Buffer | null} */
        let stale = null;
        return (passage) => {
            if (passage.connection.role !== 'viewer' || passage.way !== 'down' || passage.sealed?.kind !== 'reply') {
                return undefined;
            }
            if (stale) {
                strike();
                return [resealed(passage, stale)];
            }
            stale = passage.sealed.bytes;
            return [];
        };
    };
}

/** @type {Trick[]} */
export const TRICKS = [
    // The greeting: the camera must not answer, or a viewer without the code could pass one on.
    { name: 'drops the greeting', made: 0, rule: nth('up', 'greeting', 0, () => []) },
    { name: 'changes the first bit of the greeting', made: 0, rule: nth('up', 'greeting', 0, flipped(0)) },
    { name: 'changes the top bit of the key in the greeting', made: 0, rule: nth('up', 'greeting', 0, flipped(31, 0x80)) },
    { name: 'changes the tag of the greeting', made: 0, rule: nth('up', 'greeting', 0, flipped(-1)) },
    { name: 'shortens the greeting', made: 0, rule: nth('up', 'greeting', 0, changed((bytes) => bytes.subarray(0, -1))) },
    { name: 'makes up a greeting', made: 0, rule: nth('up', 'greeting', 0, changed(({ length }) => randomBytes(length))) },
    { name: 'sends the greeting back', made: 0, rule: nth('up', 'greeting', 0, reflected) },
    { name: 'says the greeting twice', made: 1, harmless: true, rule: nth('up', 'greeting', 0, twice) },
    { name: 'gives each of two pages the greeting of the other', made: 0, pages: 2, rule: crossed('up', 'greeting') },

    // The reply: what cannot prove the code is not the camera.
    { name: 'drops the reply', made: 0, rule: nth('down', 'reply', 0, () => []) },
    ...[0, 31, 32, 63, 79, 80, -17, -1].map((place) => ({
        name: `changes byte ${place} of the reply`,
        made: 0,
        rule: nth('down', 'reply', 0, flipped(place)),
    })),
    { name: 'makes up a reply', made: 0, rule: nth('down', 'reply', 0, changed(() => randomBytes(REPLY_BYTES))) },
    { name: 'lengthens the reply', made: 0, rule: nth('down', 'reply', 0, changed((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))) },
    { name: 'sends the reply back', made: 0, rule: nth('down', 'reply', 0, reflected) },
    { name: 'says the reply twice', made: 1, harmless: true, rule: nth('down', 'reply', 0, twice) },
    { name: 'gives an old reply', made: 0, pages: 2, rule: staleReply() },
    { name: 'gives each of two pages the reply to the other', made: 0, pages: 2, rule: crossed('down', 'reply') },

    // Who is who.
    { name: 'tells the page another id of its own', made: 0, rule: renamed('viewer') },
    { name: 'tells the page another id of the camera', made: 0, rule: renamed('camera') },

    // The start, without which the camera does nothing.
    { name: 'drops the start', made: 0, rule: nth('up', 'transport', 0, () => []) },
    { name: 'changes the start', made: 0, rule: nth('up', 'transport', 0, flipped(2)) },
    { name: 'makes up a start', made: 0, rule: nth('up', 'transport', 0, changed(({ length }) => randomBytes(length))) },
    { name: 'sends the start back', made: 0, rule: nth('up', 'transport', 0, reflected) },
    { name: 'says the start twice', made: 1, rule: nth('up', 'transport', 0, twice) },
    { name: 'gives each of two pages’ starts to the session of the other', made: 0, pages: 2, rule: crossed('up', 'transport') },

    // The offer, which makes the page's connection.
    { name: 'drops the offer', made: 0, rule: nth('down', 'transport', 0, () => []) },
    ...[0, 2, 1000, -1].map((place) => ({
        name: `changes byte ${place} of the offer`,
        made: 0,
        rule: nth('down', 'transport', 0, flipped(place)),
    })),
    { name: 'cuts a step off the offer', made: 0, rule: nth('down', 'transport', 0, changed((bytes) => bytes.subarray(0, -1024))) },
    { name: 'sends the offer back', made: 0, rule: nth('down', 'transport', 0, reflected) },
    { name: 'says the offer twice', made: 1, rule: nth('down', 'transport', 0, twice) },
    { name: 'gives each of two pages the offer to the other', made: 0, pages: 2, rule: crossed('down', 'transport') },
    { name: 'changes the order of offer and candidate', made: 0, rule: swapped('down') },
    { name: 'says something made up before the offer', made: 0, rule: nth('down', 'transport', 0, beside((peer) => delivered(peer, randomBytes(1040)))) },

    // Unsealed, as it was before there was a seal.
    { name: 'makes an offer of its own', made: 0, rule: nth('down', 'transport', 0, beside(unsealed({ type: 'offer', sdp: OFFER }), 'instead')) },
    { name: 'makes an offer of its own in place of the reply', made: 0, rule: nth('down', 'reply', 0, beside(unsealed({ type: 'offer', sdp: OFFER }), 'instead')) },
    { name: 'makes a candidate of its own', made: 1, rule: nth('down', 'transport', 0, beside(unsealed({ candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host', sdpMLineIndex: 0, sdpMid: '0' }), 'after')) },
    { name: 'says goodbye for the camera', made: 1, rule: nth('down', 'transport', 0, beside(unsealed({ type: 'bye', reason: 'stopping' }), 'after')) },
    { name: 'says for the camera that it is paused', made: 1, rule: nth('down', 'transport', 0, beside(unsealed({ type: 'picture', state: 'paused' }), 'after')) },
    { name: 'adds an unsealed offer to a sealed one', made: 0, rule: nth('down', 'transport', 0, beside((peer) => {
        const message = delivered(peer, randomBytes(1040));
        return { ...message, data: { ...message.data, data: { peer, signal: { ...message.data.data.signal, type: 'offer', sdp: OFFER } } } };
    }, 'instead')) },

    // The answer, without which no picture comes.
    { name: 'drops the answer', made: 1, rule: nth('up', 'transport', 1, () => []) },
    { name: 'changes the answer', made: 1, rule: nth('up', 'transport', 1, flipped(500)) },
    { name: 'sends the answer back', made: 1, rule: nth('up', 'transport', 1, reflected) },
    { name: 'answers with what the page said before', made: 1, rule: (strike) => {
        /** @type {Map<Connection, Sealed>} */
        const starts = new Map();
        return (passage) => {
            const { connection, sealed, way } = passage;
            if (connection.role !== 'viewer' || way !== 'up' || sealed?.kind !== 'transport') {
                return undefined;
            }
            const start = starts.get(connection);
            if (!start) {
                starts.set(connection, sealed);
                return undefined;
            }
            strike();
            return [resealed(passage, start.bytes)];
        };
    } },
];
