/**
 * A server that meddles with what passes it makes no page open a connection and shows it no picture; what it can do is
 * keep the two apart, and when it stops, the picture comes.
 */

import assert from 'node:assert/strict';

import { BROWSER } from './browsers.js';
import { delivered } from './evil_server.js';
import { decoded, pattern } from './in_page.js';
import { udpSocketsOf } from './process.js';
import { until } from './programs.js';
import { scenario } from './scenario.js';
import { derived } from './secrets.js';
import { TRICKS } from './tricks.js';

/** @import {Stage, Viewer} from './scenario.js' */
/** @import {EvilServer} from './evil_server.js' */
/** @import {Trick} from './tricks.js' */

/** Stages on which tricks are played at once, each with pages, a server and a camera of its own. */
const STAGES = 4;
/** How long a page that was struck is watched for a picture that it must not show, in milliseconds. */
const WATCHED_MS = 1000;
/** A small picture, so that several can be decoded at once. */
const SMALL = 'width = 320\nheight = 240\nfps = 10\n';

/**
 * The tricks that take so many pages. Firefox is a second opinion about the same scripts: every third.
 * @param {number} wanted
 */
function tricksFor(wanted) {
    return TRICKS.filter(({ pages = 1 }) => pages === wanted).filter((_, number) => BROWSER === 'chromium' || number % 3 === 0);
}

/** @typedef {{evil: EvilServer, link: string, viewers: Viewer[]}} Booth */

/**
 * Pages and a camera with an evil server between them, and no picture yet.
 * @param {Stage} stage
 * @param {number} pages
 * @returns {Promise<Booth>}
 */
async function booth(stage, pages) {
    const server = await stage.house.server();
    const evil = await stage.house.evil(server);
    const camera = await stage.house.camera(server, { config: SMALL }).start();
    const link = `${evil.url}/${new URL(camera.link).hash}`;
    const viewers = [];
    while (viewers.length < pages) {
        viewers.push(await stage.viewer(evil.url));
    }
    return { evil, link, viewers };
}

/**
 * Plays a trick on pages that follow the link, looks at what comes of it, stops, and looks whether the picture comes.
 * @param {Booth} booth
 * @param {Trick} trick
 */
async function play({ evil, link, viewers }, { rule, made, harmless = false }) {
    const before = await Promise.all(viewers.map((viewer) => viewer.made()));
    let struck = 0;
    evil.rule = rule(() => (struck += 1), evil);
    await Promise.all(viewers.map((viewer) => viewer.follows(link)));
    await until('the server to strike', () => struck > 0);
    if (harmless) {
        await Promise.all(viewers.map((viewer) => viewer.shows('live')));
    } else {
        const end = Date.now() + WATCHED_MS;
        await until('the end of the look at the page', async () => {
            const seen = await Promise.all(viewers.map((viewer) => viewer.page.run(decoded)));
            assert.deepEqual(seen.map(({ framesDecoded }) => framesDecoded), seen.map(() => 0), 'a picture came');
            return Date.now() > end;
        });
    }
    const connections = await Promise.all(viewers.map(async (viewer, number) => (await viewer.made()) - (before[number] ?? 0)));
    // A page may have joined anew by itself, and been struck again.
    assert.ok(connections.every((count) => count <= made * struck), `${connections} connections of ${made * struck}`);

    evil.rule = null;
    for (const viewer of viewers) {
        if (!harmless) {
            await viewer.follows(link);
        }
        await viewer.shows('live');
        await until('a young picture', async () => {
            const seen = await viewer.page.run(pattern);
            return seen !== null && seen.age < 2000;
        });
    }
}

/**
 * Somebody watches, and the server says something in the camera's name.
 * @param {Stage} stage
 */
async function interrupt(stage) {
    const { evil, link, viewers } = await booth(stage, 1);
    const [viewer] = viewers;
    assert.ok(viewer);
    await viewer.follows(link);
    await viewer.shows('live');
    await viewer.watches();
    const [connection] = evil.here('viewer');
    const [reply] = connection?.sealed('down', 'reply') ?? [];
    assert.ok(connection && reply);
    connection.tellClient(delivered(reply.peer, Buffer.alloc(1040)));
    await until('the picture to be given up', async () => (await viewer.page.run(decoded)).connections === 0);
    await viewer.shows('live');
    await viewer.watches();
    assert.equal((await viewer.page.run(decoded)).connections, 1);
}

/**
 * Nothing that is sealed reaches anybody, for a while.
 * @param {Stage} stage
 */
async function keepApart(stage) {
    const { evil, link, viewers } = await booth(stage, 1);
    const [viewer] = viewers;
    assert.ok(viewer);
    evil.rule = ({ sealed }) => (sealed ? [] : undefined);
    await viewer.follows(link);
    await viewer.shows('waiting');
    assert.equal(await viewer.made(), 0);
    evil.rule = null;
    await viewer.shows('live');
    await viewer.watches();
}

/**
 * The page is put into the room of another camera, and is told that it is in its own.
 * @param {Stage} stage
 */
async function leadAstray(stage) {
    const { evil, link, viewers } = await booth(stage, 1);
    const other = await stage.house.camera(evil, { config: SMALL }).start();
    const room = derived(Buffer.from(other.code, 'hex'), 'room').toString('hex');
    const idle = udpSocketsOf(other.program.id);
    const [viewer] = viewers;
    assert.ok(viewer);
    evil.rule = ({ way, message }) => {
        const moves = way === 'up' && message?.type === 'JOIN_OR_CREATE';
        return moves ? [{ ...message, data: { ...message.data, room } }] : undefined;
    };
    await viewer.follows(link);
    await viewer.shows('waiting');
    const [astray] = evil.here('viewer');
    assert.equal(astray?.sealed('up', 'greeting').length, 1, 'the page has met the other camera');
    assert.deepEqual(astray?.sealed('down'), [], 'the other camera has answered');
    assert.deepEqual([await viewer.made(), udpSocketsOf(other.program.id)], [0, idle]);
    evil.rule = null;
    await viewer.follows(link);
    await viewer.shows('live');
}

scenario('no picture and no connection of a server that meddles', async (stage) => {
    const [alone, forTwo] = [tricksFor(1), tricksFor(2)];
    const perform = async (/** @type {number} */ pages, /** @type {Trick[]} */ tricks) => {
        const here = await booth(stage, pages);
        for (let trick = tricks.shift(); trick; trick = tricks.shift()) {
            const played = trick;
            await stage.part(`a server that ${played.name}`, () => play(here, played));
        }
    };
    // What takes patience first.
    await Promise.all([
        stage.part('a page that was kept from the camera comes back to it by itself', () => keepApart(stage)),
        stage.part('a picture that was given up comes back by itself', () => interrupt(stage)),
        stage.part('a page that is put into the room of another camera gets nothing of it', () => leadAstray(stage)),
        perform(2, forTwo),
        ...Array.from({ length: STAGES - 1 }, () => perform(1, alone)),
    ]);
});
