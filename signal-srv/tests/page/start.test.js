/** Where no camera is watched: codes, the list of remembered cameras, the scanner. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryOf } from '../../web/state.js';
import { ACCESS, OTHER_ACCESS, Page, closed, entry, inRoom, live, opening, proves } from './scripted.js';

/** @import {Event} from '../../web/state.js' */

const LIST = [entry('1'), entry('2', OTHER_ACCESS)];

function listed() {
    return new Page().on({ type: 'cameras', list: LIST });
}

test('remembered cameras are what the page begins with; without any, it asks for a code', () => {
    assert.equal(new Page().screen, 'enter-code');
    const page = listed();
    assert.equal(page.screen, 'cameras');
    assert.deepEqual(page.effects, []);
    assert.equal(page.on({ type: 'add' }).screen, 'enter-code');
    assert.equal(page.on({ type: 'leave' }).screen, 'cameras');
    assert.equal(page.on({ type: 'cameras', list: [] }).screen, 'enter-code');
});

test('a tab stays on a remembered camera, and on no other', () => {
    const page = listed().on(opening(OTHER_ACCESS));
    assert.deepEqual(page.does('bookmark'), [{ do: 'bookmark', id: '2' }]);
    assert.equal(entryOf(page.state)?.id, '2');
    assert.deepEqual(page.on({ type: 'leave' }).does('bookmark'), [{ do: 'bookmark', id: null }]);
    assert.deepEqual(new Page().on(opening()).does('bookmark'), [{ do: 'bookmark', id: null }]);
});

test('to remember the camera that is watched, and to forget it, changes nothing but the memory', () => {
    const page = live().on({ type: 'remember', name: 'Garden' });
    assert.deepEqual(page.effects, [{ do: 'remember', access: ACCESS, name: 'Garden' }]);
    page.on({ type: 'cameras', list: LIST });
    assert.deepEqual(page.effects, [{ do: 'bookmark', id: '1' }]);
    assert.equal(page.screen, 'live');
    page.on({ type: 'cameras', list: [] });
    assert.deepEqual(page.effects, [{ do: 'bookmark', id: null }]);
    assert.equal(page.screen, 'live');
});

test('a wish to remember is done at once where no digit can be mistyped, else at the proof, and once', () => {
    const remember = { do: 'remember', access: ACCESS, name: '' };
    const sure = new Page().on({ ...opening(), keep: true });
    assert.deepEqual(sure.does('remember'), [remember]);
    sure.on({ type: 'joined', cameras: ['a'], iceServers: [] });
    assert.deepEqual(proves(sure, 'a').does('remember'), []);
    const unsure = new Page().on({ ...opening(), keep: true, checked: false });
    assert.deepEqual(unsure.does('remember'), []);
    unsure.on({ type: 'joined', cameras: ['x', 'a'], iceServers: [] });
    assert.deepEqual(unsure.on({ type: 'camera-refuted', peer: 'x' }).does('remember'), []);
    assert.deepEqual(proves(unsure, 'a').does('remember'), [remember]);
    closed(unsure).on({ type: 'timer', timer: 'retry' }).on({ type: 'joined', cameras: ['b'], iceServers: [] });
    assert.deepEqual(proves(unsure, 'b').does('remember'), []);
    assert.deepEqual(listed().on({ ...opening(), keep: true }).does('remember'), [], 'it is remembered already');
});

test('a browser that cannot remember says so and goes on', () => {
    const page = live().on({ type: 'cannot-remember' });
    assert.equal(page.state.forgetful, true);
    assert.equal(page.screen, 'live');
    assert.equal(page.on({ type: 'leave' }).state.forgetful, true);
});

test('no camera any more: nothing of it is left', () => {
    const page = live().on({ type: 'leave' });
    assert.equal(page.screen, 'enter-code');
    assert.equal(page.does('disconnect').length, 1);
    assert.deepEqual(page.does('bye'), [{ do: 'bye', peer: 'a', reason: 'left' }]);
    assert.equal(page.state.access, null);
});

test('a wrong code while a camera is watched, or with a list: the form', () => {
    for (const page of [live(), listed()]) {
        page.on({ type: 'wrong-code', problem: { kind: 'checksum' } });
        assert.equal(page.screen, 'wrong-code');
        assert.equal(page.state.access, null);
    }
});

test('a scan: on, another code in view, the right one', () => {
    const page = new Page().on({ type: 'scan' });
    assert.equal(page.screen, 'scanning');
    assert.deepEqual(page.effects, [{ do: 'scan' }]);
    assert.deepEqual(page.on({ type: 'scan' }).effects, [], 'one at a time');
    page.on({ type: 'scan-problem', problem: 'foreign' });
    assert.equal(page.screen, 'scanning');
    assert.equal(page.state.scanProblem, 'foreign');
    page.on(opening());
    assert.deepEqual(page.does('end-scan').length, 1);
    assert.equal(page.screen, 'connecting');
    assert.equal(page.state.scanProblem, null);
});

test('a scan that ends comes back to the form, with what is to be said about it', () => {
    const page = listed().on({ type: 'add' }).on({ type: 'scan' }).on({ type: 'scan-over', problem: 'denied' });
    assert.equal(page.screen, 'enter-code');
    assert.equal(page.state.scanProblem, 'denied');
    assert.deepEqual(page.effects, [{ do: 'end-scan' }]);
    assert.equal(page.on({ type: 'scan' }).state.scanProblem, null);
    assert.equal(page.on({ type: 'scan-over', problem: null }).state.scanProblem, null);
});

test('this device’s camera goes off with the page', () => {
    for (const event of /** @type {Event[]} */ ([{ type: 'suspend' }, { type: 'leave' }, { type: 'scan-over', problem: null }])) {
        const page = new Page().on({ type: 'scan' }).on(event);
        assert.equal(page.does('end-scan').length, 1, event.type);
        assert.equal(page.state.scanning, false);
    }
    assert.deepEqual(new Page().on({ type: 'scan-over', problem: null }).effects, []);
    assert.deepEqual(live().on({ type: 'scan' }).effects, [], 'not while a camera is watched');
});

test('whether a digit may be mistyped is known while the camera is waited for', () => {
    assert.equal(inRoom().state.checked, true);
});
