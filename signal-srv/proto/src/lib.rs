//! The wire protocol of Roomcam's signaling, shared by the server, the camera and their tests.
//!
//! One JSON object per *binary* WebSocket message, adjacently tagged (`type`, `data`).
//! `docs/protocol.md` is the specification; the snapshots in `tests/` pin every message.
//!
//! ```text
//! bytes ──decode──▶ ClientMessage<'_>  (server reads)        codec.rs
//! bytes ──decode──▶ ServerMessage<'_>  (camera, tests read)  codec.rs
//! ClientMessage / ServerMessage ──encode──▶ Bytes            codec.rs
//! signal (opaque to the server) ──▶ Signal                   signal.rs, or sealed: seal/
//! ```
//!
//! What comes from the network is decoded strictly, within [`limits`], without a panic, and without
//! a copy of the signal: it is a borrowed [`serde_json::value::RawValue`] that goes out as it came in.

mod codec;
mod error_code;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod id;
pub mod limits;
mod message;
mod redact;
#[cfg(feature = "seal")]
pub mod seal;
mod signal;

pub use codec::{DecodeError, decode_client, decode_server, encode_client, encode_server};
pub use error_code::ErrorCode;
pub use id::{IdError, PeerId, RoomId};
pub use message::{ClientMessage, IceServer, Join, Joined, Member, Role, RoomEvent, ServerMessage};
pub use redact::Redacted;
pub use serde_json::value::RawValue;
pub use signal::{ByeReason, Candidate, PictureState, Sdp, Signal, SignalError};
