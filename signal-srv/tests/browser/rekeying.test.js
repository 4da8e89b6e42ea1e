/** A camera that is given a new code is out of reach for everybody who has the old one. */

import assert from 'node:assert/strict';

import { decoded } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

scenario('after a new code the old link waits in vain, and the new one watches', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const [oldLink, oldCode] = [camera.link, camera.code];
    const former = await stage.viewer(oldLink);
    await former.shows('live');
    await former.watches();
    await former.remembers('Garden');

    // It runs on, and hears of it by itself.
    camera.rekey();
    assert.notEqual(camera.code, oldCode);
    await until('the picture to end', async () => (await former.page.run(decoded)).connections === 0);
    await former.shows('camera-gone', 'waiting');
    await former.page.reload();
    await former.shows('waiting');

    const late = await stage.viewer(oldLink);
    await late.shows('waiting');
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    await camera.stop();
    await camera.start();
    await viewer.shows('live');
    await viewer.watches();
    await former.shows('waiting');
    await late.shows('waiting');
    assert.deepEqual([await former.made(), await late.made()], [0, 0]);
});
