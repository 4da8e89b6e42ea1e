/** Somebody in a room who speaks the protocol of the server and has no code: what a server itself could be. */

import { WebSocket } from 'ws';

/** See above. */
export class Stranger {
    /** Those of whom it was told. @type {string[]} */
    peers = [];
    /** What it was sent. @type {{peer: string, signal: unknown}[]} */
    signals = [];
    /** Its own id. */
    id = '';
    /** @type {(peer: string, signal: any) => void} */
    onSignal = () => {};
    /** @type {(peer: string) => void} */
    onPeer = () => {};
    #socket;

    /** @param {WebSocket} socket */
    constructor(socket) {
        this.#socket = socket;
    }

    /**
     * @param {{url: string}} server
     * @param {string} room
     * @param {'camera' | 'viewer'} role
     * @returns {Promise<Stranger>} once it is in the room
     */
    static join(server, room, role) {
        const stranger = new Stranger(new WebSocket(`${server.url.replace('http', 'ws')}/ws`, { perMessageDeflate: false }));
        return new Promise((resolve, reject) => {
            stranger.#socket.on('error', reject);
            stranger.#socket.on('message', (bytes) => {
                const message = JSON.parse(bytes.toString());
                if (message.type === 'HELLO') {
                    stranger.id = message.data;
                    stranger.send({ type: 'JOIN_OR_CREATE', data: { room, role } });
                } else if (message.type === 'ERROR') {
                    reject(new Error(message.code));
                } else {
                    stranger.#received(message);
                    if (message.type === 'JOINED') {
                        resolve(stranger);
                    }
                }
            });
        });
    }

    /** @param {unknown} message */
    send(message) {
        this.#socket.send(Buffer.from(JSON.stringify(message)));
    }

    async close() {
        this.#socket.terminate();
    }

    /** @param {any} message */
    #received({ type, data }) {
        if (type === 'JOINED') {
            this.peers = data.peers.map((/** @type {{peer: string}} */ { peer }) => peer);
        } else if (data.type === 'JOIN') {
            this.peers.push(data.data.peer);
            this.onPeer(data.data.peer);
        } else if (data.type === 'LEAVE') {
            this.peers = this.peers.filter((peer) => peer !== data.data.peer);
        } else {
            this.signals.push(data.data);
            this.onSignal(data.data.peer, data.data.signal);
        }
    }
}
