/** A code is typed from the label; a mistake in it is told from a camera that is not there, where the label makes it possible. */

import assert from 'node:assert/strict';

import { scenario } from './scenario.js';

/** @import {Viewer} from './scenario.js' */

/** As they are printed. @param {string} digits */
function grouped(digits) {
    return digits.replace(/.{4}(?=.)/gu, '$& ');
}

/**
 * The same with another digit in a place.
 * @param {string} digits
 * @param {number} place
 */
function mistyped(digits, place) {
    const other = digits[place] === '7' ? '1' : '7';
    return `${digits.slice(0, place)}${other}${digits.slice(place + 1)}`;
}

/**
 * @param {Viewer} viewer
 * @param {string} text
 */
async function watches(viewer, text) {
    await viewer.shows('enter-code', 'wrong-code');
    await viewer.types('#code', text);
    await viewer.clicks('#form button[type=submit]');
}

scenario('a code is typed with its check digits, or without them', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    assert.match(camera.code, /^[0-9a-f]{64}$/u);
    assert.match(camera.checkDigits, /^[0-9a-f]{4}$/u);
    const whole = `${camera.code}${camera.checkDigits}`;
    const viewer = await stage.viewer(`${server.url}/`);
    for (const text of [grouped(camera.code), grouped(whole), whole.toUpperCase().replace(/.{8}(?=.)/gu, '$&-')]) {
        await watches(viewer, text);
        await viewer.shows('live');
        await viewer.reads();
        await viewer.clicks('#stop');
        await viewer.shows('enter-code');
        assert.equal(await viewer.page.run(() => document.querySelector('textarea')?.value), '', 'what was typed is gone');
    }
});

scenario('a mistyped digit is told from a camera that is not there', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server);
    const { code } = camera;
    const whole = `${code}${camera.checkDigits}`;
    const viewer = await stage.viewer(`${server.url}/`, { axe: true });
    for (const place of [0, 31, 63, 64, 67]) {
        await watches(viewer, grouped(mistyped(whole, place)));
        await viewer.shows('wrong-code');
        assert.notEqual(await viewer.text('#hint'), '');
    }
    assert.deepEqual(await viewer.axe(), []);
    await viewer.shot('mistyped');

    // Nobody is in that room: the code is right, and the camera is not there.
    await watches(viewer, grouped(whole));
    await viewer.shows('waiting');
    const absent = await viewer.text('#sentence');
    await camera.start();
    await viewer.shows('live');
    await viewer.clicks('#stop');

    // Without check digits both look the same, so that the page names both.
    await watches(viewer, grouped(mistyped(code, 40)));
    await viewer.shows('waiting');
    assert.notEqual(await viewer.text('#sentence'), absent, 'a code that could not be checked may be mistyped');
});

scenario('a link with a digit wrong, or half of a link, is called wrong or leads nowhere', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const whole = `${camera.code}${camera.checkDigits}`;
    const viewer = await stage.viewer(`${server.url}/#${mistyped(whole, 12)}`);
    await viewer.shows('wrong-code');
    await viewer.follows(`${server.url}/${new URL(camera.link).hash.slice(0, 30)}`);
    await viewer.shows('wrong-code');
    await viewer.follows(`${server.url}/#${whole}`);
    await viewer.shows('live');
    assert.equal(await viewer.made(), 1);
});
