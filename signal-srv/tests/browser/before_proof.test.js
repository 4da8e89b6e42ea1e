/** Nothing is opened for anybody who has not proven the code: no connection in the page, no socket at the camera. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { outgoing } from './evil_server.js';
import { udpSocketsOf } from './process.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';
import { derived } from './secrets.js';
import { Stranger } from './stranger.js';

/** How long somebody is watched who must get nothing, in milliseconds. */
const WATCHED_MS = 2000;

/** @param {number} [ms] */
function aWhile(ms = WATCHED_MS) {
    const end = Date.now() + ms;
    return until('the end of the look', () => Date.now() > end);
}

scenario('camera and page open nothing before the start has arrived', async (stage) => {
    const server = await stage.house.server();
    const evil = await stage.house.evil(server);
    const camera = await stage.house.camera(server).start();
    const idle = udpSocketsOf(camera.program.id);

    /** @type {(() => void) | null} */
    let letGo = null;
    evil.rule = ({ connection, way, sealed, bytes }) => {
        if (way !== 'up' || sealed?.kind !== 'transport' || letGo) {
            return undefined;
        }
        letGo = () => connection.tellServer(bytes);
        return [];
    };
    const viewer = await stage.viewer(`${evil.url}/#${new URL(camera.link).hash.slice(1)}`);
    const release = await until('the page to start', () => letGo);
    await aWhile();
    assert.equal(udpSocketsOf(camera.program.id), idle, 'the camera has opened a socket for who has not started');
    assert.equal(await viewer.made(), 0, 'the page has made a connection that nobody has offered');
    assert.equal(evil.here('viewer')[0]?.sealed('down', 'transport').length, 0, 'the camera has offered');

    release();
    await viewer.shows('live');
    await viewer.watches();
    assert.ok(udpSocketsOf(camera.program.id) > idle, 'the sockets of a session can be counted');
    await viewer.leave();
    await until('the camera to close the sockets of the session', () => udpSocketsOf(camera.program.id) === idle);
});

scenario('who knows the room and not the code gets no answer from the camera', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const idle = udpSocketsOf(camera.program.id);
    const room = derived(Buffer.from(camera.code, 'hex'), 'room').toString('hex');
    const stranger = stage.house.keep(await Stranger.join(server, room, 'viewer'));
    const [peer = ''] = stranger.peers;
    assert.match(peer, /^[0-9a-f-]{36}$/u, 'the stranger is told of the camera');
    for (const length of [0, 1, 47, 48, 48, 48, 49, 128, 1040, 2064]) {
        stranger.send(outgoing(peer, randomBytes(length)));
    }
    for (const data of [{ type: 'start' }, { type: 'offer', sdp: 'v=0\r\n' }, { type: 'answer', sdp: 'v=0\r\n' }, null, 7, 'start']) {
        stranger.send({ type: 'SIGNAL', to: peer, data });
    }
    await aWhile();
    assert.deepEqual(stranger.signals, [], 'the camera has answered somebody without the code');
    assert.equal(udpSocketsOf(camera.program.id), idle);

    const viewer = await stage.viewer(camera.link);
    await viewer.shows('live');
    await viewer.watches();
    assert.deepEqual(stranger.signals, []);
});

scenario('a code with one digit wrong leads nowhere', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const idle = udpSocketsOf(camera.program.id);
    const { code } = camera;
    const wrong = `${code.slice(0, -1)}${code.endsWith('0') ? '1' : '0'}`;
    const viewer = await stage.viewer(`${server.url}/#${wrong}`);
    await viewer.shows('waiting');
    await aWhile();
    await viewer.shows('waiting');
    assert.equal(await viewer.made(), 0);
    assert.equal(udpSocketsOf(camera.program.id), idle);
});

scenario('a page whose server answers for the camera makes no connection', async (stage) => {
    const server = await stage.house.server();
    const evil = await stage.house.evil(server);
    const camera = stage.house.camera(server);
    const room = derived(Buffer.from(camera.code, 'hex'), 'room').toString('hex');
    // As much as a server can be, without the code: a camera in the right room.
    const stranger = stage.house.keep(await Stranger.join(server, room, 'camera'));
    stranger.onSignal = (peer) => {
        stranger.send(outgoing(peer, randomBytes(128)));
        stranger.send({ type: 'SIGNAL', to: peer, data: { type: 'offer', sdp: 'v=0\r\n' } });
    };
    const viewer = await stage.viewer(`${evil.url}/#${new URL(camera.link).hash.slice(1)}`);
    await viewer.shows('impostor');
    assert.equal(await viewer.made(), 0);
    assert.deepEqual(evil.here('viewer')[0]?.sealed('up').map(({ kind }) => kind), ['greeting']);
});
