/**
 * A signaling server that does what it likes: it stands before the real one, sees and keeps everything that its clients
 * send, and does to it what a test tells it to.
 *
 *     page, camera  ──up──▶  EvilServer: record, rule  ──up──▶  signal-srv
 *                   ◀─down─                            ◀─down─
 *
 * A rule is asked about every message and gives what goes on in its place: nothing (drop), another (edit), several
 * (replay), or, by writing to a connection whenever it likes, any of them elsewhere (reflect, splice, cross-connect).
 */

import { createServer, request as ask } from 'node:http';

import { WebSocket, WebSocketServer } from 'ws';

/** @import {IncomingMessage, ServerResponse} from 'node:http' */

/** Lengths of the sealed messages, in bytes: the steps of the padding and the tag of AES-GCM. */
export const GREETING_BYTES = 48;
export const REPLY_BYTES = 128;
export const STEP_BYTES = 1024;
export const TAG_BYTES = 16;

/** Close codes that only a library may give, and no application. */
const UNSPEAKABLE = [1005, 1006, 1015];

/** What a client sends is on its way up; what it receives, down. @typedef {'up' | 'down'} Way */

/**
 * One sealed signal.
 * @typedef {object} Sealed
 * @property {'greeting' | 'reply' | 'transport'} kind by its length
 * @property {string} peer whom it is for, on its way up; from whom it is, on its way down
 * @property {Buffer} bytes
 */

/**
 * One message.
 * @typedef {object} Passage
 * @property {Connection} connection
 * @property {Way} way
 * @property {Buffer} bytes as it came
 * @property {any} message what it says; null if it is no JSON
 * @property {Sealed | null} sealed
 */

/**
 * Gives what goes on in place of a message: undefined for itself, otherwise messages (objects, or bytes as they are).
 * @typedef {(passage: Passage) => undefined | unknown[]} Rule
 */

/** One client of the evil server, and the connection that is kept to the real one on its behalf. */
export class Connection {
    /** The id that the real server gave it. */
    id = '';
    /** @type {'camera' | 'viewer' | 'pair' | null} as what it joined */
    role = null;
    /** @type {Passage[]} everything that it sent or was sent by the real server */
    passages = [];

    /**
     * @param {WebSocket} client
     * @param {WebSocket} server
     */
    constructor(client, server) {
        this.client = client;
        this.server = server;
    }

    get open() {
        return this.client.readyState === WebSocket.OPEN;
    }

    /**
     * Sends something to the client, as if the server had.
     * @param {unknown} message
     */
    tellClient(message) {
        send(this.client, message);
    }

    /**
     * Sends something to the server, as if the client had.
     * @param {unknown} message
     */
    tellServer(message) {
        send(this.server, message);
    }

    /**
     * The sealed signals that went one way.
     * @param {Way} way
     * @param {Sealed['kind']} [kind]
     */
    sealed(way, kind) {
        return this.passages
            .filter((passage) => passage.way === way)
            .flatMap(({ sealed }) => (sealed && (!kind || sealed.kind === kind) ? [sealed] : []));
    }
}

/** See above. */
export class EvilServer {
    /** @type {Connection[]} everybody who ever came */
    connections = [];
    /** @type {Buffer[]} heads and bodies of the HTTP requests */
    requests = [];
    /** @type {Rule | null} */
    rule = null;
    #target;
    #http = createServer((incoming, answer) => this.#forward(incoming, answer));
    #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

    /** @param {URL} target */
    constructor(target) {
        this.#target = target;
        this.#http.on('upgrade', (incoming, socket, head) => {
            this.#record(incoming);
            const server = new WebSocket(new URL(incoming.url ?? '/', target), {
                perMessageDeflate: false,
                ...(incoming.headers.origin === undefined ? {} : { origin: incoming.headers.origin }),
            });
            server.once('error', () => socket.destroy());
            server.once('open', () => {
                this.#sockets.handleUpgrade(incoming, socket, head, (client) => this.#connect(client, server));
            });
            socket.once('close', () => server.terminate());
        });
    }

    /**
     * @param {{url: string}} server the real one
     */
    static async before(server) {
        const evil = new EvilServer(new URL(server.url));
        await new Promise((resolve) => evil.#http.listen(0, '127.0.0.1', () => resolve(null)));
        return evil;
    }

    get port() {
        return /** @type {import('node:net').AddressInfo} */ (this.#http.address()).port;
    }

    /** Without a slash at its end. */
    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    /** Those who joined as this, and are there still. @param {Connection['role']} role */
    here(role) {
        return this.connections.filter((connection) => connection.role === role && connection.open);
    }

    /** Everything that clients sent: requests, messages, and what is in the sealed ones. */
    received() {
        const messages = this.connections.flatMap(({ passages }) => passages.filter(({ way }) => way === 'up'));
        const sealed = messages.flatMap((passage) => (passage.sealed ? [passage.sealed.bytes] : []));
        return [...this.requests, ...messages.map(({ bytes }) => bytes), ...sealed];
    }

    async close() {
        for (const { client, server } of this.connections) {
            client.terminate();
            server.terminate();
        }
        this.#http.closeAllConnections();
        await new Promise((resolve) => this.#http.close(resolve));
    }

    /**
     * @param {IncomingMessage} incoming
     * @param {ServerResponse} answer
     */
    #forward(incoming, answer) {
        this.#record(incoming);
        const { method, url, headers } = incoming;
        const onward = ask(new URL(url ?? '/', this.#target), { method, headers }, (found) => {
            answer.writeHead(found.statusCode ?? 502, found.headers);
            found.pipe(answer);
        });
        onward.on('error', () => answer.destroy());
        incoming.on('data', (body) => this.requests.push(body)).pipe(onward);
    }

    /** @param {IncomingMessage} incoming */
    #record({ method, url, rawHeaders }) {
        this.requests.push(Buffer.from([`${method} ${url}`, ...rawHeaders].join('\r\n')));
    }

    /**
     * @param {WebSocket} client
     * @param {WebSocket} server
     */
    #connect(client, server) {
        const connection = new Connection(client, server);
        this.connections.push(connection);
        client.on('message', (data) => this.#pass(connection, 'up', data));
        server.on('message', (data) => this.#pass(connection, 'down', data));
        for (const [from, to] of [[client, server], [server, client]]) {
            from?.on('error', () => {});
            from?.on('close', (code, reason) => to?.close(UNSPEAKABLE.includes(code) ? 1000 : code, reason));
        }
    }

    /**
     * @param {Connection} connection
     * @param {Way} way
     * @param {import('ws').RawData} data
     */
    #pass(connection, way, data) {
        const bytes = /** @type {Buffer} */ (data);
        const message = read(bytes);
        if (message?.type === 'HELLO') {
            connection.id = message.data;
        } else if (message?.type === 'JOIN_OR_CREATE') {
            connection.role = message.data?.role ?? 'pair';
        }
        const passage = { connection, way, bytes, message, sealed: sealedIn(way, message) };
        connection.passages.push(passage);
        for (const one of this.rule?.(passage) ?? [bytes]) {
            send(way === 'up' ? connection.server : connection.client, one);
        }
    }
}

/**
 * @param {WebSocket} socket
 * @param {unknown} message
 */
function send(socket, message) {
    if (socket.readyState === WebSocket.OPEN) {
        socket.send(message instanceof Uint8Array ? message : Buffer.from(JSON.stringify(message)));
    }
}

/**
 * @param {Buffer} bytes
 * @returns {any}
 */
function read(bytes) {
    try {
        return JSON.parse(bytes.toString());
    } catch {
        return null;
    }
}

/**
 * @param {Way} way
 * @param {any} message
 * @returns {Sealed | null}
 */
function sealedIn(way, message) {
    const [peer, signal] =
        way === 'up' ? [message?.to, message?.data] : [message?.data?.data?.peer, message?.data?.data?.signal];
    const signals = message?.type === 'SIGNAL' || (message?.type === 'ROOM' && message.data?.type === 'SIGNAL');
    if (!signals || typeof signal?.noise !== 'string') {
        return null;
    }
    const bytes = Buffer.from(signal.noise, 'base64url');
    const kind = bytes.length === GREETING_BYTES ? 'greeting' : bytes.length === REPLY_BYTES ? 'reply' : 'transport';
    return { kind, peer, bytes };
}

/**
 * A signal as a client sends it.
 * @param {string} to
 * @param {Buffer} bytes
 */
export function outgoing(to, bytes) {
    return { type: 'SIGNAL', to, data: { noise: bytes.toString('base64url') } };
}

/**
 * A signal as the server delivers it.
 * @param {string} from
 * @param {Buffer} bytes
 */
export function delivered(from, bytes) {
    const data = { peer: from, signal: { noise: bytes.toString('base64url') } };
    return { type: 'ROOM', data: { type: 'SIGNAL', data } };
}

/**
 * The same sealed signal with other bytes in it.
 * @param {Passage} passage
 * @param {Buffer} bytes
 */
export function resealed({ way, sealed }, bytes) {
    return (way === 'up' ? outgoing : delivered)(sealed?.peer ?? '', bytes);
}
