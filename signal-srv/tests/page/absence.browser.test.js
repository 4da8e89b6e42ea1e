/** The camera has no picture for a while, and says so: what a person sees, hears and keeps meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CODE, inspect, reaches, visit } from './in_browser.js';

/** @import {Page} from 'playwright-core' */

/** Longer than frames may stay away from a picture that should be there. */
const LONG_MS = 7000;

/**
 * The camera of the scene says whether it has a picture, and sends frames accordingly.
 * @param {Page} page
 * @param {'live' | 'paused' | 'lost'} state
 */
async function says(page, state) {
    await page.evaluate((said) => /** @type {any} */ (globalThis).socket.camera.picture(said), state);
}

/**
 * Waits until the picture on the screen is one that comes now.
 * @param {Page} page
 */
async function moves(page) {
    await page.evaluate(async () => {
        const video = /** @type {HTMLVideoElement} */ (document.querySelector('video'));
        for (let frame = 0; frame < 5; frame += 1) {
            await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
        }
    });
}

/**
 * Keeps count of the locks that keep the screen on, and of connections and WebSockets from here on.
 * @param {Page} page
 */
async function keepCount(page) {
    await page.evaluate(() => {
        const counts = { awake: 0, offers: 0, sockets: 0 };
        Object.assign(globalThis, { counts });
        const request = async () => {
            counts.awake += 1;
            return { release: async () => (counts.awake -= 1) };
        };
        Object.defineProperty(navigator, 'wakeLock', { value: { request } });
        const { setRemoteDescription } = RTCPeerConnection.prototype;
        RTCPeerConnection.prototype.setRemoteDescription = function (/** @type {any} */ description) {
            counts.offers += description.type === 'offer' ? 1 : 0;
            return Reflect.apply(setRemoteDescription, this, [description]);
        };
        const Socket = WebSocket;
        globalThis.WebSocket = new Proxy(Socket, {
            construct(target, args) {
                counts.sockets += 1;
                return Reflect.construct(target, args);
            },
        });
    });
}

/** @param {Page} page */
async function counted(page) {
    return page.evaluate(() => /** @type {any} */ (globalThis).counts);
}

for (const [state, screen, words] of /** @type {const} */ ([
    ['paused', 'paused', /switched the picture off.*comes back by itself/u],
    ['lost', 'no-picture', /unplugged or doesn’t answer.*comes back by itself/u],
])) {
    test(`${state} in the middle: said to eyes and ears, and back in the same session without a tap`, async () => {
        await visit({ claimants: ['camera'] }, { fragment: '' }, async (page) => {
            await keepCount(page);
            await page.fill('#code', CODE);
            await page.press('#code', 'Enter');
            await reaches(page, 'live');
            await moves(page);
            const once = { offers: 1, sockets: 1 };
            assert.deepEqual(await counted(page), { awake: 1, ...once });
            await page.focus('#mute');

            await says(page, state);
            await reaches(page, screen);
            assert.match((await page.textContent('#status')) ?? '', words);
            assert.equal(await page.getAttribute('#status', 'aria-live'), 'polite');
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'heading');
            assert.ok(await page.isHidden('#video'), 'the last frame is not shown');
            assert.ok(await page.isHidden('#badge'));
            await page.keyboard.press('Tab');
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'leave');
            await page.waitForTimeout(LONG_MS);
            assert.equal(await page.getAttribute('body', 'data-state'), screen);
            assert.deepEqual(await counted(page), { awake: 0, ...once });
            await inspect(page, `${screen}-after-live`);

            await says(page, 'live');
            await reaches(page, 'live');
            await moves(page);
            assert.match((await page.textContent('#status')) ?? '', /Live picture/u);
            assert.ok(await page.isHidden('#play'));
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'stage-heading');
            assert.deepEqual(await counted(page), { awake: 1, ...once });
        });
    });
}

test('a viewer who comes while the camera is paused sees the picture when it is not', async () => {
    await visit({ claimants: ['camera'], picture: 'paused' }, {}, async (page) => {
        await reaches(page, 'paused');
        await keepCount(page);
        await says(page, 'lost');
        await reaches(page, 'no-picture');
        await says(page, 'live');
        await reaches(page, 'live');
        await moves(page);
        assert.deepEqual(await counted(page), { awake: 1, offers: 0, sockets: 0 });
    });
});

test('a camera that says live and sends nothing is not live', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await says(page, 'paused');
        await reaches(page, 'paused');
        await page.evaluate(() => /** @type {any} */ (globalThis).socket.camera.signal({ type: 'picture', state: 'live' }));
        await page.waitForTimeout(2500);
        assert.equal(await page.getAttribute('body', 'data-state'), 'paused');
    });
});

test('the camera goes while it is paused', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await says(page, 'paused');
        await reaches(page, 'paused');
        await page.evaluate(() => {
            const { socket } = /** @type {any} */ (globalThis);
            socket.say({ type: 'ROOM', data: { type: 'LEAVE', data: { peer: socket.camera.peer } } });
        });
        await reaches(page, 'camera-gone');
        assert.equal(await page.evaluate(() => document.querySelector('video')?.srcObject), null);
    });
});

test('the page in full screen stays there, a picture in a window of its own does not', async () => {
    await visit({ claimants: ['camera'] }, {}, async (page) => {
        await reaches(page, 'live');
        await page.keyboard.press('f');
        await page.waitForFunction(() => document.fullscreenElement !== null);
        await page.evaluate(() => {
            const video = document.querySelector('video');
            Object.defineProperty(document, 'pictureInPictureElement', { get: () => video });
            document.exitPictureInPicture = async () => {
                Object.assign(globalThis, { windowClosed: true });
            };
        });
        await says(page, 'paused');
        await reaches(page, 'paused');
        assert.ok(await page.evaluate(() => /** @type {any} */ (globalThis).windowClosed));
        await says(page, 'live');
        await reaches(page, 'live');
        assert.ok(await page.evaluate(() => document.fullscreenElement !== null));
    });
});
