/** Things break and come back by themselves. */

import assert from 'node:assert/strict';

import { decoded, pattern, screenShown } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

scenario('a camera that is not there yet is waited for', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server);
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('waiting');
    await viewer.shot('waiting');
    await camera.start();
    await viewer.shows('live');
    await viewer.watches();
});

scenario('a camera that restarts is shown again', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    await camera.stop();
    await viewer.shows('camera-gone', 'reconnecting', 'waiting');
    await viewer.shot('camera-gone');
    await camera.start();
    await viewer.shows('live');
    await viewer.watches();
});

scenario('a camera that dies without a word is shown again when it is back', async (stage) => {
    const { camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    const before = await viewer.watches();
    await camera.stop('SIGKILL');
    await camera.start();
    await until('the picture of the new run', async () => {
        const now = await viewer.page.run(pattern);
        return now && now.time > before.time && now.age < 2000;
    });
    await viewer.shows('live');
    await viewer.watches();
});

scenario('the picture goes on while the server is away, and new viewers can join when it is back', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const first = await stage.viewer(camera.link);
    await first.shows('live');
    await first.watches();

    await server.program.stop();
    const [frames, then] = [await first.frames(), await first.reads()];
    await until('three seconds of pictures without a server', async () => {
        const now = await first.page.run(pattern);
        return now && now.time - then.time >= 3000;
    });
    assert.ok((await first.frames()) > frames + 45, 'the picture needs no server once it runs');
    assert.equal(await first.page.run(screenShown), 'live');

    const joinedBefore = camera.program.log.length;
    await stage.house.server({ again: server });
    await camera.program.logged('joined', joinedBefore);
    const second = await stage.viewer(camera.link);
    await second.shows('live');
    await second.watches();
    await first.shows('live');
    await first.watches();
    await until('the first viewer to have one connection again', async () => {
        return (await first.page.run(decoded)).connections === 1;
    });
});
