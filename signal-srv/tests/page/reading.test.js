import assert from 'node:assert/strict';
import { test } from 'node:test';

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { parseCode } from '../../web/code.js';
import { Reading } from '../../web/reading.js';
import { until } from './sealed_session.js';

/** @import {Event} from '../../web/state.js' */

const HEX = '5a'.repeat(32);
const OTHER_HEX = 'a5'.repeat(32);
const TYPED = { checked: false, keep: false };

function reader() {
    /** @type {Event[]} */
    const reported = [];
    return { reported, reading: new Reading((event) => reported.push(event)) };
}

/** @param {string} hex */
async function roomOf(hex) {
    const { code } = await parseCode(hex);
    assert.ok(code);
    return (await accessOf(code)).room;
}

/** @param {Event[]} reported */
function rooms(reported) {
    return reported.map((event) => (event.type === 'open' ? event.access.room : event.type));
}

/**
 * Lets access to a camera wait until `open` is called.
 * @param {import('node:test').TestContext} context
 */
function gate(context) {
    const { deriveBits } = crypto.subtle;
    /** @type {(value?: unknown) => void} */
    let open = () => {};
    const opened = new Promise((resolve) => (open = resolve));
    const held = { count: 0, open };
    context.after(() => Object.assign(crypto.subtle, { deriveBits }));
    Object.assign(crypto.subtle, {
        /** @param {Parameters<typeof deriveBits>} parameters */
        deriveBits: async (...parameters) => {
            held.count += 1;
            await opened;
            return deriveBits.apply(crypto.subtle, parameters);
        },
    });
    return held;
}

test('a code that is given opens its camera, a wrong one says what is wrong', async () => {
    const { reading, reported } = reader();
    assert.equal(reading.begun, false);
    await reading.give(parseCode(HEX), { checked: true, keep: true });
    assert.equal(reading.begun, true);
    assert.deepEqual(rooms(reported), [await roomOf(HEX)]);
    const [event] = reported;
    assert.ok(event?.type === 'open' && event.checked && event.keep);
    await reading.give(parseCode(''), TYPED);
    assert.deepEqual(reported[1], { type: 'wrong-code', problem: { kind: 'empty' } });
});

test('of two codes the one that was given last counts, however long each takes', async () => {
    const { reading, reported } = reader();
    await Promise.all([reading.give(parseCode(HEX), TYPED), reading.give(parseCode(OTHER_HEX), TYPED)]);
    assert.deepEqual(rooms(reported), [await roomOf(OTHER_HEX)]);
});

test('a scanned code is read once, however often it is seen; another code is not a camera’s', async () => {
    const { reading, reported } = reader();
    await reading.scan('https://example.org/', false);
    assert.deepEqual(reported.splice(0), [{ type: 'scan-problem', problem: 'foreign' }]);
    await Promise.all([reading.scan(HEX, true), reading.scan(HEX, true), reading.scan(OTHER_HEX, true)]);
    assert.deepEqual(rooms(reported), [await roomOf(HEX)]);
});

test('a scanned code that could not be read is read when it is seen again', async (context) => {
    const { reading, reported } = reader();
    const { importKey } = crypto.subtle;
    context.after(() => Object.assign(crypto.subtle, { importKey }));
    Object.assign(crypto.subtle, { importKey: () => Promise.reject(new Error('not now')) });
    await assert.rejects(reading.scan(HEX, false), /not now/u);
    Object.assign(crypto.subtle, { importKey });
    await reading.scan(HEX, false);
    assert.deepEqual(rooms(reported), [await roomOf(HEX)]);
});

test('a code whose reading was dropped opens nothing, typed or scanned, and the next one does', async (context) => {
    const other = await roomOf(OTHER_HEX);
    const held = gate(context);
    const { reading, reported } = reader();
    const typed = reading.give(parseCode(HEX), TYPED);
    await until(() => held.count === 1);
    reading.drop();
    const scanned = reading.scan(HEX, false);
    await until(() => held.count === 2);
    reading.drop();
    const next = reading.scan(OTHER_HEX, false);
    await until(() => held.count === 3);
    held.open();
    await Promise.all([typed, scanned, next]);
    assert.deepEqual(rooms(reported), [other]);
});

test('a scan that ends while its code is looked at says nothing about it', async () => {
    for (const text of [HEX, 'https://example.org/']) {
        const { reading, reported } = reader();
        const scanned = reading.scan(text, false);
        reading.dropScan();
        await scanned;
        assert.deepEqual(reported, []);
    }
    const { reading, reported } = reader();
    const typed = reading.give(parseCode(HEX), TYPED);
    reading.dropScan();
    await typed;
    assert.deepEqual(rooms(reported), [await roomOf(HEX)], 'what was typed is none of its business');
});
