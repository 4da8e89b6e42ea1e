/**
 * Who watches the appliance in `cargo xtask test image`: Chromium on the page. Orders come in as JSON lines, answers go
 * out as JSON lines; what cannot be done is answered with {"failed":"why"}.
 *
 *     {"do":"draw","svg":FILE,"pgm":FILE}        -> {"drawn":true}   a label as a grey picture, for a decoder of QR codes
 *     {"do":"open","link":URL}                   -> {"opened":true}  in place of the page that was open
 *     {"do":"wait","frames":10,"within":60000}   -> {"waited":ms}    for that many frames, decoded
 *     {"do":"watch","seconds":10}                -> {"watched":{"frames_per_second":30,"width":720,"height":480}}
 *     {"do":"photograph","file":FILE}            -> {"photographed":true}
 *     {"do":"leave"}                             -> {"left":true}
 *
 * It closes the browser and ends when its input does.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { launch } from '../../signal-srv/tests/browser/browsers.js';
import { decoded, screenShown } from '../../signal-srv/tests/browser/in_page.js';
import { until } from '../../signal-srv/tests/browser/programs.js';

/** @import {Page} from '../../signal-srv/tests/browser/browsers.js' */

/** Pixels: a module of the code gets some ten of them. */
const LABEL_WIDTH = 1600;

/** The person has accepted the certificate of the test's own server, which no authority vouches for. */
const browser = await launch('chromium', { resolve: process.env.ROOMCAM_RESOLVE ?? '', trusting: true });
/** @type {Page | null} */
let open = null;
for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    try {
        console.log(JSON.stringify(await obey(order)));
    } catch (error) {
        console.log(JSON.stringify({ failed: `${error instanceof Error ? error.message : error}; ${await explain()}` }));
    }
}
await browser.close();

/** @param {any} order */
async function obey(order) {
    switch (order.do) {
        case 'draw':
            await draw(order.svg, order.pgm);
            return { drawn: true };
        case 'open':
            await open?.close();
            open = await browser.page({ viewport: { width: 760, height: 560 } });
            await open.open(order.link);
            return { opened: true };
        case 'wait':
            return { waited: await wait(order.frames, order.within) };
        case 'watch':
            return { watched: await watch(order.seconds) };
        case 'photograph':
            await page().screenshot(order.file);
            return { photographed: true };
        case 'leave':
            await open?.close();
            open = null;
            return { left: true };
        default:
            throw new Error(`there is no order ${order.do}`);
    }
}

function page() {
    if (!open) {
        throw new Error('no page is open');
    }
    return open;
}

/** For who reads a failed test. */
async function explain() {
    if (!open) {
        return 'no page is open';
    }
    const screen = await open.run(screenShown).catch(() => 'unknown');
    const frames = await open.run(decoded).catch(() => null);
    return `screen ${screen}, decoded ${JSON.stringify(frames)}, complaints ${JSON.stringify(open.complaints)}`;
}

/**
 * @param {string} svg
 * @param {string} pgm
 */
async function draw(svg, pgm) {
    const drawing = await browser.page();
    const url = `data:image/svg+xml;base64,${readFileSync(svg).toString('base64')}`;
    const { width, height, pixels } = await drawing.run(inGrey, { url, width: LABEL_WIDTH });
    await drawing.close();
    writeFileSync(pgm, Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`), Buffer.from(pixels, 'base64')]));
}

/**
 * Draws a picture on white, in grey. Runs in the page.
 * @param {{url: string, width: number}} picture
 */
async function inGrey({ url, width }) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const height = Math.round((width * image.naturalHeight) / image.naturalWidth);
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const blob = new Blob([data.filter((_, index) => index % 4 === 1)]);
    const reader = new FileReader();
    await new Promise((resolve) => {
        reader.onload = resolve;
        reader.readAsDataURL(blob);
    });
    return { width, height, pixels: String(reader.result).split(',')[1] ?? '' };
}

/**
 * @param {number} frames
 * @param {number} within
 */
async function wait(frames, within) {
    const begun = performance.now();
    const enough = async () => (await page().run(decoded)).framesDecoded >= frames;
    await until(`${frames} frames`, enough, { within, every: 100 });
    return performance.now() - begun;
}

/** @param {number} seconds */
async function watch(seconds) {
    const count = async () => (await page().run(decoded)).framesDecoded;
    const [before, begun] = [await count(), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const [after, ended] = [await count(), performance.now()];
    const size = await page().run(() => {
        const video = /** @type {HTMLVideoElement} */ (document.querySelector('video'));
        return { width: video.videoWidth, height: video.videoHeight };
    });
    return { frames_per_second: ((after - before) / (ended - begun)) * 1000, ...size };
}
