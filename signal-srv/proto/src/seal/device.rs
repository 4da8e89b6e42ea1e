//! The camera's long-term secret.

use std::fmt;

use serde_json::value::RawValue;
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver as _, DefaultResolver};

use super::SealError;
use super::channel::Channel;
use super::code::Code;
use super::form;
use super::handshake::{self, Ids, PROOF_BYTES};
use crate::PeerId;

/// An X25519 key pair (RFC 7748) and the random bits that blind the code's commitment to it. It is made once for a
/// camera; [`DeviceKey::code`] follows from it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey {
    private_key: [u8; 32],
    public_key: [u8; 32],
    nonce: [u8; 32],
}

/// The parts cannot be those of a camera: one of them is not random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of equal bytes is not random")]
pub struct WeakKey;

impl DeviceKey {
    /// A fresh one, from the random source of the operating system; waits until that is ready.
    ///
    /// # Panics
    /// If the operating system has no random source: nothing safe can go on without one.
    pub fn random() -> Self {
        let (mut private_key, mut nonce) = ([0; 32], [0; 32]);
        getrandom::fill(&mut private_key).expect("the operating system gives random bits");
        getrandom::fill(&mut nonce).expect("the operating system gives random bits");
        Self::new(private_key, nonce)
    }

    /// The one that was kept.
    ///
    /// # Errors
    /// If a part is made of equal bytes, as an erased file is.
    pub fn from_parts(private_key: [u8; 32], nonce: [u8; 32]) -> Result<Self, WeakKey> {
        let uniform = |bytes: &[u8; 32]| bytes.iter().all(|byte| *byte == bytes[0]);
        if uniform(&private_key) || uniform(&nonce) {
            return Err(WeakKey);
        }
        Ok(Self::new(private_key, nonce))
    }

    fn new(private_key: [u8; 32], nonce: [u8; 32]) -> Self {
        let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("snow has X25519");
        pair.set(&private_key);
        let mut public_key = [0; 32];
        public_key.copy_from_slice(pair.pubkey());
        Self { private_key, public_key, nonce }
    }

    /// What is to be kept, and never shown: the private key.
    pub fn private_key(&self) -> &[u8; 32] {
        &self.private_key
    }

    /// What is to be kept besides: the random bits in the code.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The code that is printed.
    pub fn code(&self) -> Code {
        Code::commit(&self.public_key, &self.nonce)
    }

    /// Answers the first message of a viewer: gives the reply, and the channel on which the viewer's next message
    /// proves that it is there now.
    ///
    /// # Errors
    /// If the message is not that of someone who has the code, for this room and these two ids.
    pub fn answer(
        &self,
        viewer: PeerId,
        camera: PeerId,
        first: &RawValue,
    ) -> Result<(Box<RawValue>, Channel), SealError> {
        self.answer_with(viewer, camera, first, None)
    }

    pub(super) fn answer_with(
        &self,
        viewer: PeerId,
        camera: PeerId,
        first: &RawValue,
        ephemeral: Option<&[u8; 32]>,
    ) -> Result<(Box<RawValue>, Channel), SealError> {
        let code = self.code();
        let first = form::decode::<{ handshake::FIRST_BYTES }>(first)?;
        let builder = handshake::builder(ephemeral);
        let (prologue, psk) = (Ids { viewer, camera }.prologue(&code), code.psk());
        let mut noise = builder
            .local_private_key(&self.private_key)
            .and_then(|builder| builder.psk(0, &psk))
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(snow::Builder::build_responder)
            .map_err(|_| SealError::Handshake)?;
        let mut payload = [0; 0];
        noise.read_message(&first, &mut payload).map_err(|_| SealError::Handshake)?;
        // Only now: this is work, and who has not the code is not worth it.
        handshake::refuse_low_order(&first)?;
        let mut reply = [0; PROOF_BYTES];
        let length = noise.write_message(&self.nonce, &mut reply).map_err(|_| SealError::Handshake)?;
        let transport = noise.into_transport_mode().map_err(|_| SealError::Handshake)?;
        Ok((form::encode(&reply[..length]), Channel::new(transport)))
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(redacted)")
    }
}
