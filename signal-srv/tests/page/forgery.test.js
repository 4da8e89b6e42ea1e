/**
 * An evil server, and cameras that hold the code and are not the one that it belongs to: whatever they send, no viewer
 * believes it, and nothing of it is reported.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import './webcrypto.js';

import { accessOf } from '../../web/access.js';
import { fromBase64url, toBase64url } from '../../web/bytes.js';
import { NoiseCamera, codeOf, keyPair, randomBytes, randomIdentity } from './noise_camera.js';
import { CAMERA, OTHER, SIGNALS, VIEWER, Viewer, meeting, record, withEphemeral } from './sealed_session.js';

/** @import {Sealed} from '../../web/sealing.js' */
/** @import {Identity} from './noise_camera.js' */
/** @import {Recording} from './sealed_session.js' */

const FAKES = 1000;
const SESSIONS = 10;
const EACH = 1024;
/** So many at once, to use more than one processor. */
const AT_ONCE = 32;

/**
 * @param {number} count
 * @param {(i: number) => Promise<void>} run
 */
async function times(count, run) {
    for (let from = 0; from < count; from += AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, i) => run(from + i)));
    }
}

test(`a camera that holds the code and is not the one it belongs to: believed 0 times in ${FAKES}`, async () => {
    const { identity, access } = await meeting();
    const replayed = [
        await record(identity, access),
        await record(identity, access, { viewer: OTHER }),
        await record(identity, access, { camera: OTHER }),
    ];
    const answering = (/** @type {Identity} */ fake) => async (/** @type {Sealed} */ first) =>
        new NoiseCamera(fake, access, VIEWER, CAMERA).answer(first);
    /** @type {Record<string, (first: Sealed, i: number) => Promise<unknown>>} */
    const fakes = {
        'a key and a nonce of its own': async (first) => answering(await randomIdentity())(first),
        'a key of its own, the nonce of the camera': async (first) =>
            answering({ key: await keyPair(randomBytes()), nonce: identity.nonce })(first),
        'the public key of the camera, not the private one': async (first) =>
            answering({
                key: { privateKey: (await keyPair(randomBytes())).privateKey, publicKey: identity.key.publicKey },
                nonce: identity.nonce,
            })(first),
        'what the camera has answered to another greeting': async (_, i) => replayed[i % replayed.length]?.second,
        'the key of the camera with another nonce': async (first) =>
            answering({ key: identity.key, nonce: randomBytes() })(first),
    };
    const kinds = Object.entries(fakes);
    let believed = 0;
    await times(FAKES, async (i) => {
        const [kind, answer] = kinds[i % kinds.length] ?? assert.fail();
        const viewer = new Viewer(access);
        const first = (await viewer.first()) ?? assert.fail();
        await viewer.hears(await answer(first, i));
        viewer.channel.send({ type: 'start' });
        await viewer.hears(...SIGNALS, ...(replayed[0]?.messages ?? []));
        believed += viewer.reported.includes('proven') ? 1 : 0;
        assert.deepEqual(viewer.reported, ['refuted'], kind);
        assert.deepEqual(viewer.sent, [first], `${kind}: it is told nothing`);
    });
    assert.equal(believed, 0);

    const honest = new Viewer(access);
    await honest.hears(await answering(identity)((await honest.first()) ?? assert.fail()));
    assert.deepEqual(honest.reported, ['proven'], 'and the camera itself is believed');
});

test('who does not hold the code cannot even tell what it was asked', async () => {
    const { identity } = await meeting();
    const guess = await accessOf(randomBytes());
    const { access, viewer } = await meeting();
    const camera = new NoiseCamera(identity, { ...guess, room: access.room }, VIEWER, CAMERA);
    await assert.rejects(camera.answer(await viewer.first()));
});

/**
 * Everything that can be done to the messages of one session, as what a viewer hears in place of the honest sequence.
 * @typedef {{what: string, honest: number, then: unknown[]}} Attack `honest`: so many messages of the camera arrive
 *     untouched, the answer to the greeting included
 */

/**
 * @param {Recording} session the one under attack
 * @param {Recording[]} others with the same camera, for other viewers, claimants, or at another time
 * @param {(below: number) => number} random
 * @returns {Attack}
 */
function attack(session, others, random) {
    const camera = [session.second, ...session.messages];
    const honest = random(camera.length);
    const next = /** @type {Sealed} */ (camera[honest]);
    const other = /** @type {Recording} */ (others[random(others.length)]);
    const foreign = [other.second, ...other.messages];
    switch (random(14)) {
        case 0:
        case 1:
        case 2:
        case 3:
            return { what: 'a bit is changed', honest, then: [bytewise(next, (bytes) => flip(bytes, random(bytes.length * 8)))] };
        case 4:
            return { what: 'a character is changed', honest, then: [retyped(next, random)] };
        case 5:
            return { what: 'the end is cut off', honest, then: [bytewise(next, (bytes) => bytes.slice(0, random(bytes.length)))] };
        case 6:
            return {
                what: 'something is added',
                honest,
                then: [bytewise(next, (bytes) => new Uint8Array([...bytes, ...randomBytes(1 + random(1024))]))],
            };
        case 7:
            return {
                what: 'two parts change places',
                honest,
                then: [bytewise(next, (bytes) => new Uint8Array([...bytes.slice(16), ...bytes.slice(0, 16)]))],
            };
        case 8: {
            // The answer to the greeting alone may come twice.
            const late = 1 + random(session.messages.length);
            return { what: 'a message comes twice', honest: late + 1, then: [session.messages[random(late)]] };
        }
        case 9: {
            const skipped = random(session.messages.length);
            const later = skipped + random(session.messages.length - skipped);
            return later === skipped
                ? { what: 'a message comes before the proof', honest: 0, then: [session.messages[skipped]] }
                : { what: 'a message is left out', honest: skipped + 1, then: [session.messages[later]] };
        }
        case 10:
            return { what: "the viewer's own comes back", honest, then: [random(2) ? session.first : session.start] };
        case 11:
            return { what: 'it is from another session', honest, then: [foreign[honest]] };
        case 12: {
            const splice = (/** @type {Uint8Array} */ bytes) => {
                const at = 1 + random(bytes.length - 1);
                const rest = fromBase64url(foreign[honest]?.noise ?? '') ?? new Uint8Array();
                return new Uint8Array([...bytes.slice(0, at), ...rest.slice(at)]);
            };
            return { what: 'half of it is from another session', honest, then: [bytewise(next, splice)] };
        }
        default: {
            const plain = [...SIGNALS, { type: 'offer', sdp: 'v=0', noise: next.noise }, null, { noise: 7 }];
            return { what: 'it is not sealed', honest, then: [plain[random(plain.length)]] };
        }
    }
}

/**
 * @param {Sealed} sealed
 * @param {(bytes: Uint8Array) => Uint8Array} change
 * @returns {Sealed}
 */
function bytewise({ noise }, change) {
    return { noise: toBase64url(change(fromBase64url(noise) ?? assert.fail())) };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} bit
 */
function flip(bytes, bit) {
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return bytes;
}

/**
 * @param {Sealed} sealed
 * @param {(below: number) => number} random
 * @returns {Sealed}
 */
function retyped({ noise }, random) {
    const at = random(noise.length);
    const others = 'ABab01-_+/= %\n\u00e4'.replace(noise[at] ?? '', '');
    return { noise: noise.slice(0, at) + (others[random(others.length)] ?? '') + noise.slice(at + 1) };
}

test(`${SESSIONS * EACH} messages that were changed, repeated, reordered, reflected or spliced: none gets through`, async () => {
    let seed = 20;
    const random = (/** @type {number} */ below) => {
        seed = (seed * 48271) % 2147483647;
        return seed % below;
    };
    /** @type {Record<string, number>} */
    const tried = {};
    let through = 0;
    for (let number = 0; number < SESSIONS; number += 1) {
        const identity = await randomIdentity();
        const access = await accessOf(await codeOf(identity));
        const session = await record(identity, access);
        const others = [
            await record(identity, access),
            await record(identity, access, { viewer: OTHER }),
            await record(identity, access, { camera: OTHER }),
            await record(identity, access, { viewer: CAMERA, camera: VIEWER }),
        ];
        await withEphemeral(session.e, () =>
            times(EACH, async () => {
                const { what, honest, then } = attack(session, others, random);
                tried[what] = (tried[what] ?? 0) + 1;
                const camera = [session.second, ...session.messages];
                const viewer = new Viewer(access);
                await viewer.hears(...camera.slice(0, honest));
                const expected = honest === 0 ? [] : ['proven', ...SIGNALS.slice(0, honest - 1)];
                assert.deepEqual(viewer.reported, expected, what);
                // Once refuted, it stays so: what would have been honest does not help any more.
                await viewer.hears(...then, ...camera.slice(honest), ...camera);
                const more = viewer.reported.slice(expected.length);
                through += more.filter((report) => report !== 'refuted').length;
                assert.deepEqual(more, ['refuted'], what);
                assert.equal(viewer.sent.length, 1);
            }),
        );
    }
    assert.equal(through, 0);
    assert.equal(Object.keys(tried).length, 12, JSON.stringify(tried));
    assert.ok(Object.values(tried).every((count) => count > SESSIONS * EACH / 50), JSON.stringify(tried));
});

test('no bit of the proof can be changed, and it cannot be shorter or longer', async () => {
    const { identity, access } = await meeting();
    const session = await record(identity, access);
    const second = fromBase64url(session.second.noise) ?? assert.fail();
    await withEphemeral(session.e, async () => {
        await times(second.length * 8, async (bit) => {
            const viewer = new Viewer(access);
            await viewer.hears({ noise: toBase64url(flip(second.slice(), bit)) });
            assert.deepEqual(viewer.reported, ['refuted'], `bit ${bit}`);
        });
        await times(second.length, async (length) => {
            const viewer = new Viewer(access);
            await viewer.hears({ noise: toBase64url(second.slice(0, length)) });
            assert.deepEqual(viewer.reported, ['refuted'], `${length} bytes`);
        });
    });
});
