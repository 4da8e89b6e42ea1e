/**
 * The page in a real browser, under the server's Content-Security-Policy: axe-core finds nothing in either colour scheme
 * at either size, nothing scrolls sideways, nothing is asked of another host, nothing violates the policy.
 * `ROOMCAM_SHOTS=DIR` writes a picture of each screen; `ROOMCAM_CHROMIUM` names another browser.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

import { Identity, installCamera } from './camera.js';
import { pageServer } from './page_server.js';

/** @import {Browser, Page} from 'playwright-core' */
/** @import {Scene} from './camera.js' */

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env['ROOMCAM_SHOTS'];
export const IDENTITY = new Identity();
export const CODE = IDENTITY.code;
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const SMALL_PHONE = { width: 320, height: 568 };
const LYING_PHONE = { width: 844, height: 390 };

const server = pageServer();
/** @type {Browser} */
export let browser;
export let origin = '';

before(async () => {
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const address = /** @type {import('node:net').AddressInfo} */ (server.address());
    origin = `http://127.0.0.1:${address.port}`;
    browser = await chromium.launch({
        executablePath: process.env['ROOMCAM_CHROMIUM'] ?? '/usr/bin/chromium',
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
        ],
    });
    if (SHOTS) {
        mkdirSync(SHOTS, { recursive: true });
    }
});

after(async () => {
    await browser?.close();
    server.close();
});

/**
 * Opens the page in a scene and hands it over; afterwards nothing may have gone wrong behind the scene.
 * @param {Scene} scene
 * @param {{fragment?: string, locale?: string}} visit
 * @param {(page: Page) => Promise<void>} look
 */
export async function visit(scene, { fragment = `#${CODE}`, locale = 'en-GB' }, look) {
    const context = await browser.newContext({ viewport: PHONE, locale, reducedMotion: 'reduce' });
    /** @type {string[]} */
    const complaints = [];
    context.on('request', (request) => {
        if (new URL(request.url()).origin !== origin) {
            complaints.push(`asked another host: ${request.url()}`);
        }
    });
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(`threw: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && complaints.push(`logged: ${message.text()}`));
    page.setDefaultTimeout(30_000);
    await page.addInitScript(installCamera, { scene, identity: IDENTITY });
    try {
        await page.goto(`${origin}/${fragment}`);
        await look(page);
        complaints.push(...(await page.evaluate(() => /** @type {any} */ (globalThis).violations)));
        assert.deepEqual(complaints, []);
    } finally {
        await context.close();
    }
}

/**
 * @param {Page} page
 * @param {string} name
 */
export async function reaches(page, name) {
    await page.waitForFunction((state) => document.body.dataset['state'] === state, name);
}

/** @param {Page} page */
export async function scrollsSideways(page) {
    return page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
}

/**
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
async function axe(page) {
    await page.evaluate(AXE);
    return page.evaluate(async () => {
        const found = await /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ['violations'] });
        return found.violations.flatMap((/** @type {any} */ rule) =>
            rule.nodes.map((/** @type {any} */ node) => `${rule.id}: ${node.target} ${node.failureSummary}`),
        );
    });
}

/**
 * Looks at a screen in both colour schemes at both sizes, and at the two narrow ones for what does not fit.
 * @param {Page} page
 * @param {string} name
 */
export async function inspect(page, name) {
    for (const [size, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
        for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
            await page.setViewportSize(viewport);
            await page.emulateMedia({ colorScheme });
            assert.equal(await scrollsSideways(page), false, `${name} scrolls sideways: ${size}`);
            await shoot(page, `${name}-${size}-${colorScheme}`);
            assert.deepEqual(await axe(page), [], `${name}, ${size}, ${colorScheme}`);
        }
    }
    for (const [size, viewport] of Object.entries({ small: SMALL_PHONE, lying: LYING_PHONE })) {
        await page.setViewportSize(viewport);
        assert.equal(await scrollsSideways(page), false, `${name} scrolls sideways: ${size}`);
        await shoot(page, `${name}-${size}`);
    }
    await page.setViewportSize(PHONE);
}

/**
 * @param {Page} page
 * @param {string} name
 */
export async function shoot(page, name) {
    if (SHOTS) {
        await page.screenshot({ path: join(SHOTS, `${name}.png`) });
    }
}
