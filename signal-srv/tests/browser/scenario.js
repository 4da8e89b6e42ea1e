/**
 * A scenario is a test with a house (server, cameras), a browser, and viewers in it; all of it goes away afterwards, and
 * what the programs said is shown when it fails. It fails too if they said anything, at any level, that nobody may read.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { BROWSER, launch } from './browsers.js';
import { axeFindings, connectionsMade, decoded, keptAndShown, pattern, screenShown } from './in_page.js';
import { House } from './house.js';
import { until } from './programs.js';

/** @import {TestContext} from 'node:test' */
/** @import {Browser, Page, PageOptions} from './browsers.js' */

/** A scenario that takes longer than this hangs. */
const SCENARIO_MS = 180_000;
const SHOTS = process.env.ROOMCAM_SHOTS;

/** @type {Promise<Browser> | null} */
let launched = null;

after(async () => {
    // One that could not be launched has failed the scenarios already.
    const open = await launched?.catch(() => null);
    await open?.close();
});

/** The browser of this test file, launched when it is first needed. */
function browser() {
    launched ??= launch();
    return launched;
}

/**
 * @param {string} name
 * @param {(stage: Stage) => Promise<void>} play
 */
export function scenario(name, play) {
    test(`${name} (${BROWSER})`, { timeout: SCENARIO_MS, concurrency: true }, async (context) => {
        const stage = new Stage(context);
        /** @type {string[]} */
        let leaks = [];
        try {
            await play(stage);
        } catch (error) {
            context.diagnostic(await stage.explain());
            throw error;
        } finally {
            leaks = await stage.close();
        }
        if (leaks.length > 0) {
            throw new Error(`${leaks.length} lines of the logs give something away:\n${leaks.slice(0, 20).join('\n')}`);
        }
    });
}

/** What a scenario plays with. */
export class Stage {
    house = new House();
    #context;
    /** @type {Viewer[]} */
    #viewers = [];

    /** @param {TestContext} context */
    constructor(context) {
        this.#context = context;
    }

    /**
     * A part of the scenario that passes or fails by itself; several can be played at once.
     * @param {string} name
     * @param {() => void | Promise<void>} play
     */
    part(name, play) {
        return this.#context.test(`${name} (${BROWSER})`, async (context) => {
            try {
                await play();
            } catch (error) {
                context.diagnostic(await this.explain());
                throw error;
            }
        });
    }

    /**
     * A server and a camera that is in its room.
     * @param {{server?: string, camera?: string}} [config] TOML
     */
    async serverAndCamera(config = {}) {
        const server = await this.house.server({ config: config.server ?? '' });
        const camera = await this.house.camera(server, { config: config.camera ?? '' }).start();
        return { server, camera };
    }

    /**
     * A page on an address.
     * @param {string} url
     * @param {PageOptions} [options]
     */
    async viewer(url, options) {
        const page = await (await browser()).page(options);
        const viewer = new Viewer(page);
        this.#viewers.push(viewer);
        await page.open(url);
        return viewer;
    }

    async explain() {
        const pages = await Promise.all(this.#viewers.map((viewer) => viewer.describe()));
        return [...pages, this.house.explain()].join('\n');
    }

    /** Gives what the logs have given away. */
    async close() {
        await Promise.all(this.#viewers.map((viewer) => viewer.leave()));
        return this.house.close();
    }
}

/** Somebody who looks at a page. */
export class Viewer {
    #left = false;

    /** @param {Page} page */
    constructor(page) {
        this.page = page;
    }

    /**
     * Waits until the page shows one of these screens.
     * @param {string[]} names
     */
    shows(...names) {
        return until(`the screen ${names.join(' or ')}`, async () => {
            const shown = await this.page.run(screenShown);
            return names.includes(shown) && shown;
        });
    }

    /** Waits for a picture that moves; gives what its pattern says. */
    async watches() {
        const first = await this.reads();
        const moved = await until('the counter in the picture to advance', async () => {
            const now = await this.page.run(pattern);
            return now && now.counter > first.counter + 5 ? now : null;
        });
        const before = (await this.page.run(decoded)).framesDecoded;
        await until('the number of decoded frames to rise', async () => {
            return (await this.page.run(decoded)).framesDecoded > before + 5;
        });
        return moved;
    }

    /** Waits until the pattern in the picture can be read. */
    reads() {
        return until('a picture whose pattern can be read', () => this.page.run(pattern));
    }

    /** How many frames its open connections have decoded. */
    async frames() {
        return (await this.page.run(decoded)).framesDecoded;
    }

    /**
     * Clicks on something, once it is there.
     * @param {string} selector
     * @param {number} [which] of those that there are
     */
    async clicks(selector, which = 0) {
        await until(`${selector} to click on`, () => {
            return this.page.run(
                ([wanted, number]) => {
                    const found = document.querySelectorAll(String(wanted))[Number(number)];
                    const there = found instanceof HTMLElement && found.checkVisibility();
                    if (there) {
                        found.click();
                    }
                    return there;
                },
                [selector, which],
            );
        });
    }

    /**
     * Types a text in place of what is in a field, as far as the page can tell.
     * @param {string} selector
     * @param {string} text
     */
    types(selector, text) {
        return this.page.run(
            ([wanted = '', typed = '']) => {
                const field = /** @type {HTMLInputElement} */ (document.querySelector(wanted));
                field.focus();
                field.value = typed;
                field.dispatchEvent(new InputEvent('input', { bubbles: true }));
            },
            [selector, text],
        );
    }

    /**
     * What is written somewhere; empty if nobody can see it.
     * @param {string} selector
     * @returns {Promise<string>}
     */
    text(selector) {
        return this.page.run((wanted) => {
            const found = document.querySelector(String(wanted));
            return found?.checkVisibility() ? found.textContent ?? '' : '';
        }, selector);
    }

    /**
     * Has the camera that is on the screen remembered.
     * @param {string} name
     */
    async remembers(name) {
        await this.clicks('#keep');
        await this.types('#keep-name', name);
        await this.clicks('#keep-form button');
        await until('the camera to be remembered', async () => (await this.text('#title')) === name);
    }

    /** Everything that the page keeps or shows. */
    kept() {
        return this.page.run(keptAndShown);
    }

    /**
     * Opens another link where the page is: whatever it showed before is over.
     * @param {string} link of the same page
     */
    follows(link) {
        return this.page.run((hash) => (window.location.hash = hash), new URL(link).hash);
    }

    /** Leaves the room and joins it again, as a page does whose network has changed. */
    rejoins() {
        return this.page.run(() => window.dispatchEvent(new Event('online')));
    }

    /** How many peer connections its page has made so far. */
    made() {
        return this.page.run(connectionsMade);
    }

    /** What axe-core finds. */
    axe() {
        return this.page.run(axeFindings);
    }

    /**
     * Keeps a picture of the page where `ROOMCAM_SHOTS` names a folder.
     * @param {string} name
     */
    async shot(name) {
        if (SHOTS) {
            mkdirSync(SHOTS, { recursive: true });
            await this.page.screenshot(join(SHOTS, `${name}-${BROWSER}.png`));
        }
    }

    async leave() {
        if (!this.#left) {
            this.#left = true;
            await this.page.close();
        }
    }

    /** For whoever reads a failed test. */
    async describe() {
        if (this.#left) {
            return '    page | has left';
        }
        const look = async () => ({
            screen: await this.page.run(screenShown),
            decoded: await this.page.run(decoded),
            pattern: await this.page.run(pattern),
            complaints: this.page.complaints,
        });
        return `    page | ${JSON.stringify(await look().catch(String))}`;
    }
}
