/** Several viewers of one camera: one encode for all, and none disturbs another. */

import assert from 'node:assert/strict';

import { BROWSER } from './browsers.js';
import { pattern } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

/** @import {Viewer} from './scenario.js' */

/** Two pages are read one after the other, and each shows its own last frame. */
const FRAMES_APART = 20;

/**
 * What several viewers see at the same moment.
 * @param {Viewer[]} viewers
 */
function together(viewers) {
    return until('all pictures to be read at once', async () => {
        const seen = await Promise.all(viewers.map((viewer) => viewer.page.run(pattern)));
        const readable = seen.filter((one) => one !== null);
        return readable.length === viewers.length ? readable : null;
    });
}

scenario('two viewers see the same frames, and when one leaves the other goes on', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const [first, second] = [await stage.viewer(camera.link), await stage.viewer(camera.link)];
    await Promise.all([first.shows('live'), second.shows('live')]);
    await Promise.all([first.watches(), second.watches()]);

    const [one, two] = await together([first, second]);
    assert.ok(one && two);
    assert.ok(Math.abs(one.counter - two.counter) <= FRAMES_APART, `${one.counter} and ${two.counter} are far apart`);

    await second.leave();
    const before = await first.frames();
    const seen = await first.watches();
    const after = await until('two more seconds of pictures', async () => {
        const now = await first.page.run(pattern);
        return now && now.time - seen.time >= 2000 ? now : null;
    });
    const framesPerSecond = ((after.counter - seen.counter) / (after.time - seen.time)) * 1000;
    assert.ok(framesPerSecond > 15, `undisturbed, yet only ${framesPerSecond.toFixed(1)} frames a second`);
    assert.ok((await first.frames()) > before + 30);
    await first.shows('live');
});

scenario('a viewer who comes later sees the picture at once and disturbs nobody', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const first = await stage.viewer(camera.link);
    await first.shows('live');
    const early = await first.watches();
    const second = await stage.viewer(camera.link);
    await second.shows('live');
    const late = await second.watches();
    assert.ok(late.counter > early.counter, 'the counter belongs to the camera, not to the viewer');
    await first.shows('live');
    await first.watches();
});

if (BROWSER === 'chromium') {
    scenario('eight viewers watch at once', async (stage) => {
        const { camera } = await stage.serverAndCamera();
        const viewers = [];
        for (let number = 0; number < 8; number += 1) {
            viewers.push(await stage.viewer(camera.link));
        }
        await Promise.all(viewers.map((viewer) => viewer.shows('live')));
        await Promise.all(viewers.map((viewer) => viewer.watches()));
        const seen = (await together(viewers)).map(({ counter }) => counter);
        const apart = Math.max(...seen) - Math.min(...seen);
        assert.ok(apart <= 3 * FRAMES_APART, `they see frames that are ${apart} apart: ${seen}`);
        await viewers[3]?.leave();
        const others = viewers.filter((_, number) => number !== 3);
        await Promise.all(others.map((viewer) => viewer.watches()));
    });
}
