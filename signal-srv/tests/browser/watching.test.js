/** One viewer watches one camera. */

import assert from 'node:assert/strict';

import { BROWSER, DESK, PHONE } from './browsers.js';
import { pattern } from './in_page.js';
import { scenario } from './scenario.js';
import { until } from './programs.js';

/** @type {('light' | 'dark')[]} */
const SCHEMES = BROWSER === 'chromium' ? ['light', 'dark'] : ['light'];

scenario('the link shows the moving picture of the camera', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    const seen = await viewer.watches();
    assert.deepEqual([seen.width, seen.height], [720, 480]);
    assert.ok(seen.age > -50 && seen.age < 2000, `a live picture is young, this one is ${seen.age} ms old`);
    await viewer.shot('live');
});

scenario('the counter and the time in the pixels keep step with real time', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    const first = await viewer.watches();
    const later = await until('a picture that is two seconds younger', async () => {
        const now = await viewer.page.run(pattern);
        return now && now.time - first.time >= 2000 ? now : null;
    });
    const framesPerSecond = ((later.counter - first.counter) / (later.time - first.time)) * 1000;
    assert.ok(framesPerSecond > 15 && framesPerSecond < 33, `30 frames a second, not ${framesPerSecond.toFixed(1)}`);
});

scenario('nothing but the server is asked for anything', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    const host = new URL(server.url).host;
    const strangers = viewer.page.requests.filter((url) => {
        const { protocol, host: asked } = new URL(url);
        return protocol !== 'data:' && protocol !== 'blob:' && asked !== host;
    });
    assert.deepEqual(strangers, []);
    assert.ok(viewer.page.requests.length > 0);
    assert.deepEqual(viewer.page.complaints, []);
});

scenario('the code as 64 hex digits opens the camera too', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    assert.match(camera.code, /^[0-9a-f]{64}$/u);
    const viewer = await stage.viewer(`${server.url}/#${camera.code}`);
    await viewer.shows('live');
    await viewer.watches();
});

for (const [size, viewport] of Object.entries({ phone: PHONE, desk: DESK })) {
    for (const scheme of SCHEMES) {
        scenario(`axe-core finds nothing on a live page (${size}, ${scheme})`, async (stage) => {
            const { camera } = await stage.serverAndCamera();
            const viewer = await stage.viewer(camera.link, { viewport, scheme, axe: true });
            await viewer.shows('live');
            await viewer.watches();
            await viewer.shot(`live-${size}-${scheme}`);
            assert.deepEqual(await viewer.axe(), []);
        });
    }
}
