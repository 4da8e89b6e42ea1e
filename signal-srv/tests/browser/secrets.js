/**
 * What nobody but page and camera may hold: the secrets of a camera in every form that a program may write them in,
 * session descriptions, candidates, addresses. Finds them in logs, in messages, in memory, in what a browser keeps.
 */

import { hkdfSync } from 'node:crypto';
import { networkInterfaces } from 'node:os';

/** So many characters of a secret in a row are a leak, and never an accident: 48 bits at least. */
const PIECE_CHARACTERS = 12;
/** The same for raw bytes, and for bytes written as a list of decimal numbers. */
const PIECE_BYTES = 8;

const LISTED = /\d{1,3}(?:, ?\d{1,3}){7,}/gu;
const HEX_RUN = /[0-9a-f]{12,}/gu;
const BASE64_RUN = /[0-9A-Za-z_-]{12,}/gu;
/** What a person or a program may put between groups of digits. */
const GROUPING = /(?<=[0-9a-f]{2})[ :.-](?=[0-9a-f]{2})/gu;

/** How descriptions and candidates (RFC 8866, RFC 8839) give themselves away, and the keys that JavaScript has for them. */
const DESCRIPTIONS = [
    /\bv=0\b/u,
    /\bo=\S+ \d+ \d+ IN/u,
    /\bc=IN IP[46]/u,
    /\bm=(?:video|audio|application) \d/u,
    /\ba=(?:candidate|extmap|fingerprint|group|ice-\w+|mid|msid|rtcp|rtpmap|setup|ssrc|sendonly|recvonly|sendrecv)\b/u,
    /\bcandidate:\S+ \d/u,
    /\btyp (?:host|srflx|prflx|relay)\b/u,
    /\b(?:raddr|ufrag|usernameFragment|sdpMid|sdpMLineIndex)\b/u,
    /\bice-(?:ufrag|pwd)\b/u,
    /(?:[0-9A-Fa-f]{2}:){15,}[0-9A-Fa-f]{2}/u,
];

const PRIVATE_V4 = /\b(?:10\.\d{1,3}|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}\b/gu;
const ANY_V4 = /\b(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}\b/gu;
const PRIVATE_V6 = /\b(?:fe80|f[cd][0-9a-f]{2}):[0-9a-f:]*:[0-9a-f]{1,4}\b/giu;
const MDNS = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local\b/giu;

/** The addresses of this machine that other machines know. */
export function ownAddresses() {
    return Object.values(networkInterfaces())
        .flatMap((list) => list ?? [])
        .filter(({ internal }) => !internal)
        .map(({ address }) => address);
}

/**
 * The room id of a code, and its key for the handshake: docs/protocol.md.
 * @param {Buffer} code
 * @param {'room' | 'psk'} name
 */
export function derived(code, name) {
    return Buffer.from(hkdfSync('sha256', code, 'roomcam/1', name, 32));
}

/**
 * Descriptions and candidates in a text, as what to show of them.
 * @param {string} text
 * @returns {string[]}
 */
export function descriptionsIn(text) {
    return DESCRIPTIONS.map((sign) => sign.exec(text)).flatMap((match) => (match ? [around(text, match.index)] : []));
}

/**
 * Addresses in a text that tell where a peer is: those of this machine, private ones, and in a log any at all.
 * @param {string} text
 * @param {{log?: boolean}} [kind]
 * @returns {string[]}
 */
export function addressesIn(text, { log = false } = {}) {
    const found = [PRIVATE_V4, PRIVATE_V6, MDNS, ...(log ? [ANY_V4] : [])].flatMap((sign) => text.match(sign) ?? []);
    return [...new Set([...found, ...ownAddresses().filter((address) => standsIn(address, text))])];
}

/**
 * Whether an address stands in a text for itself, and not as the end or the beginning of another one.
 * @param {string} address
 * @param {string} text
 */
function standsIn(address, text) {
    return new RegExp(`(?<![\\w.:])${address.replaceAll('.', '\\.')}(?!\\.?[0-9a-f])`, 'iu').test(text);
}

/**
 * @param {string} text
 * @param {number} at
 */
function around(text, at) {
    return text.slice(Math.max(at - 20, 0), at + 40);
}

/** Some secrets, and where they are found. */
export class Secrets {
    /** @type {Map<string, string>} */
    #hex = new Map();
    /** @type {Map<string, string>} */
    #base64 = new Map();
    /** @type {Map<string, string>} */
    #listed = new Map();
    /** @type {{name: string, piece: Buffer}[]} */
    #raw = [];

    /**
     * @param {string} name
     * @param {Buffer} bytes
     */
    add(name, bytes) {
        pieces(bytes.toString('hex'), PIECE_CHARACTERS, (piece) => this.#hex.set(piece, `${name} in hex`));
        // Inside of something longer, base64 has three ways to write the same bytes.
        for (const before of [0, 1, 2]) {
            const padded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64url');
            const own = padded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
            pieces(own, PIECE_CHARACTERS, (piece) => this.#base64.set(piece, `${name} in base64`));
        }
        for (let at = 0; at + PIECE_BYTES <= bytes.length; at += 1) {
            const piece = bytes.subarray(at, at + PIECE_BYTES);
            this.#listed.set([...piece].join(','), `${name} as a list of numbers`);
            this.#raw.push({ name: `${name} as bytes`, piece });
        }
        return this;
    }

    /**
     * A code, and where wanted what is derived of it.
     * @param {string} hex
     * @param {{room?: boolean}} [options] `room`: its room id is a secret here too
     */
    addCode(hex, { room = true } = {}) {
        const code = Buffer.from(hex, 'hex');
        this.add('a code', code).add('a key of the handshake', derived(code, 'psk'));
        return room ? this.add('a room id', derived(code, 'room')) : this;
    }

    /**
     * Which of them are in a text.
     * @param {string} text
     * @returns {string[]}
     */
    inText(text) {
        /** @type {Set<string>} */
        const found = new Set();
        /** @param {Map<string, string>} known @param {string} candidate */
        const look = (known, candidate) => {
            const name = known.get(candidate);
            if (name !== undefined) {
                found.add(name);
            }
        };
        const lower = text.toLowerCase();
        for (const spelling of [lower, lower.replace(GROUPING, '')]) {
            for (const [run] of spelling.matchAll(HEX_RUN)) {
                pieces(run, PIECE_CHARACTERS, (piece) => look(this.#hex, piece));
            }
        }
        for (const [run] of text.replaceAll('+', '-').replaceAll('/', '_').matchAll(BASE64_RUN)) {
            pieces(run, PIECE_CHARACTERS, (piece) => look(this.#base64, piece));
        }
        for (const [run] of text.matchAll(LISTED)) {
            const numbers = run.split(/, ?/u);
            for (let at = 0; at + PIECE_BYTES <= numbers.length; at += 1) {
                look(this.#listed, numbers.slice(at, at + PIECE_BYTES).join(','));
            }
        }
        return [...found];
    }

    /**
     * Which of them are in some bytes, in any form.
     * @param {Buffer} bytes
     * @returns {string[]}
     */
    inBytes(bytes) {
        const raw = this.#raw.filter(({ piece }) => bytes.includes(piece)).map(({ name }) => name);
        return [...new Set([...raw, ...this.inText(bytes.toString('latin1'))])];
    }

    /**
     * What a log gives away, for whoever must mend it; empty is good.
     * @param {string[]} lines
     * @param {string[]} [own] addresses that the programs may name: where the servers listen
     * @returns {string[]}
     */
    inLog(lines, own = []) {
        return lines.flatMap((line, number) => {
            // The report is a log too: it says where to look.
            const place = `line ${number + 1}, of ${/\w+::[\w:]*\w/u.exec(line)?.[0] ?? 'nobody'}`;
            const secrets = this.inText(line).map((name) => `${name} in ${place}`);
            const allowed = own.reduce((rest, address) => rest.replaceAll(address, ''), line);
            const others = [...descriptionsIn(line), ...addressesIn(allowed, { log: true })];
            return [...secrets, ...others.map((other) => `${other}: ${line}`)];
        });
    }
}

/**
 * Every piece of so many characters.
 * @param {string} text
 * @param {number} length
 * @param {(piece: string) => void} take
 */
function pieces(text, length, take) {
    for (let at = 0; at + length <= text.length; at += 1) {
        take(text.slice(at, at + length));
    }
}
