//! Roomcam's signaling server: brings cameras and viewers together, and serves the viewer page.
//!
//! It relays opaque signals between the clients of a room and keeps nothing: no account, no history,
//! no file but its own certificate. The protocol is in `docs/protocol.md`, its messages in [`signal_proto`].
//!
//! ```text
//! main.rs ── config.rs ── logging.rs ── service.rs  what systemd is told ── sockets.rs  what it passes
//!    │
//! server.rs   limits (limits.rs), shutdown (drain.rs), life (pulse.rs); certificate (tls.rs, tls/); accept.rs: who comes
//!    │        redirect.rs: from port 80 to HTTPS; readiness.rs: whether clients should come
//!    │ one task per connection; admission.rs counts them, for each client (client.rs) and for all
//! http.rs     the page, /healthz, /readyz, upgrade, if the page's origin may (origin.rs)
//!    │
//!    │ settings.rs: what can be changed meanwhile; metrics.rs: what is counted
//! connection.rs  one WebSocket ──▶ hub.rs  rooms and outboxes, one short lock
//!    │ rate.rs                       │
//!    ▲                               │        └── room.rs  who may enter, who hears whom; pure
//!    └────────── outbox.rs ◀─────────┘   cluster/  several servers as one, through Redis
//! ```

mod accept;
mod admission;
mod client;
mod cluster;
pub mod config;
mod connection;
mod drain;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod hub;
mod limits;
pub mod logging;
mod metrics;
mod origin;
mod outbox;
mod pulse;
mod rate;
mod readiness;
mod redirect;
mod room;
mod server;
pub mod service;
mod settings;
mod sockets;
mod tls;

pub use client::Proxies;
pub use cluster::{ClusterAddress, ClusterError};
pub use config::{Acme, Config, Tls};
pub use hub::Stats;
pub use limits::Limits;
pub use origin::Origins;
pub use pulse::Pulse;
pub use server::{Server, ServerError};
pub use sockets::{Sockets, SocketsError};
pub use tls::TlsError;
