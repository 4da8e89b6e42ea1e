//! Every way in which the tests change a sealed message, each exactly repeatable. The camera's tests use them as well.

#![allow(unreachable_pub, reason = "shared by the test files")]
#![allow(dead_code, reason = "each test file uses its own part of this")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use signal_proto::RawValue;

/// One change of a sealed message. What it makes is never the message itself.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// One bit of one byte is turned over.
    Flip { at: usize, bit: u32 },
    /// Up to 16 bytes get other values; the number names the choice.
    Edit(u64),
    /// The front part changes places with the rest; the number names where.
    Rotate(u64),
    /// Only so many bytes are left.
    Cut(usize),
    /// Only the bytes from here on are left.
    Behead(usize),
    /// So many bytes are added: zeros behind, zeros in front, or the message over again.
    Extend(usize, Filling),
    /// The bytes stay, the form is one that a careless decoder lets pass, or nothing like it.
    Disguise(usize),
}

#[derive(Debug, Clone, Copy)]
pub enum Filling {
    Behind,
    Before,
    Again,
}

/// How many disguises there are.
const DISGUISES: usize = 28;

/// All changes of a message of `length` bytes: `bits` of each byte turned over, every shorter length, and as many
/// random edits as are asked for.
pub fn changes(length: usize, bits: u32, edits: u64) -> Vec<Change> {
    let mut all = Vec::new();
    all.extend((0..length).flat_map(|at| (0..bits).map(move |bit| Change::Flip { at, bit: (bit + at as u32) % 8 })));
    all.extend((0..length).map(Change::Cut));
    all.extend((1..length).step_by(7).map(Change::Behead));
    for more in [1, 2, 15, 16, 17, 32, 48, 1024, 40 * 1024] {
        all.extend([Filling::Behind, Filling::Before, Filling::Again].map(|filling| Change::Extend(more, filling)));
    }
    all.extend((0..DISGUISES).map(Change::Disguise));
    all.extend((0..edits).map(|edit| if edit % 4 == 0 { Change::Rotate(edit) } else { Change::Edit(edit) }));
    all
}

impl Change {
    /// The changed message.
    pub fn of(self, sealed: &RawValue) -> Box<RawValue> {
        let original = bytes(sealed);
        let changed = match self {
            Self::Flip { at, bit } => {
                let mut changed = original;
                changed[at] ^= 1 << bit;
                changed
            }
            Self::Edit(choice) => {
                let (mut dice, mut changed) = (Dice::new(choice), original.clone());
                while changed == original {
                    for _ in 0..=dice.below(16) {
                        let at = dice.below(original.len());
                        changed[at] = dice.below(256) as u8;
                    }
                }
                changed
            }
            Self::Rotate(choice) => {
                let (mut dice, mut changed) = (Dice::new(choice), original.clone());
                while changed == original {
                    let at = 1 + dice.below(original.len() - 1);
                    changed.rotate_left(at);
                }
                changed
            }
            Self::Cut(length) => original[..length].to_vec(),
            Self::Behead(length) => original[length..].to_vec(),
            Self::Extend(more, Filling::Behind) => [original, vec![0; more]].concat(),
            Self::Extend(more, Filling::Before) => [vec![0; more], original].concat(),
            Self::Extend(more, Filling::Again) => {
                let length = original.len();
                original.into_iter().cycle().take(length + more).collect()
            }
            Self::Disguise(number) => return disguise(number, sealed, &original),
        };
        message(&changed)
    }
}

fn disguise(number: usize, sealed: &RawValue, bytes: &[u8]) -> Box<RawValue> {
    let digits = digits(sealed);
    let noise = |digits: &str| raw(format!(r#"{{"noise":{}}}"#, serde_json::json!(digits)));
    // Where padding or the other alphabet makes no difference, a character too many does.
    let other = |other: String| noise(&if other == digits { other + "=" } else { other });
    match number {
        0 => other(URL_SAFE.encode(bytes)),
        1 => other(STANDARD.encode(bytes)),
        2 => noise(&format!("{digits}==")),
        3 => noise(&format!("{digits}\n")),
        4 => noise(&format!(" {digits}")),
        5 => noise(&format!("{digits}\0")),
        6 => noise(&format!("{}\r\n{}", &digits[..4], &digits[4..])),
        7 => noise(&format!("{}={}", &digits[..4], &digits[4..])),
        8 => noise(&format!("{}.{}", &digits[..4], &digits[5..])),
        9 => noise(&trailing_bits(&digits, bytes.len())),
        10 => noise(""),
        11 => raw(format!(r#"{{"Noise":"{digits}"}}"#)),
        12 => raw(format!(r#"{{"noise":["{digits}"]}}"#)),
        13 => raw(format!(r#"{{"noise":{{"noise":"{digits}"}}}}"#)),
        14 => raw(format!(r#"{{"noise":"{digits}","noise":"{digits}"}}"#)),
        15 => raw(format!(r#"{{"noise":"{digits}","type":"start"}}"#)),
        16 => raw(format!(r#"{{"type":"start","noise":"{digits}"}}"#)),
        17 => raw(format!(r#"[{{"noise":"{digits}"}}]"#)),
        18 => raw(format!(r#""{digits}""#)),
        19 => raw(format!(r#"{{"noise":{bytes:?}}}"#)),
        20 => raw(r#"{"noise":null}"#.into()),
        21 => raw(r#"{"type":"start"}"#.into()),
        22 => raw(r#"{"type":"offer","sdp":"v=0\r\n"}"#.into()),
        23 => raw(r#"{"type":"bye","reason":"left"}"#.into()),
        24 => raw(r#"{"candidate":"","sdpMLineIndex":0}"#.into()),
        25 => raw("null".into()),
        26 => raw("{}".into()),
        _ => raw("[".repeat(100) + &"]".repeat(100)),
    }
}

/// The last digit with bits that stand for nothing (RFC 4648 §3.5); a digit too few where it has none.
fn trailing_bits(digits: &str, length: usize) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (head, last) = digits.split_at(digits.len() - 1);
    if length.is_multiple_of(3) {
        return head.to_owned();
    }
    let next = ALPHABET.find(last).map_or(0, |place| place + 1);
    format!("{head}{}", &ALPHABET[next..=next])
}

/// The base64url digits of a sealed message.
pub fn digits(sealed: &RawValue) -> String {
    let value: serde_json::Value = serde_json::from_str(sealed.get()).unwrap();
    value["noise"].as_str().unwrap().to_owned()
}

/// The bytes of a sealed message.
pub fn bytes(sealed: &RawValue) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(digits(sealed)).unwrap()
}

/// Bytes in the form of a sealed message.
pub fn message(bytes: &[u8]) -> Box<RawValue> {
    raw(format!(r#"{{"noise":"{}"}}"#, URL_SAFE_NO_PAD.encode(bytes)))
}

pub fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap()
}

/// Numbers that look random and are the same in every run (splitmix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(choice: u64) -> Self {
        Self(choice)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 8) as usize % limit
    }
}
