import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { digitCount, grouped, parseCode, parseFragment } from '../../web/code.js';

const ROUNDS = 500;
const BYTES = Buffer.from('5a'.repeat(32), 'hex');

test('every code is read in both spellings', () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const bytes = randomBytes(32);
        const room = bytes.toString('hex');
        assert.deepEqual(parseCode(room), { room });
        assert.deepEqual(parseCode(room.toUpperCase()), { room });
        assert.deepEqual(parseCode(bytes.toString('base64url')), { room });
        assert.deepEqual(parseFragment(`#${bytes.toString('base64url')}`), { room });
        assert.deepEqual(parseFragment(`#${room}`), { room });
        assert.deepEqual(parseCode(`https://camera.example:8192/#${bytes.toString('base64url')}`), { room });
    }
});

test('codes at the edges are read in both spellings', () => {
    for (const byte of ['00', 'ff', 'fb', 'ef', 'be']) {
        const bytes = Buffer.from(byte.repeat(32), 'hex');
        assert.deepEqual(parseFragment(`#${bytes.toString('base64url')}`), { room: byte.repeat(32) });
        assert.deepEqual(parseCode(byte.repeat(32)), { room: byte.repeat(32) });
    }
});

test('spaces, line ends and dashes of any kind between hex digits do not matter', () => {
    const separators = [' ', '-', '\n', '\t', '\u00a0', '\u2013', '\u2014', '\u2011', '\u200b', ' - '];
    for (let round = 0; round < ROUNDS; round += 1) {
        const room = randomBytes(32).toString('hex');
        const spelled = [...room]
            .map((digit, i) => digit + ((i * 7 + round) % 5 === 0 ? separators[(i + round) % separators.length] : ''))
            .join('');
        assert.deepEqual(parseCode(`  ${spelled}\n`), { room });
    }
    assert.deepEqual(parseCode(grouped(BYTES.toString('hex'))), { room: BYTES.toString('hex') });
});

test('a wrong character is named with its place, separators not counted', () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const room = randomBytes(32).toString('hex');
        const at = round % 64;
        const character = ['O', 'l', 'g', '_', '/', 'ß', '😀'][round % 7] ?? '';
        const wrong = room.slice(0, at) + character + room.slice(at + 1);
        const expected = { problem: { kind: 'character', spelling: 'hex', character, position: at + 1 } };
        assert.deepEqual(parseCode(wrong), expected, wrong);
        assert.deepEqual(parseCode(wrong.replace(/.{4}/gu, '$& ')), expected, wrong);
    }
});

test('a wrong length is told with both numbers', () => {
    for (let length = 1; length < 200; length += 1) {
        if (length !== 64) {
            assert.deepEqual(parseCode('a'.repeat(length)), {
                problem: { kind: 'length', spelling: 'hex', have: length, need: 64 },
            });
        }
        if (length !== 43) {
            assert.deepEqual(parseCode('xY_z'.repeat(50).slice(0, length)), {
                problem: { kind: 'length', spelling: 'link', have: length, need: 43 },
            });
        }
    }
});

test('a link whose last character cannot be is wrong there', () => {
    const link = BYTES.toString('base64url');
    for (const last of 'BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz123567') {
        const parsed = parseCode(link.slice(0, -1) + last);
        assert.deepEqual(parsed, { problem: { kind: 'character', spelling: 'link', character: last, position: 43 } });
    }
});

test('nothing is said to be nothing', () => {
    for (const text of ['', ' ', '#', '- -', '\n']) {
        assert.deepEqual(parseCode(text), { problem: { kind: 'empty' } });
    }
});

test('an escaped fragment is read, a broken escape is a wrong character', () => {
    const room = BYTES.toString('hex');
    assert.deepEqual(parseFragment(`#${grouped(room).replaceAll(' ', '%20')}`), { room });
    assert.equal(parseFragment('#5a%5').problem?.kind, 'character');
});

test('any text at all gives a code or a problem, quickly', () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const text = randomBytes(round).toString(round % 2 ? 'latin1' : 'utf8');
        const parsed = parseCode(text);
        assert.ok(parsed.room === undefined ? parsed.problem.kind : /^[0-9a-f]{64}$/u.test(parsed.room));
        parseFragment(text);
        digitCount(text);
    }
    assert.equal(parseCode('a'.repeat(10_000_000)).problem?.kind, 'length');
});

test('digits are counted as they are typed, groups are of four', () => {
    assert.equal(digitCount(''), 0);
    assert.equal(digitCount('12 ab-CD xyz'), 6);
    assert.equal(grouped('0123456789'), '0123 4567 89');
    assert.equal(grouped('01234567'), '0123 4567');
});
