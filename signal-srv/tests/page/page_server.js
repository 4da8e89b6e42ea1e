/**
 * The page as a static host would serve it, under the headers that signal-srv sends.
 */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
const POLICY =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
    "require-trusted-types-for 'script'";
/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/**
 * A server that does not listen yet. `?server=URL` puts the URL where a host of the page would name its signaling server.
 * @returns {import('node:http').Server}
 */
export function pageServer() {
    return createServer((request, response) => {
        const { pathname, searchParams } = new URL(request.url ?? '/', 'http://host');
        const path = normalize(pathname);
        const file = path === '/' ? 'index.html' : path.slice(1);
        try {
            const text = readFileSync(join(WEB, file), 'utf8');
            // As whoever hosts the page elsewhere would put it in.
            const content = text.replace('name="roomcam-server" content=""', `name="roomcam-server" content="${searchParams.get('server') ?? ''}"`);
            response.writeHead(200, {
                'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
                'content-security-policy': POLICY,
                'permissions-policy': 'camera=(self), microphone=(), fullscreen=(self)',
                'x-content-type-options': 'nosniff',
            });
            response.end(content);
        } catch {
            response.writeHead(404).end();
        }
    });
}
