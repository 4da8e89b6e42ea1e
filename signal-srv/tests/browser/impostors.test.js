/** Who holds the code can watch, and cannot pose as the camera: neither alone nor beside it, before it nor after it. */

import assert from 'node:assert/strict';

import { codeOf, randomIdentity } from '../page/noise_camera.js';
import { FakeCamera, POSES } from './fake_camera.js';
import { decoded, firstFrameTime, noteTimes } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

/** @import {Stage, Viewer} from './scenario.js' */
/** @import {Pose} from './fake_camera.js' */

/** However many pose as it, the true camera is found within so many milliseconds. */
const FOUND_MS = 3000;

/** Poses for three at once: a room has four places for cameras. */
const SQUATTERS = /** @type {const} */ (['own', 'silence', 'unsealed']);

/**
 * A camera that does not run yet, and fakes of it in its room.
 * @param {Stage} stage
 * @param {readonly Pose[]} poses
 */
async function houseOfFakes(stage, poses) {
    const server = await stage.house.server();
    const camera = stage.house.camera(server);
    const join = async (/** @type {Pose} */ pose) => {
        return stage.house.keep(await FakeCamera.join(server, await camera.identity(), pose));
    };
    const fakes = [];
    for (const pose of poses) {
        fakes.push(await join(pose));
    }
    return { server, camera, fakes, join };
}

/**
 * Opens the page, which has to find the true camera in time and make one connection, to it.
 * @param {Stage} stage
 * @param {string} link
 */
async function finds(stage, link) {
    const viewer = await stage.viewer(link, { script: noteTimes });
    await viewer.shows('live');
    await viewer.watches();
    const took = await until('the first frame', () => viewer.page.run(firstFrameTime));
    assert.ok(took <= FOUND_MS, `found after ${took.toFixed()} ms`);
    assert.equal(await viewer.made(), 1, 'one connection, to the true camera');
    return viewer;
}

/** @param {FakeCamera[]} fakes */
function heardOnlyGreetings(fakes) {
    for (const { heard } of fakes) {
        assert.ok(heard.length > 0);
        for (const { noise } of heard) {
            assert.equal(Buffer.from(noise, 'base64url').length, 48, 'a fake camera is greeted, and told nothing');
        }
    }
}

scenario('alone in the room, no pose is taken for the camera', async (stage) => {
    const server = await stage.house.server();
    const meet = async (/** @type {Viewer} */ viewer, /** @type {Pose} */ pose) => {
        const identity = await randomIdentity();
        const fake = stage.house.keep(await FakeCamera.join(server, identity, pose));
        await viewer.follows(`${server.url}/#${Buffer.from(await codeOf(identity)).toString('base64url')}`);
        await until('the fake to be greeted', () => fake.heard.length > 0);
        await viewer.shows(pose === 'silence' ? 'waiting' : 'impostor');
        assert.equal(await viewer.made(), 0, pose);
        heardOnlyGreetings([fake]);
    };
    // Silence takes a while to be told from a camera that is slow.
    const [patient, viewer] = [await stage.viewer(server.url), await stage.viewer(server.url, { axe: true })];
    const silence = meet(patient, 'silence');
    for (const pose of POSES.filter((one) => one !== 'silence')) {
        await meet(viewer, pose);
    }
    await viewer.shot('impostor');
    assert.deepEqual(await viewer.axe(), []);
    await silence;
});

scenario('a fake that came before the camera does not keep a viewer from it', async (stage) => {
    const { camera, fakes } = await houseOfFakes(stage, ['own']);
    await camera.start();
    await finds(stage, camera.link);
    heardOnlyGreetings(fakes);
});

scenario('a fake that comes after the camera, or while somebody watches, disturbs nobody', async (stage) => {
    const { camera, join } = await houseOfFakes(stage, []);
    await camera.start();
    const late = await join('public key');
    const viewer = await finds(stage, camera.link);
    const later = await join('own');
    await until('the fake to be greeted', () => later.heard.length > 0);
    await viewer.watches();
    await viewer.shows('live');
    assert.equal(await viewer.made(), 1);
    heardOnlyGreetings([late, later]);
});

scenario('three fakes in the room do not keep a viewer from the camera', async (stage) => {
    const { camera, fakes } = await houseOfFakes(stage, SQUATTERS);
    await camera.start();
    await finds(stage, camera.link);
    heardOnlyGreetings(fakes);
});

scenario('who found only fakes is shown the camera when it comes', async (stage) => {
    const { camera } = await houseOfFakes(stage, ['own', 'old reply']);
    const viewer = await stage.viewer(camera.link);
    await viewer.shows('impostor');
    await camera.start();
    await viewer.shows('live');
    await viewer.watches();
    assert.equal(await viewer.made(), 1);
});

scenario('two cameras with one identity, as of a copied card, give one picture', async (stage) => {
    const server = await stage.house.server();
    const first = await stage.house.camera(server).start();
    const second = await stage.house.camera(server, { cloned: first }).start();
    assert.equal(first.code, second.code);
    const viewer = await stage.viewer(first.link);
    await viewer.shows('live');
    await viewer.watches();
    assert.deepEqual([(await viewer.page.run(decoded)).connections, await viewer.made()], [1, 1]);

    await first.stop();
    await viewer.shows('live');
    await viewer.watches();
    assert.equal((await viewer.page.run(decoded)).connections, 1);
});
