/**
 * A client of the pair mode, written against docs/protocol.md and nothing else; it runs in a blank page.
 *
 * Whoever is in the room when another joins offers, the other answers. With `eager` it behaves as browser clients of this
 * protocol do in the field: it makes its connection as soon as it is in the room, offers a quarter of a second after
 * somebody else came, once more on the same connection a little later, and, when it came second, at once on its own.
 */

/** How long such a client waits before it offers, and before it offers once more, in milliseconds. */
const EAGER_MS = 250;
const ONCE_MORE_MS = 700;

/** A client in a room. */
export class PairClient {
    /** What happened, for the test to read. @type {string[]} */
    events = [];
    /** @type {RTCPeerConnection | null} */
    #connection = null;
    #last = Promise.resolve();
    /** Whether an offer was due while another one waited for its answer. */
    #owed = false;

    /**
     * @param {{url: string, room: string, eager: boolean, cameFirst: boolean, ownTrack: boolean,
     *   video: HTMLVideoElement}} options
     */
    constructor({ url, room, eager, cameFirst, ownTrack, video }) {
        this.eager = eager;
        this.cameFirst = cameFirst;
        this.ownTrack = ownTrack;
        this.video = video;
        this.socket = new WebSocket(url);
        this.socket.binaryType = 'arraybuffer';
        this.socket.onopen = () => this.#send({ type: 'JOIN_OR_CREATE', data: room });
        this.socket.onmessage = ({ data }) => this.#received(JSON.parse(new TextDecoder().decode(data)));
        this.socket.onclose = ({ code }) => this.events.push(`closed ${code}`);
    }

    leave() {
        this.socket.close();
        this.#connection?.close();
    }

    /** @param {unknown} message */
    #send(message) {
        this.socket.send(new TextEncoder().encode(JSON.stringify(message)));
    }

    /** @param {any} message */
    #received({ type, data, code }) {
        this.events.push(type === 'ROOM' ? `ROOM/${data.type}` : type === 'ERROR' ? `ERROR ${code}` : type);
        if (type === 'JOINED' && this.eager) {
            this.#connect();
            if (!this.cameFirst) {
                this.#offer();
            }
        } else if (type === 'ROOM' && data.type === 'JOIN') {
            this.#other();
        } else if (type === 'ROOM' && data.type === 'LEAVE') {
            this.#connection?.close();
            this.#connection = null;
        } else if (type === 'ROOM' && data.type === 'SIGNAL') {
            this.#signal(data.data.signal);
        }
    }

    /** The other one has come, so the offer is ours to make. */
    #other() {
        if (this.eager) {
            setTimeout(() => this.#offer(), EAGER_MS);
            setTimeout(() => this.#offer(), ONCE_MORE_MS);
        } else {
            this.#offer();
        }
    }

    #connect() {
        if (this.#connection) {
            return this.#connection;
        }
        const connection = new RTCPeerConnection();
        this.#connection = connection;
        if (this.ownTrack) {
            // As a client does that shows its own camera too: the offer is sendrecv, and has a section for sound.
            connection.addTransceiver('audio', { direction: 'recvonly' });
            for (const track of document.createElement('canvas').captureStream().getTracks()) {
                connection.addTrack(track);
            }
        } else {
            connection.addTransceiver('video', { direction: 'recvonly' });
        }
        connection.ontrack = ({ track }) => {
            if (track.kind !== 'video') {
                return;
            }
            this.video.srcObject = new MediaStream([track]);
            this.video.play().catch((error) => this.events.push(`play: ${error}`));
        };
        connection.onicecandidate = ({ candidate }) => {
            if (candidate?.candidate) {
                const { candidate: line, sdpMLineIndex, sdpMid } = candidate;
                this.#send({ type: 'SIGNAL', data: { candidate: line, sdpMLineIndex, sdpMid } });
            }
        };
        return connection;
    }

    /** Descriptions one after the other. @param {() => Promise<void>} step */
    #then(step) {
        this.#last = this.#last.then(step).catch((error) => void this.events.push(`failed: ${error}`));
    }

    #offer() {
        this.#then(async () => {
            const connection = this.#connect();
            if (connection.signalingState === 'stable') {
                await connection.setLocalDescription(await connection.createOffer());
                this.#describe(connection, 'sent');
            } else {
                this.#owed = true;
            }
        });
    }

    /** @param {RTCPeerConnection} connection @param {string} verb */
    #describe(connection, verb) {
        const { type, sdp } = /** @type {RTCSessionDescription} */ (connection.localDescription);
        this.events.push(`${verb} ${type}`);
        this.#send({ type: 'SIGNAL', data: { type, sdp } });
    }

    /** @param {any} signal */
    #signal(signal) {
        this.#then(async () => {
            const connection = this.#connect();
            if (signal.type === 'offer') {
                this.events.push(`received offer in ${connection.signalingState}`);
                // While an offer of ours is pending the browser takes it back by itself.
                await connection.setRemoteDescription(signal);
                await connection.setLocalDescription(await connection.createAnswer());
                this.#describe(connection, 'sent');
            } else if (signal.type === 'answer') {
                this.events.push(`received answer in ${connection.signalingState}`);
                if (connection.signalingState === 'have-local-offer') {
                    await connection.setRemoteDescription(signal);
                }
                if (this.#owed) {
                    this.#owed = false;
                    this.#offer();
                }
            } else if (connection.remoteDescription) {
                await connection.addIceCandidate(signal);
            } else {
                this.events.push('received candidate too early');
            }
        });
    }
}
