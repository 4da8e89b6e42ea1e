//! What has to hold whatever the bytes are. The bodies of the fuzz targets in `fuzz/`; the tests here run them on random bytes
//! and on seeds that were changed a little, with every `cargo test`.
//!
//! A body panics where something is wrong.

#[cfg(feature = "seal")]
use serde_json::value::RawValue;

use crate::limits::MESSAGE_BYTES;
use crate::{
    ClientMessage, PeerId, RoomEvent, RoomId, ServerMessage, Signal, decode_client, decode_server, encode_client,
    encode_server,
};

/// A body.
pub type Body = fn(&[u8]);

/// All of them, by the names of their targets.
pub const BODIES: &[(&str, Body)] = &[
    ("client_message", client_message),
    ("server_message", server_message),
    ("signal", signal),
    ("ids", ids),
    #[cfg(feature = "seal")]
    ("sealing", sealing),
];

/// What a client sends: read or refused; what was read is written and read again as the same, and relayed byte for byte.
pub fn client_message(bytes: &[u8]) {
    let message = match decode_client(bytes) {
        Ok(message) => message,
        Err(error) => {
            assert!(!error.code().as_str().is_empty());
            return;
        }
    };
    assert!(bytes.len() <= MESSAGE_BYTES, "longer than the limit, and read");
    let written = encode_client(&message);
    // The limit counts what arrives: written anew it may be a little longer.
    if written.len() <= MESSAGE_BYTES {
        let again = decode_client(&written).expect("what was written is read");
        assert_eq!(encode_client(&again), written);
    }
    if let ClientMessage::Signal { signal, .. } = message {
        let text = signal.get().as_bytes();
        assert!(bytes.windows(text.len()).any(|window| window == text), "the signal is not what was sent");
        let peer = PeerId::from_bytes([7; 16]);
        let relayed = encode_server(&ServerMessage::Room(RoomEvent::Signal { peer, signal }));
        let read = decode_server(&relayed).expect("what is relayed is within its limit");
        let ServerMessage::Room(RoomEvent::Signal { peer: from, signal: arrived }) = read else {
            panic!("a signal is relayed as something else")
        };
        assert_eq!((from, arrived.get()), (peer, signal.get()));
        let _ = Signal::decode(signal);
    }
}

/// What a server sends: read or refused; what was read is written and read again as the same.
pub fn server_message(bytes: &[u8]) {
    let Ok(message) = decode_server(bytes) else { return };
    let written = encode_server(&message);
    if let Ok(again) = decode_server(&written) {
        assert_eq!(encode_server(&again), written);
    } else {
        assert!(written.len() > MESSAGE_BYTES, "what was written is not read");
    }
}

/// What a browser or a camera says to the other: read or refused; what was read is written and read again as the same.
pub fn signal(bytes: &[u8]) {
    let Ok(signal) = Signal::decode_slice(bytes) else { return };
    let written = signal.encode();
    let again = Signal::decode(&written).expect("what was written is read");
    assert!(again == signal, "{} is another one when it is read again", signal.name());
    // A log shows the name alone.
    assert!(format!("{signal:?}").len() < 40);
}

/// Ids are written in one way; rooms are read in either case.
pub fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(peer) = text.parse::<PeerId>() {
        assert_eq!(peer.to_string(), text.to_lowercase());
    }
    if let Ok(room) = text.parse::<RoomId>() {
        assert_eq!(room.to_hex(), text.to_lowercase());
        assert!(!format!("{room:?}").contains(&room.to_hex()[..8]), "a room shows itself");
    }
}

/// What an evil server says in the place of a viewer or a camera: nothing of it opens. The first byte says in whose.
#[cfg(feature = "seal")]
pub fn sealing(bytes: &[u8]) {
    use crate::seal::{DeviceKey, ViewerHandshake};

    let Some((whose, bytes)) = bytes.split_first() else { return };
    let Some(claim) = claim(*whose, bytes) else { return };
    let counted = std::array::from_fn(|at| at as u8);
    let device = DeviceKey::from_parts(counted, counted).expect("a key");
    let (viewer, camera) = (PeerId::from_bytes([1; 16]), PeerId::from_bytes([2; 16]));
    let begin = || ViewerHandshake::begin(&device.code(), viewer, camera).expect("the code is one");
    if whose % 4 == 0 {
        assert!(device.answer(viewer, camera, &claim).is_err(), "somebody without the code gets an answer");
        return;
    }
    let (handshake, first) = begin();
    if whose % 4 == 1 {
        assert!(handshake.finish(&claim).is_err(), "somebody without the key is the camera");
        return;
    }
    let (reply, mut at_camera) = device.answer(viewer, camera, &first).expect("who has the code gets an answer");
    let mut at_viewer = handshake.finish(&reply).expect("the camera is the camera");
    let (sender, receiver) =
        if whose % 4 == 2 { (&mut at_viewer, &mut at_camera) } else { (&mut at_camera, &mut at_viewer) };
    let sealed = sender.seal(&Signal::Start).expect("it can be sealed");
    assert!(receiver.open(&claim).is_err(), "what nobody sealed opens");
    assert!(receiver.open(&sealed).is_err(), "a channel goes on after something that did not open");
}

/// As it is, where it is JSON; else in the form of a sealed message, so that it comes further.
#[cfg(feature = "seal")]
fn claim(whose: u8, bytes: &[u8]) -> Option<Box<RawValue>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let text = if whose & 0x80 == 0 {
        format!(r#"{{"noise":"{}"}}"#, URL_SAFE_NO_PAD.encode(bytes))
    } else {
        String::from_utf8(bytes.to_vec()).ok()?
    };
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    /// What cargo-fuzz begins with, and found.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    }

    fn all_seeds() -> Vec<(Body, Vec<u8>)> {
        let of = |(name, body): &(&str, Body)| seeds(name).into_iter().map(|seed| (*body, seed)).collect::<Vec<_>>();
        BODIES.iter().flat_map(of).collect()
    }

    #[test]
    fn every_target_has_seeds_and_they_hold() {
        for (name, body) in BODIES {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has none");
            seeds.iter().for_each(|seed| body(seed));
        }
    }

    #[test]
    fn most_seeds_are_good_enough_to_come_far() {
        assert!(seeds("client_message").iter().any(|seed| decode_client(seed).is_ok()));
        assert!(seeds("server_message").iter().all(|seed| decode_server(seed).is_ok()));
        assert!(seeds("signal").iter().any(|seed| Signal::decode_slice(seed).is_ok()));
    }

    /// A change: where, and what is there instead of how much.
    fn change() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
        let instead = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            prop::sample::select(vec![
                "\"", "{", "}", "[", "\\u0000", "\\ud800", "null", ",", "1e999", "\u{0}", "\u{20ac}"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        (any::<prop::sample::Index>(), 0..4_usize, instead)
    }

    proptest! {
        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, body) in BODIES {
                body(&bytes);
            }
        }

        #[test]
        fn seeds_that_were_changed_do_no_harm(
            seed in prop::sample::select(all_seeds()),
            changes in prop::collection::vec(change(), 1..6),
        ) {
            let (body, mut bytes) = seed;
            for (at, removed, instead) in changes {
                let at = at.index(bytes.len() + 1);
                let end = bytes.len().min(at + removed);
                bytes.splice(at..end, instead);
            }
            body(&bytes);
        }
    }
}
