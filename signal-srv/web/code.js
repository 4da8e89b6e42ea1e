/**
 * The code that a person scans or types. Pure: text in, code or a problem that can be explained out.
 *
 * Two spellings of the same 256 bits: 64 hex digits, which is what is printed for people (spaces and dashes between
 * them are ignored), and base64url without padding (RFC 4648 §5), 43 characters, which is what a link carries. Four
 * more digits may follow the 64: they are printed after the code and tell a mistyped one.
 */

import { checkDigits } from './access.js';
import { fromHex } from './bytes.js';

/** @import {Bytes} from './bytes.js' */

/** Hex digits in a code. */
export const HEX_DIGITS = 64;
/** Hex digits that may follow to check it. */
export const CHECK_DIGITS = 4;
/** Characters of the same 256 bits in base64url. */
export const LINK_CHARACTERS = 43;
/** Longer input is nobody's code: it is turned away before anything looks at its characters. */
const LONGEST_INPUT = 4096;

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** White space, zero-width characters, and every dash that a keyboard may put where a person typed "-". */
const SEPARATORS = /[\s\-\u00ad\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff]/gu;
const HEX = /^[0-9a-f]$/iu;

/**
 * What is wrong with a code. `position` counts from 1 and leaves separators out, as a person counts.
 * @typedef {{kind: 'empty'}
 *   | {kind: 'length', spelling: 'hex' | 'link', have: number, need: number}
 *   | {kind: 'character', spelling: 'hex' | 'link', character: string, position: number}
 *   | {kind: 'checksum'}} CodeProblem
 */

/** @typedef {{digits: string, problem?: undefined} | {problem: CodeProblem, digits?: undefined}} ReadCode */
/** @typedef {{code: Bytes, problem?: undefined} | {problem: CodeProblem, code?: undefined}} ParsedCode */

/**
 * Reads a code in either spelling, or a whole link that ends in one.
 * @param {string} input
 * @returns {Promise<ParsedCode>} the 32 bytes of the code, or what is wrong
 */
export async function parseCode(input) {
    return checked(readCode(input));
}

/**
 * Reads the fragment of the page's own address, with or without its "#".
 * @param {string} fragment
 * @returns {Promise<ParsedCode>}
 */
export async function parseFragment(fragment) {
    return parseCode(unescaped(fragment.startsWith('#') ? fragment : `#${fragment}`));
}

/**
 * The same while somebody types: at once, and without a look at the check digits.
 * @param {string} input
 * @returns {ReadCode} 64 lower-case hex digits, 68 with the check digits, or what is wrong
 */
export function readCode(input) {
    if (input.length > LONGEST_INPUT) {
        return { problem: wrongLength(input.length) };
    }
    const mark = input.lastIndexOf('#');
    const text = input.slice(mark + 1).trim();
    return isLinkSpelling(text, mark >= 0) ? parseLink(text) : parseHex(text);
}

/**
 * How many hex digits a person has typed so far, for the hint beside the field.
 * @param {string} input
 * @returns {number}
 */
export function digitCount(input) {
    return [...withoutSeparators(input.slice(0, LONGEST_INPUT))].filter((character) => HEX.test(character)).length;
}

/**
 * Hex digits in groups of four, as they are printed.
 * @param {string} hex
 * @returns {string}
 */
export function grouped(hex) {
    return hex.replace(/.{4}(?=.)/gu, '$& ');
}

/** @param {string} text */
function unescaped(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        // A stray "%" is no escape sequence: it is a wrong character and is reported as one.
        return text;
    }
}

/**
 * @param {ReadCode} read
 * @returns {Promise<ParsedCode>}
 */
async function checked({ digits, problem }) {
    if (problem) {
        return { problem };
    }
    const code = fromHex(digits.slice(0, HEX_DIGITS));
    const check = digits.slice(HEX_DIGITS);
    return check === '' || check === (await checkDigits(code)) ? { code } : { problem: { kind: 'checksum' } };
}

/**
 * @param {number} have
 * @returns {CodeProblem}
 */
function wrongLength(have) {
    // Whoever goes on after the code means the check digits too.
    const need = have < HEX_DIGITS ? HEX_DIGITS : HEX_DIGITS + CHECK_DIGITS;
    return { kind: 'length', spelling: 'hex', have, need };
}

/** @param {string} text */
function withoutSeparators(text) {
    return text.replace(SEPARATORS, '');
}

/**
 * Whether a text is meant as the link's spelling. A dash is a character there and a separator in hex, so the two are
 * told apart by the letters: two thirds of base64url are no hex digits, while a mistyped hex code has one or two. In a
 * link, the right length is enough.
 * @param {string} text
 * @param {boolean} inLink
 */
function isLinkSpelling(text, inLink) {
    const characters = [...text];
    if (inLink && characters.length === LINK_CHARACTERS && characters.every((c) => BASE64URL.includes(c))) {
        return true;
    }
    const foreign = characters.filter((c) => !HEX.test(c) && c !== '-').length;
    return foreign * 4 > characters.length && characters.every((c) => BASE64URL.includes(c));
}

/**
 * @param {string} text
 * @returns {ReadCode}
 */
function parseHex(text) {
    const characters = [...withoutSeparators(text)];
    if (characters.length === 0) {
        return { problem: { kind: 'empty' } };
    }
    const wrong = characters.findIndex((character) => !HEX.test(character));
    if (wrong >= 0) {
        return { problem: { kind: 'character', spelling: 'hex', character: characters[wrong] ?? '', position: wrong + 1 } };
    }
    if (characters.length !== HEX_DIGITS && characters.length !== HEX_DIGITS + CHECK_DIGITS) {
        return { problem: wrongLength(characters.length) };
    }
    return { digits: characters.join('').toLowerCase() };
}

/**
 * @param {string} text
 * @returns {ReadCode}
 */
function parseLink(text) {
    if (text.length !== LINK_CHARACTERS) {
        return { problem: { kind: 'length', spelling: 'link', have: text.length, need: LINK_CHARACTERS } };
    }
    let hex = '';
    let bits = 0;
    let held = 0;
    for (const character of text) {
        bits = (bits << 6) | BASE64URL.indexOf(character);
        held += 6;
        while (held >= 4) {
            held -= 4;
            hex += (bits >> held).toString(16);
            bits &= (1 << held) - 1;
        }
    }
    // 43 characters hold two bits more than the code; another value there means that the last one was mistyped.
    if (bits !== 0) {
        return { problem: { kind: 'character', spelling: 'link', character: text.slice(-1), position: LINK_CHARACTERS } };
    }
    return { digits: hex };
}
