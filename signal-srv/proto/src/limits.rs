//! Limits on what a peer may send. The receiver enforces them before it parses.

/// Largest WebSocket message in either direction, in bytes. An SDP with candidates is 2 to 6 KB.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Longest SDP that a signal may carry, in bytes.
pub const SDP_BYTES: usize = 32 * 1024;

/// Longest candidate line that a signal may carry, in bytes (RFC 8839 §5.1 lines stay under 300).
pub const CANDIDATE_BYTES: usize = 1024;

/// Most clients in a pair room.
pub const PAIR_CLIENTS: usize = 2;

/// Most cameras (claimants) in a role room.
pub const ROLE_CAMERAS: usize = 4;

/// Most viewers in a role room unless the server is configured otherwise.
pub const ROLE_VIEWERS_DEFAULT: usize = 16;
