//! The handshake: one message each way, after which the viewer knows that it talks to the camera of its code.

use serde_json::value::RawValue;
use snow::HandshakeState;
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver as _, DefaultResolver};

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

/// Refuses an ephemeral key whose Diffie-Hellman results are all zero (RFC 7748 §6.1); it is at the beginning of a
/// handshake message. The library computes on with one.
pub(super) fn refuse_low_order(message: &[u8]) -> Result<(), SealError> {
    let point = message.get(..32).ok_or(SealError::Handshake)?;
    let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519).ok_or(SealError::Handshake)?;
    // Any private key is a multiple of the cofactor, which takes such a point to zero.
    pair.set(&[1; 32]);
    let mut shared = [0; 32];
    pair.dh(point, &mut shared).map_err(|_| SealError::Handshake)?;
    if shared == [0; 32] { Err(SealError::Handshake) } else { Ok(()) }
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
        refuse_low_order(&reply)?;
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

#[cfg(test)]
mod tests {
    use snow::params::{CipherChoice, HashChoice};
    use snow::resolvers::CryptoResolver;
    use snow::types::{Cipher, Dh, Hash, Random};

    use super::*;
    use crate::seal::DeviceKey;

    #[test]
    fn a_key_that_gives_nothing_secret_is_refused() {
        let one = [[1].as_slice(), &[0; 31]].concat();
        let minus_one = [[0xec].as_slice(), &[0xff; 30], &[0x7f]].concat();
        let of_order_eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let of_order_eight: Code = of_order_eight.parse().unwrap();
        for point in [&[0; 32][..], &one, &minus_one, of_order_eight.as_bytes()] {
            assert!(matches!(refuse_low_order(point), Err(SealError::Handshake)));
        }
        assert!(refuse_low_order(&[9; 48]).is_ok());
        assert!(refuse_low_order(&[9; 31]).is_err());
    }

    /// X25519 whose public key is all zeros, as a viewer could send it.
    #[derive(Default)]
    struct Zeros;

    impl Dh for Zeros {
        fn name(&self) -> &'static str {
            "25519"
        }
        fn pub_len(&self) -> usize {
            32
        }
        fn priv_len(&self) -> usize {
            32
        }
        fn set(&mut self, _: &[u8]) {}
        fn generate(&mut self, _: &mut dyn Random) -> Result<(), snow::Error> {
            Ok(())
        }
        fn pubkey(&self) -> &[u8] {
            &[0; 32]
        }
        fn privkey(&self) -> &[u8] {
            &[0; 32]
        }
        fn dh(&self, _: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
            out.fill(0);
            Ok(())
        }
    }

    struct ZeroResolver;

    impl CryptoResolver for ZeroResolver {
        fn resolve_rng(&self) -> Option<Box<dyn Random>> {
            DefaultResolver.resolve_rng()
        }
        fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
            Some(Box::new(Zeros))
        }
        fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
            DefaultResolver.resolve_hash(choice)
        }
        fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
            DefaultResolver.resolve_cipher(choice)
        }
    }

    #[test]
    fn a_viewer_with_such_a_key_gets_no_answer_though_he_has_the_code() {
        let (device, viewer, camera) = (DeviceKey::random(), PeerId::random(), PeerId::random());
        let code = device.code();
        let (prologue, psk) = (Ids { viewer, camera }.prologue(&code), code.psk());
        let greet = |builder: snow::Builder<'_>| {
            let builder = builder.psk(0, &psk).unwrap().prologue(&prologue).unwrap();
            let mut first = [0; FIRST_BYTES];
            builder.build_initiator().unwrap().write_message(&[], &mut first).unwrap();
            (first, device.answer(viewer, camera, &form::encode(&first)))
        };
        assert!(greet(builder(None)).1.is_ok());
        let (first, answer) = greet(snow::Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(ZeroResolver)));
        assert!(first[..32] == [0; 32] && first[32..] != [0; 16]);
        assert!(matches!(answer, Err(SealError::Handshake)));
    }
}
