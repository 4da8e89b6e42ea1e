/**
 * Timers that a test moves by hand. Node's own mocks of them differ between the versions that the tests run on.
 */

export class Clock {
    #now = 0;
    #last = 0;
    /** @type {Map<number, {at: number, every: number | null, run: () => void}>} */
    #timers = new Map();
    #originals = { setTimeout, clearTimeout, setInterval, clearInterval };

    /** Takes the place of the timers of the world. */
    install() {
        const set = (/** @type {boolean} */ repeats) => (/** @type {() => void} */ run, after = 0) => {
            this.#last += 1;
            this.#timers.set(this.#last, { at: this.#now + after, every: repeats ? after : null, run });
            return this.#last;
        };
        const clear = (/** @type {number} */ timer) => this.#timers.delete(timer);
        Object.assign(globalThis, { setTimeout: set(false), clearTimeout: clear, setInterval: set(true), clearInterval: clear });
    }

    /** Gives the timers of the world back. */
    remove() {
        Object.assign(globalThis, this.#originals);
    }

    /** @param {number} milliseconds */
    tick(milliseconds) {
        this.#now += milliseconds;
        for (const [timer, entry] of this.#timers) {
            if (entry.at <= this.#now) {
                if (entry.every === null) {
                    this.#timers.delete(timer);
                } else {
                    entry.at += entry.every;
                }
                entry.run();
            }
        }
    }
}
