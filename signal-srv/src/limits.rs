//! What one client, and all of them together, may take from the server.

use std::time::Duration;

/// Time-outs, sizes and rates. The defaults suit most installations; `[limits]` in the configuration changes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most WebSockets at once. Who comes later is told to come back (503).
    pub connections: usize,
    /// Most of them from one client: an IPv4 address, or the /64 of an IPv6 one.
    pub connections_per_address: usize,
    /// Most rooms that clients of one such address have made and that still exist.
    pub rooms_per_address: usize,
    /// Messages a second, of whatever kind, that are read from one connection in the long run; a camera talks with many
    /// viewers and has [`CAMERA_SHARES`] times as many.
    pub messages_per_second: usize,
    /// So many messages at once are no haste yet.
    pub message_burst: usize,
    /// Bytes of messages a second, in the same way.
    pub bytes_per_second: usize,
    /// So many bytes at once are no haste yet.
    pub byte_burst: usize,
    /// Who keeps sending faster than it is read for so long is refused.
    pub haste: Duration,
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
    /// How often the certificate's files are looked at.
    pub certificate_check: Duration,
    /// For one order to a certificate authority, from the first request to the certificate.
    pub acme_order: Duration,
    /// Until an order that failed is tried again for the first time; then twice as long each time, up to an hour.
    pub acme_retry: Duration,
    /// The longest that it takes to dismiss all clients when the server stops; few are dismissed faster.
    pub drain: Duration,
    /// For `ERROR`, the close frame, its answer and whatever is still on the way.
    pub farewell: Duration,
    /// Most messages that wait for one client.
    pub outbox_messages: usize,
    /// Most bytes that wait for one client, unless a single message has more.
    pub outbox_bytes: usize,
    /// A node of a cluster that has not been heard of for so long is dead.
    pub cluster_lease: Duration,
    /// For the cluster's Redis to answer.
    pub cluster_timeout: Duration,
}

/// What a camera may send, in shares of what anybody else may.
pub(crate) const CAMERA_SHARES: usize = 4;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 256,
            rooms_per_address: 64,
            messages_per_second: 20,
            message_burst: 60,
            bytes_per_second: 64 * 1024,
            byte_burst: 256 * 1024,
            haste: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(5),
            http_head: Duration::from_secs(5),
            http_total: Duration::from_secs(30),
            join: Duration::from_secs(5),
            ping: Duration::from_secs(15),
            missed_pings: 2,
            write: Duration::from_secs(5),
            certificate_check: Duration::from_secs(10),
            acme_order: Duration::from_secs(600),
            acme_retry: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            farewell: Duration::from_secs(2),
            outbox_messages: 64,
            outbox_bytes: 256 * 1024,
            cluster_lease: Duration::from_secs(10),
            cluster_timeout: Duration::from_secs(2),
        }
    }
}
