/**
 * The viewers of `cargo xtask bench`: Chromium on the page. Orders come in as JSON lines, answers go out as JSON lines.
 *
 *     {"do":"join","times":10}                 -> {"joined":[ms, …],"handshake_ms":median}
 *     {"do":"watch","viewers":4,"seconds":60}  -> {"begun":true} {"ended":true}
 *                                                 {"watched":{"frames_per_second":[…],"latencies":[…],"seconds":60.0}}
 */

import { createInterface } from 'node:readline';

import { launch } from './browsers.js';
import { decoded, firstFrameTime, handshakeTime, latencies, noteTimes, watchLatency } from './in_page.js';
import { until } from './programs.js';

/** @import {Page} from './browsers.js' */

const LINK = process.env.ROOMCAM_LINK ?? '';
/** Frames that a viewer has decoded before it counts as watching. */
const WARM_FRAMES = 90;

const browser = await launch('chromium');
for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.do === 'join') {
        await join(order.times);
    } else {
        await watch(order.viewers, order.seconds);
    }
}
await browser.close();

/** @param {unknown} value */
function answer(value) {
    console.log(JSON.stringify(value));
}

/** @param {number} times */
async function join(times) {
    /** @type {number[]} */
    const joined = [];
    /** @type {number[]} */
    const handshakes = [];
    for (let time = 0; time < times; time += 1) {
        const page = await browser.page({ script: noteTimes });
        await page.open(LINK);
        joined.push(await until('the first frame', () => page.run(firstFrameTime), { every: 20 }));
        handshakes.push(await until('the measure of the handshake', () => page.run(handshakeTime)));
        await page.close();
    }
    answer({ joined, handshake_ms: median(handshakes) });
}

/** @param {number[]} numbers */
function median(numbers) {
    const sorted = [...numbers].sort((one, other) => one - other);
    const middle = Math.floor(sorted.length / 2);
    const [low = NaN, high = NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
    return (low + high) / 2;
}

/**
 * @param {number} viewers
 * @param {number} seconds
 */
async function watch(viewers, seconds) {
    /** @type {Page[]} */
    const pages = [];
    for (let viewer = 0; viewer < viewers; viewer += 1) {
        const page = await browser.page({ viewport: { width: 760, height: 560 } });
        pages.push(page);
        await page.open(LINK);
    }
    const count = () => Promise.all(pages.map(async (page) => (await page.run(decoded)).framesDecoded));
    await until('everybody to watch', async () => (await count()).every((frames) => frames > WARM_FRAMES));
    await pages[0]?.run(watchLatency);
    const [before, begun] = [await count(), performance.now()];
    answer({ begun: true });
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    answer({ ended: true });
    const [after, ended] = [await count(), performance.now()];
    const took = (ended - begun) / 1000;
    answer({
        watched: {
            frames_per_second: after.map((frames, viewer) => (frames - (before[viewer] ?? 0)) / took),
            latencies: await pages[0]?.run(latencies),
            seconds: took,
        },
    });
    await Promise.all(pages.map((page) => page.close()));
}
