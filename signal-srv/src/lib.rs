//! Roomcam's signaling server: brings cameras and viewers together, and serves the viewer page.
//!
//! It relays opaque signals between the clients of a room and keeps nothing: no account, no history,
//! no file but its own certificate. The protocol is in `docs/protocol.md`, its messages in [`signal_proto`].
//!
//! ```text
//! main.rs ── config.rs ── logging.rs
//!    │
//! server.rs   bind, accept, limits (limits.rs), shutdown; certificate (tls.rs, tls/self_signed.rs)
//!    │ one task per connection
//! http.rs     the page, /healthz, upgrade
//!    │
//! connection.rs  one WebSocket ──▶ hub.rs  rooms and outboxes, one short lock
//!    ▲                               │        └── room.rs  who may enter, who hears whom; pure
//!    └────────── outbox.rs ◀─────────┘
//! ```

pub mod config;
mod connection;
mod http;
mod hub;
mod limits;
pub mod logging;
mod outbox;
mod room;
mod server;
mod tls;

pub use config::{Config, Tls};
pub use hub::Stats;
pub use limits::Limits;
pub use server::{Server, ServerError};
pub use tls::TlsError;
