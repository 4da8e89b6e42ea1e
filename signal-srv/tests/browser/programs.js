/**
 * One running program of ours.
 *
 * Nothing here sleeps to let something happen: a program is waited for by its log, everything else by `until`.
 * Programs are ended by their process id, and by the kernel should this process die first. All of them log at TRACE, so
 * that what any level would give away can be found.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How long anything that should happen may take; generous, since machines that test are busy machines. */
export const PATIENCE_MS = 30_000;

const BINARIES = process.env.ROOMCAM_BIN_DIR ?? fileURLToPath(new URL('../../../target/debug', import.meta.url));
const HAS_SETPRIV = spawnSync('setpriv', ['--version']).status === 0;
/** How long a single look at something may take beyond that, in milliseconds. */
const ANSWER_MS = 10_000;
const LINES_SHOWN = 40;
/** Everything that a program can be made to log. */
const LOQUACIOUS = { CAMERA_FW_LOG: 'trace', SIGNAL_SRV_LOG: 'trace' };
/** When a program does not stop by itself, in milliseconds. */
const STOP_MS = 6000;

/**
 * Waits until `probe` gives something other than null, undefined and false, and gives that.
 * @template T
 * @param {string} what is waited for, as it reads after "waited in vain for"
 * @param {() => T | Promise<T>} probe
 * @param {{within?: number, every?: number}} [limits] in milliseconds
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, probe, { within = PATIENCE_MS, every = 50 } = {}) {
    const vain = new Error(`waited ${within / 1000} s in vain for ${what}`);
    const end = Date.now() + within;
    for (;;) {
        const left = Math.max(end - Date.now(), 0) + ANSWER_MS;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        let overdue;
        const silence = new Promise((_, reject) => {
            overdue = setTimeout(() => reject(new Error(`${vain.message}: no answer to the question`)), left);
        });
        const found = await Promise.race([probe(), /** @type {Promise<never>} */ (silence)]).finally(() => clearTimeout(overdue));
        if (found !== null && found !== undefined && found !== false) {
            return found;
        }
        if (Date.now() > end) {
            throw vain;
        }
        await new Promise((resolve) => setTimeout(resolve, every));
    }
}

/** One running program and what it has logged. */
export class Program {
    #child;
    /** @type {Promise<number | null>} */
    #ended;

    /**
     * @param {string} name
     * @param {string[]} args
     * @param {Record<string, string>} [environment]
     */
    constructor(name, args, environment = {}) {
        this.name = name;
        /** @type {string[]} */
        this.log = [];
        const file = binary(name);
        const [command, all] = HAS_SETPRIV ? ['setpriv', ['--pdeathsig', 'KILL', '--', file, ...args]] : [file, args];
        const env = { ...process.env, ...LOQUACIOUS, ...environment };
        this.#child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], env });
        this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
        this.#child.once('error', (error) => this.log.push(String(error)));
        for (const output of [this.#child.stdout, this.#child.stderr]) {
            let rest = '';
            output.setEncoding('utf8').on('data', (text) => {
                const lines = (rest + text).split('\n');
                rest = lines.pop() ?? '';
                this.log.push(...lines);
            });
            output.on('end', () => rest && this.log.push(rest));
        }
    }

    get running() {
        return this.#child.exitCode === null && this.#child.signalCode === null;
    }

    /** Its process id. */
    get id() {
        return this.#child.pid ?? 0;
    }

    /**
     * Waits for a line of the log; `from` is the number of lines that are too old to count.
     * @param {string} text
     * @param {number} [from]
     */
    async logged(text, from = 0) {
        try {
            return await until(`"${text}" in the log of ${this.name}`, () => {
                const line = this.log.slice(from).find((candidate) => candidate.includes(text));
                if (line === undefined && !this.running) {
                    throw new Error(`${this.name} ended before it logged "${text}"`);
                }
                return line;
            });
        } catch (error) {
            throw new Error(`${error instanceof Error ? error.message : error}\n${this.lastLines()}`);
        }
    }

    lastLines() {
        return this.log.slice(-LINES_SHOWN).map((line) => `    ${this.name} | ${line}`).join('\n');
    }

    /** @param {NodeJS.Signals} signal that does not end it */
    signal(signal) {
        this.#child.kill(signal);
    }

    /** @param {NodeJS.Signals} [signal] */
    async stop(signal = 'SIGTERM') {
        if (!this.running) {
            return;
        }
        this.#child.kill(signal);
        const killing = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
        await this.#ended;
        clearTimeout(killing);
    }
}

/**
 * The file of one of our programs.
 * @param {string} name
 */
export function binary(name) {
    const file = join(BINARIES, name);
    if (!existsSync(file)) {
        throw new Error(`${file} is not built: cargo build -p ${name}, or set ROOMCAM_BIN_DIR`);
    }
    return file;
}
