/** Nothing of a code stays in the browser; a camera is remembered only where somebody asks for it, and without its code. */

import assert from 'node:assert/strict';

import { decoded } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';
import { Secrets } from './secrets.js';

/** @import {Camera} from './house.js' */
/** @import {Viewer} from './scenario.js' */

/**
 * No form of the code, its key or the camera's own is anywhere in the page.
 * @param {Viewer} viewer
 * @param {Camera} camera
 * @param {{remembered?: boolean}} [options]
 */
async function nothingStays(viewer, camera, { remembered = false } = {}) {
    const kept = await viewer.kept();
    assert.deepEqual(camera.secrets(new Secrets(), { room: !remembered }).inText(kept), []);
    assert.match(kept, /^came from: $/mu);
    assert.match(kept, /^cookie: $/mu);
    assert.match(kept, /^localStorage: \{\}$/mu);
    assert.match(kept, remembered ? /^sessionStorage: \{"roomcam.camera":"[^"]+"\}$/mu : /^sessionStorage: \{\}$/mu);
    assert.match(kept, remembered ? /"a key: secret, not extractable".*\["refused"\]$/mu : /^IndexedDB: (?!.*a key).*$/mu);
    return kept;
}

/**
 * The picture that is there is the only one.
 * @param {Viewer} viewer
 */
async function watchesAlone(viewer) {
    await viewer.shows('live');
    const seen = await viewer.watches();
    assert.equal((await viewer.page.run(decoded)).connections, 1);
    return seen;
}

/** @param {Viewer} viewer @param {string} path */
function arrives(viewer, path) {
    return until(`the browser to be at ${path}`, () => {
        return viewer.page.run(() => window.location.pathname).then((at) => at === path, () => false);
    });
}

scenario('the code leaves address bar and history, and nothing of it is kept', async (stage) => {
    const server = await stage.house.server();
    const evil = await stage.house.evil(server);
    const camera = await stage.house.camera(evil).start();
    const viewer = await stage.viewer(`${evil.url}/healthz`);
    await viewer.page.open(camera.link);
    await watchesAlone(viewer);
    assert.equal(await viewer.page.run(() => window.location.href), `${evil.url}/`);
    await nothingStays(viewer, camera);

    await viewer.page.run(() => window.history.back());
    await arrives(viewer, '/healthz');
    await viewer.page.run(() => window.history.forward());
    await arrives(viewer, '/');
    // Some browsers keep the page itself for this moment, and some load it anew.
    await viewer.shows('live', 'enter-code');
    assert.equal(await viewer.page.run(() => window.location.href), `${evil.url}/`);

    await viewer.page.reload();
    await viewer.shows('enter-code');
    assert.equal(await viewer.page.run(() => window.location.href), `${evil.url}/`);
    await nothingStays(viewer, camera);

    const asked = evil.requests.map((request) => request.toString());
    assert.ok(asked.length > 10);
    assert.deepEqual(asked.filter((request) => /^referer$/imu.test(request)), [], 'nobody is told where the page was');
    const secrets = camera.secrets(new Secrets(), { room: false });
    assert.deepEqual(asked.flatMap((request) => secrets.inText(request)), []);
    // What tools of the browser see has the fragment only in what was typed into the address bar.
    const others = viewer.page.requests.filter((url) => url !== camera.link);
    assert.deepEqual(others.flatMap((url) => secrets.inText(url)), []);
});

scenario('a camera that is remembered is back after a reload, and its code is not kept', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link, { axe: true });
    const before = await watchesAlone(viewer);
    await viewer.remembers('Front door');
    await nothingStays(viewer, camera, { remembered: true });

    await viewer.page.reload();
    const after = await watchesAlone(viewer);
    assert.ok(after.counter > before.counter, 'the same camera goes on counting');
    await nothingStays(viewer, camera, { remembered: true });

    // Another tab of the same browser begins with the list.
    await viewer.clicks('#stop');
    await viewer.shows('cameras');
    assert.deepEqual(await viewer.axe(), []);
    await viewer.shot('cameras');
    await viewer.page.open(`${server.url}/`);
    await viewer.shows('cameras');
    assert.match(await viewer.text('#list'), /Front door/u);

    await viewer.clicks('#list button', 1);
    await viewer.types('#dialog-name', 'Back door');
    await viewer.clicks('#dialog-yes');
    await until('the new name', async () => (await viewer.text('#list')).includes('Back door'));
    await viewer.page.reload();
    await viewer.shows('cameras');
    assert.match(await viewer.text('#list'), /Back door/u);
    await viewer.clicks('#list button');
    await watchesAlone(viewer);
    assert.equal(await viewer.text('#title'), 'Back door');

    await viewer.clicks('#stop');
    await viewer.shows('cameras');
    await viewer.clicks('#list button', 2);
    await viewer.clicks('#dialog-yes');
    await viewer.shows('enter-code');
    await viewer.page.reload();
    await viewer.shows('enter-code');
    await nothingStays(viewer, camera);
});

scenario('a camera is remembered from the form, once it has shown that it is the camera', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server);
    const viewer = await stage.viewer(`${server.url}/`);
    await viewer.shows('enter-code');
    await viewer.types('#code', camera.code);
    await viewer.clicks('#remember');
    await viewer.clicks('#form button[type=submit]');
    await viewer.shows('waiting');
    await nothingStays(viewer, camera);

    await camera.start();
    await watchesAlone(viewer);
    await until('the camera to be remembered', async () => (await viewer.kept()).includes('a key:'));
    await nothingStays(viewer, camera, { remembered: true });
    await viewer.page.reload();
    await watchesAlone(viewer);
    await viewer.clicks('#keep');
    await viewer.clicks('#keep-forget');
    await viewer.clicks('#dialog-yes');
    await until('the camera to be forgotten', async () => !(await viewer.kept()).includes('a key:'));
});
