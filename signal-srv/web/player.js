/**
 * The <video> element and what is played in it.
 *
 * A stream that comes while a picture is on the screen waits in an element of its own, off the page, until it has its
 * first frame; only then does it take the place of the old one. A stream that finds the screen empty goes there at once.
 */

/**
 * @typedef {object} Reports
 * @property {(session: number) => void} onPicture the first frame of a session is there
 * @property {() => void} onBlocked the browser wants a tap before it plays
 * @property {() => void} onPlaying
 */

export class Player {
    #video;
    #reports;
    /** @type {Map<number, {stream: MediaStream, probe: HTMLVideoElement | null}>} */
    #streams = new Map();

    /**
     * @param {HTMLVideoElement} video
     * @param {Reports} reports
     */
    constructor(video, reports) {
        this.#video = video;
        this.#reports = reports;
        video.muted = true;
        video.addEventListener('playing', () => reports.onPlaying());
    }

    /**
     * Takes the stream of a session and waits for its first frame.
     * @param {number} session
     * @param {MediaStream} stream
     */
    prepare(session, stream) {
        const direct = this.#video.srcObject === null;
        const element = direct ? this.#video : document.createElement('video');
        this.#streams.set(session, { stream, probe: direct ? null : element });
        element.addEventListener('loadeddata', () => this.arrived(session), { once: true });
        if (direct) {
            this.#put(stream);
            return;
        }
        element.muted = true;
        element.playsInline = true;
        element.srcObject = stream;
        element.play().catch(() => {});
    }

    /**
     * A session's first frame was decoded; also called from the frame count, for browsers that load nothing off the page.
     * @param {number} session
     */
    arrived(session) {
        if (this.#streams.has(session)) {
            this.#reports.onPicture(session);
        }
    }

    /**
     * Puts a session's picture on the screen.
     * @param {number} session
     */
    show(session) {
        const entry = this.#streams.get(session);
        if (!entry) {
            return;
        }
        if (this.#video.srcObject !== entry.stream) {
            this.#put(entry.stream);
        } else if (this.#video.paused) {
            // Browsers may stop what nobody could see for a while.
            this.play();
        }
        release(entry.probe);
        entry.probe = null;
    }

    /**
     * A session is closed. Its last frame stays on the screen until `clear` or the next picture.
     * @param {number} session
     */
    drop(session) {
        release(this.#streams.get(session)?.probe ?? null);
        this.#streams.delete(session);
    }

    /** Takes a picture off the screen that belongs to no session any more. */
    clear() {
        const onScreen = [...this.#streams.values()].some(({ stream }) => stream === this.#video.srcObject);
        if (!onScreen && this.#video.srcObject !== null) {
            this.#video.srcObject = null;
        }
    }

    /** Plays; after a tap of a person, browsers allow it. */
    play() {
        this.#video.play().catch((error) => {
            // AbortError only says that another stream has taken the place.
            if (error instanceof DOMException && error.name === 'NotAllowedError') {
                this.#reports.onBlocked();
            }
        });
    }

    /** @param {MediaStream} stream */
    #put(stream) {
        this.#video.srcObject = stream;
        this.play();
    }
}

/** @param {HTMLVideoElement | null} probe */
function release(probe) {
    if (probe) {
        probe.srcObject = null;
    }
}
