import assert from 'node:assert/strict';
import { test } from 'node:test';

import { figuresOf, sampleOf } from '../../web/stats.js';

const VIDEO = {
    id: 'v',
    type: 'inbound-rtp',
    kind: 'video',
    framesDecoded: 30,
    bytesReceived: 100_000,
    frameWidth: 720,
    frameHeight: 480,
};

test('before there is video there is no sample', () => {
    assert.equal(sampleOf([], 0), null);
    assert.equal(sampleOf([{ id: 'a', type: 'inbound-rtp', kind: 'audio' }], 0), null);
});

test('the selected pair is found by the transport report', () => {
    const sample = sampleOf(
        [
            VIDEO,
            { id: 't', type: 'transport', selectedCandidatePairId: 'p2' },
            { id: 'p1', type: 'candidate-pair', nominated: true, localCandidateId: 'host' },
            { id: 'p2', type: 'candidate-pair', localCandidateId: 'host', remoteCandidateId: 'relay', currentRoundTripTime: 0.02 },
            { id: 'host', type: 'local-candidate', candidateType: 'host' },
            { id: 'relay', type: 'remote-candidate', candidateType: 'relay' },
        ],
        5,
    );
    assert.deepEqual(sample, { at: 5, frames: 30, bytes: 100_000, width: 720, height: 480, relayed: true, roundTripMs: 20 });
});

test('and by its own mark where there is no transport report', () => {
    const sample = sampleOf(
        [
            { id: 'p1', type: 'candidate-pair', selected: true, localCandidateId: 'host' },
            { id: 'host', type: 'local-candidate', candidateType: 'host' },
            VIDEO,
        ],
        5,
    );
    assert.equal(sample?.relayed, false);
    assert.equal(sample?.roundTripMs, null);
});

test('what is not known is null', () => {
    const sample = sampleOf([{ id: 'v', type: 'inbound-rtp', kind: 'video' }], 0);
    assert.deepEqual(sample, { at: 0, frames: 0, bytes: 0, width: 0, height: 0, relayed: null, roundTripMs: null });
});

test('rates are per second between two samples', () => {
    const base = { at: 1000, frames: 30, bytes: 100_000, width: 720, height: 480, relayed: false, roundTripMs: 3 };
    const later = { ...base, at: 3000, frames: 90, bytes: 350_000 };
    assert.deepEqual(figuresOf(base, later), {
        width: 720,
        height: 480,
        framesPerSecond: 30,
        kbps: 1000,
        relayed: false,
        roundTripMs: 3,
    });
    assert.equal(figuresOf(null, later).framesPerSecond, null);
    assert.equal(figuresOf(later, later).kbps, null);
    assert.equal(figuresOf(later, { ...base, at: 4000 }).framesPerSecond, null);
});
