/**
 * What the views have in common: finding elements, writing into them. Text goes in as `textContent` only.
 */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
    const found = document.getElementById(id);
    if (!(found instanceof type)) {
        throw new TypeError(`#${id} is missing from the page`);
    }
    return found;
}

/**
 * @param {Element} place
 * @param {string} name of a symbol in the page
 */
export function icon(place, name) {
    place.querySelector('use')?.setAttribute('href', `#i-${name}`);
}

/**
 * @param {Element} place
 * @param {string} text
 */
export function write(place, text) {
    if (place.textContent !== text) {
        place.textContent = text;
    }
}

/**
 * Names a control for screen readers and, in its tooltip, for eyes.
 * @param {Element} control
 * @param {string} text
 */
export function label(control, text) {
    control.setAttribute('aria-label', text);
    control.setAttribute('data-tip', text);
}

/** A button that opens and closes a part of the page. */
export class Disclosure {
    #button;
    #part;
    #onChange;

    /**
     * @param {HTMLButtonElement} button
     * @param {HTMLElement} part
     * @param {(open: boolean) => void} [onChange]
     */
    constructor(button, part, onChange = () => {}) {
        this.#button = button;
        this.#part = part;
        this.#onChange = onChange;
        button.addEventListener('click', () => this.set(!this.open));
    }

    get open() {
        return !this.#part.hidden;
    }

    /** @param {boolean} open */
    set(open) {
        if (open !== this.open) {
            const inside = this.#part.contains(document.activeElement);
            this.#part.hidden = !open;
            this.#button.setAttribute('aria-expanded', String(open));
            if (inside && !this.#button.hidden) {
                this.#button.focus();
            }
            this.#onChange(open);
        }
    }
}
