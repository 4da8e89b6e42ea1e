/** Where the page comes from: from a host that is not the server, and by plain HTTP. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { scenario } from './scenario.js';
import { ownAddresses } from './secrets.js';

/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const WEB = new URL('../../web/', import.meta.url);
const META = /(<meta name="roomcam-server" content=")(?=")/u;
const ADVICE = new URL('../../../docs/security.md', import.meta.url);

/**
 * The content policy that the documentation advises such a host to send.
 * @param {string} server
 */
async function policy(server) {
    const advice = (await readFile(ADVICE, 'utf8')).replaceAll(/\s+/gu, ' ');
    const advised = /`Content-Security-Policy: ([^`]+)`/u.exec(advice)?.[1] ?? '';
    assert.ok(advised.includes('connect-src wss://cam.example.org:8192;'), advised);
    return advised.replace('wss://cam.example.org:8192', server.replace(/\/ws$/u, ''));
}

/** A host of the page's files alone, as anybody can run one, with the server's address in the page. */
class Host {
    #files;
    /** @type {string[]} what it was asked for */
    asked = [];

    /** @param {string} server */
    constructor(server) {
        this.#files = createServer(async ({ url = '/' }, answer) => {
            this.asked.push(url);
            const path = url === '/' ? 'index.html' : url.slice(1);
            try {
                const file = await readFile(fileURLToPath(new URL(path, WEB)), 'utf8');
                answer.writeHead(200, {
                    'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
                    'content-security-policy': await policy(server),
                });
                answer.end(path === 'index.html' ? file.replace(META, `$1${server}`) : file);
            } catch {
                answer.writeHead(404).end();
            }
        });
    }

    /**
     * @param {string} server what stands in the page
     */
    static async of(server) {
        const host = new Host(server);
        await new Promise((resolve) => host.#files.listen(0, '127.0.0.1', () => resolve(null)));
        return host;
    }

    get url() {
        return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#files.address()).port}`;
    }

    async close() {
        this.#files.closeAllConnections();
        await new Promise((resolve) => this.#files.close(resolve));
    }
}

scenario('a page that is hosted elsewhere watches through the server that it names', async (stage) => {
    const { server, camera } = await stage.serverAndCamera();
    const host = stage.house.keep(await Host.of(`${server.url.replace('http', 'ws')}/ws`));
    const viewer = await stage.viewer(`${host.url}/${new URL(camera.link).hash}`);
    await viewer.shows('live');
    await viewer.watches();
    await viewer.remembers('Shed');
    await viewer.page.reload();
    await viewer.shows('live');
    await viewer.watches();
    assert.ok(host.asked.includes('/main.js'));
    const ofServer = viewer.page.requests.map((url) => new URL(url)).filter(({ host: at }) => at === new URL(server.url).host);
    assert.deepEqual(ofServer.filter(({ pathname }) => pathname !== '/ws'), [], 'nothing of the page comes from the server');
});

scenario('a page that names no proper server says so, and asks nobody', async (stage) => {
    const server = await stage.house.server();
    const camera = stage.house.camera(server);
    for (const named of ['http://127.0.0.1:8192', 'ws://cam.example.org', 'nonsense']) {
        const host = stage.house.keep(await Host.of(named));
        const viewer = await stage.viewer(`${host.url}/${new URL(camera.link).hash}`);
        await viewer.shows('misconfigured');
        assert.equal(await viewer.page.run(() => window.location.hash), '');
        assert.deepEqual(viewer.page.requests.filter((url) => !url.startsWith(host.url) && !url.startsWith('data:')), []);
        await viewer.leave();
    }
});

scenario('a page that came by plain HTTP says so, and takes no code to the server', async (stage) => {
    const [address] = ownAddresses().filter((own) => /^\d+(?:\.\d+){3}$/u.test(own));
    assert.ok(address, 'this machine needs a network interface besides loopback');
    const server = await stage.house.server({ host: '0.0.0.0', args: ['--behind-proxy'] });
    const camera = await stage.house.camera({ url: `http://127.0.0.1:${server.port}` }).start();
    const connected = () => server.program.log.filter((line) => line.includes('client connected')).length;
    const before = connected();
    const viewer = await stage.viewer(`http://${address}:${server.port}/${new URL(camera.link).hash}`, { axe: true });
    await viewer.shows('insecure');
    await viewer.shot('insecure');
    assert.equal(await viewer.page.run(() => window.location.hash), '', 'the code leaves the address bar all the same');
    assert.deepEqual(await viewer.axe(), []);
    assert.deepEqual([await viewer.made(), connected()], [0, before]);
});
