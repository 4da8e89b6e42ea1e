//! From the bytes that some editor wrote to text.

/// Text, and what is said of how it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// What to do another time.
    pub(super) advice: Option<&'static str>,
}

/// What Windows-1252 has where Latin-1 has control characters.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// UTF-8 and UTF-16 with or without a mark in front, else Windows-1252; any kind of line end.
pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let mut advice = None;
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // The first character of a file of settings is an ASCII one.
        [1..=255, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, 1..=255, ..] => utf16(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => {
                    advice =
                        Some("it is not UTF-8, so umlauts may be taken for others; save it with the encoding UTF-8");
                    bytes.iter().map(|byte| windows_1252(*byte)).collect()
                }
            }
        }
    };
    if text.starts_with("{\\rtf") {
        let advice = "it is rich text; save it as plain text (in TextEdit: Format, Make Plain Text)";
        return Decoded { text: String::new(), advice: Some(advice) };
    }
    Decoded { text: text.replace("\r\n", "\n").replace('\r', "\n"), advice }
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let decoded = decode(bytes);
        assert_eq!(decoded.advice, None);
        decoded.text
    }

    #[test]
    fn what_editors_write_is_read() {
        assert_eq!(text("name = \"Küche\"\nfps = 5".as_bytes()), "name = \"Küche\"\nfps = 5");
        assert_eq!(text("\u{feff}a = 1\r\nb = 2\r\n".as_bytes()), "a = 1\nb = 2\n");
        assert_eq!(text(b"a = 1\rb = 2"), "a = 1\nb = 2");
        let units: Vec<u16> = "ä = 🎥\r\n".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(text(&[&[0xff, 0xfe], little.as_slice()].concat()), "ä = 🎥\n");
        assert_eq!(text(&[&[0xfe, 0xff], big.as_slice()].concat()), "ä = 🎥\n");
        assert_eq!(text(b"f\0p\0s\0"), "fps");
        assert_eq!(text(b"\0f\0p\0s"), "fps");
        assert_eq!(text(b""), "");
    }

    #[test]
    fn what_is_left_is_taken_for_windows_and_said_so() {
        let decoded = decode(b"name = \x93K\xfcche\x94");
        assert_eq!(decoded.text, "name = “Küche”");
        assert!(decoded.advice.unwrap().contains("UTF-8"));
        assert!(decode(b"{\\rtf1\\ansi fps = 3}").advice.unwrap().contains("plain text"));
    }
}
