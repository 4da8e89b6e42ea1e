/**
 * From what a person gives, types or holds before the scanner to access to a camera. That takes a moment, in which a
 * person may change their mind: what is read counts only as long as nothing else was given and nobody went away.
 */

import { accessOf } from './access.js';
import { parseCode } from './code.js';

/** @import {ParsedCode} from './code.js' */
/** @import {Event} from './state.js' */

export class Reading {
    #report;
    #turn = 0;
    /** The scanned code that is being read; it is seen again and again while it is in view. @type {object | null} */
    #scanned = null;

    /** @param {(event: Event) => void} report */
    constructor(report) {
        this.#report = report;
    }

    /** Whether anything was given yet, or dropped. */
    get begun() {
        return this.#turn > 0;
    }

    /** What is being read is not wanted any more. */
    drop() {
        this.#turn += 1;
        this.#scanned = null;
    }

    /** The scan is over: what it has seen and is still being read is not wanted any more. */
    dropScan() {
        if (this.#scanned) {
            this.drop();
        }
    }

    /**
     * Takes a code, right or wrong; one that is read late does not replace the one that came after it.
     * @param {Promise<ParsedCode>} parsing
     * @param {{checked: boolean, keep: boolean}} manner whether a typing error can be excluded; whether it is to be remembered
     */
    async give(parsing, { checked, keep }) {
        this.#turn += 1;
        const turn = this.#turn;
        const { code, problem } = await parsing;
        const access = code && (await accessOf(code));
        if (turn === this.#turn) {
            this.#report(
                access ? { type: 'open', access, checked, keep } : { type: 'wrong-code', problem: problem ?? { kind: 'empty' } },
            );
        }
    }

    /**
     * Takes what a QR code says, if it is the code of a camera: of a link, whatever the host, the fragment alone.
     * @param {string} text
     * @param {boolean} keep
     */
    async scan(text, keep) {
        if (this.#scanned) {
            return;
        }
        const own = {};
        this.#scanned = own;
        try {
            const parsed = await parseCode(text);
            if (this.#scanned !== own) {
                parsed.code?.fill(0);
            } else if (parsed.problem) {
                this.#report({ type: 'scan-problem', problem: 'foreign' });
            } else {
                await this.give(Promise.resolve(parsed), { checked: true, keep });
            }
        } finally {
            // Whatever has failed, the next look at the code may fare better.
            if (this.#scanned === own) {
                this.#scanned = null;
            }
        }
    }
}
