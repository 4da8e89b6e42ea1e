/**
 * When to try again: exponential backoff with full jitter, so that the viewers of a server that restarts do not all
 * come back in the same instant. Pure: the random number is an argument.
 */

/** The first retry comes within this time, in milliseconds. */
export const FIRST_MS = 1000;
/** No retry waits longer than this, in milliseconds. */
export const LONGEST_MS = 30_000;

/**
 * @param {number} attempt how many attempts in a row have failed, from 1
 * @param {number} random from 0 to below 1
 * @param {number} [shortest] wait at least this, in milliseconds: for a refusal, which a quick retry only repeats
 * @returns {number} milliseconds
 */
export function backoff(attempt, random, shortest = 0) {
    const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(Math.max(attempt, 1) - 1, 10));
    return Math.round(Math.min(LONGEST_MS, shortest + random * ceiling));
}
