/**
 * Functions that run inside a page. Each stands for itself: it is sent as text, so it sees nothing of this module.
 */

/** Keeps the page's connections where the tests find them; runs before the page's own scripts. */
export function observe() {
    const Original = window.RTCPeerConnection;
    /** @type {RTCPeerConnection[]} */
    const connections = [];
    Object.defineProperty(window, 'observedConnections', { value: connections });
    window.RTCPeerConnection = new Proxy(Original, {
        construct(target, args) {
            const connection = Reflect.construct(target, args);
            connections.push(connection);
            return connection;
        },
    });
}

/**
 * What is decoded right now: the sum over the connections that are not closed.
 * @returns {Promise<{framesDecoded: number, connections: number}>}
 */
export async function decoded() {
    const connections = /** @type {any} */ (window).observedConnections.filter(
        (/** @type {RTCPeerConnection} */ connection) => connection.signalingState !== 'closed',
    );
    let framesDecoded = 0;
    for (const connection of connections) {
        // One that is closed meanwhile may never answer.
        const none = new Promise((resolve) => setTimeout(() => resolve(new Map()), 3000));
        for (const report of (await Promise.race([connection.getStats(), none])).values()) {
            if (report.type === 'inbound-rtp' && report.kind === 'video') {
                framesDecoded += report.framesDecoded ?? 0;
            }
        }
    }
    return { framesDecoded, connections: connections.length };
}

/**
 * What the test pattern on the screen says: two rows of 40 square cells at its top left corner, 32 bits of a value, then
 * 8 bits that are the xor of its four bytes. Row 0 counts frames, row 1 is the time of capture.
 * @returns {{counter: number, time: number, width: number, height: number, age: number} | null} null if it cannot be
 *     read; `time` is the low 32 bits of unix milliseconds, `age` is how old the picture is, in milliseconds
 */
export function pattern() {
    const video = document.querySelector('video');
    if (!video || video.videoWidth === 0) {
        return null;
    }
    const { videoWidth: width, videoHeight: height } = video;
    const cell = Math.floor(width / 40);
    const canvas = document.createElement('canvas');
    canvas.width = cell * 40;
    canvas.height = cell * 2;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) {
        return null;
    }
    context.drawImage(video, 0, 0);
    const now = Date.now();
    const values = [0, 1].map((row) => {
        const middle = Math.floor(row * cell + cell / 2);
        const { data } = context.getImageData(0, middle, canvas.width, 1);
        const byte = (/** @type {number} */ first) => {
            let value = 0;
            for (let bit = first; bit < first + 8; bit += 1) {
                const green = data[Math.floor(bit * cell + cell / 2) * 4 + 1] ?? 0;
                value = value * 2 + (green > 127 ? 1 : 0);
            }
            return value;
        };
        const bytes = [byte(0), byte(8), byte(16), byte(24)];
        const check = bytes.reduce((xor, next) => xor ^ next, 0);
        return check === byte(32) ? bytes.reduce((value, next) => value * 256 + next, 0) : null;
    });
    const [counter, time] = values;
    if (counter === null || counter === undefined || time === null || time === undefined) {
        return null;
    }
    // The difference of two clocks' low 32 bits, as a signed number.
    return { counter, time, width, height, age: ((now % 2 ** 32) - time) | 0 };
}

/** The screen that the page shows. */
export function screenShown() {
    return document.body?.dataset.state ?? '';
}

/**
 * Runs axe-core, which was loaded before the page; gives what it found, readable. What still fades in would have too
 * little contrast, so that is waited for.
 */
export async function axeFindings() {
    const fading = document.getAnimations().filter((animation) => animation.effect?.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(fading.map((animation) => animation.finished));
    const { violations } = await /** @type {any} */ (window).axe.run(document);
    return violations.map(
        (/** @type {any} */ { id, help, nodes }) =>
            `${id}: ${help} (${nodes.map((/** @type {any} */ node) => node.target.join(' ')).join(', ')})`,
    );
}

/** Notes when the page's WebSocket opened and when its first frame was there; runs before the page's own scripts. */
export function noteTimes() {
    const times = { opened: 0, shown: 0 };
    Object.defineProperty(window, 'notedTimes', { value: times });
    window.WebSocket = new Proxy(window.WebSocket, {
        construct(target, args) {
            const socket = Reflect.construct(target, args);
            socket.addEventListener('open', () => (times.opened ||= performance.now()));
            return socket;
        },
    });
    document.addEventListener('DOMContentLoaded', () => {
        document.querySelector('video')?.requestVideoFrameCallback(() => (times.shown = performance.now()));
    });
}

/** Milliseconds from the WebSocket being open to the first frame; 0 is not yet. */
export function firstFrameTime() {
    const { opened, shown } = /** @type {any} */ (window).notedTimes;
    return shown ? Math.max(shown - opened, 0.1) : null;
}

/** How long it took from greeting the camera to its proof, in milliseconds; null is not yet. */
export function handshakeTime() {
    return performance.getEntriesByName('roomcam:handshake')[0]?.duration ?? null;
}

/**
 * Everything that the page keeps or shows, and everything that it says of where it came from, as text: bytes as hex, a key
 * as what can be got out of it.
 * @returns {Promise<string>}
 */
export async function keptAndShown() {
    const spelled = async (/** @type {any} */ value) => {
        /** @type {Promise<unknown>[]} */
        const exports = [];
        const text = JSON.stringify(value, (_, part) => {
            if (part instanceof CryptoKey) {
                exports.push(crypto.subtle.exportKey('raw', part).then((raw) => [...new Uint8Array(raw)], () => 'refused'));
                return `a key: ${part.type}, ${part.extractable ? 'extractable' : 'not extractable'}`;
            }
            const bytes = part instanceof ArrayBuffer ? new Uint8Array(part) : part;
            return bytes instanceof Uint8Array
                ? [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
                : part;
        });
        return `${text} ${JSON.stringify(await Promise.all(exports))}`;
    };
    const read = (/** @type {string} */ name) => new Promise((resolve, reject) => {
        const opening = indexedDB.open(name);
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = async () => {
            const database = opening.result;
            const stores = [...database.objectStoreNames].map((store) => new Promise((done, failed) => {
                const request = database.transaction(store).objectStore(store).getAll();
                request.onsuccess = () => done({ name, store, records: request.result });
                request.onerror = () => failed(request.error);
            }));
            resolve(await Promise.all(stores));
            database.close();
        };
    });
    const databases = await Promise.all((await indexedDB.databases()).map(({ name = '' }) => read(name)));
    const fields = [...document.querySelectorAll('input, textarea')];
    return [
        `address: ${location.href}`,
        `came from: ${document.referrer}`,
        `history: ${await spelled(history.state)}`,
        `cookie: ${document.cookie}`,
        `window: ${window.name}`,
        `localStorage: ${JSON.stringify({ ...localStorage })}`,
        `sessionStorage: ${JSON.stringify({ ...sessionStorage })}`,
        `caches: ${JSON.stringify(await caches.keys())}`,
        `IndexedDB: ${await spelled(databases)}`,
        `requests: ${performance.getEntriesByType('resource').map(({ name }) => name).join(' ')}`,
        `fields: ${fields.map((field) => /** @type {HTMLInputElement} */ (field).value).join(' ')}`,
        `document: ${document.documentElement.textContent}`,
    ].join('\n');
}

/** How many peer connections the page has ever made. */
export function connectionsMade() {
    return /** @type {any} */ (window).observedConnections.length;
}

/** From now on reads the time of capture out of every frame that is rendered. */
export function watchLatency() {
    const video = /** @type {HTMLVideoElement} */ (document.querySelector('video'));
    const cell = Math.floor(video.videoWidth / 40);
    const canvas = document.createElement('canvas');
    canvas.width = cell * 40;
    canvas.height = 1;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
    /** @type {number[]} */
    const seen = [];
    Object.defineProperty(window, 'seenLatencies', { value: seen });
    const next = () => {
        const now = performance.timeOrigin + performance.now();
        // Only the one line of pixels that runs through the middle of the second row of cells.
        context.drawImage(video, 0, -Math.floor(cell * 1.5));
        const { data } = context.getImageData(0, 0, canvas.width, 1);
        const bytes = [0, 0, 0, 0, 0];
        for (let bit = 0; bit < 40; bit += 1) {
            const green = data[Math.floor(bit * cell + cell / 2) * 4 + 1] ?? 0;
            bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) * 2 + (green > 127 ? 1 : 0);
        }
        const [a = 0, b = 0, c = 0, d = 0, check] = bytes;
        if ((a ^ b ^ c ^ d) === check) {
            const captured = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
            const late = (now - captured) % 2 ** 32;
            seen.push(late < 0 ? late + 2 ** 32 : late);
        }
        video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
}

/** Milliseconds from capture to rendered frame, of every frame since `watchLatency`. */
export function latencies() {
    return /** @type {any} */ (window).seenLatencies;
}
