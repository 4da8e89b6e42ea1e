//! Test vectors: the published ones of the Noise patterns around ours, and our own, which every implementation of the
//! sealing can be checked against. The viewer page is checked against the same files.
//!
//! `tests/vectors/roomcam.json` is what this code makes of fixed keys; `ROOMCAM_WRITE_VECTORS=1 cargo test -p signal-proto
//! --features seal` writes it anew, and a change of it is a change of the protocol.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::handshake::Ids;
use super::{DeviceKey, ViewerHandshake, form};
use crate::{ByeReason, Candidate, PeerId, PictureState, RoomId, Signal};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    crate::id::push_hex(&mut text, bytes);
    text
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn key(text: &str) -> [u8; 32] {
    bytes(text).try_into().unwrap()
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    about: String,
    private_key: String,
    nonce: String,
    code: String,
    check_digits: String,
    link_fragment: String,
    room: String,
    psk: String,
    viewer: String,
    camera: String,
    prologue: String,
    viewer_ephemeral: String,
    camera_ephemeral: String,
    message_1: String,
    message_2: String,
    transport: Vec<Transport>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Transport {
    from: String,
    signal: String,
    /// With its padding.
    plaintext_bytes: usize,
    /// As it stands in `{"noise":…}`.
    noise: String,
}

fn made() -> Vectors {
    let (private_key, nonce) = (std::array::from_fn(|at| at as u8 + 1), std::array::from_fn(|at| 255 - at as u8));
    let (viewer_ephemeral, camera_ephemeral) = ([0x11; 32], [0x22; 32]);
    let device = DeviceKey::from_parts(private_key, nonce).unwrap();
    let code = device.code();
    let viewer: PeerId = "00010203-0405-0607-0809-0a0b0c0d0e0f".parse().unwrap();
    let camera: PeerId = "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff".parse().unwrap();

    let (handshake, first) = ViewerHandshake::begin_with(&code, viewer, camera, Some(&viewer_ephemeral)).unwrap();
    let (reply, mut camera_end) = device.answer_with(viewer, camera, &first, Some(&camera_ephemeral)).unwrap();
    let mut viewer_end = handshake.finish(&reply).unwrap();

    let line = "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host";
    let candidate = Candidate { candidate: line.into(), sdp_m_line_index: 0, sdp_mid: Some("0".into()) };
    let long = "v=0\r\n".to_owned() + &"a=x-filler:äöü €\r\n".repeat(60);
    let exchange = [
        ("viewer", Signal::Start),
        ("camera", Signal::Offer(long.into())),
        ("viewer", Signal::Answer("v=0\r\n".into())),
        ("camera", Signal::Candidate(candidate.clone())),
        ("viewer", Signal::Candidate(candidate)),
        ("camera", Signal::Picture(PictureState::Paused)),
        ("viewer", Signal::Bye(ByeReason::Left)),
        ("camera", Signal::Bye(ByeReason::Stopping)),
    ];
    let transport = exchange.map(|(from, signal)| {
        let (sender, receiver) = match from {
            "viewer" => (&mut viewer_end, &mut camera_end),
            _ => (&mut camera_end, &mut viewer_end),
        };
        let sealed = sender.seal(&signal).unwrap();
        assert_eq!(receiver.open(&sealed).unwrap(), signal);
        let text: serde_json::Value = serde_json::from_str(sealed.get()).unwrap();
        let json = signal.encode().get().to_owned();
        let plaintext_bytes = form::pad(json.as_bytes()).unwrap().len();
        Transport { from: from.into(), signal: json, plaintext_bytes, noise: text["noise"].as_str().unwrap().into() }
    });
    Vectors {
        about:
            "One session of docs/protocol.md, section 8, with fixed keys. Bytes are hex digits, `noise` is base64url"
                .into(),
        private_key: hex(&private_key),
        nonce: hex(&nonce),
        code: code.to_hex(),
        check_digits: code.check_digits(),
        link_fragment: code.to_base64url(),
        room: code.room().to_hex(),
        psk: hex(&code.psk()),
        viewer: viewer.to_string(),
        camera: camera.to_string(),
        prologue: hex(&Ids { viewer, camera }.prologue(&code)),
        viewer_ephemeral: hex(&viewer_ephemeral),
        camera_ephemeral: hex(&camera_ephemeral),
        message_1: hex(&form::decode::<1000>(&first).unwrap()),
        message_2: hex(&form::decode::<1000>(&reply).unwrap()),
        transport: transport.into(),
    }
}

#[test]
fn the_sealing_is_as_it_was() {
    let path = file("roomcam.json");
    let made = made();
    if std::env::var_os("ROOMCAM_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(made, kept);
}

/// What can be computed without the code under test is, in the way of the specification: RFC 5869 §2.2 and §2.3.
#[test]
fn room_and_key_are_hkdf_of_the_code() {
    use ring::hmac::{HMAC_SHA256, Key, sign};
    let vectors = made();
    let extracted = sign(&Key::new(HMAC_SHA256, b"roomcam/1"), &bytes(&vectors.code));
    for (info, expected) in [("room", &vectors.room), ("psk", &vectors.psk)] {
        let block = [info.as_bytes(), &[1]].concat();
        assert_eq!(&hex(sign(&Key::new(HMAC_SHA256, extracted.as_ref()), &block).as_ref()), expected);
    }
    let room: RoomId = vectors.room.parse().unwrap();
    assert_eq!(hex(room.as_bytes()), vectors.room);
    assert_eq!(hex(&URL_SAFE_NO_PAD.decode(vectors.link_fragment).unwrap()), vectors.code);
}

#[derive(Deserialize)]
struct Published {
    vectors: Vec<PublishedVector>,
}

#[derive(Deserialize)]
struct PublishedVector {
    protocol_name: String,
    init_prologue: String,
    #[serde(default)]
    init_psks: Vec<String>,
    init_ephemeral: String,
    resp_prologue: String,
    resp_static: Option<String>,
    resp_ephemeral: String,
    handshake_hash: Option<String>,
    messages: Vec<PublishedMessage>,
}

#[derive(Deserialize)]
struct PublishedMessage {
    payload: String,
    ciphertext: String,
}

#[test]
fn the_library_agrees_with_published_vectors() {
    let published: Published = serde_json::from_str(&std::fs::read_to_string(file("noise.json")).unwrap()).unwrap();
    assert!(published.vectors.len() >= 5);
    for vector in published.vectors {
        let psks: Vec<[u8; 32]> = vector.init_psks.iter().map(|psk| key(psk)).collect();
        let (init_ephemeral, resp_ephemeral) = (bytes(&vector.init_ephemeral), bytes(&vector.resp_ephemeral));
        let (init_prologue, resp_prologue) = (bytes(&vector.init_prologue), bytes(&vector.resp_prologue));
        let resp_static = vector.resp_static.as_deref().map(bytes);
        let places =
            ["psk0", "psk1", "psk2"].iter().enumerate().filter(|(_, name)| vector.protocol_name.contains(**name));
        let places: Vec<u8> = places.map(|(place, _)| place as u8).collect();
        let builder = |prologue, ephemeral| {
            let mut builder = snow::Builder::new(vector.protocol_name.parse().unwrap()).prologue(prologue).unwrap();
            for (place, psk) in places.iter().zip(&psks) {
                builder = builder.psk(*place, psk).unwrap();
            }
            builder.fixed_ephemeral_key_for_testing_only(ephemeral)
        };
        let mut viewer = builder(&init_prologue, &init_ephemeral).build_initiator().unwrap();
        let mut camera = builder(&resp_prologue, &resp_ephemeral);
        if let Some(key) = &resp_static {
            camera = camera.local_private_key(key).unwrap();
        }
        let mut camera = camera.build_responder().unwrap();
        let (mut sealed, mut opened) = ([0; 1024], [0; 1024]);
        let (handshake, transport) = vector.messages.split_at(2);
        for (turn, message) in handshake.iter().enumerate() {
            let (from, to) = if turn == 0 { (&mut viewer, &mut camera) } else { (&mut camera, &mut viewer) };
            let length = from.write_message(&bytes(&message.payload), &mut sealed).unwrap();
            assert_eq!(hex(&sealed[..length]), message.ciphertext, "{}", vector.protocol_name);
            to.read_message(&sealed[..length], &mut opened).unwrap();
        }
        if let Some(hash) = &vector.handshake_hash {
            assert_eq!(&hex(viewer.get_handshake_hash()), hash);
        }
        let (mut viewer, mut camera) = (viewer.into_transport_mode().unwrap(), camera.into_transport_mode().unwrap());
        for (turn, message) in transport.iter().enumerate() {
            let from = if turn % 2 == 0 { &mut viewer } else { &mut camera };
            let length = from.write_message(&bytes(&message.payload), &mut sealed).unwrap();
            assert_eq!(hex(&sealed[..length]), message.ciphertext, "{}", vector.protocol_name);
        }
    }
}
