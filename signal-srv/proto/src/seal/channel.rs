//! What follows the handshake: signals, sealed and in order.

use std::fmt;

use serde_json::value::RawValue;
use snow::TransportState;

use super::SealError;
use super::form::{self, SEALED_BYTES};
use crate::Signal;

/// One end of a sealed channel. Messages open in the order in which they were sealed, each once. The first that does not
/// open closes the receiving direction for good: a server that interferes gets nothing more through. A message that
/// opens and is no signal is the other end's own doing, it may be newer than this program, and closes nothing.
pub struct Channel {
    noise: TransportState,
    closed: bool,
}

impl Channel {
    pub(super) fn new(noise: TransportState) -> Self {
        Self { noise, closed: false }
    }

    /// Seals a signal for the other end.
    ///
    /// # Errors
    /// If it is too long.
    pub fn seal(&mut self, signal: &Signal) -> Result<Box<RawValue>, SealError> {
        let plaintext = form::pad(signal.encode().get().as_bytes())?;
        let mut sealed = vec![0; SEALED_BYTES.min(plaintext.len() + 16)];
        let length = self.noise.write_message(&plaintext, &mut sealed).map_err(|_| SealError::Closed)?;
        Ok(form::encode(&sealed[..length]))
    }

    /// Opens what the other end sealed.
    ///
    /// # Errors
    /// If it was changed, repeated, left out of order, or sealed by somebody else; and after that, always.
    /// [`SealError::Signal`] if it opens and is no signal.
    pub fn open(&mut self, sealed: &RawValue) -> Result<Signal, SealError> {
        if self.closed {
            return Err(SealError::Closed);
        }
        let opened = self.open_next(sealed);
        self.closed = matches!(&opened, Err(error) if !matches!(error, SealError::Signal(_)));
        opened
    }

    fn open_next(&mut self, sealed: &RawValue) -> Result<Signal, SealError> {
        let sealed = form::decode::<SEALED_BYTES>(sealed)?;
        let mut plaintext = vec![0; sealed.len()];
        let length = self.noise.read_message(&sealed, &mut plaintext).map_err(|_| SealError::Tampered)?;
        let signal = form::unpad(&plaintext[..length])?;
        Signal::decode_slice(signal).map_err(SealError::Signal)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("closed", &self.closed).finish_non_exhaustive()
    }
}
