/** What a running program holds, as its kernel knows: proc(5). */

import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs';

/** More than a server of ours ever maps at once; such a mapping is reserved, and not in use. */
const LARGEST_BYTES = 512 * 1024 * 1024;

/**
 * Everything in its memory that it can have written: heap, stacks, data; not its file, which has the page in it.
 * @param {number} id of the process
 * @returns {Buffer[]} one for each mapping
 */
export function memoryOf(id) {
    const memory = openSync(`/proc/${id}/mem`, 'r');
    try {
        return readFileSync(`/proc/${id}/maps`, 'utf8')
            .split('\n')
            .map((line) => /^([0-9a-f]+)-([0-9a-f]+) rw/u.exec(line))
            .flatMap((range) => {
                const [from, to] = [Number(`0x${range?.[1]}`), Number(`0x${range?.[2]}`)];
                return range && to - from < LARGEST_BYTES ? [readRange(memory, from, to - from)] : [];
            });
    } finally {
        closeSync(memory);
    }
}

/**
 * @param {number} memory
 * @param {number} from
 * @param {number} length
 */
function readRange(memory, from, length) {
    const bytes = Buffer.alloc(length);
    let read = 0;
    while (read < length) {
        const more = readSync(memory, bytes, read, length - read, from + read);
        if (more === 0) {
            break;
        }
        read += more;
    }
    return bytes.subarray(0, read);
}

/**
 * How many UDP sockets it has open.
 * @param {number} id of the process
 */
export function udpSocketsOf(id) {
    const udp = new Set(
        ['udp', 'udp6'].flatMap((table) => {
            const rows = readFileSync(`/proc/${id}/net/${table}`, 'utf8').trim().split('\n').slice(1);
            return rows.map((row) => `socket:[${row.trim().split(/\s+/u)[9]}]`);
        }),
    );
    return readdirSync(`/proc/${id}/fd`).filter((fd) => udp.has(target(`/proc/${id}/fd/${fd}`))).length;
}

/** @param {string} link */
function target(link) {
    try {
        return readlinkSync(link);
    } catch {
        // Closed in the meantime.
        return '';
    }
}
