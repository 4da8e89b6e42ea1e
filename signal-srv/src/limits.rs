//! What one client, and all of them together, may take from the server.

use std::time::Duration;

/// Time-outs and sizes. The defaults suit every installation; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most TCP connections at once. Beyond it the kernel's accept queue holds the newcomers.
    pub connections: usize,
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// For one HTTP request head, and for the pause between two requests.
    pub http_head: Duration,
    /// For all HTTP requests of one connection together; a WebSocket begins anew.
    pub http_total: Duration,
    /// From `HELLO` to `JOIN_OR_CREATE`.
    pub join: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// So many pings without a sign of life end the connection.
    pub missed_pings: u32,
    /// For one message to be taken by the socket.
    pub write: Duration,
    /// For `ERROR`, the close frame, its answer and whatever is still on the way.
    pub farewell: Duration,
    /// Most messages that wait for one client.
    pub outbox_messages: usize,
    /// Most bytes that wait for one client, unless a single message has more.
    pub outbox_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            tls_handshake: Duration::from_secs(5),
            http_head: Duration::from_secs(5),
            http_total: Duration::from_secs(30),
            join: Duration::from_secs(5),
            ping: Duration::from_secs(15),
            missed_pings: 2,
            write: Duration::from_secs(5),
            farewell: Duration::from_secs(2),
            outbox_messages: 64,
            outbox_bytes: 256 * 1024,
        }
    }
}
