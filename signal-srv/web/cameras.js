/**
 * The cameras that a person asked this device to remember, in IndexedDB. What is kept is the access to each, never its
 * code: the key in it is one that the browser uses for scripts but does not show to them.
 */

/** @import {Access} from './access.js' */

/** `id` is a name for the entry and nothing more: it opens nothing. */
/** @typedef {{id: string, name: string, access: Access, addedAt: number}} Remembered */

const DATABASE = 'roomcam';
const STORE = 'cameras';
/** The same camera is one entry, however often it is remembered. */
const BY_ROOM = 'room';
/** Longest name, in characters. */
export const LONGEST_NAME = 40;

/**
 * @returns {Promise<Remembered[]>} in the order in which they were added
 * @throws where the browser stores nothing
 */
export async function all() {
    const list = await transact('readonly', (store) => store.getAll());
    return list.sort((/** @type {Remembered} */ a, /** @type {Remembered} */ b) => a.addedAt - b.addedAt);
}

/**
 * @param {Access} access
 * @param {string} name
 * @returns {Promise<unknown>}
 * @throws where the browser stores nothing, or no keys
 */
export function remember(access, name) {
    return transact('readwrite', (store) => {
        const known = store.index(BY_ROOM).get(access.room);
        known.onsuccess = attempt(store.transaction, () => {
            store.put({ id: crypto.randomUUID(), addedAt: Date.now(), ...known.result, name, access });
        });
        return known;
    });
}

/**
 * @param {string} id
 * @param {string} name
 * @returns {Promise<unknown>}
 */
export function rename(id, name) {
    return transact('readwrite', (store) => {
        const known = store.get(id);
        known.onsuccess = attempt(store.transaction, () => known.result && store.put({ ...known.result, name }));
        return known;
    });
}

/**
 * @param {string} id
 * @returns {Promise<unknown>}
 */
export function forget(id) {
    return transact('readwrite', (store) => store.delete(id));
}

/**
 * A name that none of them has: "Camera", "Camera 2", …
 * @param {readonly Remembered[]} list
 * @param {string} word
 * @returns {string}
 */
export function freeName(list, word) {
    const taken = new Set(list.map(({ name }) => name));
    let name = word;
    for (let number = 2; taken.has(name); number += 1) {
        name = `${word} ${number}`;
    }
    return name;
}

/**
 * What a person typed as a name; empty if that is nothing.
 * @param {string} text
 * @returns {string}
 */
export function tidyName(text) {
    return text.replace(/\s+/gu, ' ').trim().slice(0, LONGEST_NAME).trim();
}

/**
 * Does one thing with the store, and waits until it is written.
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} work
 * @returns {Promise<any>} the result of the request that `work` returns
 */
async function transact(mode, work) {
    const database = await open();
    try {
        return await new Promise((resolve, reject) => {
            const transaction = database.transaction(STORE, mode);
            const request = work(transaction.objectStore(STORE));
            transaction.oncomplete = () => resolve(request.result);
            transaction.onabort = () => reject(transaction.error ?? new Error('it was not written'));
        });
    } finally {
        database.close();
    }
}

/**
 * Not every browser that has IndexedDB stores keys in it; that shows when one is put there.
 * @param {IDBTransaction} transaction
 * @param {() => void} work
 * @returns {() => void}
 */
function attempt(transaction, work) {
    return () => {
        try {
            work();
        } catch {
            transaction.abort();
        }
    };
}

/** @returns {Promise<IDBDatabase>} */
function open() {
    return new Promise((resolve, reject) => {
        const request = indexedDB.open(DATABASE, 1);
        request.onupgradeneeded = () => {
            const store = request.result.createObjectStore(STORE, { keyPath: 'id' });
            store.createIndex(BY_ROOM, 'access.room', { unique: true });
        };
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
        request.onblocked = () => reject(new Error('another tab holds an older list'));
    });
}
