/**
 * Figures about the running picture, from the reports of RTCPeerConnection.getStats. Pure.
 */

/**
 * What one look at the reports gives. Counters count from the start of the connection.
 * @typedef {object} Sample
 * @property {number} at milliseconds
 * @property {number} frames decoded
 * @property {number} bytes received
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {boolean | null} relayed whether a TURN server stands between; null if not known
 * @property {number | null} roundTripMs
 */

/**
 * @typedef {object} Figures
 * @property {number} width
 * @property {number} height
 * @property {number | null} framesPerSecond
 * @property {number | null} kbps
 * @property {boolean | null} relayed
 * @property {number | null} roundTripMs
 */

/**
 * @param {Iterable<Record<string, any>>} reports
 * @param {number} at
 * @returns {Sample | null} null before there is video
 */
export function sampleOf(reports, at) {
    const all = new Map([...reports].map((report) => [report['id'], report]));
    const list = [...all.values()];
    const video = list.find((report) => report['type'] === 'inbound-rtp' && report['kind'] === 'video');
    if (!video) {
        return null;
    }
    const transport = list.find((report) => report['type'] === 'transport' && report['selectedCandidatePairId']);
    // Firefox has no transport report and marks the pair itself.
    const pair = transport
        ? all.get(transport['selectedCandidatePairId'])
        : list.find((report) => report['type'] === 'candidate-pair' && (report['selected'] || report['nominated']));
    const ends = [all.get(pair?.['localCandidateId']), all.get(pair?.['remoteCandidateId'])];
    const roundTrip = pair?.['currentRoundTripTime'];
    return {
        at,
        frames: video['framesDecoded'] ?? 0,
        bytes: video['bytesReceived'] ?? 0,
        width: video['frameWidth'] ?? 0,
        height: video['frameHeight'] ?? 0,
        relayed: pair ? ends.some((end) => end?.['candidateType'] === 'relay') : null,
        roundTripMs: typeof roundTrip === 'number' ? roundTrip * 1000 : null,
    };
}

/**
 * @param {Sample | null} before an earlier sample of the same connection
 * @param {Sample} now
 * @returns {Figures}
 */
export function figuresOf(before, now) {
    const seconds = before ? (now.at - before.at) / 1000 : 0;
    const perSecond = (/** @type {number} */ earlier, /** @type {number} */ later) =>
        seconds > 0 && later >= earlier ? (later - earlier) / seconds : null;
    const bytes = before ? perSecond(before.bytes, now.bytes) : null;
    return {
        width: now.width,
        height: now.height,
        framesPerSecond: before ? perSecond(before.frames, now.frames) : null,
        kbps: bytes === null ? null : (bytes * 8) / 1000,
        relayed: now.relayed,
        roundTripMs: now.roundTripMs,
    };
}
