/**
 * The part of the document that leads to a camera: the form for the code, the scanner, the list of remembered cameras.
 */

import { CHECK_DIGITS, HEX_DIGITS, digitCount, grouped, parseCode, readCode } from './code.js';
import { element, icon, label, write } from './dom.js';
import { fill } from './strings.js';

/** @import {Remembered} from './cameras.js' */
/** @import {CodeProblem} from './code.js' */
/** @import {Screen, State} from './state.js' */
/** @import {Words} from './strings.js' */

/** Longest text that is offered for correction, in characters. */
const LONGEST_PREFILL = 200;

/**
 * @typedef {object} StartHands
 * @property {(text: string, keep: boolean) => void} onCode a code was typed and sent; `keep`: to be remembered
 * @property {() => void} onScan
 * @property {(id: string) => void} onOpen
 * @property {(id: string, name: string) => void} onRename
 * @property {(id: string) => void} onForget
 */

export class StartView {
    /** The element that shows what this device's camera sees. */
    viewfinder = element('viewfinder', HTMLVideoElement);

    #words;
    #hands;
    #code = element('code', HTMLTextAreaElement);
    #hint = element('hint', HTMLElement);
    #remember = element('remember', HTMLInputElement);
    #scan = element('scan', HTMLButtonElement);
    #list = element('list', HTMLElement);
    #dialog = element('dialog', HTMLDialogElement);
    #name = element('dialog-name', HTMLInputElement);
    /** @type {readonly Remembered[]} */
    #listed = [];
    /** @type {CodeProblem | null} */
    #problem = null;
    #scannable = false;
    #answer = () => {};

    /**
     * @param {Words} words
     * @param {StartHands} hands
     */
    constructor(words, hands) {
        this.#words = words;
        this.#hands = hands;
        this.#code.placeholder = words['code.placeholder'];
        this.#listen();
    }

    /** Whether the camera that comes next is to be remembered. */
    get keep() {
        return this.#remember.checked;
    }

    /**
     * @param {Screen} screen
     * @param {State} state
     */
    render(screen, state) {
        const form = screen === 'enter-code' || screen === 'wrong-code';
        element('form', HTMLFormElement).hidden = !form;
        this.#list.hidden = screen !== 'cameras';
        element('finder', HTMLElement).hidden = screen !== 'scanning';
        element('tick', HTMLElement).hidden = state.forgetful;
        element('forgetful', HTMLElement).hidden = !state.forgetful;
        const place = screen === 'scanning' ? 'finder-note' : 'scan-note';
        for (const id of ['finder-note', 'scan-note']) {
            const note = element(id, HTMLElement);
            note.hidden = id !== place || !state.scanProblem;
            write(note, state.scanProblem ? this.#words[`scan.${state.scanProblem}`] : '');
        }
        if (state.list !== this.#listed) {
            this.#renderList(state.list);
        }
        if (state.problem !== this.#problem) {
            this.#problem = state.problem;
            if (state.problem) {
                this.#complain(state.problem);
            }
        }
    }

    /**
     * A screen has just come up.
     * @param {Screen} screen
     */
    entered(screen) {
        if (screen !== 'enter-code' && screen !== 'wrong-code' && screen !== 'scanning') {
            // What was typed must not stay behind.
            this.#code.value = '';
            this.#remember.checked = false;
        }
        if (screen === 'enter-code') {
            this.#renderHint();
        }
        if (this.#dialog.open && screen !== 'cameras') {
            this.#dialog.close();
        }
    }

    /** Puts the focus where it belongs on the form. */
    focus() {
        this.#code.focus();
    }

    /**
     * Puts a code that came by another way into the field, where it can be corrected.
     * @param {string} text
     */
    prefill(text) {
        this.#code.value = text.slice(0, LONGEST_PREFILL);
    }

    /** Offers to scan. */
    offerScan() {
        this.#scannable = true;
        this.#scan.hidden = false;
    }

    /**
     * What a person is told to do on the form.
     * @returns {string}
     */
    get sentence() {
        return this.#words[this.#scannable ? 'enter-code.scan' : 'enter-code.sentence'];
    }

    /**
     * @param {CodeProblem} problem
     * @returns {string}
     */
    explain(problem) {
        switch (problem.kind) {
            case 'empty':
                return this.#words['problem.empty'];
            case 'checksum':
                return this.#words['problem.checksum'];
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
                if (have > need) {
                    return fill(this.#words['problem.hex.long'], { have, surplus: have - need });
                }
                const words = this.#words[need === HEX_DIGITS ? 'problem.hex.short' : 'problem.hex.check'];
                return fill(words, { have, missing: need - have });
            }
        }
    }

    /**
     * Asks before a camera is forgotten.
     * @param {Remembered} entry
     */
    askForget({ id, name }) {
        this.#ask('forget', name, () => this.#hands.onForget(id));
    }

    /** @param {readonly Remembered[]} list */
    #renderList(list) {
        this.#listed = list;
        const focused = document.activeElement?.closest('#list button');
        const item = focused?.closest('li');
        const place = item ? [...item.querySelectorAll('button')].indexOf(/** @type {HTMLButtonElement} */ (focused)) : -1;
        const items = list.map((entry) => this.#item(entry));
        this.#list.replaceChildren(...items);
        if (item) {
            // The focus stays on its camera, or goes to the heading where the camera is gone.
            const again = items.find(({ dataset }) => dataset['id'] === item.dataset['id']);
            (again?.querySelectorAll('button')[place] ?? element('heading', HTMLElement)).focus();
        }
    }

    /** @param {CodeProblem} problem */
    #complain(problem) {
        this.#code.setAttribute('aria-invalid', 'true');
        this.#hint.classList.remove('complete');
        this.#hint.textContent = this.explain(problem);
    }

    #renderHint() {
        const text = this.#code.value;
        const { digits, problem } = readCode(text);
        const count = digitCount(text);
        this.#code.setAttribute('aria-invalid', 'false');
        this.#hint.classList.toggle('complete', digits !== undefined);
        if (digits !== undefined) {
            this.#hint.textContent = this.#words['code.complete'];
            if (digits.length > HEX_DIGITS) {
                void this.#check(text);
            }
        } else if (problem.kind === 'character' || count > HEX_DIGITS + CHECK_DIGITS) {
            this.#complain(problem);
        } else {
            const need = count < HEX_DIGITS ? HEX_DIGITS : HEX_DIGITS + CHECK_DIGITS;
            this.#hint.textContent = fill(this.#words['code.count'], { count, need });
        }
    }

    /**
     * Says what the check digits say, unless more was typed meanwhile.
     * @param {string} text
     */
    async #check(text) {
        const { problem } = await parseCode(text);
        if (this.#code.value !== text) {
            return;
        }
        if (problem) {
            this.#complain(problem);
        } else {
            this.#hint.textContent = this.#words['code.checked'];
        }
    }

    /**
     * @param {Remembered} entry
     * @returns {HTMLElement}
     */
    #item(entry) {
        const template = element('list-item', HTMLTemplateElement).content.cloneNode(true);
        const item = /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (template).firstElementChild);
        item.dataset['id'] = entry.id;
        const [open, rename, forget] = item.querySelectorAll('button');
        const name = item.querySelector('span');
        if (open && rename && forget && name) {
            name.textContent = entry.name;
            label(rename, fill(this.#words['list.rename'], { name: entry.name }));
            label(forget, fill(this.#words['list.forget'], { name: entry.name }));
            open.addEventListener('click', () => this.#hands.onOpen(entry.id));
            rename.addEventListener('click', () => {
                this.#ask('rename', entry.name, () => this.#hands.onRename(entry.id, this.#name.value));
            });
            forget.addEventListener('click', () => this.askForget(entry));
        }
        return item;
    }

    /**
     * @param {'rename' | 'forget'} question
     * @param {string} name of the camera
     * @param {() => void} onYes
     */
    #ask(question, name, onYes) {
        const renames = question === 'rename';
        write(element('dialog-heading', HTMLElement), fill(this.#words[`${question}.heading`], { name }));
        const sentence = element('dialog-sentence', HTMLElement);
        sentence.hidden = renames;
        write(sentence, this.#words['forget.consequence']);
        element('dialog-field', HTMLElement).hidden = !renames;
        this.#name.value = name;
        const yes = element('dialog-yes', HTMLButtonElement);
        write(yes, this.#words[`${question}.yes`]);
        yes.classList.toggle('grave', !renames);
        this.#answer = onYes;
        this.#dialog.showModal();
        if (renames) {
            this.#name.select();
        } else {
            element('dialog-no', HTMLButtonElement).focus();
        }
    }

    #send() {
        this.#hands.onCode(this.#code.value, this.keep);
    }

    #listen() {
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
            const { digits } = readCode(this.#code.value);
            if (digits !== undefined) {
                this.#code.value = grouped(digits);
                this.#renderHint();
            }
        });
        this.#scan.addEventListener('click', () => this.#hands.onScan());
        icon(this.#scan, 'enter-code');
        element('dialog-form', HTMLFormElement).addEventListener('submit', (event) => {
            event.preventDefault();
            this.#dialog.close();
            this.#answer();
        });
        element('dialog-no', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
    }
}
