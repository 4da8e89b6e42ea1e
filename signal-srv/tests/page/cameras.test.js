import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LONGEST_NAME, freeName, tidyName } from '../../web/cameras.js';
import { entry } from './scripted.js';

test('a camera without a name gets the next that is free', () => {
    const named = (/** @type {string[]} */ ...names) => names.map((name) => ({ ...entry(name), name }));
    assert.equal(freeName([], 'Camera'), 'Camera');
    assert.equal(freeName(named('Camera'), 'Camera'), 'Camera 2');
    assert.equal(freeName(named('Camera', 'Camera 3', 'Camera 2'), 'Camera'), 'Camera 4');
    assert.equal(freeName(named('Camera 2'), 'Camera'), 'Camera');
});

test('a name is one line, without space around it, and not too long', () => {
    assert.equal(tidyName('  Back \n garden '), 'Back garden');
    assert.equal(tidyName(' \t '), '');
    assert.equal(tidyName('x'.repeat(100)).length, LONGEST_NAME);
});
