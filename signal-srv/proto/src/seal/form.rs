//! How sealed bytes travel, and how a signal is padded before it is sealed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::SealError;
use crate::limits::MESSAGE_BYTES;

/// Plaintexts come in steps of so many bytes: a length tells little of what is inside.
pub(super) const STEP_BYTES: usize = 1024;
/// The longest plaintext: in base64url and with its envelope it still is within [`MESSAGE_BYTES`].
const PLAINTEXT_BYTES: usize = 47 * STEP_BYTES;
/// A plaintext begins with the length of the signal, big-endian.
const LENGTH_BYTES: usize = 2;
/// The longest signal that can be sealed.
pub(super) const SIGNAL_BYTES: usize = PLAINTEXT_BYTES - LENGTH_BYTES;
/// What sealing adds: the tag of AES-GCM.
const TAG_BYTES: usize = 16;
/// The longest sealed message.
pub(super) const SEALED_BYTES: usize = PLAINTEXT_BYTES + TAG_BYTES;

/// `{"noise":""}`, and room for another way to write it.
const ENVELOPE_BYTES: usize = 64;

// The server adds an envelope to `{"noise":""}` and the digits.
const _: () = assert!(SEALED_BYTES.div_ceil(3) * 4 + 128 <= MESSAGE_BYTES);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    #[serde(borrow)]
    noise: Cow<'a, str>,
}

/// `{"noise":"<base64url>"}`
pub(super) fn encode(bytes: &[u8]) -> Box<RawValue> {
    let noise = URL_SAFE_NO_PAD.encode(bytes).into();
    serde_json::value::to_raw_value(&Sealed { noise }).expect("a string serializes")
}

/// The bytes of a sealed message, which has at most `LIMIT` of them.
pub(super) fn decode<const LIMIT: usize>(raw: &RawValue) -> Result<Vec<u8>, SealError> {
    // White space is JSON, and it is kept where a message is.
    if raw.get().len() > LIMIT.div_ceil(3) * 4 + ENVELOPE_BYTES {
        return Err(SealError::Form);
    }
    let Sealed { noise } = serde_json::from_str(raw.get()).map_err(|_| SealError::Form)?;
    let bytes = URL_SAFE_NO_PAD.decode(&*noise).map_err(|_| SealError::Form)?;
    if bytes.len() > LIMIT { Err(SealError::Form) } else { Ok(bytes) }
}

/// Length, signal, zeros up to the next step.
pub(super) fn pad(signal: &[u8]) -> Result<Vec<u8>, SealError> {
    if signal.len() > SIGNAL_BYTES {
        return Err(SealError::TooLarge(signal.len()));
    }
    let mut plaintext = Vec::with_capacity((LENGTH_BYTES + signal.len()).next_multiple_of(STEP_BYTES));
    plaintext.extend_from_slice(&(signal.len() as u16).to_be_bytes());
    plaintext.extend_from_slice(signal);
    plaintext.resize(plaintext.capacity().next_multiple_of(STEP_BYTES), 0);
    Ok(plaintext)
}

/// The signal in a plaintext. There is one way to pad it, and no other is accepted.
pub(super) fn unpad(plaintext: &[u8]) -> Result<&[u8], SealError> {
    let (length, rest) = plaintext.split_first_chunk::<LENGTH_BYTES>().ok_or(SealError::Padding)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (signal, zeros) = rest.split_at_checked(length).ok_or(SealError::Padding)?;
    let minimal = plaintext.len() == (LENGTH_BYTES + length).next_multiple_of(STEP_BYTES);
    if minimal && zeros.iter().all(|byte| *byte == 0) { Ok(signal) } else { Err(SealError::Padding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn padding_hides_the_length_and_comes_off_again() {
        for (length, padded) in [(0, 1), (1, 1), (1022, 1), (1023, 2), (2046, 2), (2047, 3), (SIGNAL_BYTES, 47)] {
            let signal = vec![b'x'; length];
            let plaintext = pad(&signal).unwrap();
            assert_eq!(plaintext.len(), padded * STEP_BYTES, "{length}");
            assert_eq!(unpad(&plaintext).unwrap(), signal);
        }
        assert!(matches!(pad(&vec![0; SIGNAL_BYTES + 1]), Err(SealError::TooLarge(_))));
    }

    #[test]
    fn there_is_one_way_to_pad() {
        let good = pad(b"{}").unwrap();
        let changed = |at: usize, to: u8| {
            let mut bad = good.clone();
            bad[at] = to;
            bad
        };
        let longer = [good.as_slice(), &[0; STEP_BYTES]].concat();
        for bad in [vec![], vec![0], changed(1023, 1), changed(0, 4), changed(0, 255), longer, good[..512].to_vec()] {
            assert!(matches!(unpad(&bad), Err(SealError::Padding)));
        }
    }

    #[test]
    fn only_one_form_is_a_sealed_message() {
        assert_eq!(decode::<3>(&raw(r#"{"noise":"AAEC"}"#)).unwrap(), [0, 1, 2]);
        assert_eq!(decode::<3>(&encode(&[0xfb, 0xff])).unwrap(), [0xfb, 0xff]);
        for bad in [
            "null",
            "{}",
            r#""AAEC""#,
            r#"{"noise":1}"#,
            r#"{"noise":"AAEC","x":1}"#,
            r#"{"noise":"AAEC","noise":"AAEC"}"#,
            r#"{"noise":"AAE="}"#,
            r#"{"noise":"AAF"}"#,
            r#"{"noise":"A"}"#,
            r#"{"noise":"+/+/"}"#,
            r#"{"noise":"AA EC"}"#,
            r#"{"noise":"AAECAw"}"#,
            r#"{"noise":"AAECAwAA"}"#,
            &format!(r#"{{"noise":{}"AAEC"}}"#, " ".repeat(100)),
        ] {
            assert!(matches!(decode::<3>(&raw(bad)), Err(SealError::Form)), "{bad}");
        }
    }
}
