/** Every screen of the page, and what can be done on it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { installCamera } from './camera.js';
import {
    CODE,
    DESKTOP,
    IDENTITY,
    PHONE,
    SMALL_PHONE,
    browser,
    inspect,
    origin,
    reaches,
    scrollsSideways,
    shoot,
    visit,
} from './in_browser.js';

/** @import {Scene} from './camera.js' */

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
    paused: { scene: { claimants: ['camera'], picture: 'paused' } },
    'no-picture': { scene: { claimants: ['camera'], picture: 'lost' } },
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
