//! Whoever holds the printed code but not the camera's private key cannot pose as the camera: a viewer accepts none of a
//! thousand attempts of each kind.
//!
//! The impostors here are built of the Noise library itself, with every rule of the protocol at their disposal: they know
//! the code, so the room and the pre-shared key, they open the viewer's message and answer it in perfect form.

#![cfg(feature = "seal")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;

use changes::{bytes, message};
use ring::hkdf::{HKDF_SHA256, Salt};
use signal_proto::seal::{Code, DeviceKey, SealError, ViewerHandshake};
use signal_proto::{PeerId, RawValue, Signal};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};

const ATTEMPTS: usize = 1000;
const PATTERN: &str = "Noise_NXpsk0_25519_AESGCM_SHA256";

/// What the code gives to everyone who has it, by RFC 5869 and the specification alone.
fn pre_shared_key(code: &Code) -> [u8; 32] {
    let mut key = [0; 32];
    let material = Salt::new(HKDF_SHA256, b"roomcam/1").extract(code.as_bytes());
    material.expand(&[b"psk"], HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

fn public_key(private_key: &[u8; 32]) -> [u8; 32] {
    let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519).unwrap();
    pair.set(private_key);
    pair.pubkey().try_into().unwrap()
}

fn random() -> [u8; 32] {
    *DeviceKey::random().nonce()
}

/// The camera that is meant, and a viewer that greets whoever claims to be it.
struct Scene {
    camera: DeviceKey,
    viewer_id: PeerId,
    claimant_id: PeerId,
}

impl Scene {
    fn new() -> Self {
        Self { camera: DeviceKey::random(), viewer_id: PeerId::random(), claimant_id: PeerId::random() }
    }

    fn greet(&self) -> (ViewerHandshake, Box<RawValue>) {
        ViewerHandshake::begin(&self.camera.code(), self.viewer_id, self.claimant_id).unwrap()
    }

    fn public_key(&self) -> [u8; 32] {
        public_key(self.camera.private_key())
    }

    fn prologue(&self) -> Vec<u8> {
        let room = self.camera.code().room();
        [b"roomcam/1", room.as_bytes().as_slice(), self.viewer_id.as_bytes(), self.claimant_id.as_bytes()].concat()
    }

    /// The reply of one who has the code, with this static key, this lie about it, and this nonce.
    fn impostor(&self, private_key: &[u8; 32], lie: Lie, nonce: &[u8], first: &RawValue) -> Box<RawValue> {
        let psk = pre_shared_key(&self.camera.code());
        let prologue = self.prologue();
        let builder = snow::Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(Liar(lie)));
        let builder = builder.psk(0, &psk).unwrap().prologue(&prologue).unwrap();
        let mut noise = builder.local_private_key(private_key).unwrap().build_responder().unwrap();
        noise.read_message(&bytes(first), &mut []).expect("the impostor has the code");
        let mut reply = [0; 1024];
        let length = noise.write_message(nonce, &mut reply).unwrap();
        message(&reply[..length])
    }

    /// How many of the impostor's replies the viewer accepts.
    fn accepted(&self, mut reply: impl FnMut(usize, &RawValue) -> Box<RawValue>) -> usize {
        let accepts = |attempt: &usize| {
            let (handshake, first) = self.greet();
            handshake.finish(&reply(*attempt, &first)).is_ok()
        };
        (0..ATTEMPTS).filter(accepts).count()
    }
}

/// What an impostor shows as its static public key, and what it takes for the secret that it does not share.
#[derive(Clone, Copy)]
enum Lie {
    /// It is honest about its own key.
    None,
    /// A public key whose private key it has not; it reckons with its own.
    Key([u8; 32]),
    /// The same, reckoning with a shared secret of these bytes.
    KeyAndSecret([u8; 32], [u8; 32]),
}

/// Noise's own primitives, but for a static key pair that lies.
struct Liar(Lie);

impl CryptoResolver for Liar {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let pair = DefaultResolver.resolve_dh(choice)?;
        Some(Box::new(LyingPair { pair, lie: self.0, is_static: false }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct LyingPair {
    pair: Box<dyn Dh>,
    lie: Lie,
    is_static: bool,
}

impl Dh for LyingPair {
    fn name(&self) -> &'static str {
        self.pair.name()
    }

    fn pub_len(&self) -> usize {
        self.pair.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.pair.priv_len()
    }

    /// Only the static key is given; the ephemeral one is generated.
    fn set(&mut self, private_key: &[u8]) {
        self.pair.set(private_key);
        self.is_static = true;
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        self.pair.generate(random)
    }

    fn pubkey(&self) -> &[u8] {
        match &self.lie {
            Lie::Key(shown) | Lie::KeyAndSecret(shown, _) if self.is_static => shown,
            _ => self.pair.pubkey(),
        }
    }

    fn privkey(&self) -> &[u8] {
        self.pair.privkey()
    }

    fn dh(&self, public_key: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        match &self.lie {
            Lie::KeyAndSecret(_, secret) if self.is_static => out[..32].copy_from_slice(secret),
            _ => self.pair.dh(public_key, out)?,
        }
        Ok(())
    }
}

#[test]
fn the_true_camera_is_accepted_also_if_it_is_built_of_the_library_alone() {
    let scene = Scene::new();
    let (private_key, nonce) = (scene.camera.private_key(), scene.camera.nonce());
    assert_eq!(scene.accepted(|_, first| scene.impostor(private_key, Lie::None, nonce, first)), ATTEMPTS);
}

#[test]
fn a_key_and_a_nonce_of_its_own_prove_nothing() {
    let scene = Scene::new();
    let reply = |_, first: &RawValue| scene.impostor(&random(), Lie::None, &random(), first);
    assert_eq!(scene.accepted(reply), 0);
    let (handshake, first) = scene.greet();
    let reply = scene.impostor(&random(), Lie::None, &random(), &first);
    let refusal = handshake.finish(&reply).unwrap_err();
    assert!(matches!(refusal, SealError::NotTheCamera), "it opens, so it had the code: {refusal}");
}

#[test]
fn the_true_nonce_with_another_key_proves_nothing() {
    let scene = Scene::new();
    let nonce = scene.camera.nonce();
    assert_eq!(scene.accepted(|_, first| scene.impostor(&random(), Lie::None, nonce, first)), 0);
}

#[test]
fn the_true_key_shown_but_not_held_proves_nothing() {
    let scene = Scene::new();
    let (shown, nonce) = (scene.public_key(), *scene.camera.nonce());
    assert_eq!(scene.accepted(|_, first| scene.impostor(&random(), Lie::Key(shown), &nonce, first)), 0);
    let guesses =
        [[0; 32], [1; 32], shown, nonce, pre_shared_key(&scene.camera.code()), *scene.camera.code().as_bytes()];
    let guess = |attempt: usize| guesses.get(attempt).copied().unwrap_or_else(random);
    let reply =
        |attempt, first: &RawValue| scene.impostor(&random(), Lie::KeyAndSecret(shown, guess(attempt)), &nonce, first);
    assert_eq!(scene.accepted(reply), 0);
}

#[test]
fn a_key_for_which_everybody_knows_the_secret_proves_nothing() {
    // Points of small order (RFC 7748 §6.1): whatever the other side's key, the shared secret is zero.
    let small = [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }];
    let scene = Scene::new();
    let nonce = scene.camera.nonce();
    let reply = |attempt: usize, first: &RawValue| {
        scene.impostor(&random(), Lie::KeyAndSecret(small[attempt % 2], [0; 32]), nonce, first)
    };
    assert_eq!(scene.accepted(reply), 0);
}

#[test]
fn a_genuine_reply_repeated_proves_nothing() {
    let scene = Scene::new();
    // Every one that the camera ever gave to this viewer, even under the very same ids.
    let genuine: Vec<Box<RawValue>> = (0..50)
        .map(|_| {
            let (handshake, first) = scene.greet();
            let (reply, mut camera) = scene.camera.answer(scene.viewer_id, scene.claimant_id, &first).unwrap();
            let mut viewer = handshake.finish(&reply).unwrap();
            assert!(camera.open(&viewer.seal(&Signal::Start).unwrap()).unwrap() == Signal::Start);
            reply
        })
        .collect();
    assert_eq!(scene.accepted(|attempt, _| genuine[attempt % genuine.len()].clone()), 0);
    // Its ephemeral key or its sealed parts with parts of the impostor's own.
    let mixed = |attempt: usize, first: &RawValue| {
        let own = bytes(&scene.impostor(&random(), Lie::Key(scene.public_key()), scene.camera.nonce(), first));
        let theirs = bytes(&genuine[attempt % genuine.len()]);
        let cut = [32, 80][attempt % 2];
        match attempt % 4 {
            0 | 1 => message(&[&theirs[..cut], &own[cut..]].concat()),
            _ => message(&[&own[..cut], &theirs[cut..]].concat()),
        }
    };
    assert_eq!(scene.accepted(mixed), 0);
}

#[test]
fn a_go_between_cannot_let_the_true_camera_prove_itself_for_it() {
    let scene = Scene::new();
    // The viewer greets the impostor, which passes the greeting on to the camera as its own or as the viewer's.
    let camera_id = PeerId::random();
    let relayed = |attempt: usize, first: &RawValue| {
        let from = if attempt.is_multiple_of(2) { scene.viewer_id } else { scene.claimant_id };
        match scene.camera.answer(from, camera_id, first) {
            Ok((reply, _)) => reply,
            // The camera does not answer, so the impostor asks on its own and passes that on.
            Err(_) => {
                let (_, own) = ViewerHandshake::begin(&scene.camera.code(), from, camera_id).unwrap();
                scene.camera.answer(from, camera_id, &own).unwrap().0
            }
        }
    };
    assert_eq!(scene.accepted(relayed), 0);
}

#[test]
fn a_reply_without_the_whole_nonce_proves_nothing() {
    let scene = Scene::new();
    let (private_key, nonce) = (scene.camera.private_key(), scene.camera.nonce());
    // Even the true camera would not be believed.
    let reply = |attempt: usize, first: &RawValue| {
        let longer = [nonce.as_slice(), &[0; 8]].concat();
        let nonce = if attempt.is_multiple_of(2) { &nonce[..attempt % 32] } else { &longer[..33 + attempt % 8] };
        scene.impostor(private_key, Lie::None, nonce, first)
    };
    assert_eq!(scene.accepted(reply), 0);
}

/// A viewer's end of the channel, made of the library, that seals any plaintext; and the camera's end.
fn ill_mannered(scene: &Scene) -> (snow::TransportState, signal_proto::seal::Channel) {
    let (psk, prologue) = (pre_shared_key(&scene.camera.code()), scene.prologue());
    let builder = snow::Builder::new(PATTERN.parse().unwrap()).psk(0, &psk).unwrap();
    let mut noise = builder.prologue(&prologue).unwrap().build_initiator().unwrap();
    let mut first = [0; 48];
    noise.write_message(&[], &mut first).unwrap();
    let (reply, camera) = scene.camera.answer(scene.viewer_id, scene.claimant_id, &message(&first)).unwrap();
    noise.read_message(&bytes(&reply), &mut [0; 32]).unwrap();
    (noise.into_transport_mode().unwrap(), camera)
}

#[test]
fn wrong_padding_closes_the_channel_and_an_unknown_signal_does_not() {
    let scene = Scene::new();
    let padded = |json: &[u8], length: usize| {
        let mut plaintext = vec![0; length];
        plaintext[..2].copy_from_slice(&(json.len() as u16).to_be_bytes());
        plaintext[2..2 + json.len()].copy_from_slice(json);
        plaintext
    };
    let start = br#"{"type":"start"}"#;
    let mut not_zero = padded(start, 1024);
    not_zero[1023] = 1;
    let mut too_long = padded(start, 1024);
    too_long[..2].copy_from_slice(&[0xff, 0xff]);
    let deep = "[".repeat(900);
    let wrong = [
        Vec::new(),
        vec![0],
        start.to_vec(),
        padded(start, 18),
        padded(start, 1023),
        padded(start, 1025),
        padded(start, 2048),
        not_zero,
        too_long,
        padded(&[b' '; 48 * 1024], 49 * 1024),
    ];
    let unknown = [
        vec![0; 1024],
        padded(b"null", 1024),
        padded(b"{}", 1024),
        padded(br#"{"type":"offer"}"#, 1024),
        padded(br#"{"type":"start"}{}"#, 1024),
        padded(b"{\"type\":\"\xff\"}", 1024),
        padded(deep.as_bytes(), 1024),
    ];
    for (plaintext, closes) in wrong.map(|it| (it, true)).into_iter().chain(unknown.map(|it| (it, false))) {
        let (mut viewer, mut camera) = ill_mannered(&scene);
        let mut seal = |plaintext: &[u8]| {
            let mut sealed = vec![0; plaintext.len() + 16];
            viewer.write_message(plaintext, &mut sealed).unwrap();
            message(&sealed)
        };
        assert!(camera.open(&seal(&padded(start, 1024))).unwrap() == Signal::Start, "as it should be");
        assert!(camera.open(&seal(&plaintext)).is_err(), "{} bytes", plaintext.len());
        let after = camera.open(&seal(&padded(start, 1024)));
        assert_eq!(matches!(after, Err(SealError::Closed)), closes, "{} bytes", plaintext.len());
        assert_eq!(after.is_ok(), !closes, "{} bytes", plaintext.len());
    }
}
