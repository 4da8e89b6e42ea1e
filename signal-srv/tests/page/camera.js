/**
 * A server and a camera inside of the page under test: a WebSocket that needs no network and a peer connection that
 * sends a drawing. `installCamera` is handed to the browser as source and runs before the page's own scripts.
 */

/**
 * What the fake server does with a viewer, and the fake camera with it.
 * @typedef {object} Scene
 * @property {'never' | 'refuse' | 'accept'} [open] what becomes of a new WebSocket
 * @property {string} [error] the code of an ERROR in place of JOINED
 * @property {boolean} [camera] whether a camera is in the room and offers
 * @property {string} [bye] the reason of a bye in place of an offer
 * @property {boolean} [sound] whether the camera sends sound as well
 * @property {boolean} [tap] whether the browser wants a tap before it plays
 * @property {boolean} [ancient] whether the browser lacks WebRTC
 */

/** @param {Scene} scene */
export function installCamera(scene) {
    /** @type {any} */
    const world = globalThis;
    world.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
        world.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`),
    );
    if (scene.ancient) {
        delete world.RTCPeerConnection;
    }
    if (scene.tap) {
        HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException('a tap is needed', 'NotAllowedError'));
        document.addEventListener('DOMContentLoaded', () => document.querySelector('video')?.removeAttribute('autoplay'));
    }
    const Connection = world.RTCPeerConnection;
    const peer = '00010203-0405-4607-8809-0a0b0c0d0e0f';

    function drawing() {
        const canvas = document.createElement('canvas');
        canvas.width = 720;
        canvas.height = 480;
        const paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        let frame = 0;
        const rectangle = (/** @type {string} */ colour, /** @type {[number, number, number, number]} */ place) => {
            paint.fillStyle = colour;
            paint.fillRect(...place);
        };
        setInterval(() => {
            frame += 1;
            rectangle('#cdbfae', [0, 0, 720, 340]);
            rectangle('#8b6f58', [0, 340, 720, 140]);
            rectangle('#f3ede2', [70, 60, 200, 190]);
            rectangle('#8fb7cf', [84, 74, 172, 162]);
            rectangle('#f3ede2', [165, 74, 10, 162]);
            rectangle('#3f5a53', [350, 240, 290, 130]);
            rectangle('#4d6d64', [370, 205, 250, 80]);
            paint.fillStyle = '#d9793f';
            paint.beginPath();
            paint.arc(90 + ((frame * 4) % 540), 400, 30, 0, 7);
            paint.fill();
        }, 33);
        const stream = canvas.captureStream(30);
        if (scene.sound) {
            stream.addTrack(/** @type {MediaStreamTrack} */ (new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]));
        }
        return stream;
    }

    class FakeWebSocket {
        static OPEN = 1;
        readyState = 0;
        binaryType = 'blob';
        /** @type {any} */
        onmessage = null;
        /** @type {any} */
        onclose = null;
        /** @type {RTCPeerConnection | null} */
        camera = null;

        /** @param {string} url */
        constructor(url) {
            this.url = url;
            world.socket = this;
            if (scene.open === 'refuse') {
                setTimeout(() => this.close(), 5);
            } else if (scene.open !== 'never') {
                setTimeout(() => {
                    this.readyState = 1;
                    this.say({ type: 'HELLO', data: peer });
                }, 5);
            }
        }

        /** @param {unknown} message */
        say(message) {
            this.onmessage?.({ data: new TextEncoder().encode(JSON.stringify(message)).buffer });
        }

        /** @param {unknown} signal */
        signal(signal) {
            this.say({ type: 'ROOM', data: { type: 'SIGNAL', data: { peer, signal } } });
        }

        /** @param {Uint8Array} bytes */
        send(bytes) {
            const message = JSON.parse(new TextDecoder().decode(bytes));
            setTimeout(() => this.hear(message), 5);
        }

        /** @param {any} message */
        async hear({ type, data }) {
            if (type === 'JOIN_OR_CREATE') {
                if (scene.error) {
                    this.say({ type: 'ERROR', data: '', code: scene.error });
                    this.close();
                    return;
                }
                const peers = scene.camera || scene.bye ? [{ peer, role: 'camera' }] : [];
                this.say({ type: 'JOINED', data: { peers, ice_servers: [] } });
                if (scene.bye) {
                    this.signal({ type: 'bye', reason: scene.bye });
                } else if (scene.camera) {
                    await this.offer();
                }
            } else if (data.type === 'answer') {
                await this.camera?.setRemoteDescription(data);
            } else if (data.candidate) {
                await this.camera?.addIceCandidate(data);
            }
        }

        async offer() {
            const camera = new Connection();
            this.camera = camera;
            const stream = drawing();
            stream.getTracks().forEach((track) => camera.addTrack(track, stream));
            camera.onicecandidate = (/** @type {RTCPeerConnectionIceEvent} */ { candidate }) => candidate && this.signal(candidate.toJSON());
            await camera.setLocalDescription();
            this.signal({ type: 'offer', sdp: camera.localDescription?.sdp });
        }

        close() {
            if (this.readyState !== 3) {
                this.readyState = 3;
                setTimeout(() => this.onclose?.({}), 0);
            }
        }
    }
    world.WebSocket = FakeWebSocket;
}
