/**
 * One way to drive both browsers: Chromium through Playwright, Firefox through Puppeteer (WebDriver BiDi).
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

import { observe } from './in_page.js';

/** Which browser these tests drive. */
export const BROWSER = process.env.ROOMCAM_BROWSER ?? 'chromium';

const CHROMIUM_ARGUMENTS = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // A person who lets the page use the camera of this device, and a camera.
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
];

const FIREFOX_PREFERENCES = {
    // Muted video may play without a tap, as it may for everybody.
    'media.autoplay.default': 0,
    // Several people look at several pages, which are tabs of one window here.
    'media.block-autoplay-until-in-foreground': false,
    // As above.
    'media.navigator.streams.fake': true,
    'media.navigator.permission.disabled': true,
};

/** A phone in the hand. */
export const PHONE = { width: 390, height: 844 };
/** A screen on a desk. */
export const DESK = { width: 1440, height: 900 };

/**
 * @typedef {object} PageOptions
 * @property {{width: number, height: number}} [viewport]
 * @property {'light' | 'dark'} [scheme] Chromium only
 * @property {() => void} [script] runs before the page's own scripts, as `observe` always does
 * @property {boolean} [axe] loads axe-core before the page's own scripts, where no content policy is in its way
 */

/**
 * A page of either browser, with what the tests need of it.
 * @typedef {object} Page
 * @property {(url: string) => Promise<unknown>} open
 * @property {() => Promise<unknown>} reload
 * @property {<T, A>(run: (argument: A) => T | Promise<T>, argument?: A) => Promise<T>} run runs a function in the page
 * @property {(path: string) => Promise<unknown>} screenshot
 * @property {() => Promise<unknown>} close
 * @property {string[]} requests the addresses that it asked for
 * @property {string[]} complaints what it wrote to the console as an error, and what it threw
 */

/**
 * @typedef {object} Browser
 * @property {(options?: PageOptions) => Promise<Page>} page each in a profile of its own
 * @property {() => Promise<void>} close
 */

/**
 * What Chromium does besides.
 * @typedef {object} Wishes
 * @property {string} [resolve] where hosts are, as `--host-resolver-rules` has it
 * @property {boolean} [trusting] takes any certificate
 */

/**
 * @param {string} [name]
 * @param {Wishes} [wishes]
 * @returns {Promise<Browser>}
 */
export async function launch(name = BROWSER, wishes = {}) {
    switch (name) {
        case 'chromium':
            return launchChromium(wishes);
        case 'firefox':
            return launchFirefox();
        default:
            throw new Error(`ROOMCAM_BROWSER=${name}: chromium and firefox are known`);
    }
}

/**
 * @param {Wishes} wishes
 * @returns {Promise<Browser>}
 */
async function launchChromium({ resolve = '', trusting = false }) {
    const executablePath = process.env.ROOMCAM_CHROMIUM ?? onPath(['chromium', 'google-chrome-stable', 'google-chrome']);
    const args = resolve ? [...CHROMIUM_ARGUMENTS, `--host-resolver-rules=${resolve}`] : CHROMIUM_ARGUMENTS;
    const browser = await chromium.launch({ executablePath, args });
    return {
        async page({ viewport = DESK, scheme = 'light', script, axe = false } = {}) {
            const context = await browser.newContext({ viewport, colorScheme: scheme, ignoreHTTPSErrors: trusting });
            const page = await context.newPage();
            await page.addInitScript(observe);
            if (script) {
                await page.addInitScript(script);
            }
            if (axe) {
                await page.addInitScript({ content: axeSource() });
            }
            /** @type {string[]} */
            const requests = [];
            /** @type {string[]} */
            const complaints = [];
            page.on('request', (request) => requests.push(request.url()));
            page.on('websocket', (socket) => requests.push(socket.url()));
            page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
            page.on('pageerror', (error) => complaints.push(String(error)));
            return {
                open: (url) => page.goto(url),
                reload: () => page.reload(),
                run: (run, argument) => page.evaluate(/** @type {any} */ (run), argument),
                screenshot: (path) => page.screenshot({ path }),
                close: () => context.close(),
                requests,
                complaints,
            };
        },
        close: () => browser.close(),
    };
}

/** @returns {Promise<Browser>} */
async function launchFirefox() {
    const executablePath = process.env.ROOMCAM_FIREFOX ?? onPath(['firefox-esr', 'firefox']);
    const browser = await puppeteer.launch({
        browser: 'firefox',
        executablePath,
        headless: true,
        extraPrefsFirefox: FIREFOX_PREFERENCES,
    });
    return {
        async page({ viewport = DESK, script, axe = false } = {}) {
            const context = await browser.createBrowserContext();
            const page = await context.newPage();
            await page.setViewport(viewport);
            await page.evaluateOnNewDocument(observe);
            if (script) {
                await page.evaluateOnNewDocument(script);
            }
            if (axe) {
                await page.evaluateOnNewDocument(axeSource());
            }
            /** @type {string[]} */
            const requests = [];
            /** @type {string[]} */
            const complaints = [];
            page.on('request', (request) => requests.push(request.url()));
            page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
            page.on('pageerror', (error) => complaints.push(String(error)));
            return {
                open: (url) => page.goto(url),
                reload: () => page.reload(),
                run: (run, argument) => page.evaluate(/** @type {any} */ (run), argument),
                screenshot: (path) => page.screenshot({ path: /** @type {any} */ (path) }),
                close: () => context.close(),
                requests,
                complaints,
            };
        },
        close: () => browser.close(),
    };
}

function axeSource() {
    return readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
}

/** @param {string[]} names */
function onPath(names) {
    const found = spawnSync('sh', ['-c', names.map((name) => `command -v ${name}`).join(' || ')], { encoding: 'utf8' });
    const path = found.stdout.trim();
    if (!path) {
        throw new Error(`none of these is installed: ${names.join(', ')}; \`cargo xtask test\` installs them`);
    }
    return path;
}
