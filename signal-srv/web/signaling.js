/**
 * One WebSocket connection to the signaling server, role mode, as a viewer: docs/protocol.md.
 *
 *     open -> HELLO -> JOIN_OR_CREATE -> JOINED -> ROOM (JOIN, LEAVE, SIGNAL) ... SIGNAL -> close
 *
 * It never reconnects by itself: when to come back is a decision of state.js. What arrives is checked and bounded here,
 * and everything that is not understood is dropped, since the server may be newer than this page.
 */

/** Largest message that is looked at, in bytes: the protocol's 64 KiB and room for the envelope. */
export const MESSAGE_BYTES = 66 * 1024;
/** Longest SDP of an offer, in characters. */
export const SDP_CHARACTERS = 32 * 1024;
/** Longest candidate line, in characters (RFC 8839 §5.1 lines stay under 300). */
export const CANDIDATE_CHARACTERS = 1024;
/** Longest peer id, in characters; a server's own have 36. */
const PEER_CHARACTERS = 64;
/** Most entries of a list in `JOINED` that are looked at. */
const LIST_ENTRIES = 32;
/** From the start of the connection to `JOINED`, in milliseconds. */
export const JOIN_MS = 8000;

/** @typedef {{candidate: string, sdpMLineIndex: number | null, sdpMid: string | null}} Candidate */
/** @typedef {'busy' | 'stopping' | 'failed' | 'left'} ByeReason */
/** @typedef {{type: 'answer', sdp: string} | Candidate | {type: 'bye', reason: ByeReason}} OutgoingSignal */

/**
 * What the server said, as state.js takes it.
 * @typedef {{type: 'hello'}
 *   | {type: 'joined', cameras: string[], iceServers: RTCIceServer[]}
 *   | {type: 'camera-joined', peer: string}
 *   | {type: 'camera-left', peer: string}
 *   | {type: 'offer', peer: string, sdp: string}
 *   | {type: 'candidate', peer: string, candidate: Candidate}
 *   | {type: 'bye', peer: string, reason: ByeReason}
 *   | {type: 'refused', code: string}} ServerEvent
 */

/** @typedef {ServerEvent | {type: 'socket-closed', timedOut: boolean}} SignalingEvent */

/**
 * @param {unknown} value
 * @returns {Record<string, unknown> | null}
 */
function object(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value)
        ? /** @type {Record<string, unknown>} */ (value)
        : null;
}

/**
 * @param {unknown} value
 * @param {number} longest
 * @returns {string | null}
 */
function text(value, longest) {
    return typeof value === 'string' && value.length <= longest ? value : null;
}

/** @param {unknown} value */
function peerId(value) {
    return text(value, PEER_CHARACTERS) || null;
}

/**
 * @param {unknown} value
 * @returns {RTCIceServer | null}
 */
function iceServer(value) {
    const server = object(value);
    const list = server?.['urls'];
    const urls = (Array.isArray(list) ? list : [list])
        .slice(0, LIST_ENTRIES)
        .filter((url) => typeof url === 'string' && /^(stun|turn)s?:/u.test(url) && url.length <= 1024);
    if (!server || urls.length === 0) {
        return null;
    }
    const username = text(server['username'], 1024);
    const credential = text(server['credential'], 1024);
    return { urls, ...(username === null ? {} : { username }), ...(credential === null ? {} : { credential }) };
}

/**
 * @param {unknown} data
 * @returns {ServerEvent}
 */
function joined(data) {
    const joinedData = object(data);
    const peers = Array.isArray(joinedData?.['peers']) ? joinedData['peers'].slice(0, LIST_ENTRIES).map(object) : [];
    const servers = Array.isArray(joinedData?.['ice_servers']) ? joinedData['ice_servers'].slice(0, LIST_ENTRIES) : [];
    return {
        type: 'joined',
        cameras: peers
            .filter((entry) => entry?.['role'] === 'camera')
            .map((entry) => peerId(entry?.['peer']))
            .filter((peer) => peer !== null),
        iceServers: servers.map(iceServer).filter((server) => server !== null),
    };
}

/**
 * @param {string} peer
 * @param {unknown} value
 * @returns {ServerEvent | null}
 */
function signal(peer, value) {
    const body = object(value);
    if (!body) {
        return null;
    }
    if (body['type'] === 'offer') {
        const sdp = text(body['sdp'], SDP_CHARACTERS);
        return sdp ? { type: 'offer', peer, sdp } : null;
    }
    if (body['type'] === 'bye') {
        const known = /** @type {const} */ (['busy', 'stopping', 'failed', 'left']);
        // A reason from a newer camera still says that this session is over.
        return { type: 'bye', peer, reason: known.find((reason) => reason === body['reason']) ?? 'failed' };
    }
    const candidate = text(body['candidate'], CANDIDATE_CHARACTERS);
    if (candidate === null || body['type'] !== undefined) {
        return null;
    }
    const index = body['sdpMLineIndex'];
    return {
        type: 'candidate',
        peer,
        candidate: {
            candidate,
            sdpMLineIndex: typeof index === 'number' && Number.isInteger(index) && index >= 0 && index < 65536 ? index : null,
            sdpMid: text(body['sdpMid'], 64),
        },
    };
}

/**
 * @param {unknown} data
 * @returns {ServerEvent | null}
 */
function roomEvent(data) {
    const event = object(data);
    const body = object(event?.['data']);
    const peer = peerId(body?.['peer']);
    if (!event || !body || !peer) {
        return null;
    }
    switch (event['type']) {
        case 'JOIN':
            return body['role'] === 'camera' ? { type: 'camera-joined', peer } : null;
        case 'LEAVE':
            return { type: 'camera-left', peer };
        case 'SIGNAL':
            return signal(peer, body['signal']);
        default:
            return null;
    }
}

/**
 * Reads one message of the server. Pure.
 * @param {unknown} data what the WebSocket delivered
 * @returns {ServerEvent | null} null for everything that is not understood
 */
export function decode(data) {
    if (!(data instanceof ArrayBuffer) || data.byteLength > MESSAGE_BYTES) {
        return null;
    }
    let message;
    try {
        message = object(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)));
    } catch {
        return null;
    }
    switch (message?.['type']) {
        case 'HELLO':
            return { type: 'hello' };
        case 'JOINED':
            return joined(message['data']);
        case 'ROOM':
            return roomEvent(message['data']);
        case 'ERROR':
            return { type: 'refused', code: text(message['code'], 64) ?? '' };
        default:
            return null;
    }
}

/**
 * @param {object} message
 * @returns {Uint8Array<ArrayBuffer>}
 */
function encode(message) {
    return new TextEncoder().encode(JSON.stringify(message));
}

/**
 * The server's WebSocket beside a page: same host, encrypted where the page is.
 * @param {{protocol: string, host: string}} location
 * @returns {string}
 */
export function webSocketUrl(location) {
    return `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/ws`;
}

/** A connection in one room, from opening it to its end. */
export class Signaling {
    #socket;
    #room;
    #report;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #deadline;
    #greeted = false;
    #joined = false;
    #over = false;

    /**
     * Opens the connection.
     * @param {string} url
     * @param {string} room 64 hex digits
     * @param {(event: SignalingEvent) => void} report is called until `socket-closed` was reported or `close` was called
     */
    constructor(url, room, report) {
        this.#room = room;
        this.#report = report;
        this.#socket = new WebSocket(url);
        this.#socket.binaryType = 'arraybuffer';
        this.#socket.onmessage = (message) => this.#receive(message.data);
        this.#socket.onclose = () => this.#end(false);
        this.#deadline = setTimeout(() => this.#end(true), JOIN_MS);
    }

    /**
     * Sends a signal to a camera; without a connection it is lost, and the session it belongs to runs into its time-out.
     * @param {string} to
     * @param {OutgoingSignal} data
     */
    send(to, data) {
        if (this.#joined && !this.#over && this.#socket.readyState === WebSocket.OPEN) {
            this.#socket.send(encode({ type: 'SIGNAL', to, data }));
        }
    }

    /** Leaves the room. Nothing is reported any more. */
    close() {
        this.#over = true;
        clearTimeout(this.#deadline);
        this.#socket.close();
    }

    /** @param {unknown} data */
    #receive(data) {
        const event = this.#over ? null : decode(data);
        if (!event) {
            return;
        }
        if (event.type === 'hello') {
            if (this.#greeted) {
                return;
            }
            this.#greeted = true;
            this.#socket.send(encode({ type: 'JOIN_OR_CREATE', data: { room: this.#room, role: 'viewer' } }));
            return;
        }
        if (event.type === 'joined') {
            this.#joined = true;
            clearTimeout(this.#deadline);
        } else if (!this.#joined && event.type !== 'refused') {
            return;
        }
        this.#report(event);
    }

    /** @param {boolean} timedOut */
    #end(timedOut) {
        if (!this.#over) {
            this.close();
            this.#report({ type: 'socket-closed', timedOut });
        }
    }
}
