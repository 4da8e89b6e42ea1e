/** Cameras are remembered on the device: without their code, by name, until they are forgotten. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CODE, IDENTITY, inspect, origin, reaches, visit } from './in_browser.js';

/** @import {Page} from 'playwright-core' */

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
