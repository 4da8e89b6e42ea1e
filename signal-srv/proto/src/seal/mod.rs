//! Sealed signaling: camera and viewer prove to each other that they belong to one printed code, and the server that
//! carries their messages can neither read nor change them. `docs/protocol.md` §8 is the specification.
//!
//! ```text
//!   DeviceKey (skC, pkC, r) ── SHA-256 ──▶ Code ── HKDF ──▶ room   the server learns this, and nothing else
//!                                               └─ HKDF ──▶ psk    goes into the handshake
//!
//!   viewer                                                  camera
//!   ViewerHandshake::begin ──── psk, e ─────────────────▶  DeviceKey::answer     only who has the code gets an answer
//!   ViewerHandshake::finish ◀── e, ee, s, es, r ──────────                       only who has skC can give it
//!   Channel ◀═══════════ signals, padded, in order ══════▶ Channel
//! ```
//!
//! The handshake is `Noise_NXpsk0_25519_AESGCM_SHA256` (Noise Protocol Framework, revision 34). The code commits to the
//! camera's public key: whoever learns it can watch, and still cannot pose as the camera. Each session has ephemeral
//! keys, so a code that leaks does not open what was recorded before.

mod channel;
mod code;
mod device;
mod form;
mod handshake;
#[cfg(test)]
mod vectors;

pub use channel::Channel;
pub use code::{Code, CodeError};
pub use device::{DeviceKey, WeakKey};
pub use handshake::ViewerHandshake;

use crate::SignalError;

/// Why a sealed message is not accepted, or cannot be made. None of these says more to the other side.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The signal is not `{"noise":"<base64url>"}`.
    #[error("the signal is not a sealed message")]
    Form,
    /// The first message of a handshake does not open: another code, another room, other ids, or changed on the way.
    #[error("the handshake does not open with this code")]
    Handshake,
    /// The other side has the code, but not the key that the code commits to.
    #[error("the camera could not prove that it belongs to this code")]
    NotTheCamera,
    /// Changed, repeated, out of order, or not meant for this channel.
    #[error("a sealed message does not open")]
    Tampered,
    /// It opens, and what is inside is not padded as it must be.
    #[error("a sealed message is padded wrongly")]
    Padding,
    /// It opens, and what is inside is no signal.
    #[error("a sealed message holds no signal: {0}")]
    Signal(#[source] SignalError),
    /// A signal too long to seal.
    #[error("the signal has {0} bytes, {limit} can be sealed", limit = form::SIGNAL_BYTES)]
    TooLarge(usize),
    /// Something that did not open came before: the channel is closed for good.
    #[error("the channel is closed")]
    Closed,
}
