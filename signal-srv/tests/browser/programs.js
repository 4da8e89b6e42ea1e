/**
 * The real server and the real camera, each run with a state folder of its own and a port that the system picks.
 *
 * Nothing here sleeps to let something happen: a program is waited for by its log, everything else by `until`.
 * Programs are ended by their process id, and by the kernel should this process die first.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How long anything that should happen may take; generous, since machines that test are busy machines. */
export const PATIENCE_MS = 30_000;

const BINARIES = process.env.ROOMCAM_BIN_DIR ?? fileURLToPath(new URL('../../../target/debug', import.meta.url));
const HAS_SETPRIV = spawnSync('setpriv', ['--version']).status === 0;
const LINES_SHOWN = 40;
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
    const end = Date.now() + within;
    for (;;) {
        const found = await probe();
        if (found !== null && found !== undefined && found !== false) {
            return found;
        }
        if (Date.now() > end) {
            throw new Error(`waited ${within / 1000} s in vain for ${what}`);
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
        const env = { ...process.env, ...environment };
        this.#child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], env });
        this.#ended = new Promise((resolve) => this.#child.once('exit', resolve));
        this.#child.once('error', (error) => this.log.push(String(error)));
        for (const output of [this.#child.stdout, this.#child.stderr]) {
            let rest = '';
            output.setEncoding('utf8').on('data', (text) => {
                const lines = (rest + text).split('\n');
                rest = lines.pop() ?? '';
                this.log.push(...lines);
            });
        }
    }

    get running() {
        return this.#child.exitCode === null && this.#child.signalCode === null;
    }

    get id() {
        return this.#child.pid;
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

/** @param {string} name */
function binary(name) {
    const file = join(BINARIES, name);
    if (!existsSync(file)) {
        throw new Error(`${file} is not built: cargo build -p ${name}, or set ROOMCAM_BIN_DIR`);
    }
    return file;
}

/** A server and the cameras around it, with everything that must be cleaned up behind them. */
export class House {
    /** @type {Program[]} */
    #programs = [];
    #folders = 0;
    #root = mkdtempSync(join(tmpdir(), 'roomcam-'));

    /** A new folder that goes away with the house. */
    folder() {
        this.#folders += 1;
        return join(this.#root, String(this.#folders));
    }

    /**
     * Starts a server; `again` starts one in the place of another that has ended, on the same port.
     * @param {{config?: string, again?: Server}} [options] `config` is TOML
     */
    async server({ config = '', again } = {}) {
        const state = this.folder();
        const args = ['--tls', 'off', '--listen', `127.0.0.1:${again?.port ?? 0}`, '--state-dir', state];
        if (config) {
            args.push('--config', this.#file('server.toml', config));
        }
        const program = this.#start('signal-srv', args);
        const line = await program.logged('listening');
        const url = /url="?(https?:\/\/[^\s"]+?)\/?"?(\s|$)/u.exec(line)?.[1];
        if (!url) {
            throw new Error(`the server does not say where it listens: ${line}`);
        }
        return new Server(program, url);
    }

    /**
     * A camera that has a code, and does not run yet.
     * @param {Server} server
     * @param {{config?: string, source?: string}} [options] `config` is TOML
     */
    camera(server, { config = '', source = 'pattern' } = {}) {
        const args = ['--server', server.url.replace('http', 'ws'), '--state-dir', this.folder()];
        if (config) {
            args.push('--config', this.#file('camera.toml', config));
        }
        const start = () => this.#start('camera-fw', ['run', ...args, '--source', source]);
        return new Camera(args, start);
    }

    /** What the programs said last, for whoever reads a failed test. */
    explain() {
        return this.#programs.map((program) => program.lastLines()).join('\n');
    }

    async close() {
        await Promise.all(this.#programs.map((program) => program.stop()));
        rmSync(this.#root, { recursive: true, force: true });
    }

    /**
     * @param {string} name
     * @param {string[]} args
     */
    #start(name, args) {
        const program = new Program(name, args);
        this.#programs.push(program);
        return program;
    }

    /**
     * @param {string} name
     * @param {string} text
     */
    #file(name, text) {
        this.#folders += 1;
        const file = join(this.#root, `${this.#folders}-${name}`);
        writeFileSync(file, text);
        return file;
    }
}

export class Server {
    /**
     * @param {Program} program
     * @param {string} url without a slash at its end
     */
    constructor(program, url) {
        this.program = program;
        this.url = url;
        this.port = Number(new URL(url).port);
    }
}

export class Camera {
    #args;
    #start;
    /** @type {Program | null} */
    #program = null;

    /**
     * @param {string[]} args that every subcommand takes
     * @param {() => Program} start
     */
    constructor(args, start) {
        this.#args = args;
        this.#start = start;
    }

    get program() {
        if (!this.#program) {
            throw new Error('the camera does not run');
        }
        return this.#program;
    }

    /** The link that a person opens. */
    get link() {
        return this.#print('--link');
    }

    /** The code as 64 hex digits. */
    get code() {
        return this.#print('--hex');
    }

    /** Runs the camera and waits until it is in its room. */
    async start() {
        this.#program = this.#start();
        await this.#program.logged('joined');
        return this;
    }

    /** @param {NodeJS.Signals} [signal] */
    async stop(signal) {
        await this.program.stop(signal);
    }

    /** @param {string} what */
    #print(what) {
        const { stdout, stderr, status } = spawnSync(binary('camera-fw'), ['code', what, ...this.#args], {
            encoding: 'utf8',
        });
        if (status !== 0) {
            throw new Error(`camera-fw code ${what} failed: ${stderr}`);
        }
        return stdout.trim();
    }
}
