//! Plays the clients of `signal-srv` over real sockets: those who keep to the protocol, and those who do not.
//!
//! ```text
//! client.rs    a WebSocket over TLS, from an address of one's own; who it is, what it hears
//! server.rs    the program under test: its files, its process, its log, its metrics
//! soak/        everything at once, and what has to hold all the while
//! ```
//! For tests alone: nothing of it is part of what is shipped.

pub mod client;
pub mod server;
pub mod soak;
