/** Clients that know the pair mode of the protocol, and only that, get the camera's picture. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import { pattern } from './in_page.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';

/** @import {Server} from './house.js' */
/** @import {Stage, Viewer} from './scenario.js' */

const PAIR = 'protocol = "pair"\n';
const BLANK = '<!doctype html><html lang="en"><title>pair</title><video muted playsinline></video></html>';
const CLIENT = readFileSync(new URL('./pair/client.js', import.meta.url));

/** A blank page, from elsewhere: these clients come with pages of their own. */
const pages = createServer(({ url }, answer) => {
    if (url === '/client.js') {
        answer.writeHead(200, { 'content-type': 'text/javascript' }).end(CLIENT);
    } else {
        answer.writeHead(200, { 'content-type': 'text/html' }).end(BLANK);
    }
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', () => resolve(null)));
pages.unref();

/**
 * A blank page in which a client joins the room.
 * @param {Stage} stage
 * @param {Server} server
 * @param {string} room
 * @param {{eager?: boolean, cameFirst?: boolean, ownTrack?: boolean}} behaviour
 */
async function join(stage, server, room, { eager = false, cameFirst = false, ownTrack = false }) {
    const address = /** @type {import('node:net').AddressInfo} */ (pages.address());
    const viewer = await stage.viewer(`http://127.0.0.1:${address.port}/`);
    await viewer.page.run(
        async (options) => {
            // @ts-ignore: an address of the page, not of this file
            const { PairClient } = await import('/client.js');
            const video = document.querySelector('video');
            /** @type {any} */ (window).client = new PairClient({ ...options, video });
        },
        { url: server.url.replace('http', 'ws'), room, eager, cameFirst, ownTrack },
    );
    await until('the client to be in the room', async () => (await events(viewer)).includes('JOINED'));
    return viewer;
}

/**
 * @param {Viewer} viewer
 * @returns {Promise<string[]>}
 */
function events(viewer) {
    return viewer.page.run(() => /** @type {any} */ (window).client.events);
}

/**
 * Runs in a page: tries to join, and gives what the server said and how it closed.
 * @param {{url: string, room: string}} where
 * @returns {Promise<(string | number)[]>}
 */
function refusal({ url, room }) {
    return new Promise((resolve) => {
        /** @type {string[]} */
        const said = [];
        const socket = new WebSocket(url);
        socket.binaryType = 'arraybuffer';
        socket.onopen = () => {
            socket.send(new TextEncoder().encode(JSON.stringify({ type: 'JOIN_OR_CREATE', data: room })));
        };
        socket.onmessage = ({ data }) => {
            const { type, code } = JSON.parse(new TextDecoder().decode(data));
            said.push(code ?? type);
        };
        socket.onclose = ({ code }) => resolve([...said, code]);
    });
}

/** @param {Viewer} viewer */
async function leave(viewer) {
    await viewer.page.run(() => /** @type {any} */ (window).client.leave());
    await viewer.leave();
}

/**
 * The picture moves, and says what happened when it does not.
 * @param {Viewer} viewer
 */
async function watches(viewer) {
    try {
        const seen = await viewer.watches();
        assert.deepEqual([seen.width, seen.height], [720, 480]);
        return seen;
    } catch (error) {
        throw new Error(`${error}; the client's events: ${(await events(viewer)).join(', ')}`);
    }
}

scenario('pair mode: the camera came first, so it offers and the client answers', async (stage) => {
    const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
    const viewer = await join(stage, server, camera.code, {});
    await watches(viewer);
    const seen = await events(viewer);
    assert.ok(seen.includes('received offer in stable') && seen.includes('sent answer'), seen.join(', '));
    assert.ok(!seen.includes('sent offer'), seen.join(', '));
});

scenario('pair mode: the client came first, so it offers and the camera answers', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server, { config: PAIR });
    const viewer = await join(stage, server, camera.code, { cameFirst: true });
    await camera.start();
    await watches(viewer);
    const seen = await events(viewer);
    assert.ok(seen.includes('sent offer') && seen.includes('received answer in have-local-offer'), seen.join(', '));
    assert.ok(!seen.some((event) => event.startsWith('received offer')), seen.join(', '));
});

scenario('pair mode: an eager client that came first offers twice', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server, { config: PAIR });
    const viewer = await join(stage, server, camera.code, { cameFirst: true, eager: true });
    await camera.start();
    await watches(viewer);
    await until('the second offer to be answered', async () => {
        return (await events(viewer)).filter((event) => event.startsWith('received answer')).length === 2;
    });
    await watches(viewer);
});

scenario('pair mode: an eager client that came second offers all the same, and the camera answers', async (stage) => {
    const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
    const viewer = await join(stage, server, camera.code, { eager: true });
    await watches(viewer);
    const seen = await events(viewer);
    assert.ok(seen.includes('sent offer') && seen.includes('received answer in have-local-offer'), seen.join(', '));
    assert.ok(!seen.some((event) => event.startsWith('received offer')), seen.join(', '));
});

for (const eager of [false, true]) {
    scenario(`pair mode: a client with a picture of its own came first${eager ? ', eager' : ''}`, async (stage) => {
        const server = await stage.house.server();
        const camera = stage.house.camera(server, { config: PAIR });
        const viewer = await join(stage, server, camera.code, { cameFirst: true, eager, ownTrack: true });
        await camera.start();
        await watches(viewer);
    });

    scenario(`pair mode: a client with a picture of its own came second${eager ? ', eager' : ''}`, async (stage) => {
        const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
        await watches(await join(stage, server, camera.code, { eager, ownTrack: true }));
    });

    scenario(`pair mode: ${eager ? 'an eager' : 'a'} client leaves and comes back`, async (stage) => {
        const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
        let counter = -1;
        for (let visit = 0; visit < 3; visit += 1) {
            const viewer = await join(stage, server, camera.code, { eager });
            const seen = await watches(viewer);
            assert.ok(seen.counter > counter, 'the camera goes on counting');
            counter = seen.counter;
            await leave(viewer);
        }
    });
}

scenario('pair mode: a camera that comes back finds the client that stayed', async (stage) => {
    const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
    const viewer = await join(stage, server, camera.code, {});
    const before = await watches(viewer);
    await camera.stop();
    await until('the client to hear of it', async () => (await events(viewer)).includes('ROOM/LEAVE'));
    await camera.start();
    await until('the picture of the new run', async () => {
        const now = await viewer.page.run(pattern);
        return now && now.time > before.time && now.age < 2000;
    });
    await watches(viewer);
});

scenario('pair mode: a third client is refused and the two go on', async (stage) => {
    const { server, camera } = await stage.serverAndCamera({ camera: PAIR });
    const viewer = await join(stage, server, camera.code, {});
    await watches(viewer);
    const address = /** @type {import('node:net').AddressInfo} */ (pages.address());
    const third = await stage.viewer(`http://127.0.0.1:${address.port}/`);
    const heard = await third.page.run(refusal, { url: server.url.replace('http', 'ws'), room: camera.code });
    assert.deepEqual(heard, ['HELLO', 'ROOM_FULL', 1008]);
    await watches(viewer);
});
