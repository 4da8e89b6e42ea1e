/** The camera is paused, or has no picture; the page says so, and the picture comes back in the same session. */

import assert from 'node:assert/strict';

import { BROWSER, DESK, PHONE } from './browsers.js';
import { decoded, screenShown } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

/** @import {Viewer} from './scenario.js' */

/** How soon a page has to say that its camera was paused, in milliseconds. */
const SOON_MS = 2000;
/** Longer than frames may stay away from a picture that should be there. */
const LONG_MS = 7000;

/**
 * Waits until pages say that their camera is paused.
 * @param {...Viewer} viewers
 */
async function paused(...viewers) {
    const begun = Date.now();
    await Promise.all(viewers.map((viewer) => viewer.shows('paused')));
    const took = Date.now() - begun;
    assert.ok(took < SOON_MS, `it took ${took} ms until the page said that the camera is paused`);
}

/**
 * Waits for a while in which not one frame may be decoded; gives how many there were before.
 * @param {Viewer} viewer
 */
async function stands(viewer) {
    // The last ones may be on their way yet.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const frames = await viewer.frames();
    await new Promise((resolve) => setTimeout(resolve, LONG_MS));
    assert.equal(await viewer.frames(), frames, 'a camera that is paused sends no frames');
    assert.equal(await viewer.page.run(screenShown), 'paused');
    return frames;
}

scenario('a camera that is paused says so, and its picture is back without another session', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();

    camera.pause();
    await paused(viewer);
    await viewer.shot('paused');
    const visible = await viewer.page.run(() => document.getElementById('video')?.checkVisibility());
    assert.equal(visible, false, 'the last frame is out of sight');
    const before = await stands(viewer);

    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
    assert.ok((await viewer.frames()) > before, 'the same connection decodes on');
    camera.pause();
    await paused(viewer);
    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
    assert.equal(await viewer.made(), 1, 'one connection all the time');
});

scenario('who comes while the camera is paused sees that, then the picture', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const first = await stage.viewer(camera.link);
    await first.shows('live');
    camera.pause();
    await paused(first);

    const second = await stage.viewer(camera.link);
    await second.shows('paused');
    await stands(second);
    camera.resume();
    for (const viewer of [first, second]) {
        await viewer.shows('live');
        await viewer.watches();
        assert.equal(await viewer.made(), 1);
    }
});

scenario('a camera that begins paused is switched on', async (stage) => {
    const { camera } = await stage.serverAndCamera({ camera: 'paused = true' });
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('paused');
    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
    assert.equal(await viewer.made(), 1);
});

scenario('a camera whose sensor is not there says so, and that it is paused', async (stage) => {
    const server = await stage.house.server();
    const camera = await stage.house.camera(server, { source: '/dev/no-such-camera' }).start();
    const viewer = await stage.viewer(camera.link, { axe: true });
    await viewer.shows('no-picture');
    await viewer.shot('no-picture');
    assert.deepEqual(await viewer.axe(), []);
    camera.pause();
    await paused(viewer);
    camera.resume();
    await viewer.shows('no-picture');
    assert.equal(await viewer.made(), 1);
});

scenario('a camera that goes while it is paused is gone, and paused when it is back', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    camera.pause();
    await paused(viewer);
    await camera.stop('SIGKILL');
    await viewer.shows('camera-gone');
    await camera.start();
    await viewer.shows('paused');
    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
});

scenario('the server is away while the camera is paused: the page says paused, and live when it is', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    camera.pause();
    await paused(viewer);

    await server.program.stop();
    await stands(viewer);
    const joinedBefore = camera.program.log.length;
    await stage.house.server({ again: server });
    await camera.program.logged('joined', joinedBefore);
    await until('a session that can be heard', async () => (await viewer.made()) === 2);
    await viewer.shows('paused');
    await until('the viewer to have one connection again', async () => {
        return (await viewer.page.run(decoded)).connections === 1;
    });

    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
});

scenario('resumed while the server is away, the picture shows itself', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    camera.pause();
    await paused(viewer);
    await server.program.stop();
    camera.resume();
    await viewer.shows('live');
    await viewer.watches();
});

for (const [size, viewport] of Object.entries({ phone: PHONE, desk: DESK })) {
    for (const scheme of /** @type {('light' | 'dark')[]} */ (BROWSER === 'chromium' ? ['light', 'dark'] : ['light'])) {
        scenario(`axe-core finds nothing on a page whose camera is paused (${size}, ${scheme})`, async (stage) => {
            const { camera } = await stage.serverAndCamera();
            const viewer = await stage.viewer(camera.link, { viewport, scheme, axe: true });
            await viewer.shows('live');
            camera.pause();
            await paused(viewer);
            await viewer.shot(`paused-${size}-${scheme}`);
            assert.deepEqual(await viewer.axe(), []);
        });
    }
}
