/**
 * One WebSocket connection to the signaling server, role mode, as a viewer: docs/protocol.md.
 *
 *     open -> HELLO -> JOIN_OR_CREATE -> JOINED -> ROOM (JOIN, LEAVE, SIGNAL) ... SIGNAL -> close
 *
 * The server is believed in who is there, for it could keep everybody away anyhow, and in nothing else: every signal
 * goes through a channel of sealing.js, one for each camera claimant, which this side greets as soon as it sees it.
 *
 * It never reconnects by itself: when to come back is a decision of state.js. What arrives is checked and bounded here,
 * and everything that is not understood is dropped, since the server or the camera may be newer than this page.
 */

import { Channel } from './sealing.js';

/** @import {Access} from './access.js' */

/** Largest message that is looked at, in bytes: the protocol's 64 KiB and room for the envelope. */
export const MESSAGE_BYTES = 66 * 1024;
/** Longest SDP of an offer, in characters. */
export const SDP_CHARACTERS = 32 * 1024;
/** Longest candidate line, in characters (RFC 8839 §5.1 lines stay under 300). */
export const CANDIDATE_CHARACTERS = 1024;
/** Most entries of a list in `JOINED` that are looked at, and most cameras that are known to be in the room. */
const LIST_ENTRIES = 32;
/** Most claimants that may prove themselves or have done so; a server lets no more into a room. */
export const CHANNELS = 4;
/** So many peer ids are remembered for having been greeted. A camera that comes back has a new one. */
const GREETED = 256;
/** The name of the measure of performance.measure: from the greeting of a camera to its proof. */
const MEASURE = 'roomcam:handshake';
/** From the start of the connection to `JOINED`, in milliseconds. */
export const JOIN_MS = 8000;

/** @typedef {{candidate: string, sdpMLineIndex: number | null, sdpMid: string | null}} Candidate */
/** @typedef {'busy' | 'stopping' | 'failed' | 'left'} ByeReason */
/** Whether a camera has a picture; `paused` is switched off there, `lost` is that it gets none. */
/** @typedef {'live' | 'paused' | 'lost'} PictureState */
/**
 * @typedef {{type: 'start'}
 *   | {type: 'answer', sdp: string}
 *   | Candidate
 *   | {type: 'bye', reason: ByeReason}} OutgoingSignal
 */

/**
 * Who is in the room, as the server has it.
 * @typedef {{type: 'joined', cameras: string[], iceServers: RTCIceServer[]}
 *   | {type: 'camera-joined', peer: string}
 *   | {type: 'camera-left', peer: string}
 *   | {type: 'refused', code: string}} RoomEvent
 */

/**
 * What a message of the server says.
 * @typedef {RoomEvent
 *   | {type: 'hello', viewer: string}
 *   | {type: 'signal', peer: string, signal: unknown}} ServerEvent
 */

/**
 * What a camera that has proven itself says, opened.
 * @typedef {{type: 'offer', peer: string, sdp: string}
 *   | {type: 'candidate', peer: string, candidate: Candidate}
 *   | {type: 'bye', peer: string, reason: ByeReason}
 *   | {type: 'picture-state', peer: string, picture: PictureState}} SignalEvent
 */

/**
 * What is reported, as state.js takes it. `camera-proven`: it is the camera that the code belongs to. `camera-refuted`:
 * it is not, or somebody has meddled with its messages; but for `camera-left`, nothing about this peer follows.
 * @typedef {RoomEvent
 *   | SignalEvent
 *   | {type: 'camera-proven', peer: string}
 *   | {type: 'camera-refuted', peer: string}
 *   | {type: 'socket-closed', timedOut: boolean}} SignalingEvent
 */

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

/**
 * @param {unknown} value
 * @returns {string | null} 128 bits in UUID form, in lower case
 */
function peerId(value) {
    const id = text(value, 36);
    return id !== null && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu.test(id) ? id.toLowerCase() : null;
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
 * Reads what a camera has sealed. Pure.
 * @param {string} peer
 * @param {Record<string, unknown>} body
 * @returns {SignalEvent | null} null for everything that is not understood
 */
export function signalOf(peer, body) {
    if (body['type'] === 'offer') {
        const sdp = text(body['sdp'], SDP_CHARACTERS);
        return sdp ? { type: 'offer', peer, sdp } : null;
    }
    if (body['type'] === 'bye') {
        const known = /** @type {const} */ (['busy', 'stopping', 'failed', 'left']);
        // A reason from a newer camera still says that this session is over.
        return { type: 'bye', peer, reason: known.find((reason) => reason === body['reason']) ?? 'failed' };
    }
    if (body['type'] === 'picture') {
        const said = body['state'] ?? '';
        const known = /** @type {const} */ (['live', 'paused']);
        // A state from a newer camera is none in which there is a picture.
        const picture = known.find((state) => state === said) ?? 'lost';
        return typeof said === 'string' ? { type: 'picture-state', peer, picture } : null;
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
            return { type: 'signal', peer, signal: body['signal'] };
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
        case 'HELLO': {
            const viewer = peerId(message['data']);
            return viewer === null ? null : { type: 'hello', viewer };
        }
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

/** A connection in one room, from opening it to its end. */
export class Signaling {
    #socket;
    #access;
    #report;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #deadline;
    #viewer = '';
    #joined = false;
    #over = false;
    /** The cameras in the room, in the order in which they came. @type {Set<string>} */
    #cameras = new Set();
    /** Those that have been greeted, also where they are gone or refuted. @type {Set<string>} */
    #greeted = new Set();
    /** The channels to those in the room, also to the refuted ones. @type {Map<string, Channel>} */
    #channels = new Map();

    /**
     * Opens the connection.
     * @param {string} url
     * @param {Access} access
     * @param {(event: SignalingEvent) => void} report is called until `socket-closed` was reported or `close` was called
     */
    constructor(url, access, report) {
        this.#access = access;
        this.#report = report;
        this.#socket = new WebSocket(url);
        this.#socket.binaryType = 'arraybuffer';
        this.#socket.onmessage = (message) => this.#receive(message.data);
        this.#socket.onclose = () => this.#end(false);
        this.#deadline = setTimeout(() => this.#end(true), JOIN_MS);
    }

    /**
     * Seals a signal and sends it to a camera that has proven itself; the first has to be `start`. Without a connection
     * it is lost, and the session it belongs to runs into its time-out.
     * @param {string} to
     * @param {OutgoingSignal} signal
     */
    send(to, signal) {
        if (!this.#over) {
            this.#channels.get(to)?.send(signal);
        }
    }

    /** Leaves the room, once what was handed to `send` is on its way. Nothing is reported any more. */
    close() {
        if (this.#over) {
            return;
        }
        this.#over = true;
        clearTimeout(this.#deadline);
        const unsent = [...this.#channels.values()].map((channel) => channel.close()).filter((sent) => sent !== null);
        if (unsent.length === 0) {
            this.#socket.close();
        } else {
            void Promise.all(unsent).then(() => this.#socket.close());
        }
    }

    /** @param {unknown} data */
    #receive(data) {
        const event = this.#over ? null : decode(data);
        switch (event?.type) {
            case 'hello':
                return this.#join(event.viewer);
            case 'refused':
                return this.#report(event);
            case 'joined':
                if (this.#viewer && !this.#joined) {
                    this.#enter(event.cameras, event.iceServers);
                }
                return;
            case 'camera-joined':
                return this.#appeared(event.peer);
            case 'camera-left':
                return this.#left(event.peer);
            case 'signal':
                return this.#channels.get(event.peer)?.receive(event.signal);
        }
    }

    /** @param {string} viewer */
    #join(viewer) {
        if (!this.#viewer) {
            this.#viewer = viewer;
            this.#transmit({ type: 'JOIN_OR_CREATE', data: { room: this.#access.room, role: 'viewer' } });
        }
    }

    /**
     * @param {string[]} cameras
     * @param {RTCIceServer[]} iceServers
     */
    #enter(cameras, iceServers) {
        this.#joined = true;
        clearTimeout(this.#deadline);
        this.#cameras = new Set(cameras);
        this.#report({ type: 'joined', cameras: [...this.#cameras], iceServers });
        this.#greet();
    }

    /** @param {string} peer */
    #appeared(peer) {
        // An id is for the life of one connection: one that was here before is not greeted a second time.
        const known = this.#cameras.has(peer) || this.#greeted.has(peer);
        if (this.#joined && !known && this.#cameras.size < LIST_ENTRIES) {
            this.#cameras.add(peer);
            this.#report({ type: 'camera-joined', peer });
            this.#greet();
        }
    }

    /** @param {string} peer */
    #left(peer) {
        if (!this.#cameras.delete(peer)) {
            return;
        }
        const channel = this.#channels.get(peer);
        const leave = () => {
            channel?.close();
            this.#channels.delete(peer);
            if (!this.#over) {
                this.#report({ type: 'camera-left', peer });
            }
            this.#greet();
        };
        // What it has said before it went comes first.
        const reported = channel?.reported;
        if (reported) {
            void reported.then(leave);
        } else {
            leave();
        }
    }

    /** Greets the cameras that have not been greeted, as far as there is room for them. */
    #greet() {
        let open = [...this.#channels.values()].filter((channel) => !channel.refuted).length;
        for (const camera of this.#cameras) {
            if (!this.#over && open < CHANNELS && !this.#channels.has(camera) && !this.#greeted.has(camera)) {
                open += 1;
                remember(this.#greeted, camera);
                this.#channels.set(camera, this.#channel(camera));
            }
        }
    }

    /**
     * @param {string} camera
     * @returns {Channel}
     */
    #channel(camera) {
        const start = performance.now();
        return new Channel({
            access: this.#access,
            viewer: this.#viewer,
            camera,
            transmit: (data) => this.#transmit({ type: 'SIGNAL', to: camera, data }),
            onProven: () => {
                performance.measure(MEASURE, { start });
                this.#report({ type: 'camera-proven', peer: camera });
            },
            onRefuted: () => {
                this.#report({ type: 'camera-refuted', peer: camera });
                this.#greet();
            },
            onOpened: (body) => {
                const event = signalOf(camera, body);
                if (event) {
                    this.#report(event);
                }
            },
        });
    }

    /** @param {object} message */
    #transmit(message) {
        if (this.#socket.readyState === WebSocket.OPEN) {
            this.#socket.send(encode(message));
        }
    }

    /** @param {boolean} timedOut */
    #end(timedOut) {
        if (!this.#over) {
            this.close();
            this.#report({ type: 'socket-closed', timedOut });
        }
    }
}

/**
 * @param {Set<string>} set
 * @param {string} peer
 */
function remember(set, peer) {
    for (const oldest of set) {
        if (set.size < GREETED) {
            break;
        }
        set.delete(oldest);
    }
    set.add(peer);
}
