/**
 * Who claims to be the camera. Pure.
 *
 * Anybody who learns a room can go there, and the server can put in whom it likes: who is the camera is decided by the
 * proof in the handshake alone. signaling.js greets all of them at once, so that none is in the way of another.
 *
 *     greeted ──> proven ──> asked ──> stopped ──> asked      it shows its picture, says that it stops, goes on
 *        │  │        └──────────┴────> spent                  it must be greeted anew before it can be asked (again)
 *        │  └──> silent ──> proven
 *        └─────────┴─────────────────> refuted                it is not the camera: as if it were not there
 */

/** @typedef {'greeted' | 'silent' | 'proven' | 'asked' | 'stopped' | 'spent' | 'refuted'} Stage */
/** @typedef {{readonly peer: string, readonly stage: Stage}} Claimant */
/** @typedef {readonly Claimant[]} Claimants */

/** More than a room can have are not remembered. */
export const MOST_CLAIMANTS = 16;

/**
 * @param {readonly string[]} peers
 * @returns {Claimants}
 */
export function greeted(peers) {
    return [...new Set(peers)].slice(0, MOST_CLAIMANTS).map((peer) => ({ peer, stage: 'greeted' }));
}

/**
 * @param {Claimants} claimants
 * @param {string} peer
 * @returns {Stage | undefined}
 */
export function stageOf(claimants, peer) {
    return claimants.find((claimant) => claimant.peer === peer)?.stage;
}

/**
 * @param {Claimants} claimants
 * @param {string} peer
 * @param {Stage} stage
 * @returns {Claimants}
 */
export function moved(claimants, peer, stage) {
    return claimants.map((claimant) => (claimant.peer === peer ? { peer, stage } : claimant));
}

/**
 * Everybody in one stage goes on to another.
 * @param {Claimants} claimants
 * @param {Stage} from
 * @param {Stage} to
 * @returns {Claimants}
 */
export function allMoved(claimants, from, to) {
    return claimants.map(({ peer, stage }) => ({ peer, stage: stage === from ? to : stage }));
}

/**
 * @param {Claimants} claimants
 * @param {...Stage} stages
 * @returns {boolean} whether one of them is in one of these stages
 */
export function some(claimants, ...stages) {
    return claimants.some(({ stage }) => stages.includes(stage));
}

/**
 * A camera that has proven itself and waits to be asked.
 * @param {Claimants} claimants
 * @returns {string | undefined} its peer id
 */
export function reserve(claimants) {
    return claimants.find(({ stage }) => stage === 'proven')?.peer;
}

/**
 * What is to be said where nobody in the room is the camera, or may turn out to be.
 * @param {Claimants} claimants
 * @returns {'silent' | 'impostor' | null}
 */
export function doubtOf(claimants) {
    if (claimants.length === 0 || claimants.some(({ stage }) => stage !== 'silent' && stage !== 'refuted')) {
        return null;
    }
    return some(claimants, 'refuted') ? 'impostor' : 'silent';
}
