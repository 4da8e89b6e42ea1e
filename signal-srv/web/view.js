/**
 * The document: shows a state, and tells what a person does. Text goes in as `textContent` only.
 */

import { digitCount, grouped, parseCode, HEX_DIGITS } from './code.js';
import { screenOf } from './state.js';
import { fill } from './strings.js';

/** @import {CodeProblem} from './code.js' */
/** @import {Figures} from './stats.js' */
/** @import {Screen, State} from './state.js' */
/** @import {Key, Words} from './strings.js' */

/** How long the controls stay after the last movement, in milliseconds. */
const IDLE_MS = 3000;
/** Longest text that is offered for correction, in characters. */
const LONGEST_PREFILL = 200;

/** @typedef {'retry' | 'other'} Action */

/**
 * What each screen beside the live one offers. `busy`: the page is at work and says so.
 * @type {Record<Exclude<Screen, 'live'>, {icon: string, busy: boolean, form: boolean, actions: Action[]}>}
 */
const SCREENS = {
    'enter-code': { icon: 'enter-code', busy: false, form: true, actions: [] },
    'wrong-code': { icon: 'wrong-code', busy: false, form: true, actions: [] },
    connecting: { icon: 'camera', busy: true, form: false, actions: ['other'] },
    waiting: { icon: 'camera', busy: true, form: false, actions: ['other'] },
    reconnecting: { icon: 'camera', busy: true, form: false, actions: [] },
    'camera-gone': { icon: 'camera-gone', busy: false, form: false, actions: ['other'] },
    'room-full': { icon: 'room-full', busy: false, form: false, actions: ['retry', 'other'] },
    unreachable: { icon: 'unreachable', busy: false, form: false, actions: ['retry', 'other'] },
    failed: { icon: 'failed', busy: false, form: false, actions: ['retry', 'other'] },
    unsupported: { icon: 'unsupported', busy: false, form: false, actions: [] },
};

/**
 * What a person does.
 * @typedef {object} Hands
 * @property {(text: string) => void} onCode a code was typed and sent
 * @property {(action: Action) => void} onAction
 * @property {() => void} onPlay
 * @property {(open: boolean) => void} onDetails
 */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
    const found = document.getElementById(id);
    if (!(found instanceof type)) {
        throw new TypeError(`#${id} is missing from the page`);
    }
    return found;
}

/**
 * The iPhone has full screen for the video alone, by names of its own.
 * @typedef {HTMLVideoElement & {webkitEnterFullscreen?: () => void, webkitSupportsFullscreen?: boolean}} Video
 */

export class View {
    /** The element that the camera's picture is played in. */
    video = element('video', HTMLVideoElement);

    #words;
    #hands;
    #stage = element('stage', HTMLElement);
    #panel = element('panel', HTMLElement);
    #code = element('code', HTMLTextAreaElement);
    #hint = element('hint', HTMLElement);
    #mute = element('mute', HTMLButtonElement);
    #pip = element('pip', HTMLButtonElement);
    #fullscreen = element('fullscreen', HTMLButtonElement);
    #details = element('details', HTMLButtonElement);
    #info = element('info', HTMLElement);
    /** @type {Screen | null} */
    #screen = null;
    #announced = '';
    /** @type {CodeProblem | null} */
    #problem = null;
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
            this.#label(node, this.#word(node.getAttribute('data-label')));
        }
        this.#code.placeholder = words['code.placeholder'];
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
        document.title = screen === 'enter-code' ? 'Roomcam' : `${heading} · Roomcam`;
        const onStage = screen === 'live' || screen === 'reconnecting';
        this.#stage.hidden = !onStage;
        element('badge', HTMLElement).hidden = screen !== 'live';
        element('stop', HTMLButtonElement).hidden = !onStage;
        element('play', HTMLButtonElement).hidden = !(screen === 'live' && state.blocked);
        this.#panel.hidden = screen === 'live';
        const sentence = this.#sentence(screen, state);
        if (screen !== 'live') {
            this.#renderPanel(screen, heading, sentence, state, now);
        }
        if (changed) {
            this.#entered(screen);
        }
        if (state.problem !== this.#problem) {
            this.#renderProblem(state.problem);
        }
        this.#announce(`${heading}. ${state.problem ? this.#explain(state.problem) : sentence}`);
    }

    /**
     * Puts a code that came by another way into the field, where it can be corrected.
     * @param {string} text
     */
    prefill(text) {
        this.#code.value = text.slice(0, LONGEST_PREFILL);
    }

    /**
     * Shows whether there is sound to be switched on.
     * @param {boolean} audible
     */
    renderSound(audible) {
        this.#audible = audible;
        const muted = this.video.muted;
        this.#mute.setAttribute('aria-disabled', String(!audible));
        this.#label(this.#mute, this.#words[!audible ? 'control.silent' : muted ? 'control.unmute' : 'control.mute']);
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
        const { icon: name, busy, form, actions } = SCREENS[screen];
        write(element('heading', HTMLElement), heading);
        write(element('sentence', HTMLElement), sentence);
        icon(element('figure', HTMLElement), name);
        this.#panel.classList.toggle('busy', busy);
        element('form', HTMLFormElement).hidden = !form;
        element('retry', HTMLButtonElement).hidden = !actions.includes('retry');
        element('other', HTMLButtonElement).hidden = !actions.includes('other');
        const countdown = element('countdown', HTMLElement);
        countdown.hidden = !actions.includes('retry');
        const seconds = state.retryAt === null ? 0 : Math.ceil((state.retryAt - now) / 1000);
        write(
            countdown,
            seconds > 0 ? fill(this.#words['retry.countdown'], { seconds }) : this.#words['retry.now'],
        );
    }

    /** @param {CodeProblem | null} problem */
    #renderProblem(problem) {
        this.#problem = problem;
        if (problem) {
            this.#code.setAttribute('aria-invalid', 'true');
            this.#hint.classList.remove('complete');
            this.#hint.textContent = this.#explain(problem);
        }
    }

    /**
     * A screen has just come up.
     * @param {Screen} screen
     */
    #entered(screen) {
        if (screen === 'enter-code') {
            this.#code.value = '';
            this.#renderHint();
        }
        if (screen !== 'live') {
            this.#showDetails(false);
        }
        if (screen !== 'live' && screen !== 'reconnecting' && document.fullscreenElement) {
            document.exitFullscreen().catch(() => {});
        }
        // The control that had the focus may be gone: do not let it fall back to the top of the page.
        if (document.activeElement instanceof HTMLElement && document.activeElement.closest('[hidden]')) {
            const form = screen === 'enter-code' || screen === 'wrong-code';
            (form ? this.#code : element(screen === 'live' ? 'stage-heading' : 'heading', HTMLElement)).focus();
        }
        this.#stir();
    }

    /**
     * @param {Screen} screen
     * @param {State} state
     * @returns {string}
     */
    #sentence(screen, state) {
        if (screen === 'wrong-code') {
            return this.#words['enter-code.sentence'];
        }
        if (screen === 'room-full' && state.refusal === 'mode') {
            return this.#words['room-full.mode'];
        }
        if (screen === 'unreachable' && !navigator.onLine) {
            return this.#words['unreachable.offline'];
        }
        return this.#words[`${screen}.sentence`];
    }

    /**
     * @param {CodeProblem} problem
     * @returns {string}
     */
    #explain(problem) {
        switch (problem.kind) {
            case 'empty':
                return this.#words['problem.empty'];
            case 'character':
                return fill(this.#words[problem.spelling === 'link' ? 'problem.last' : 'problem.character'], {
                    character: problem.character,
                    position: problem.position,
                });
            case 'length': {
                const { have, need } = problem;
                if (problem.spelling === 'link') {
                    return fill(this.#words['problem.link.length'], { have });
                }
                return have < need
                    ? fill(this.#words['problem.hex.short'], { have, missing: need - have })
                    : fill(this.#words['problem.hex.long'], { have, surplus: have - need });
            }
        }
    }

    #renderHint() {
        const text = this.#code.value;
        const parsed = parseCode(text);
        const count = digitCount(text);
        this.#code.setAttribute('aria-invalid', 'false');
        this.#hint.classList.toggle('complete', parsed.room !== undefined);
        if (parsed.room !== undefined) {
            this.#hint.textContent = this.#words['code.complete'];
        } else if (parsed.problem.kind === 'character' || count > HEX_DIGITS) {
            this.#code.setAttribute('aria-invalid', 'true');
            this.#hint.textContent = this.#explain(parsed.problem);
        } else {
            this.#hint.textContent = fill(this.#words['code.count'], { count });
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

    #listen() {
        const { video } = this;
        element('form', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            this.#send();
        });
        this.#code.addEventListener('keydown', (event) => {
            // A code has no lines: Enter sends it.
            if (event.key === 'Enter' && !event.isComposing) {
                event.preventDefault();
                this.#send();
            }
        });
        this.#code.addEventListener('input', () => this.#renderHint());
        this.#code.addEventListener('change', () => {
            const { room } = parseCode(this.#code.value);
            if (room !== undefined) {
                this.#code.value = grouped(room);
            }
        });
        element('retry', HTMLButtonElement).addEventListener('click', () => this.#hands.onAction('retry'));
        element('other', HTMLButtonElement).addEventListener('click', () => this.#hands.onAction('other'));
        element('stop', HTMLButtonElement).addEventListener('click', () => this.#hands.onAction('other'));
        element('play', HTMLButtonElement).addEventListener('click', () => this.#hands.onPlay());
        this.#mute.addEventListener('click', () => this.#toggleSound());
        this.#details.addEventListener('click', () => this.#showDetails(this.#info.hidden === true));
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
            this.#label(this.#fullscreen, this.#words[full ? 'control.windowed' : 'control.fullscreen']);
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

    #send() {
        this.#hands.onCode(this.#code.value);
        if (this.#screen === 'wrong-code') {
            this.#code.focus();
        }
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        this.#stir();
        const typing = event.target instanceof HTMLTextAreaElement;
        if (this.#stage.hidden || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) {
            return;
        }
        switch (event.key.toLowerCase()) {
            case 'f':
                return this.#toggleFullscreen();
            case 'm':
                return this.#toggleSound();
            case 'i':
                return this.#showDetails(this.#info.hidden === true);
            case 'escape':
                return this.#showDetails(false);
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

    /** @param {boolean} open */
    #showDetails(open) {
        if (open === this.#info.hidden) {
            this.#info.hidden = !open;
            this.#details.setAttribute('aria-expanded', String(open));
            this.#hands.onDetails(open);
        }
    }

    /** Somebody is there: the controls show, and hide again after a while without movement. */
    #stir() {
        clearTimeout(this.#idle);
        document.body.removeAttribute('data-idle');
        if (this.#screen === 'live' && matchMedia('(hover: hover) and (pointer: fine)').matches) {
            this.#idle = setTimeout(() => document.body.setAttribute('data-idle', ''), IDLE_MS);
        }
    }

    /** @param {string | null} key */
    #word(key) {
        return this.#words[/** @type {Key} */ (key)];
    }

    /**
     * Names a control for screen readers and, in its tooltip, for eyes.
     * @param {Element} control
     * @param {string} text
     */
    #label(control, text) {
        control.setAttribute('aria-label', text);
        control.setAttribute('data-tip', text);
    }
}

/**
 * @param {Element} place
 * @param {string} name of a symbol in the page
 */
function icon(place, name) {
    place.querySelector('use')?.setAttribute('href', `#i-${name}`);
}

/**
 * @param {Element} place
 * @param {string} text
 */
function write(place, text) {
    if (place.textContent !== text) {
        place.textContent = text;
    }
}
