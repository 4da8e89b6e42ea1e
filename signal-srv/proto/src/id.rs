//! Identifiers as newtypes, random bits from the operating system.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A client of the server for the life of one connection: 128 random bits, printed in UUID form
/// (8-4-4-4-12 hex digits, RFC 9562 §4), without version or variant bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId([u8; 16]);

/// A room: 256 bits, 64 hex digits on the wire, either case. Knowing it is being let in, so it has
/// no `Display` and its `Debug` shows nothing; [`RoomId::to_hex`] is the deliberate way out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomId([u8; 32]);

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 64 digits.
    #[error("a room id has 64 hex digits, this has {0} characters")]
    RoomLength(usize),
    /// A character that is not a hex digit; its position counts from 1.
    #[error("a room id has hex digits (0-9, a-f) only, character {0} is none")]
    RoomDigit(usize),
    /// Not 8-4-4-4-12 hex digits.
    #[error("a peer id has the form of a UUID: 8-4-4-4-12 hex digits")]
    Peer,
}

const UUID_LENGTH: usize = 36;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

impl PeerId {
    /// A fresh id from the operating system's random source.
    ///
    /// # Panics
    /// If the operating system has no random source: nothing safe can go on without one.
    pub fn random() -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system gives random bits");
        Self(bits)
    }

    /// The id made of these bits.
    pub const fn from_bytes(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl RoomId {
    /// A fresh id from the operating system's random source.
    ///
    /// # Panics
    /// If the operating system has no random source: nothing safe can go on without one.
    pub fn random() -> Self {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).expect("the operating system gives random bits");
        Self(bits)
    }

    /// The id made of these bits.
    pub const fn from_bytes(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// The 256 bits.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits. Never log them.
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(64);
        push_hex(&mut text, &self.0);
        text
    }
}

impl FromStr for RoomId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let length = text.chars().count();
        if length != 64 {
            return Err(IdError::RoomLength(length));
        }
        let mut bits = [0; 32];
        for (position, digit) in text.chars().enumerate() {
            let value = digit.to_digit(16).ok_or(IdError::RoomDigit(position + 1))? as u8;
            bits[position / 2] = bits[position / 2] << 4 | value;
        }
        Ok(Self(bits))
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != UUID_LENGTH {
            return Err(IdError::Peer);
        }
        let mut bits = [0; 16];
        let mut digits = 0;
        for (position, byte) in text.bytes().enumerate() {
            if HYPHENS.contains(&position) {
                if byte != b'-' {
                    return Err(IdError::Peer);
                }
                continue;
            }
            let value = char::from(byte).to_digit(16).ok_or(IdError::Peer)? as u8;
            bits[digits / 2] = bits[digits / 2] << 4 | value;
            digits += 1;
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for PeerId {
    /// In every message that is relayed: without an allocation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; UUID_LENGTH];
        let places = (0..UUID_LENGTH).filter(|place| !HYPHENS.contains(place));
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, digit) in places.zip(digits) {
            text[place] = HEX_DIGITS[usize::from(digit)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomId(redacted)")
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for RoomId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText("a peer id", std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText("a room id", std::marker::PhantomData))
    }
}

struct FromText<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_id_reads_either_case_and_prints_lower() {
        let upper = "AB".repeat(32);
        let room: RoomId = upper.parse().unwrap();
        assert_eq!(room.to_hex(), "ab".repeat(32));
        assert_eq!(room, upper.to_lowercase().parse().unwrap());
    }

    #[test]
    fn room_id_says_what_is_wrong() {
        assert_eq!("ab".parse::<RoomId>(), Err(IdError::RoomLength(2)));
        let bad = format!("{}g{}", "a".repeat(9), "a".repeat(54));
        assert_eq!(bad.parse::<RoomId>(), Err(IdError::RoomDigit(10)));
        // 64 bytes but 32 characters: counted as a person counts.
        assert_eq!("ä".repeat(32).parse::<RoomId>(), Err(IdError::RoomLength(32)));
    }

    #[test]
    fn room_id_is_not_shown_by_debug() {
        let room = RoomId::from_bytes([0xab; 32]);
        assert!(!format!("{room:?}").contains("ab"));
    }

    #[test]
    fn peer_id_has_uuid_form() {
        let peer = PeerId::from_bytes(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
        assert_eq!(peer.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(peer.to_string().to_uppercase().parse::<PeerId>(), Ok(peer));
        assert_eq!("00112233445566778899aabbccddeeff".parse::<PeerId>(), Err(IdError::Peer));
        assert_eq!("00112233-4455-6677-8899-aabbccddeefg".parse::<PeerId>(), Err(IdError::Peer));
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(PeerId::random(), PeerId::random());
        assert_ne!(RoomId::random(), RoomId::random());
    }
}
