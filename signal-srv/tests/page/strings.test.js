import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { chooseLanguage, fill, languages } from '../../web/strings.js';

const WEB = new URL('../../web/', import.meta.url);
/** @type {Record<string, string>} */
const english = { ...languages['en'] };

/** @param {string} text */
function places(text) {
    return (text.match(/\{\w+\}/gu) ?? []).sort();
}

test('every language has every string, with the same places to fill', () => {
    for (const [language, words] of Object.entries(languages)) {
        assert.deepEqual(Object.keys(words), Object.keys(english), language);
        for (const [key, text] of Object.entries(words)) {
            assert.notEqual(text.trim(), '', `${language} ${key}`);
            assert.deepEqual(places(text), places(english[key] ?? ''), `${language} ${key}`);
        }
    }
});

test('every string is used, and every string that the page asks for exists', () => {
    const sources = readdirSync(WEB).filter((name) => /\.(js|html)$/u.test(name) && name !== 'strings.js');
    const text = sources.map((name) => readFileSync(new URL(name, WEB), 'utf8')).join('\n');
    const asked = [...text.matchAll(/data-(?:text|label)="([^"]+)"/gu)].map((match) => match[1] ?? '');
    for (const key of asked) {
        assert.ok(key in english, key);
    }
    for (const key of Object.keys(english)) {
        // Of these the page puts the key together.
        const byName = /^[a-z-]+\.(heading|sentence|yes)$|^scan\./u.test(key);
        assert.ok(byName || text.includes(key), `${key} is never used`);
    }
});

test('the words in the page itself are the English ones', () => {
    const html = readFileSync(new URL('index.html', WEB), 'utf8');
    for (const [, key, text] of html.matchAll(/data-text="([^"]+)"[^>]*>([^<]+)</gu)) {
        assert.equal(text, english[key ?? ''], key);
    }
});

test('the first language that there are words for is taken', () => {
    assert.equal(chooseLanguage(['de-AT', 'en']).language, 'de');
    assert.equal(chooseLanguage(['fr', 'DE']).language, 'de');
    assert.equal(chooseLanguage(['en-GB', 'de']).language, 'en');
    assert.equal(chooseLanguage(['fr', 'constructor', '']).language, 'en');
    assert.equal(chooseLanguage([]).language, 'en');
});

test('values go into their places', () => {
    assert.equal(fill('{a} of {b}, {a}', { a: 1, b: '{a}' }), '1 of {a}, 1');
    assert.equal(fill('{missing}', {}), '{missing}');
});
