/**
 * Which signaling server the page goes to. Pure.
 *
 * The page's own, as a rule. A page that is hosted elsewhere, by whoever does not want to take it from the server that
 * introduces camera and viewer, names the server in `<meta name="roomcam-server">`.
 */

/**
 * @param {string} content of the meta element; empty for the page's own server
 * @param {{protocol: string, host: string}} location of the page
 * @returns {string | null} the address of its WebSocket, or null where the content is none
 */
export function serverUrl(content, location) {
    const named = content.trim();
    if (named === '') {
        return `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/ws`;
    }
    /** @type {URL} */
    let url;
    try {
        url = new URL(named);
    } catch {
        return null;
    }
    const { protocol, hostname, username, password, hash } = url;
    // Without TLS only where nobody is in between.
    const safe = protocol === 'wss:' || (protocol === 'ws:' && /^(localhost|127\.0\.0\.1|\[::1\])$/u.test(hostname));
    return safe && !username && !password && !hash ? url.href : null;
}
