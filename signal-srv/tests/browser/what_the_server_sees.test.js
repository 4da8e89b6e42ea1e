/** Page and camera meet at a server that keeps everything it is sent: it has learned whose room it is, and nothing else. */

import assert from 'node:assert/strict';

import { GREETING_BYTES, REPLY_BYTES, STEP_BYTES, TAG_BYTES } from './evil_server.js';
import { decoded } from './in_page.js';
import { memoryOf } from './process.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';
import { Secrets, addressesIn, derived, descriptionsIn } from './secrets.js';

/** @import {Camera} from './house.js' */
/** @import {EvilServer, Passage} from './evil_server.js' */
/** @import {Viewer} from './scenario.js' */

/** Longest sealed message: 47 steps of padding. */
const LONGEST_BYTES = 47 * STEP_BYTES + TAG_BYTES;

/**
 * Two viewers watch through a server that looks in; one of them loads the page anew, one leaves the room and joins again.
 * @param {import('./scenario.js').Stage} stage
 */
async function anEvening(stage) {
    const server = await stage.house.server();
    const evil = await stage.house.evil(server);
    const camera = await stage.house.camera(evil).start();
    const { link } = camera;
    const [first, second] = [await stage.viewer(link), await stage.viewer(link)];
    await Promise.all([first.shows('live'), second.shows('live')]);
    await Promise.all([first.watches(), second.watches()]);
    await first.page.reload();
    await first.shows('enter-code');
    await first.page.open(link);
    await first.shows('live');
    await second.rejoins();
    await until('another connection in place of the first', async () => {
        return (await second.made()) === 2 && (await second.page.run(decoded)).connections === 1;
    });
    await Promise.all([first.watches(), second.watches()]);
    return { server, evil, camera, viewers: [first, second] };
}

/**
 * @param {EvilServer} evil
 * @param {Camera} camera
 */
function nothingPrivate(evil, camera) {
    const received = evil.received();
    const sent = received.reduce((sum, { length }) => sum + length, 0);
    assert.ok(sent > 20_000, `a whole evening is more than ${sent} bytes`);

    const secrets = camera.secrets(new Secrets(), { room: false });
    assert.deepEqual(received.flatMap((bytes) => secrets.inBytes(bytes)), []);
    const texts = received.map((bytes) => bytes.toString('latin1'));
    assert.deepEqual(texts.flatMap(descriptionsIn), []);
    assert.deepEqual(texts.flatMap((text) => addressesIn(text)), []);

    // It does see the room, or this would be a search for what could not be found.
    const room = roomOf(camera);
    assert.notDeepEqual(received.flatMap((bytes) => room.inBytes(bytes)), []);
}

/** @param {Passage} passage of a signal */
function isSealed({ way, message, sealed }) {
    const signal = way === 'up' ? message.data : message.data.data.signal;
    assert.ok(sealed, `not sealed: ${Object.keys(signal)}`);
    assert.deepEqual(Object.keys(signal), ['noise']);
    assert.match(signal.noise, /^[\w-]+$/u);
    const { length } = sealed.bytes;
    const padded = (length - TAG_BYTES) % STEP_BYTES === 0 && length > TAG_BYTES && length <= LONGEST_BYTES;
    assert.ok(length === GREETING_BYTES || length === REPLY_BYTES || padded, `${length} bytes give something away`);
}

/** @param {EvilServer} evil */
function everythingSealed(evil) {
    const signals = evil.connections.flatMap(({ passages }) => {
        return passages.filter(({ message }) => message?.type === 'SIGNAL' || message?.data?.type === 'SIGNAL');
    });
    signals.forEach(isSealed);
    const viewers = evil.connections.filter(({ role }) => role === 'viewer');
    assert.equal(viewers.length, 4, 'two came, one loaded the page anew, one joined again');
    for (const viewer of viewers) {
        assert.deepEqual([viewer.sealed('up', 'greeting').length, viewer.sealed('down', 'reply').length], [1, 1]);
        // start and answer; the offer.
        assert.ok(viewer.sealed('up', 'transport').length >= 2 && viewer.sealed('down', 'transport').length >= 1);
    }
    const texts = signals.flatMap(({ way, sealed }) => (way === 'up' && sealed ? [sealed.bytes.toString('hex')] : []));
    assert.equal(new Set(texts).size, texts.length, 'no message is ever the same as another');
}

/**
 * @param {number} server its process
 * @param {Camera} camera
 * @param {Viewer[]} viewers
 */
async function nothingInMemory(server, camera, viewers) {
    const memory = memoryOf(server);
    const room = roomOf(camera);
    assert.notDeepEqual(memory.flatMap((part) => room.inBytes(part)), [], 'the room that it keeps can be found');

    await Promise.all(viewers.map((viewer) => viewer.leave()));
    const secrets = camera.secrets(new Secrets(), { room: false });
    for (const part of [...memory, ...memoryOf(server)]) {
        assert.deepEqual(secrets.inBytes(part), []);
        for (const fragment of ['a=fingerprint', 'a=ice-pwd', 'a=ice-ufrag', 'typ host', 'candidate:']) {
            assert.ok(!part.includes(fragment), `${fragment} is in the memory of the server`);
        }
    }
}

/** @param {Camera} camera */
function roomOf(camera) {
    return new Secrets().add('the room', derived(Buffer.from(camera.code, 'hex'), 'room'));
}

scenario('the server learns whose room it is, and nothing else', async (stage) => {
    const { server, evil, camera, viewers } = await anEvening(stage);
    await stage.part('no byte holds a description, a candidate, an address or the code', () => {
        nothingPrivate(evil, camera);
    });
    await stage.part('every signal is sealed, in the lengths of the padding', () => everythingSealed(evil));
    await stage.part('its memory holds no code and no description', () => {
        return nothingInMemory(server.program.id, camera, viewers);
    });
});
