/** Where there is no picture the page says why. */

import assert from 'node:assert/strict';

import { until } from './programs.js';
import { scenario } from './scenario.js';

scenario('something that is no code is called wrong', async (stage) => {
    const server = await stage.house.server();
    const viewer = await stage.viewer(`${server.url}/#abc`, { axe: true });
    await viewer.shows('wrong-code');
    assert.deepEqual(await viewer.axe(), []);
    for (const nonsense of ['z'.repeat(64), `${'A'.repeat(42)}!`, '%', 'A'.repeat(5000)]) {
        await viewer.follows(`${server.url}/#${nonsense}`);
        await until('the address bar to be clean', () => viewer.page.run(() => window.location.hash === ''));
        await viewer.shows('wrong-code');
    }
    assert.equal(await viewer.made(), 0);
});

scenario('without a code it is asked for', async (stage) => {
    const server = await stage.house.server();
    const viewer = await stage.viewer(`${server.url}/`, { axe: true });
    await viewer.shows('enter-code');
    await viewer.shot('enter-code');
    assert.deepEqual(await viewer.axe(), []);
});

scenario('a viewer for whom there is no place is told so and the other goes on', async (stage) => {
    const { camera } = await stage.serverAndCamera({ server: 'max_viewers = 1\n' });
    const first = await stage.viewer(camera.link);
    await first.shows('live');
    await first.watches();
    const second = await stage.viewer(camera.link);
    await second.shows('room-full');
    await second.shot('room-full');
    await first.watches();
    await first.shows('live');
    await first.leave();
    await second.shows('live');
    await second.watches();
});
