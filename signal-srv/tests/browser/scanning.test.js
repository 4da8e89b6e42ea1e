/** The page reads the QR code of a camera with the camera of this device, and takes nothing else for one. */

import assert from 'node:assert/strict';

import { until } from './programs.js';
import { scenario } from './scenario.js';

/** @import {Viewer} from './scenario.js' */

/** A detector that sees what the test puts before it; pictures come from a true stream. Runs before the page's scripts. */
function detectInView() {
    Object.defineProperty(window, 'inView', { value: '', writable: true });
    Object.defineProperty(window, 'looked', { value: 0, writable: true });
    Object.defineProperty(window, 'BarcodeDetector', {
        value: class {
            static async getSupportedFormats() {
                return ['qr_code'];
            }

            /** @param {HTMLVideoElement} source */
            async detect(source) {
                const view = /** @type {any} */ (window);
                view.looked += source.videoWidth > 0 ? 1 : 0;
                return view.inView ? [{ rawValue: view.inView }] : [];
            }
        },
    });
}

/** As above; and the person says no. */
function detectAndDeny() {
    Object.defineProperty(window, 'BarcodeDetector', {
        value: class {
            static async getSupportedFormats() {
                return ['qr_code'];
            }
        },
    });
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'));
}

/**
 * @param {Viewer} viewer
 * @param {string} text
 */
function holdsUp(viewer, text) {
    return viewer.page.run((said) => void (/** @type {any} */ (window).inView = said), text);
}

/** @param {Viewer} viewer */
function looking(viewer) {
    return viewer.page.run(() => {
        const finder = /** @type {HTMLVideoElement} */ (document.querySelector('#viewfinder'));
        return { on: finder.srcObject !== null, looked: /** @type {any} */ (window).looked };
    });
}

scenario('a scanned link shows the picture, and this device’s camera is let go', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(`${server.url}/`, { script: detectInView });
    await viewer.shows('enter-code');
    await viewer.clicks('#scan');
    await viewer.shows('scanning');
    await until('pictures to be looked at', async () => (await looking(viewer)).looked > 1);
    assert.ok((await looking(viewer)).on);
    await viewer.shot('scanning');

    for (const foreign of ['https://example.org/', 'WIFI:S:home;T:WPA;P:secret;;', '4006381333931']) {
        await holdsUp(viewer, foreign);
        await until('word that this is no camera’s code', async () => (await viewer.text('#finder-note')) !== '');
        await viewer.shows('scanning');
    }
    await holdsUp(viewer, camera.link);
    await viewer.shows('live');
    await viewer.watches();
    assert.equal((await looking(viewer)).on, false, 'the picture of this device’s camera is no longer taken');
    assert.equal(await viewer.made(), 1);
    assert.equal(await viewer.page.run(() => window.location.href), `${server.url}/`);
});

scenario('a code on a label from elsewhere is taken for what it is: the fragment counts, and not the host', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const viewer = await stage.viewer(`${server.url}/`, { script: detectInView });
    await viewer.clicks('#scan');
    await holdsUp(viewer, `https://elsewhere.example.org/${new URL(camera.link).hash}`);
    await viewer.shows('live');
    await viewer.watches();
    const host = new URL(server.url).host;
    assert.deepEqual(viewer.page.requests.filter((url) => /^(?:http|ws)/u.test(url) && new URL(url).host !== host), []);
});

scenario('scanning is ended by the person, or not begun', async (stage) => {
    const server = await stage.house.server();
    const viewer = await stage.viewer(`${server.url}/`, { script: detectInView, axe: true });
    await viewer.clicks('#scan');
    await viewer.shows('scanning');
    await until('pictures to be looked at', async () => (await looking(viewer)).looked > 1);
    assert.deepEqual(await viewer.axe(), []);
    await viewer.clicks('#cancel');
    await viewer.shows('enter-code');
    assert.equal((await looking(viewer)).on, false);

    const other = await stage.viewer(`${server.url}/`, { script: detectAndDeny });
    await other.clicks('#scan');
    await until('word that the camera may not be used', async () => (await other.text('#scan-note')) !== '');
    await other.shows('enter-code');

    // Neither browser here has a detector of its own.
    const without = await stage.viewer(`${server.url}/`);
    await without.shows('enter-code');
    const has = await without.page.run(() => 'BarcodeDetector' in window);
    assert.equal((await without.text('#scan')) !== '', has);
});
