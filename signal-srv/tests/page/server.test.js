import assert from 'node:assert/strict';
import { test } from 'node:test';

import { serverUrl } from '../../web/server.js';

const HERE = { protocol: 'https:', host: 'camera.example:8192' };

test('the page’s own server, encrypted where the page is', () => {
    assert.equal(serverUrl('', HERE), 'wss://camera.example:8192/ws');
    assert.equal(serverUrl('  ', { protocol: 'http:', host: 'localhost:8192' }), 'ws://localhost:8192/ws');
});

test('another server, where the page names one', () => {
    assert.equal(serverUrl('wss://signal.example/ws', HERE), 'wss://signal.example/ws');
    assert.equal(serverUrl(' wss://signal.example:8192 ', HERE), 'wss://signal.example:8192/');
    for (const host of ['localhost', '127.0.0.1', '[::1]']) {
        assert.equal(serverUrl(`ws://${host}:8192/ws`, HERE), `ws://${host}:8192/ws`);
    }
});

test('what is no address of a server, or one that others could listen to, is none', () => {
    for (const content of [
        ...['signal.example', '/ws', 'https://signal.example/', 'ws://signal.example/', 'ws://localhost.example/'],
        ...['wss://user:secret@signal.example/', 'wss://signal.example/#part', 'javascript:alert(1)', 'wss://'],
    ]) {
        assert.equal(serverUrl(content, HERE), null, content);
    }
});
