/**
 * Every screen of the page in a real browser, under the server's Content-Security-Policy: axe-core finds nothing in
 * either colour scheme at either size, nothing scrolls sideways, nothing is asked of another host, nothing violates the
 * policy. `ROOMCAM_SHOTS=DIR` writes a picture of each; `ROOMCAM_CHROMIUM` names another browser.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import { Identity, installCamera } from './camera.js';

/** @import {Browser, Page} from 'playwright-core' */
/** @import {Scene} from './camera.js' */

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const POLICY =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
    "require-trusted-types-for 'script'";
/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const SHOTS = process.env['ROOMCAM_SHOTS'];
const IDENTITY = new Identity();
const CODE = IDENTITY.code;
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
const SMALL_PHONE = { width: 320, height: 568 };
const LYING_PHONE = { width: 844, height: 390 };

const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://host').pathname);
    const file = path === '/' ? 'index.html' : path.slice(1);
    try {
        const content = readFileSync(join(WEB, file));
        response.writeHead(200, {
            'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
            'content-security-policy': POLICY,
            'x-content-type-options': 'nosniff',
        });
        response.end(content);
    } catch {
        response.writeHead(404).end();
    }
});

/** @type {Browser} */
let browser;
let origin = '';

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
async function visit(scene, { fragment = `#${CODE}`, locale = 'en-GB' }, look) {
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
async function reaches(page, name) {
    await page.waitForFunction((state) => document.body.dataset['state'] === state, name, { timeout: 30_000 });
}

/** @param {Page} page */
async function scrollsSideways(page) {
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
async function inspect(page, name) {
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
async function shoot(page, name) {
    if (SHOTS) {
        await page.screenshot({ path: join(SHOTS, `${name}.png`) });
    }
}

/**
 * The screens that come by themselves.
 * @type {Record<string, {scene: Scene, fragment?: string, state?: string}>}
 */
const SCREENS = {
    'enter-code': { scene: {}, fragment: '' },
    'wrong-code': { scene: {}, fragment: '#3fa9O' },
    connecting: { scene: { open: 'never' } },
    waiting: { scene: {} },
    live: { scene: { claimants: ['camera'] } },
    'live-sound': { scene: { claimants: ['camera'], sound: true }, state: 'live' },
    'live-tap': { scene: { claimants: ['camera'], tap: true }, state: 'live' },
    'room-full': { scene: { error: 'ROOM_FULL' } },
    'room-full-mode': { scene: { error: 'ROOM_MODE' }, state: 'room-full' },
    busy: { scene: { claimants: ['camera'], bye: 'busy' }, state: 'room-full' },
    unreachable: { scene: { open: 'refuse' } },
    failed: { scene: { claimants: ['camera'], bye: 'failed' } },
    unsupported: { scene: { ancient: true } },
};

for (const [name, { scene, fragment, state = name }] of Object.entries(SCREENS)) {
    test(`screen: ${name}`, async () => {
        await visit(scene, fragment === undefined ? {} : { fragment }, async (page) => {
            await reaches(page, state);
            if (name === 'live-tap') {
                await page.waitForSelector('#play:not([hidden])');
            }
            await inspect(page, name);
        });
    });
    test(`screen in German: ${name}`, async () => {
        await visit(scene, { locale: 'de-AT', ...(fragment === undefined ? {} : { fragment }) }, async (page) => {
            await reaches(page, state);
            assert.equal(await page.getAttribute('html', 'lang'), 'de');
            await page.setViewportSize(SMALL_PHONE);
            assert.equal(await scrollsSideways(page), false);
            await shoot(page, `${name}-german`);
        });
    });
}

test('screen: live with its details', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.keyboard.press('i');
        await page.waitForFunction(() => /\d/u.test(document.getElementById('info-bitrate')?.textContent ?? ''));
        assert.match((await page.textContent('#info-resolution')) ?? '', /^\d+ × \d+$/u);
        await inspect(page, 'live-details');
    });
});

test('screen: reconnecting, when the picture stops and the camera is still in the room', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.evaluate(() => /** @type {any} */ (globalThis).socket.camera.camera.close());
        await reaches(page, 'reconnecting');
        await inspect(page, 'reconnecting');
    });
});

test('screen: camera-gone, when the camera says that it stops', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.evaluate(() => /** @type {any} */ (globalThis).socket.camera.signal({ type: 'bye', reason: 'stopping' }));
        await reaches(page, 'camera-gone');
        assert.equal(await page.evaluate(() => document.querySelector('video')?.srcObject), null);
        await inspect(page, 'camera-gone');
    });
});

test('the controls go while nobody moves, and come back for the keyboard', async () => {
    await visit({ claimants: ['camera'] }, { fragment: '' }, async (page) => {
        await page.fill('#code', CODE);
        await page.click('#form button');
        await reaches(page, 'live');
        await page.setViewportSize(DESKTOP);
        await page.waitForFunction(() => getComputedStyle(/** @type {Element} */ (document.getElementById('controls'))).opacity === '0');
        await page.keyboard.press('Tab');
        assert.equal(await page.evaluate(() => document.activeElement?.id), 'mute');
        await page.waitForFunction(() => getComputedStyle(/** @type {Element} */ (document.getElementById('controls'))).opacity === '1');
    });
});

test('without scripts the page says what it needs', async () => {
    const context = await browser.newContext({ viewport: PHONE, javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(origin);
    await shoot(page, 'noscript');
    assert.ok(await page.locator('.noscript').isVisible());
    await context.close();
});

test('the code leaves the address bar, and a reload still knows it', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        assert.equal(page.url(), `${origin}/`);
        await page.reload();
        await reaches(page, 'live');
        await page.click('#stop');
        await reaches(page, 'enter-code');
        await page.reload();
        await reaches(page, 'enter-code');
    });
});

test('a typed code: hint, explanation of what is wrong, and in', async () => {
    await visit({ claimants: ['camera'] }, { fragment: '' }, async (page) => {
        await reaches(page, 'enter-code');
        await page.fill('#code', 'c3c3 c3c3');
        assert.equal(await page.textContent('#hint'), '8 of 64 digits');
        await page.fill('#code', 'c3c3 c3x3');
        assert.match((await page.textContent('#hint')) ?? '', /“x” in place 7/u);
        await page.press('#code', 'Enter');
        await reaches(page, 'wrong-code');
        assert.match((await page.textContent('#status')) ?? '', /“x” in place 7/u);
        await page.fill('#code', `https://camera.example/#${CODE}`);
        assert.equal(await page.textContent('#hint'), 'All 64 digits are there');
        await page.press('#code', 'Enter');
        await reaches(page, 'live');
    });
});

test('another link in the same tab switches the camera', async () => {
    await visit({ claimants: ['camera'] }, { fragment: '#nothing' }, async (page) => {
        await reaches(page, 'wrong-code');
        await page.evaluate((code) => {
            location.hash = code;
        }, CODE);
        await reaches(page, 'live');
        assert.equal(page.url(), `${origin}/`);
    });
});

test('the keyboard reaches every control, and each has a name', async () => {
    await visit({ claimants: ['camera'], sound: true }, {}, async (page) => {
        await reaches(page, 'live');
        /** @type {(string | null)[]} */
        const names = [];
        for (let i = 0; i < 5; i += 1) {
            await page.keyboard.press('Tab');
            names.push(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? null));
        }
        assert.deepEqual(names, ['Stop watching', 'Unmute', 'Picture details', 'Picture in picture', 'Full screen']);
        await page.keyboard.press('m');
        assert.equal(await page.getAttribute('#mute', 'aria-label'), 'Mute');
        await page.keyboard.press('f');
        await page.waitForFunction(() => document.fullscreenElement !== null);
        await page.keyboard.press('f');
        await page.waitForFunction(() => document.fullscreenElement === null);
    });
});
