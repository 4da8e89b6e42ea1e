/**
 * The document: shows a state, and tells what a person does. The panel with one heading and one thing to do, and the
 * stage with the picture; what leads to a camera is in start-view.js.
 */

import { freeName } from './cameras.js';
import { Disclosure, element, icon, label, write } from './dom.js';
import { StartView } from './start-view.js';
import { entryOf, screenOf } from './state.js';
import { fill } from './strings.js';

/** @import {Remembered} from './cameras.js' */
/** @import {StartHands} from './start-view.js' */
/** @import {Figures} from './stats.js' */
/** @import {Screen, State} from './state.js' */
/** @import {Key, Words} from './strings.js' */

/** How long the controls stay after the last movement, in milliseconds. */
const IDLE_MS = 3000;

/** @typedef {'retry' | 'leave' | 'add' | 'cancel'} Action */

/**
 * What each screen beside the live one offers. `busy`: the page is at work and says so.
 * @type {Record<Exclude<Screen, 'live'>, {icon: string, busy: boolean, actions: Action[]}>}
 */
const SCREENS = {
    cameras: { icon: 'camera', busy: false, actions: ['add'] },
    'enter-code': { icon: 'enter-code', busy: false, actions: [] },
    'wrong-code': { icon: 'wrong-code', busy: false, actions: [] },
    scanning: { icon: 'enter-code', busy: false, actions: ['cancel'] },
    connecting: { icon: 'camera', busy: true, actions: ['leave'] },
    waiting: { icon: 'camera', busy: true, actions: ['leave'] },
    paused: { icon: 'paused', busy: false, actions: ['leave'] },
    'no-picture': { icon: 'no-picture', busy: false, actions: ['leave'] },
    reconnecting: { icon: 'camera', busy: true, actions: [] },
    'camera-gone': { icon: 'camera-gone', busy: false, actions: ['leave'] },
    impostor: { icon: 'impostor', busy: false, actions: ['retry', 'leave'] },
    'room-full': { icon: 'room-full', busy: false, actions: ['retry', 'leave'] },
    unreachable: { icon: 'unreachable', busy: false, actions: ['retry', 'leave'] },
    failed: { icon: 'failed', busy: false, actions: ['retry', 'leave'] },
    unsupported: { icon: 'unsupported', busy: false, actions: [] },
    insecure: { icon: 'insecure', busy: false, actions: [] },
    misconfigured: { icon: 'wrong-code', busy: false, actions: [] },
};

/**
 * What a person does.
 * @typedef {StartHands & {
 *   onAction: (action: Action) => void,
 *   onRemember: (name: string) => void,
 *   onPlay: () => void,
 *   onDetails: (open: boolean) => void,
 * }} Hands
 */

/**
 * The iPhone has full screen for the video alone, by names of its own.
 * @typedef {HTMLVideoElement & {
 *   webkitEnterFullscreen?: () => void,
 *   webkitExitFullscreen?: () => void,
 *   webkitDisplayingFullscreen?: boolean,
 * }} Video
 */

export class View {
    /** The element that the camera's picture is played in. */
    video = element('video', HTMLVideoElement);
    /** @type {StartView} */
    start;

    #words;
    #hands;
    #stage = element('stage', HTMLElement);
    #panel = element('panel', HTMLElement);
    #mute = element('mute', HTMLButtonElement);
    #pip = element('pip', HTMLButtonElement);
    #fullscreen = element('fullscreen', HTMLButtonElement);
    #lock = element('lock', HTMLButtonElement);
    #keep = element('keep', HTMLButtonElement);
    #keepName = element('keep-name', HTMLInputElement);
    /** What lies over the picture: one at a time. */
    #notes;
    /** @type {Screen | null} */
    #screen = null;
    /** The camera that is watched, where it is remembered. @type {Remembered | null} */
    #entry = null;
    #announced = '';
    #audible = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #idle;

    /**
     * @param {string} language
     * @param {Words} words
     * @param {Hands} hands
     */
    constructor(language, words, hands) {
        this.#words = words;
        this.#hands = hands;
        document.documentElement.lang = language;
        for (const node of document.querySelectorAll('[data-text]')) {
            node.textContent = this.#word(node.getAttribute('data-text'));
        }
        for (const node of document.querySelectorAll('[data-label]')) {
            label(node, this.#word(node.getAttribute('data-label')));
        }
        this.start = new StartView(words, hands);
        const disclosure = (/** @type {HTMLButtonElement} */ button, /** @type {string} */ part) => {
            const note = new Disclosure(button, element(part, HTMLElement), (open) => this.#noted(note, open));
            return note;
        };
        this.#notes = {
            lock: disclosure(this.#lock, 'lock-note'),
            keep: disclosure(this.#keep, 'keep-note'),
            details: disclosure(element('details', HTMLButtonElement), 'info'),
        };
        this.#listen();
    }

    /**
     * @param {State} state
     * @param {number} now milliseconds, by the clock of `state.retryAt`
     */
    render(state, now) {
        const screen = screenOf(state);
        const changed = screen !== this.#screen;
        this.#screen = screen;
        document.body.dataset['state'] = screen;
        const heading = this.#words[`${screen}.heading`];
        const onStage = screen === 'live' || screen === 'reconnecting';
        this.#renderKeep(state);
        const name = this.#entry?.name ?? 'Roomcam';
        write(element('title', HTMLElement), name);
        document.title = screen === 'enter-code' || screen === 'cameras' ? 'Roomcam' : `${heading} · ${name}`;
        this.#stage.hidden = !onStage;
        element('badge', HTMLElement).hidden = screen !== 'live';
        this.#lock.hidden = !onStage;
        element('stop', HTMLButtonElement).hidden = !onStage;
        element('play', HTMLButtonElement).hidden = !(screen === 'live' && state.blocked);
        this.#panel.hidden = screen === 'live';
        this.start.render(screen, state);
        const sentence = this.#sentence(screen, state);
        if (screen !== 'live') {
            this.#renderPanel(screen, heading, sentence, state, now);
        }
        if (changed) {
            this.#entered(screen);
        }
        const said = state.problem ? this.start.explain(state.problem) : sentence;
        const scan = state.scanProblem ? ` ${this.#words[`scan.${state.scanProblem}`]}` : '';
        this.#announce(`${heading}. ${said}${scan}`);
    }

    /**
     * Shows whether there is sound to be switched on.
     * @param {boolean} audible
     */
    renderSound(audible) {
        this.#audible = audible;
        const muted = this.video.muted;
        this.#mute.setAttribute('aria-disabled', String(!audible));
        label(this.#mute, this.#words[!audible ? 'control.silent' : muted ? 'control.unmute' : 'control.mute']);
        icon(this.#mute, muted || !audible ? 'muted' : 'sound');
    }

    /** @param {Figures} figures */
    renderFigures(figures) {
        const none = this.#words['info.none'];
        const language = document.documentElement.lang;
        const number = (/** @type {number} */ value, digits = 0) =>
            value.toLocaleString(language, { maximumFractionDigits: digits });
        /** @type {Record<string, string>} */
        const rows = {
            resolution: figures.width > 0 ? `${figures.width} × ${figures.height}` : none,
            rate: figures.framesPerSecond === null ? none : number(figures.framesPerSecond),
            bitrate:
                figures.kbps === null
                    ? none
                    : figures.kbps < 1000
                      ? `${number(figures.kbps)} kbit/s`
                      : `${number(figures.kbps / 1000, 1)} Mbit/s`,
            path:
                figures.relayed === null
                    ? none
                    : this.#words[figures.relayed ? 'info.path.relayed' : 'info.path.direct'],
            'round-trip': figures.roundTripMs === null ? none : `${number(Math.max(figures.roundTripMs, 1))} ms`,
        };
        for (const [name, value] of Object.entries(rows)) {
            element(`info-${name}`, HTMLElement).textContent = value;
        }
    }

    /**
     * @param {Exclude<Screen, 'live'>} screen
     * @param {string} heading
     * @param {string} sentence
     * @param {State} state
     * @param {number} now
     */
    #renderPanel(screen, heading, sentence, state, now) {
        const { icon: name, busy, actions } = SCREENS[screen];
        write(element('heading', HTMLElement), heading);
        write(element('sentence', HTMLElement), sentence);
        icon(element('figure', HTMLElement), name);
        this.#panel.classList.toggle('busy', busy);
        for (const action of /** @type {const} */ (['retry', 'add', 'cancel'])) {
            element(action, HTMLButtonElement).hidden = !actions.includes(action);
        }
        const leave = element('leave', HTMLButtonElement);
        const form = screen === 'enter-code' || screen === 'wrong-code';
        leave.hidden = !(actions.includes('leave') || (form && state.list.length > 0));
        write(leave, this.#words[state.list.length > 0 ? 'action.cameras' : 'action.other']);
        const countdown = element('countdown', HTMLElement);
        countdown.hidden = !actions.includes('retry') || screen === 'impostor';
        const seconds = state.retryAt === null ? 0 : Math.ceil((state.retryAt - now) / 1000);
        write(
            countdown,
            seconds > 0 ? fill(this.#words['retry.countdown'], { seconds }) : this.#words['retry.now'],
        );
    }

    /** @param {State} state */
    #renderKeep(state) {
        const entry = entryOf(state);
        const remembered = entry !== null;
        if (entry && !this.#entry && this.#notes.keep.open) {
            // What was asked for is done.
            this.#notes.keep.set(false);
        }
        this.#entry = entry;
        label(this.#keep, this.#words[remembered ? 'keep.kept' : 'keep.label']);
        icon(this.#keep, remembered ? 'kept' : 'keep');
        element('keep-form', HTMLFormElement).hidden = remembered || state.forgetful;
        element('kept', HTMLElement).hidden = !remembered;
        element('keep-forgetful', HTMLElement).hidden = remembered || !state.forgetful;
        this.#keepName.placeholder = freeName(state.list, this.#words['camera.name']);
        if (entry) {
            write(element('kept-as', HTMLElement), fill(this.#words['keep.kept-as'], { name: entry.name }));
        }
    }

    /**
     * A screen has just come up.
     * @param {Screen} screen
     */
    #entered(screen) {
        this.start.entered(screen);
        const onStage = screen === 'live' || screen === 'reconnecting';
        if (screen !== 'live') {
            this.#notes.details.set(false);
        }
        if (!onStage) {
            this.#notes.lock.set(false);
            this.#notes.keep.set(false);
            this.#keepName.value = '';
        }
        const absent = screen === 'paused' || screen === 'no-picture';
        if (absent) {
            // What shows the video alone would go on showing its last frame.
            this.#leaveVideo();
        } else if (!onStage && document.fullscreenElement) {
            document.exitFullscreen().catch(() => {});
        }
        // The control that had the focus may be gone: do not let it fall back to the top of the page.
        if (document.activeElement instanceof HTMLElement && document.activeElement.closest('[hidden]')) {
            if (screen === 'enter-code' || screen === 'wrong-code') {
                this.start.focus();
            } else {
                element(screen === 'live' ? 'stage-heading' : 'heading', HTMLElement).focus();
            }
        }
        this.#stir();
    }

    /**
     * @param {Screen} screen
     * @param {State} state
     * @returns {string}
     */
    #sentence(screen, state) {
        switch (screen) {
            case 'enter-code':
            case 'wrong-code':
                return this.start.sentence;
            case 'waiting':
                return this.#words[state.checked ? 'waiting.sentence' : 'waiting.unchecked'];
            case 'room-full':
                return this.#words[state.refusal === 'mode' ? 'room-full.mode' : 'room-full.sentence'];
            case 'unreachable':
                return this.#words[navigator.onLine ? 'unreachable.sentence' : 'unreachable.offline'];
            case 'insecure': {
                const { host, port, pathname } = location;
                const path = pathname === '/' ? '' : pathname;
                const local = `http://localhost${port ? `:${port}` : ''}${path}`;
                return fill(this.#words['insecure.sentence'], { secure: `https://${host}${path}`, local });
            }
            default:
                return this.#words[`${screen}.sentence`];
        }
    }

    /**
     * Says a sentence to a screen reader, once.
     * @param {string} text
     */
    #announce(text) {
        if (text !== this.#announced) {
            this.#announced = text;
            element('status', HTMLElement).textContent = text;
        }
    }

    /**
     * Something that lies over the picture was opened or closed.
     * @param {Disclosure} note
     * @param {boolean} open
     */
    #noted(note, open) {
        if (open) {
            Object.values(this.#notes).forEach((other) => other !== note && other.set(false));
        }
        if (note === this.#notes.details) {
            this.#hands.onDetails(open);
        } else if (open && note === this.#notes.lock) {
            this.#announce(this.#words['lock.meaning']);
        }
        this.#stir();
    }

    #listen() {
        const { video } = this;
        for (const action of /** @type {const} */ (['retry', 'leave', 'add', 'cancel'])) {
            element(action, HTMLButtonElement).addEventListener('click', () => this.#hands.onAction(action));
        }
        element('stop', HTMLButtonElement).addEventListener('click', () => this.#hands.onAction('leave'));
        element('play', HTMLButtonElement).addEventListener('click', () => this.#hands.onPlay());
        element('keep-form', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            this.#hands.onRemember(this.#keepName.value);
        });
        element('keep-forget', HTMLButtonElement).addEventListener('click', () => {
            if (this.#entry) {
                this.start.askForget(this.#entry);
            }
        });
        this.#mute.addEventListener('click', () => this.#toggleSound());
        this.#fullscreen.addEventListener('click', () => this.#toggleFullscreen());
        this.#fullscreen.hidden = !document.fullscreenEnabled && !(/** @type {Video} */ (video).webkitEnterFullscreen);
        this.#pip.hidden = !document.pictureInPictureEnabled;
        this.#pip.addEventListener('click', () => {
            const change = document.pictureInPictureElement
                ? document.exitPictureInPicture()
                : video.requestPictureInPicture();
            change.catch(() => {});
        });
        video.addEventListener('volumechange', () => this.renderSound(this.#audible));
        video.addEventListener('dblclick', () => this.#toggleFullscreen());
        document.addEventListener('fullscreenchange', () => {
            const full = document.fullscreenElement !== null;
            label(this.#fullscreen, this.#words[full ? 'control.windowed' : 'control.fullscreen']);
            icon(this.#fullscreen, full ? 'windowed' : 'fullscreen');
        });
        document.addEventListener('keydown', (event) => this.#key(event));
        document.addEventListener('focusin', () => this.#stir());
        document.addEventListener('pointermove', (event) => event.pointerType === 'mouse' && this.#stir());
        // On a touch screen a tap on the picture takes the controls away and brings them back.
        this.#stage.addEventListener('click', (event) => {
            if (event.target === video && /** @type {PointerEvent} */ (event).pointerType === 'touch') {
                clearTimeout(this.#idle);
                document.body.toggleAttribute('data-idle');
            }
        });
        this.renderSound(false);
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        this.#stir();
        const { target } = event;
        const typing = target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement;
        const asked = target instanceof Element && target.closest('dialog') !== null;
        if (this.#stage.hidden || asked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) {
            return;
        }
        const key = event.key.toLowerCase();
        if (key === 'escape') {
            Object.values(this.#notes).forEach((note) => note.set(false));
        } else if (!typing && key === 'f') {
            this.#toggleFullscreen();
        } else if (!typing && key === 'm') {
            this.#toggleSound();
        } else if (!typing && key === 'i') {
            this.#notes.details.set(!this.#notes.details.open);
        }
    }

    #toggleSound() {
        if (this.#audible) {
            this.video.muted = !this.video.muted;
        } else {
            this.#announce(this.#words['control.silent']);
        }
    }

    #toggleFullscreen() {
        const video = /** @type {Video} */ (this.video);
        if (document.fullscreenElement) {
            document.exitFullscreen().catch(() => {});
        } else if (document.fullscreenEnabled) {
            // The whole page and not the video alone: the controls come along.
            document.documentElement.requestFullscreen({ navigationUI: 'hide' }).catch(() => {});
        } else {
            video.webkitEnterFullscreen?.();
        }
    }

    /** Picture in picture, and on the iPhone full screen, end; the whole page in full screen stays as it is. */
    #leaveVideo() {
        if (document.pictureInPictureElement) {
            document.exitPictureInPicture().catch(() => {});
        }
        const video = /** @type {Video} */ (this.video);
        if (video.webkitDisplayingFullscreen) {
            video.webkitExitFullscreen?.();
        }
    }

    /** Somebody is there: the controls show, and hide again after a while without movement. */
    #stir() {
        clearTimeout(this.#idle);
        document.body.removeAttribute('data-idle');
        const reading = this.#notes.lock.open || this.#notes.keep.open;
        if (this.#screen === 'live' && !reading && matchMedia('(hover: hover) and (pointer: fine)').matches) {
            this.#idle = setTimeout(() => document.body.setAttribute('data-idle', ''), IDLE_MS);
        }
    }

    /** @param {string | null} key */
    #word(key) {
        return this.#words[/** @type {Key} */ (key)];
    }
}
