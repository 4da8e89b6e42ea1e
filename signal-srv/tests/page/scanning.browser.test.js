/** The code is scanned with the camera of the device. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inspect, reaches, visit } from './in_browser.js';

/** @import {Page} from 'playwright-core' */

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
