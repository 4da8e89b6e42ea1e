/**
 * The real server and real cameras, each run with a state folder of its own and a port that the system picks, and evil
 * servers between them; afterwards, what their logs have given away.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EvilServer } from './evil_server.js';
import { identityOf } from './fake_camera.js';
import { Program, binary } from './programs.js';
import { Secrets } from './secrets.js';

/** Servers and the cameras around them, with everything that must be cleaned up behind them. */
export class House {
    /** @type {Program[]} */
    #programs = [];
    /** @type {Camera[]} */
    #cameras = [];
    /** @type {{close: () => Promise<unknown>}[]} */
    #others = [];
    /** @type {string[]} */
    #listening = [];
    #folders = 0;
    #root = mkdtempSync(join(tmpdir(), 'roomcam-'));

    /** A new folder that goes away with the house. */
    folder() {
        this.#folders += 1;
        return join(this.#root, String(this.#folders));
    }

    /**
     * Starts a server; `again` starts one in the place of another that has ended, on the same port.
     * @param {{config?: string, again?: Server, host?: string, args?: string[]}} [options] `config` is TOML
     */
    async server({ config = '', again, host = '127.0.0.1', args: more = [] } = {}) {
        const state = this.folder();
        const args = ['--tls', 'off', '--listen', `${host}:${again?.port ?? 0}`, '--state-dir', state, ...more];
        if (config) {
            args.push('--config', this.#file('server.toml', config));
        }
        const program = this.#start('signal-srv', args);
        const line = await program.logged('listening');
        const url = /url="?(https?:\/\/[^\s"]+?)\/?"?(\s|$)/u.exec(line)?.[1];
        if (!url) {
            throw new Error(`the server does not say where it listens: ${line}`);
        }
        this.#listening.push(new URL(url).host);
        return new Server(program, url);
    }

    /**
     * An evil server before a real one.
     * @param {{url: string}} server
     */
    async evil(server) {
        return this.keep(await EvilServer.before(server));
    }

    /**
     * Closes something else together with the house.
     * @template {{close: () => Promise<unknown>}} T
     * @param {T} other
     */
    keep(other) {
        this.#others.push(other);
        return other;
    }

    /**
     * A camera that has a code, and does not run yet.
     * @param {{url: string}} server
     * @param {{config?: string, source?: string, cloned?: Camera}} [options] `config` is TOML; `cloned` is a camera whose
     *     state, the identity with it, this one begins with
     */
    camera(server, { config = '', source = 'pattern', cloned } = {}) {
        const state = this.folder();
        if (cloned) {
            cpSync(cloned.state, state, { recursive: true });
        }
        const args = ['--server', server.url.replace('http', 'ws'), '--state-dir', state];
        if (config) {
            args.push('--config', this.#file('camera.toml', config));
        }
        const start = () => this.#start('camera-fw', ['run', ...args, '--source', source]);
        const camera = new Camera(state, args, start);
        this.#cameras.push(camera);
        return camera;
    }

    /** What the programs said last, for whoever reads a failed test. */
    explain() {
        return this.#programs.map((program) => program.lastLines()).join('\n');
    }

    /**
     * Ends everything.
     * @returns {Promise<string[]>} what the programs' logs have given away; empty is good
     */
    async close() {
        await Promise.all(this.#programs.map((program) => program.stop()));
        await Promise.all(this.#others.map((other) => other.close()));
        const secrets = new Secrets();
        this.#cameras.forEach((camera) => camera.secrets(secrets));
        const leaks = this.#programs.flatMap(({ name, log }) => {
            return secrets.inLog(log, this.#listening).map((leak) => `    ${name} | ${leak}`);
        });
        rmSync(this.#root, { recursive: true, force: true });
        return leaks;
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
    /** Those that were replaced are no less secret. @type {Map<string, {name: string, bytes: Buffer}>} */
    #secrets = new Map();

    /**
     * @param {string} state its folder
     * @param {string[]} args that every subcommand takes
     * @param {() => Program} start
     */
    constructor(state, args, start) {
        this.state = state;
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
        return this.#command('code', '--link');
    }

    /** The code as 64 hex digits. */
    get code() {
        return this.#command('code', '--hex');
    }

    /** What is printed after the code, to find a mistyped digit: 4 hex digits. */
    get checkDigits() {
        const groups = this.#command('code').match(/\b[0-9a-f]{4}\b/giu) ?? [];
        return groups.at(-1) ?? '';
    }

    /** What it keeps in its state, as a thief of its card has it. */
    async identity() {
        this.#note();
        const value = (/** @type {string} */ key) => {
            return [...this.#secrets.values()].findLast(({ name }) => name === key)?.bytes.toString('hex') ?? '';
        };
        return identityOf(value('private_key'), value('nonce'));
    }

    /** Gets a new identity; what runs goes on with the old one until it is started again. */
    rekey() {
        this.#note();
        this.#command('rekey', '--yes');
    }

    /** Runs the camera and waits until it is in its room. */
    async start() {
        this.#program = this.#start();
        await this.#program.logged('joined');
        return this;
    }

    /** Somebody at the camera switches the picture off. */
    pause() {
        this.program.signal('SIGUSR1');
    }

    /** Somebody at the camera switches the picture on again. */
    resume() {
        this.program.signal('SIGUSR2');
    }

    /** @param {NodeJS.Signals} [signal] */
    async stop(signal) {
        await this.program.stop(signal);
    }

    /**
     * Adds what nobody else may know of it.
     * @param {Secrets} secrets
     * @param {{room?: boolean}} [options] without `room`, as far as a server may not know it either
     */
    secrets(secrets, options) {
        this.#note();
        for (const [hex, { name, bytes }] of this.#secrets) {
            if (name === 'code') {
                secrets.addCode(hex, options);
            } else {
                secrets.add(`the ${name} of an identity`, bytes);
            }
        }
        return secrets;
    }

    #note() {
        const add = (/** @type {string} */ name, /** @type {string} */ hex) => {
            this.#secrets.set(hex, { name, bytes: Buffer.from(hex, 'hex') });
        };
        add('code', this.code);
        const file = join(this.state, 'identity');
        const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
        for (const [, key = '', value = ''] of text.matchAll(/^(private_key|nonce)\s*=\s*"([0-9a-f]{64})"/gmu)) {
            add(key, value);
        }
    }

    /** @param {string[]} command */
    #command(...command) {
        const { stdout, stderr, status } = spawnSync(binary('camera-fw'), [...command, ...this.#args], {
            encoding: 'utf8',
        });
        if (status !== 0) {
            throw new Error(`camera-fw ${command.join(' ')} failed: ${stderr}`);
        }
        return stdout.trim();
    }
}
