import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import './webcrypto.js';

import { checkDigits } from '../../web/access.js';
import { digitCount, grouped, parseCode, parseFragment, readCode } from '../../web/code.js';

const ROUNDS = 500;
const BYTES = Buffer.from('5a'.repeat(32), 'hex');
const DIGITS = '0123456789abcdef';

/** @param {Uint8Array} bytes */
function plain(bytes) {
    return new Uint8Array(bytes);
}

/** A code, the digits that are printed for it, and its link's fragment. */
async function printed() {
    const code = plain(randomBytes(32));
    const hex = Buffer.from(code).toString('hex');
    return { code, hex, checked: hex + (await checkDigits(code)), link: Buffer.from(code).toString('base64url') };
}

test('every code is read in every spelling', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const { code, hex, checked, link } = await printed();
        for (const text of [hex, hex.toUpperCase(), checked, checked.toUpperCase(), grouped(checked), link]) {
            assert.deepEqual(await parseCode(text), { code }, text);
        }
        for (const fragment of [`#${link}`, link, `#${hex}`, `#${checked}`]) {
            assert.deepEqual(await parseFragment(fragment), { code }, fragment);
        }
        assert.deepEqual(await parseCode(`https://camera.example:8192/#${link}`), { code });
        assert.deepEqual(readCode(link), { digits: hex });
        assert.deepEqual(readCode(grouped(checked).toUpperCase()), { digits: checked });
    }
});

test('codes at the edges are read in both spellings', async () => {
    for (const byte of ['00', 'ff', 'fb', 'ef', 'be']) {
        const bytes = Buffer.from(byte.repeat(32), 'hex');
        assert.deepEqual(await parseFragment(`#${bytes.toString('base64url')}`), { code: plain(bytes) });
        assert.deepEqual(await parseCode(byte.repeat(32)), { code: plain(bytes) });
    }
});

test('spaces, line ends and dashes of any kind between hex digits do not matter', async () => {
    const separators = [' ', '-', '\n', '\t', '\u00a0', '\u2013', '\u2014', '\u2011', '\u200b', ' - '];
    for (let round = 0; round < ROUNDS; round += 1) {
        const { code, hex, checked } = await printed();
        const spelled = [...(round % 2 ? hex : checked)]
            .map((digit, i) => digit + ((i * 7 + round) % 5 === 0 ? separators[(i + round) % separators.length] : ''))
            .join('');
        assert.deepEqual(await parseCode(`  ${spelled}\n`), { code });
    }
});

test('a single mistyped digit among 68 is found, in every place and whatever was typed', async () => {
    let unnoticed = 0;
    let mistakes = 0;
    for (let round = 0; round < 4; round += 1) {
        const { checked } = await printed();
        for (let place = 0; place < checked.length; place += 1) {
            for (const digit of DIGITS.replace(checked[place] ?? '', '')) {
                const parsed = await parseCode(checked.slice(0, place) + digit + checked.slice(place + 1));
                mistakes += 1;
                if (parsed.code) {
                    assert.ok(place < 64, 'a mistake in the check digits themselves is always found');
                    unnoticed += 1;
                } else {
                    assert.deepEqual(parsed, { problem: { kind: 'checksum' } });
                }
            }
        }
    }
    assert.equal(mistakes, 4 * 68 * 15);
    // Each of the 3,840 in the code itself goes unnoticed once in 65,536; four in one run will not be seen in a lifetime.
    assert.ok(unnoticed < 4, `${unnoticed} unnoticed`);
});

test('neighbours that changed places, and groups that did, are found', async () => {
    for (let round = 0; round < 20; round += 1) {
        const { hex, checked } = await printed();
        const groups = checked.match(/.{4}/gu) ?? [];
        const [a, b] = [round % 16, (round * 5 + 3) % 16];
        const swapped = groups.map((group, i) => (i === a ? groups[b] : i === b ? groups[a] : group)).join('');
        const at = round * 3;
        const turned = checked.slice(0, at) + checked[at + 1] + checked[at] + checked.slice(at + 2);
        for (const wrong of [swapped, turned].filter((text) => text.slice(0, 64) !== hex)) {
            assert.deepEqual(await parseCode(wrong), { problem: { kind: 'checksum' } });
        }
    }
});

test('without check digits a mistyped code is just another code', async () => {
    const { hex } = await printed();
    const other = (hex[0] === '0' ? '1' : '0') + hex.slice(1);
    assert.deepEqual(await parseCode(other), { code: plain(Buffer.from(other, 'hex')) });
});

test('a wrong character is named with its place, separators not counted', () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const hex = randomBytes(round % 2 ? 32 : 34).toString('hex');
        const at = round % hex.length;
        const character = ['O', 'l', 'g', '_', '/', 'ß', '😀'][round % 7] ?? '';
        const wrong = hex.slice(0, at) + character + hex.slice(at + 1);
        const expected = { problem: { kind: 'character', spelling: 'hex', character, position: at + 1 } };
        assert.deepEqual(readCode(wrong), expected, wrong);
        assert.deepEqual(readCode(wrong.replace(/.{4}/gu, '$& ')), expected, wrong);
    }
});

test('a wrong length is told with both numbers', () => {
    for (let length = 1; length < 200; length += 1) {
        if (length !== 64 && length !== 68) {
            assert.deepEqual(readCode('a'.repeat(length)), {
                problem: { kind: 'length', spelling: 'hex', have: length, need: length < 64 ? 64 : 68 },
            });
        }
        if (length !== 43) {
            assert.deepEqual(readCode('xY_z'.repeat(50).slice(0, length)), {
                problem: { kind: 'length', spelling: 'link', have: length, need: 43 },
            });
        }
    }
});

test('a link whose last character cannot be is wrong there', () => {
    const link = BYTES.toString('base64url');
    for (const last of 'BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz123567') {
        const parsed = readCode(link.slice(0, -1) + last);
        assert.deepEqual(parsed, { problem: { kind: 'character', spelling: 'link', character: last, position: 43 } });
    }
});

test('nothing is said to be nothing', () => {
    for (const text of ['', ' ', '#', '- -', '\n']) {
        assert.deepEqual(readCode(text), { problem: { kind: 'empty' } });
    }
});

test('an escaped fragment is read, a broken escape is a wrong character', async () => {
    const { code, checked } = await printed();
    assert.deepEqual(await parseFragment(`#${grouped(checked).replaceAll(' ', '%20')}`), { code });
    assert.equal((await parseFragment('#5a%5')).problem?.kind, 'character');
});

test('any text at all gives a code or a problem, quickly', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
        const text = randomBytes(round).toString(round % 2 ? 'latin1' : 'utf8');
        const read = readCode(text);
        assert.ok(read.digits === undefined ? read.problem.kind : /^([0-9a-f]{64}|[0-9a-f]{68})$/u.test(read.digits));
        const parsed = await parseCode(text);
        assert.ok(parsed.code ? parsed.code.length === 32 : parsed.problem.kind);
        await parseFragment(text);
        digitCount(text);
    }
    assert.equal((await parseCode('a'.repeat(10_000_000))).problem?.kind, 'length');
});

test('digits are counted as they are typed, groups are of four', () => {
    assert.equal(digitCount(''), 0);
    assert.equal(digitCount('12 ab-CD xyz'), 6);
    assert.equal(grouped('0123456789'), '0123 4567 89');
    assert.equal(grouped('01234567'), '0123 4567');
});
