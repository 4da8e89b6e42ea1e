/**
 * Every screen of the page in a real browser, under the server's Content-Security-Policy: axe-core finds nothing in
 * either colour scheme at either size, nothing scrolls sideways, nothing is asked of another host, nothing violates the
 * policy. `ROOMCAM_SHOTS=DIR` writes a picture of each; `ROOMCAM_CHROMIUM` names another browser.
 */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { Identity, installCamera } from './camera.js';
import { pageServer } from './page_server.js';

/** @import {Browser, Page} from 'playwright-core' */
/** @import {Scene} from './camera.js' */

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env['ROOMCAM_SHOTS'];
const IDENTITY = new Identity();
const CODE = IDENTITY.code;
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
const SMALL_PHONE = { width: 320, height: 568 };
const LYING_PHONE = { width: 844, height: 390 };

const server = pageServer();
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
async function reaches(page, name) {
    await page.waitForFunction((state) => document.body.dataset['state'] === state, name);
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
    impostor: { scene: { claimants: ['impostor'] } },
    unsupported: { scene: { ancient: true } },
    'unsupported-encryption': { scene: { old: true }, state: 'unsupported' },
    insecure: { scene: { insecure: true } },
};

for (const [name, { scene, fragment, state = name }] of Object.entries(SCREENS)) {
    const there = fragment === undefined ? {} : { fragment };
    test(`screen: ${name}`, async () => {
        await visit(scene, there, async (page) => {
            await reaches(page, state);
            if (name === 'live-tap') {
                await page.waitForSelector('#play:not([hidden])');
            }
            await inspect(page, name);
        });
    });
    test(`screen in German: ${name}`, async () => {
        await visit(scene, { locale: 'de-AT', ...there }, async (page) => {
            await reaches(page, state);
            assert.equal(await page.getAttribute('html', 'lang'), 'de');
            await page.setViewportSize(SMALL_PHONE);
            assert.equal(await scrollsSideways(page), false);
            await shoot(page, `${name}-german`);
        });
    });
}

test('screen: misconfigured, and what is wrong is in the console', async () => {
    const context = await browser.newContext({ viewport: PHONE, reducedMotion: 'reduce' });
    const page = await context.newPage();
    /** @type {string[]} */
    const logged = [];
    page.on('console', (message) => message.type() === 'error' && logged.push(message.text()));
    await page.addInitScript(installCamera, { scene: {}, identity: IDENTITY });
    await page.goto(`${origin}/?server=https://signal.example/#${CODE}`);
    await reaches(page, 'misconfigured');
    assert.match(logged.join(), /roomcam-server.*wss:/u);
    assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).socket), undefined, 'nobody is asked');
    await inspect(page, 'misconfigured');
    await context.close();
});

test('the server that the page names is the one that is asked', async () => {
    await visit({ claimants: ['camera'] }, { fragment: `?server=wss://signal.example/ws#${CODE}` }, async (page) => {
        await reaches(page, 'live');
        assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).socket.url), 'wss://signal.example/ws');
    });
});

test('screen: waiting for the camera of a code that may be mistyped', async () => {
    await visit({}, { fragment: '' }, async (page) => {
        await reaches(page, 'enter-code');
        await page.fill('#code', CODE);
        await page.press('#code', 'Enter');
        await reaches(page, 'waiting');
        assert.match((await page.textContent('#sentence')) ?? '', /mistyped.*check digits/u);
        await inspect(page, 'waiting-unchecked');
    });
});

test('screen: scanning, another code in view, and cancelled', async () => {
    await visit({ scan: 'foreign' }, { fragment: '' }, async (page) => {
        await page.click('#scan');
        await reaches(page, 'scanning');
        await page.waitForSelector('#finder-note:not([hidden])');
        assert.match((await page.textContent('#status')) ?? '', /isn’t the code of a Roomcam/u);
        await inspect(page, 'scanning');
        await page.click('#cancel');
        await reaches(page, 'enter-code');
        assert.equal(await tracksRunning(page), 0);
        await inspect(page, 'enter-code-scan');
    });
});

test('scanning: the code of a link, whatever its host, shows the picture, and the device’s camera is let go', async () => {
    await visit({ claimants: ['camera'], scan: 'code' }, { fragment: '' }, async (page) => {
        await page.click('#scan');
        await reaches(page, 'live');
        assert.equal(await tracksRunning(page), 0);
    });
});

test('scanning: cancelled while the code is being read, its camera is not opened', async () => {
    await visit({ claimants: ['camera'], scan: 'code', slow: true }, { fragment: '' }, async (page) => {
        await page.click('#scan');
        await page.waitForFunction(() => /** @type {any} */ (globalThis).goOn);
        await page.click('#cancel');
        await page.evaluate(() => /** @type {any} */ (globalThis).goOn());
        await page.waitForTimeout(300);
        assert.equal(await page.getAttribute('body', 'data-state'), 'enter-code');
    });
});

test('scanning: refused, or impossible', async () => {
    for (const [scan, words] of /** @type {const} */ ([
        ['denied', /may not use/u],
        ['no-camera', /has no camera/u],
    ])) {
        await visit({ scan }, { fragment: '' }, async (page) => {
            await page.click('#scan');
            await page.waitForSelector('#scan-note:not([hidden])');
            await reaches(page, 'enter-code');
            assert.match((await page.textContent('#scan-note')) ?? '', words);
            await inspect(page, `scan-${scan}`);
        });
    }
});

test('scanning: the device’s camera goes off when the page is hidden', async () => {
    await visit({ scan: 'nothing' }, { fragment: '' }, async (page) => {
        await page.click('#scan');
        await reaches(page, 'scanning');
        await page.waitForFunction(() => /** @type {any} */ (globalThis).scanStreams.length > 0);
        await page.evaluate(() => {
            Object.defineProperty(document, 'hidden', { value: true });
            document.dispatchEvent(new Event('visibilitychange'));
        });
        await reaches(page, 'enter-code');
        assert.equal(await tracksRunning(page), 0);
    });
});

/**
 * How many pictures of the device's camera are still being taken.
 * @param {Page} page
 */
async function tracksRunning(page) {
    return page.evaluate(() => {
        const streams = /** @type {MediaStream[]} */ (/** @type {any} */ (globalThis).scanStreams);
        return streams.flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === 'live').length;
    });
}

test('three squatters were first: the camera is shown all the same, within three seconds', async () => {
    await visit({ claimants: ['silent', 'babbler', 'impostor', 'camera'] }, {}, async (page) => {
        await page.waitForFunction(() => document.body.dataset['state'] === 'live', null, { timeout: 3000 });
    });
});

test('somebody who babbles in the camera’s place is no camera', async () => {
    await visit({ claimants: ['babbler', 'impostor'] }, {}, async (page) => {
        await reaches(page, 'impostor');
        await page.evaluate(() => /** @type {any} */ (globalThis).socket.comes('camera'));
        await reaches(page, 'live');
    });
});

test('the lock says what it means, to eyes, keyboard and ears', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.focus('#lock');
        await page.keyboard.press('Enter');
        const meaning = /nobody in between, the server included, can watch/u;
        assert.equal(await page.getAttribute('#lock', 'aria-expanded'), 'true');
        assert.match((await page.textContent('#lock-note')) ?? '', meaning);
        assert.match((await page.textContent('#status')) ?? '', meaning);
        await inspect(page, 'live-lock');
        await page.keyboard.press('Escape');
        assert.ok(await page.isHidden('#lock-note'));
    });
});

/**
 * Remembers the camera that is live.
 * @param {Page} page
 * @param {string} name
 */
async function remember(page, name) {
    await reaches(page, 'live');
    await page.click('#keep');
    await page.fill('#keep-name', name);
    await page.press('#keep-name', 'Enter');
    await page.waitForSelector('#keep-note', { state: 'hidden' });
}

test('remembering: from the live picture, with a name; then a reload comes back to it', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.click('#keep');
        await inspect(page, 'live-keep');
        await page.click('#keep');
        await remember(page, '  Back  garden ');
        assert.equal(await page.textContent('#title'), 'Back garden');
        assert.equal(await page.evaluate(() => document.activeElement?.id), 'keep');
        await page.click('#keep');
        await inspect(page, 'live-kept');
        await page.reload();
        await reaches(page, 'live');
        assert.equal(page.url(), `${origin}/`);
        assert.equal(await page.textContent('#title'), 'Back garden');
        await page.click('#keep');
        await page.click('#keep-forget');
        await page.waitForSelector('#dialog');
        await inspect(page, 'live-forget');
        await page.click('#dialog-yes');
        await page.waitForSelector('#keep-form:not([hidden])');
        assert.equal(await page.evaluate(() => document.body.dataset['state']), 'live', 'the picture goes on');
        await page.reload();
        await reaches(page, 'enter-code');
    });
});

test('remembering: ticked on the form, once the camera has proven itself; the same camera is one entry', async () => {
    await visit({ claimants: ['camera'] }, { fragment: '' }, async (page) => {
        for (let i = 0; i < 2; i += 1) {
            await page.fill('#code', CODE);
            await page.check('#remember');
            await page.press('#code', 'Enter');
            await reaches(page, 'live');
            await page.waitForFunction(() => document.getElementById('title')?.textContent === 'Camera');
            await page.click('#stop');
            await reaches(page, 'cameras');
            assert.equal(await page.locator('#list li').count(), 1);
            await page.click('#add');
            await reaches(page, 'enter-code');
            assert.equal(await page.inputValue('#code'), '', 'the code is gone');
            assert.equal(await page.isChecked('#remember'), false);
        }
    });
});

test('remembered cameras: opened, renamed, forgotten after a question, with the keyboard alone', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await remember(page, 'A camera with a name that is rather long');
        await page.click('#stop');
        await reaches(page, 'cameras');
        await inspect(page, 'cameras');
        await page.click('#add');
        await reaches(page, 'enter-code');
        await inspect(page, 'enter-code-add');
        await page.click('#leave');
        await reaches(page, 'cameras');
        await page.focus('#list button:nth-of-type(2)');
        await page.keyboard.press('Enter');
        await inspect(page, 'rename');
        await page.fill('#dialog-name', 'Hall');
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => document.querySelector('#list span')?.textContent === 'Hall');
        assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Rename Hall');
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await inspect(page, 'forget');
        await page.keyboard.press('Enter');
        assert.equal(await page.locator('#list li').count(), 1, 'the focus is not on what cannot be undone');
        await page.click('#list .open');
        await reaches(page, 'live');
        await page.reload();
        await reaches(page, 'live');
        await page.click('#stop');
        await page.focus('#list button:nth-of-type(3)');
        await page.keyboard.press('Enter');
        await page.click('#dialog-yes');
        await reaches(page, 'enter-code');
        await page.reload();
        await reaches(page, 'enter-code');
    });
});

test('what is remembered holds no code and shows no key', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await remember(page, 'Hall');
        const kept = await page.evaluate(async () => {
            const request = indexedDB.open('roomcam');
            await new Promise((resolve) => (request.onsuccess = resolve));
            const all = request.result.transaction('cameras').objectStore('cameras').getAll();
            await new Promise((resolve) => (all.onsuccess = resolve));
            const [entry] = all.result;
            return {
                count: all.result.length,
                keys: Object.keys(entry.access).sort(),
                extractable: entry.access.psk.extractable,
                text: JSON.stringify([entry, [...entry.access.verifier], { ...sessionStorage }, { ...localStorage }]),
            };
        });
        assert.equal(kept.count, 1);
        assert.deepEqual(kept.keys, ['psk', 'room', 'verifier']);
        assert.equal(kept.extractable, false);
        assert.ok(!kept.text.includes(CODE) && !kept.text.includes(IDENTITY.link));
        assert.ok(!kept.text.includes([...Buffer.from(CODE, 'hex')].join()));
    });
});

test('a browser that keeps no keys, or nothing at all, says so and goes on', async () => {
    await visit({ claimants: ['camera'], keyless: true }, {}, async (page) => {
        await reaches(page, 'live');
        await page.click('#keep');
        await page.click('#keep-form button');
        await page.waitForSelector('#keep-forgetful:not([hidden])');
        await inspect(page, 'live-forgetful');
        await page.click('#stop');
        await reaches(page, 'enter-code');
        assert.ok(await page.isVisible('#forgetful'));
    });
    await visit({ forgetful: true }, { fragment: '' }, async (page) => {
        await reaches(page, 'enter-code');
        assert.ok(await page.isVisible('#forgetful'));
        assert.ok(await page.isHidden('#remember'));
        await inspect(page, 'enter-code-forgetful');
    });
});

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
        await page.press('#code', 'Enter');
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

test('the code leaves the address bar and the history, and a reload asks for it', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        assert.equal(page.url(), `${origin}/`);
        await page.reload();
        await reaches(page, 'enter-code');
        assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), []);
        await page.goBack();
        assert.equal(page.url(), 'about:blank');
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
        await page.fill('#code', `${CODE}${IDENTITY.check.slice(0, 3)}`);
        assert.equal(await page.textContent('#hint'), '67 of 68 digits');
        await page.fill('#code', `${CODE}${IDENTITY.check}`);
        await page.waitForFunction(() => /fit together/u.test(document.getElementById('hint')?.textContent ?? ''));
        await page.fill('#code', `${CODE.replace(/^./u, (digit) => (digit === '1' ? '2' : '1'))}${IDENTITY.check}`);
        await page.waitForFunction(() => /A digit is mistyped/u.test(document.getElementById('hint')?.textContent ?? ''));
        await page.press('#code', 'Enter');
        await reaches(page, 'wrong-code');
        assert.match((await page.textContent('#status')) ?? '', /A digit is mistyped/u);
        await inspect(page, 'wrong-digit');
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
        for (let i = 0; i < 7; i += 1) {
            await page.keyboard.press('Tab');
            names.push(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? null));
        }
        assert.deepEqual(names, [
            ...['End-to-end encrypted', 'Stop watching', 'Unmute', 'Picture details', 'Remember this camera'],
            ...['Picture in picture', 'Full screen'],
        ]);
        await page.keyboard.press('m');
        assert.equal(await page.getAttribute('#mute', 'aria-label'), 'Mute');
        await page.keyboard.press('f');
        await page.waitForFunction(() => document.fullscreenElement !== null);
        await page.keyboard.press('f');
        await page.waitForFunction(() => document.fullscreenElement === null);
    });
});
