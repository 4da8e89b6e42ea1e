//! The handshake: one message each way, after which the viewer knows that it talks to the camera of its code.

use serde_json::value::RawValue;
use snow::HandshakeState;

use super::channel::Channel;
use super::code::Code;
use super::{SealError, form};
use crate::PeerId;

const PATTERN: &str = "Noise_NXpsk0_25519_AESGCM_SHA256";
const PROTOCOL: &[u8] = b"roomcam/1";

/// `psk, e` and an empty payload: key and tag.
pub(super) const FIRST_BYTES: usize = 32 + 16;
/// `e, ee, s, es` and the nonce: key, sealed key, sealed nonce.
pub(super) const PROOF_BYTES: usize = 32 + 48 + 48;

/// The two that talk, by the ids that the server gave them.
pub(super) struct Ids {
    pub(super) viewer: PeerId,
    pub(super) camera: PeerId,
}

impl Ids {
    /// What both must agree on: a handshake of other peers or of another room does not open.
    pub(super) fn prologue(&self, code: &Code) -> Vec<u8> {
        [PROTOCOL, code.room().as_bytes(), self.viewer.as_bytes(), self.camera.as_bytes()].concat()
    }
}

/// Ephemeral keys are given by test vectors only.
pub(super) fn builder(ephemeral: Option<&[u8; 32]>) -> snow::Builder<'_> {
    let builder = snow::Builder::new(PATTERN.parse().expect("snow knows the pattern"));
    match ephemeral {
        Some(key) => builder.fixed_ephemeral_key_for_testing_only(key),
        None => builder,
    }
}

/// A viewer's handshake with one that claims to be its camera.
pub struct ViewerHandshake {
    noise: HandshakeState,
    code: Code,
}

impl ViewerHandshake {
    /// Begins: gives the message for the camera.
    ///
    /// # Errors
    /// If the operating system has no random bits.
    pub fn begin(code: &Code, viewer: PeerId, camera: PeerId) -> Result<(Self, Box<RawValue>), SealError> {
        Self::begin_with(code, viewer, camera, None)
    }

    pub(super) fn begin_with(
        code: &Code,
        viewer: PeerId,
        camera: PeerId,
        ephemeral: Option<&[u8; 32]>,
    ) -> Result<(Self, Box<RawValue>), SealError> {
        let (prologue, psk) = (Ids { viewer, camera }.prologue(code), code.psk());
        let mut noise = builder(ephemeral)
            .psk(0, &psk)
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(snow::Builder::build_initiator)
            .map_err(|_| SealError::Handshake)?;
        let mut first = [0; FIRST_BYTES];
        let length = noise.write_message(&[], &mut first).map_err(|_| SealError::Handshake)?;
        Ok((Self { noise, code: *code }, form::encode(&first[..length])))
    }

    /// Takes the reply, and accepts it from nobody but the camera that the code commits to.
    ///
    /// # Errors
    /// [`SealError::Handshake`] if it does not open, [`SealError::NotTheCamera`] if it is someone else's.
    pub fn finish(mut self, reply: &RawValue) -> Result<Channel, SealError> {
        let reply = form::decode::<PROOF_BYTES>(reply)?;
        let mut nonce = [0; 32];
        let length = self.noise.read_message(&reply, &mut nonce).map_err(|_| SealError::Handshake)?;
        let public_key = self.noise.get_remote_static().and_then(|key| <&[u8; 32]>::try_from(key).ok());
        match public_key {
            Some(key) if length == nonce.len() && Code::commit(key, &nonce) == self.code => {}
            _ => return Err(SealError::NotTheCamera),
        }
        Ok(Channel::new(self.noise.into_transport_mode().map_err(|_| SealError::Handshake)?))
    }
}

impl std::fmt::Debug for ViewerHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ViewerHandshake")
    }
}
