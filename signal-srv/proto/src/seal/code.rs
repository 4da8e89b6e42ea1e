//! The code: 256 bits that are printed on the label, and what follows from them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::RoomId;
use crate::id::push_hex;

const SALT: &[u8] = b"roomcam/1";
const COMMITMENT: &[u8] = b"roomcam/1 code";
const CHECK: &[u8] = b"roomcam/1 check";

/// Hex digits of a code, and of its check digits.
const DIGITS: usize = 64;
const CHECK_DIGITS: usize = 4;

/// Whoever holds it can watch. Its `Debug` shows nothing; [`Code::to_hex`] and [`Code::to_base64url`] are the deliberate
/// ways out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code([u8; 32]);

/// Why a text is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Neither 64 nor 68 digits.
    #[error("a code has 64 hex digits, or 68 with its check digits; this has {0} characters")]
    Length(usize),
    /// A character that is not a hex digit; its position counts from 1.
    #[error("a code has hex digits (0-9, a-f) only, character {0} is none")]
    Digit(usize),
    /// The check digits belong to another code.
    #[error("a digit of the code is mistyped: the check digits do not fit")]
    Check,
}

impl Code {
    /// The code made of these bits.
    pub const fn from_bytes(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// The 256 bits.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The commitment to a camera's public key, blinded by random bits.
    pub(super) fn commit(public_key: &[u8; 32], nonce: &[u8; 32]) -> Self {
        Self(sha256(&[COMMITMENT, public_key, nonce]))
    }

    /// Where viewer and camera meet; all that the server learns.
    pub fn room(&self) -> RoomId {
        RoomId::from_bytes(self.derive(b"room"))
    }

    /// The key that both put into the handshake.
    pub(super) fn psk(&self) -> [u8; 32] {
        self.derive(b"psk")
    }

    /// HKDF-SHA-256 (RFC 5869).
    fn derive(&self, info: &[u8]) -> [u8; 32] {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let mut key = [0; 32];
        Salt::new(HKDF_SHA256, SALT)
            .extract(&self.0)
            .expand(&[info], Length)
            .and_then(|material| material.fill(&mut key))
            .expect("HKDF gives 32 bytes");
        key
    }

    /// 64 lower-case hex digits. Never log them.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Four more digits, by which a mistyped one is found out.
    pub fn check_digits(&self) -> String {
        hex(&sha256(&[CHECK, &self.0])[..CHECK_DIGITS / 2])
    }

    /// 43 characters without padding (RFC 4648 §5), as a link carries them. Never log them.
    pub fn to_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads 64 digits, or 68 of which the last four check the others.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let length = text.chars().count();
        if let Some(position) = text.chars().position(|digit| !digit.is_ascii_hexdigit()) {
            return Err(CodeError::Digit(position + 1));
        }
        if length != DIGITS && length != DIGITS + CHECK_DIGITS {
            return Err(CodeError::Length(length));
        }
        let room: RoomId = text[..DIGITS].parse().map_err(|_| CodeError::Length(length))?;
        let code = Self(*room.as_bytes());
        let check = &text[DIGITS..];
        if check.is_empty() || check.eq_ignore_ascii_case(&code.check_digits()) {
            Ok(code)
        } else {
            Err(CodeError::Check)
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_prints_in_either_case() {
        let code = Code::from_bytes(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(code.to_hex().parse(), Ok(code));
        assert_eq!(code.to_hex().to_uppercase().parse(), Ok(code));
        let checked = format!("{}{}", code.to_hex(), code.check_digits());
        assert_eq!(checked.parse(), Ok(code));
        assert_eq!(checked.to_uppercase().parse(), Ok(code));
        assert_eq!(code.to_base64url().len(), 43);
        assert_eq!(format!("{code:?}"), "Code(redacted)");
    }

    #[test]
    fn a_mistyped_digit_is_found_by_the_check_digits() {
        let code = Code::from_bytes([0x5a; 32]);
        let checked = format!("{}{}", code.to_hex(), code.check_digits());
        for position in 0..checked.len() {
            let mut digits: Vec<char> = checked.chars().collect();
            digits[position] = if digits[position] == '0' { '1' } else { '0' };
            let mistyped: String = digits.into_iter().collect();
            assert_eq!(mistyped.parse::<Code>(), Err(CodeError::Check), "digit {position}");
        }
    }

    #[test]
    fn it_says_what_is_wrong() {
        assert_eq!("ab".parse::<Code>(), Err(CodeError::Length(2)));
        assert_eq!("a".repeat(66).parse::<Code>(), Err(CodeError::Length(66)));
        assert_eq!(format!("{}g{}", "a".repeat(9), "a".repeat(54)).parse::<Code>(), Err(CodeError::Digit(10)));
        assert_eq!("ä".repeat(32).parse::<Code>(), Err(CodeError::Digit(1)));
    }

    #[test]
    fn what_the_server_learns_is_not_the_code() {
        let code = Code::from_bytes([7; 32]);
        assert_ne!(code.room().as_bytes(), code.as_bytes());
        assert_ne!(code.room().as_bytes(), &code.psk());
        assert_ne!(&code.psk(), code.as_bytes());
    }
}
