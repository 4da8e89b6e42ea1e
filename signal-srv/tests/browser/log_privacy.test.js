/** What every scenario asks of the logs is asked in earnest: whoever gives something away is caught. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { House } from './house.js';
import { Secrets, derived, ownAddresses } from './secrets.js';

const CODE = randomBytes(32);
const ROOM = derived(CODE, 'room');
const PSK = derived(CODE, 'psk');

/** @type {Record<string, string>} */
const LEAKS = {
    'a code in hex': `joining with ${CODE.toString('hex')}`,
    'a code in capitals': CODE.toString('hex').toUpperCase(),
    'a code in groups of four': CODE.toString('hex').replace(/.{4}/gu, '$& '),
    'twelve digits of a code': `code=${CODE.toString('hex').slice(31, 43)}…`,
    'the fragment of a link': `https://cam.example.org/#${CODE.toString('base64url')}`,
    'twelve characters of a fragment': CODE.toString('base64url').slice(7, 19),
    'a code in base64': CODE.toString('base64'),
    'a code inside of something in base64': Buffer.concat([randomBytes(10), CODE, randomBytes(3)]).toString('base64'),
    'a code as Rust prints bytes': `[${[...CODE].join(', ')}]`,
    'a room id': ROOM.toString('hex'),
    'a key of the handshake': PSK.toString('base64url'),
    'a description': 'v=0\\r\\no=- 4611731400430051336 2 IN IP4 127.0.0.1',
    'a fingerprint': `sha-256 ${CODE.toString('hex').toUpperCase().match(/../gu)?.join(':')}`,
    'a password of ICE': 'a=ice-pwd:Xh8fPq',
    'a candidate': 'candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host',
    'a private address': 'sending to 192.168.1.20:50000',
    'a public address': 'connection from 203.0.113.7:443',
    'a private address of IPv6': 'sending to [fd12:3456:789a::1]:50000',
    'a name of mDNS': '4f1a2b3c-0000-4000-8000-0123456789ab.local',
    ...Object.fromEntries(ownAddresses().map((address) => [`${address} of this machine`, `bound to ${address}:5`])),
};

const HARMLESS = [
    '2026-11-21T12:12:09.430074Z  INFO conn{id=0}: client connected peer=6a02c6b0-88d0-1bfd-b153-aea82cb157fa',
    'listening url=http://127.0.0.1:33355',
    'server=ws://127.0.0.1:8192 source=pattern size=720x480 fps=30.0 version 0.10.2',
    `another camera's code would be ${randomBytes(32).toString('hex')}`,
    'signal="candidate" sent, offer made, fingerprint checked',
];

test('each form of a secret is found in a log', () => {
    const secrets = new Secrets().addCode(CODE.toString('hex'));
    for (const [name, line] of Object.entries(LEAKS)) {
        assert.notDeepEqual(secrets.inLog([...HARMLESS, line]), [], name);
    }
});

test('a report about a secret does not repeat it', () => {
    const secrets = new Secrets().addCode(CODE.toString('hex'));
    const report = secrets.inLog([`joining the room of ${CODE.toString('hex')}`]).join('\n');
    assert.match(report, /a code in hex in line 1/u);
    assert.deepEqual(secrets.inText(report), []);
});

test('what is no secret is not taken for one', () => {
    assert.deepEqual(new Secrets().addCode(CODE.toString('hex')).inLog(HARMLESS), []);
});

test('an address where a server listens may be named, and no other', () => {
    const line = 'listening url=http://192.0.2.77:8192';
    assert.deepEqual(new Secrets().inLog([line], ['192.0.2.77:8192']), []);
    assert.notDeepEqual(new Secrets().inLog([line], ['192.0.2.7:8192']), []);
});

test('a program that logs the code of its camera is caught when the house is closed', async () => {
    const house = new House();
    const camera = await house.camera(await house.server()).start();
    camera.program.log.push(`TRACE joined as the camera of ${camera.code}`);
    const leaks = await house.close();
    assert.equal(leaks.length, 1, leaks.join('\n'));
    assert.match(leaks[0] ?? '', /camera-fw \| a code in hex/u);
});

test('the programs are heard at the lowest level', async () => {
    const house = new House();
    const server = await house.server();
    const camera = await house.camera(server).start();
    const [heard, said] = [server.program.log, camera.program.log].map((log) => log.join('\n'));
    assert.match(heard ?? '', / DEBUG | TRACE /u);
    assert.match(said ?? '', / DEBUG | TRACE /u);
    assert.deepEqual(await house.close(), []);
});
