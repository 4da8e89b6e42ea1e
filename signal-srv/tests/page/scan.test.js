import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { LONGEST_SCAN_MS, LOOK_MS, Scan, scannable } from '../../web/scan.js';
import { Clock } from './clock.js';

/** @type {any} */
const world = globalThis;
let clock = new Clock();
/** @type {string[]} */
let texts = [];
/** @type {string[]} */
let problems = [];
/** @type {string[]} */
let inView = [];
/** @type {FakeTrack[]} */
let tracks = [];
/** @type {any} */
let video;
/** @type {Promise<unknown>} */
let permission;

class FakeTrack extends EventTarget {
    on = true;

    stop() {
        this.on = false;
    }
}

class FakeDetector {
    static async getSupportedFormats() {
        return ['qr_code', 'ean_13'];
    }

    async detect() {
        if (inView.includes('broken')) {
            throw new Error('no picture');
        }
        return inView.map((rawValue) => ({ rawValue }));
    }
}

/** @param {unknown} mediaDevices */
function navigatorWith(mediaDevices) {
    Object.defineProperty(world, 'navigator', { value: { mediaDevices }, configurable: true });
}

const original = Object.getOwnPropertyDescriptor(world, 'navigator');

beforeEach(() => {
    [texts, problems, inView, tracks] = [[], [], [], []];
    video = { srcObject: null, readyState: 4, play: async () => {} };
    permission = Promise.resolve();
    world.BarcodeDetector = FakeDetector;
    navigatorWith({
        getUserMedia: async () => {
            await permission;
            tracks = [new FakeTrack()];
            return { getTracks: () => tracks };
        },
    });
    clock = new Clock();
    clock.install();
});

afterEach(() => {
    clock.remove();
    delete world.BarcodeDetector;
    delete world.navigator;
    if (original) {
        Object.defineProperty(world, 'navigator', original);
    }
});

function begin() {
    return new Scan(video, { onText: (text) => texts.push(text), onOver: (problem) => problems.push(problem) });
}

/** Lets every promise that is ready go on. */
async function settle() {
    for (let i = 0; i < 20; i += 1) {
        await Promise.resolve();
    }
}

/** @param {number} looks */
async function pass(looks) {
    for (let i = 0; i < looks; i += 1) {
        clock.tick(LOOK_MS);
        await settle();
    }
}

test('a browser scans if it detects QR codes and has a camera to ask for', async () => {
    assert.equal(await scannable(), true);
    navigatorWith(undefined);
    assert.equal(await scannable(), false);
    navigatorWith({ getUserMedia() {} });
    FakeDetector.getSupportedFormats = async () => ['ean_13'];
    assert.equal(await scannable(), false);
    FakeDetector.getSupportedFormats = async () => ['qr_code', 'ean_13'];
    delete world.BarcodeDetector;
    assert.equal(await scannable(), false);
});

test('what is in view is reported until the scan is stopped, and the camera is let go', async () => {
    const scan = begin();
    await settle();
    await pass(1);
    inView = ['one', 'two'];
    await pass(1);
    assert.deepEqual(texts, ['one', 'two']);
    inView = ['broken'];
    await pass(1);
    inView = ['three'];
    await pass(1);
    scan.stop();
    await pass(5);
    assert.deepEqual(texts, ['one', 'two', 'three']);
    assert.deepEqual(tracks.map(({ on }) => on), [false]);
    assert.equal(video.srcObject, null);
    clock.tick(LONGEST_SCAN_MS);
    assert.deepEqual(problems, [], 'nothing is reported any more');
});

test('nothing is looked at before there is a picture', async () => {
    video.readyState = 1;
    inView = ['one'];
    begin();
    await settle();
    await pass(3);
    assert.deepEqual(texts, []);
});

test('two minutes without a code: over', async () => {
    begin();
    await settle();
    clock.tick(LONGEST_SCAN_MS);
    assert.deepEqual(problems, ['nothing']);
    assert.deepEqual(tracks.map(({ on }) => on), [false]);
});

test('a camera that may be used only after the scan was stopped is let go at once', async () => {
    const gate = /** @type {{open: () => void}} */ ({});
    permission = new Promise((resolve) => (gate.open = () => resolve(null)));
    const scan = begin();
    scan.stop();
    gate.open();
    await settle();
    assert.deepEqual(tracks.map(({ on }) => on), [false]);
    assert.equal(video.srcObject, null);
});

test('refused, without a camera, in use elsewhere, pulled out: each is said', async () => {
    for (const [name, problem] of [
        ['NotAllowedError', 'denied'],
        ['SecurityError', 'denied'],
        ['NotFoundError', 'no-camera'],
        ['OverconstrainedError', 'no-camera'],
        ['NotReadableError', 'failed'],
    ]) {
        permission = Promise.reject(new DOMException('', name));
        begin();
        await settle();
        assert.equal(problems.pop(), problem, name);
    }
    permission = Promise.resolve();
    begin();
    await settle();
    tracks[0]?.dispatchEvent(new Event('ended'));
    assert.deepEqual(problems, ['failed']);
});
