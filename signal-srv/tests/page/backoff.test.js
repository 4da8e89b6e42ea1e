import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FIRST_MS, LONGEST_MS, backoff } from '../../web/backoff.js';

test('a wait is between nothing and a ceiling that doubles up to the longest', () => {
    for (let attempt = 1; attempt < 100; attempt += 1) {
        const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
        assert.equal(backoff(attempt, 0), 0);
        assert.equal(backoff(attempt, 0.5), ceiling / 2);
        assert.ok(backoff(attempt, 0.999_999) <= ceiling);
    }
});

test('the first retry comes within a second, none later than half a minute', () => {
    for (let i = 0; i < 1000; i += 1) {
        assert.ok(backoff(1, Math.random()) <= 1000);
        assert.ok(backoff(1 + (i % 2000), Math.random()) <= 30_000);
        assert.ok(backoff(1 + (i % 2000), Math.random(), 3000) <= 30_000);
    }
});

test('after a refusal there is a least wait, and still jitter', () => {
    assert.equal(backoff(1, 0, 3000), 3000);
    assert.equal(backoff(1, 0.5, 3000), 3500);
    assert.equal(backoff(50, 1, 3000), LONGEST_MS);
});

test('an attempt that was not counted waits like the first', () => {
    assert.equal(backoff(0, 0.5), backoff(1, 0.5));
    assert.equal(backoff(-3, 0.5), backoff(1, 0.5));
});
