/**
 * One RTCPeerConnection to one camera. The camera offers, this side answers; candidates trickle both ways.
 *
 * Descriptions are applied strictly one after the other; candidates that arrive before the first offer was applied wait
 * in a bounded queue.
 */

import { sampleOf } from './stats.js';

/** @import {Candidate, OutgoingSignal} from './signaling.js' */
/** @import {Sample} from './stats.js' */

/** Most candidates that wait for their description; an SDP rarely has more than twenty. */
export const WAITING_CANDIDATES = 64;
/** How often the frames are counted, in milliseconds. */
const COUNT_MS = 1000;
/** How long after the last frame was sent one may still be decoded, in milliseconds. */
const LAST_MS = 1500;
/** The same as `COUNT_MS` while the first frame of a picture that was away is awaited. */
const WATCH_MS = 100;

/**
 * @typedef {{type: 'connected', session: number}
 *   | {type: 'disconnected', session: number}
 *   | {type: 'failed', session: number}
 *   | {type: 'stalled', session: number, seconds: number}
 *   | {type: 'flowing', session: number}} SessionEvent
 */

/**
 * @typedef {object} Surroundings
 * @property {(signal: OutgoingSignal) => void} send to this session's camera
 * @property {(event: SessionEvent) => void} report
 * @property {(stream: MediaStream) => void} onStream called once, when the camera's video track is there
 * @property {(sample: Sample) => void} onSample called once a second
 */

export class Session {
    #number;
    #around;
    #connection;
    #stream = new MediaStream();
    /** @type {Promise<void>} */
    #last = Promise.resolve();
    /** @type {Candidate[]} */
    #early = [];
    /** @type {Candidate[]} */
    #unsent = [];
    #described = false;
    #answered = false;
    #closed = false;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #counting;
    #frames = 0;
    #watching = false;
    #restsUntil = 0;
    #movedAt = 0;

    /**
     * @param {number} number
     * @param {RTCIceServer[]} iceServers
     * @param {Surroundings} around
     */
    constructor(number, iceServers, around) {
        this.#number = number;
        this.#around = around;
        this.#connection = connect(iceServers);
        this.#connection.onicecandidate = ({ candidate }) => this.#found(candidate);
        this.#connection.ontrack = ({ track, receiver }) => this.#arrived(track, receiver);
        this.#connection.onconnectionstatechange = () => this.#changed();
    }

    /**
     * Applies an offer and answers it.
     * @param {string} sdp
     */
    answer(sdp) {
        const negotiate = async () => {
            await this.#connection.setRemoteDescription({ type: 'offer', sdp });
            this.#described = true;
            for (const candidate of this.#early.splice(0)) {
                this.#add(candidate);
            }
            await this.#connection.setLocalDescription();
            const answer = this.#connection.localDescription?.sdp;
            if (this.#closed || !answer) {
                return;
            }
            this.#around.send({ type: 'answer', sdp: answer });
            this.#answered = true;
            for (const candidate of this.#unsent.splice(0)) {
                this.#around.send(candidate);
            }
        };
        this.#last = this.#last.then(negotiate).catch((error) => this.#fail(error));
    }

    /** @param {Candidate} candidate of the camera */
    candidate(candidate) {
        if (this.#described) {
            this.#add(candidate);
        } else if (this.#early.length < WAITING_CANDIDATES) {
            this.#early.push(candidate);
        }
    }

    /** Whether the camera sends sound. */
    get audible() {
        return this.#stream.getAudioTracks().length > 0;
    }

    /** The camera sends no more frames: those that come within a moment from now were under way. */
    rest() {
        this.#restsUntil = performance.now() + LAST_MS;
        this.#watched();
    }

    /** The camera has its picture back: the first frame from now on is reported as soon as it is there. */
    watch() {
        if (this.#counting !== undefined) {
            // What is decoded by now is old, whenever it was counted.
            this.#frames = Infinity;
            this.#watching = true;
            this.#restsUntil = 0;
            this.#countEvery(WATCH_MS);
            this.#count().catch(() => {});
        }
    }

    close() {
        this.#closed = true;
        clearInterval(this.#counting);
        this.#connection.onicecandidate = null;
        this.#connection.ontrack = null;
        this.#connection.onconnectionstatechange = null;
        this.#connection.close();
    }

    /** @param {Candidate} candidate */
    #add(candidate) {
        // A candidate that the browser cannot use is one way less, not a failure.
        this.#connection.addIceCandidate(candidate).catch(() => {});
    }

    /** @param {RTCIceCandidate | null} candidate */
    #found(candidate) {
        if (!candidate?.candidate) {
            return;
        }
        const { candidate: line, sdpMLineIndex, sdpMid } = candidate;
        // The camera can use a candidate only after the answer that it belongs to.
        if (this.#answered) {
            this.#around.send({ candidate: line, sdpMLineIndex, sdpMid });
        } else {
            this.#unsent.push({ candidate: line, sdpMLineIndex, sdpMid });
        }
    }

    /**
     * @param {MediaStreamTrack} track
     * @param {RTCRtpReceiver & {jitterBufferTarget?: number | null}} receiver
     */
    #arrived(track, receiver) {
        // Live is what counts here: no frame is held back to make the next one come smoothly.
        if ('jitterBufferTarget' in receiver) {
            receiver.jitterBufferTarget = 0;
        }
        this.#stream.addTrack(track);
        if (track.kind === 'video' && this.#counting === undefined) {
            this.#around.onStream(this.#stream);
            this.#movedAt = performance.now();
            this.#countEvery(COUNT_MS);
        }
    }

    /** @param {number} milliseconds */
    #countEvery(milliseconds) {
        clearInterval(this.#counting);
        this.#counting = setInterval(() => this.#count().catch(() => {}), milliseconds);
    }

    /** It need not be watched any longer. */
    #watched() {
        if (this.#watching) {
            this.#watching = false;
            this.#countEvery(COUNT_MS);
        }
    }

    async #count() {
        const reports = await this.#connection.getStats();
        const now = performance.now();
        const sample = this.#closed ? null : sampleOf(reports.values(), now);
        if (!sample) {
            return;
        }
        this.#around.onSample(sample);
        if (sample.frames > this.#frames && now < this.#restsUntil) {
            this.#movedAt = now;
        } else if (sample.frames > this.#frames) {
            this.#movedAt = now;
            this.#watched();
            this.#around.report({ type: 'flowing', session: this.#number });
        } else if (document.hidden) {
            // A page in the background may rightly decode nothing.
            this.#movedAt = now;
        } else {
            const seconds = (now - this.#movedAt) / 1000;
            this.#around.report({ type: 'stalled', session: this.#number, seconds });
        }
        this.#frames = sample.frames;
    }

    #changed() {
        const state = this.#connection.connectionState;
        if (state === 'connected' || state === 'disconnected' || state === 'failed') {
            this.#around.report({ type: state, session: this.#number });
        }
    }

    /** @param {unknown} error */
    #fail(error) {
        if (!this.#closed) {
            console.warn('The offer of the camera could not be answered:', error);
            this.#around.report({ type: 'failed', session: this.#number });
        }
    }
}

/**
 * @param {RTCIceServer[]} iceServers
 * @returns {RTCPeerConnection}
 */
function connect(iceServers) {
    try {
        return new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    } catch (error) {
        // An entry that this browser does not take must not cost the picture: most viewers need none of them.
        console.warn('The ICE servers of the signaling server are not usable:', error);
        return new RTCPeerConnection();
    }
}
