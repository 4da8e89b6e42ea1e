//! The code as people and phones read it.
//!
//! It is printed as 64 hex digits with four check digits behind them, and as a link with the code in base64url behind
//! the `#`, which browsers keep to themselves.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use signal_proto::seal::Code;

/// The digits in groups of four, four groups a line, to be copied by hand.
pub fn grouped(code: Code) -> String {
    let hex = code.to_hex();
    let groups: Vec<&str> = (0..16).map(|group| &hex[4 * group..4 * group + 4]).collect();
    groups.chunks(4).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
}

/// The link that opens the camera in a browser.
pub fn link(code: Code, page_url: &str) -> String {
    format!("{page_url}#{}", code.to_base64url())
}

/// A QR code in half blocks, two modules a character; `None` if the text is too long for one.
///
/// With `coloured` it is black on white whatever the terminal's own colours are.
pub fn qr_code(text: &str, coloured: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let blocks = code.render::<Dense1x2>().build();
    let line = |line: &str| if coloured { format!("\x1b[30;107m{line}\x1b[0m\n") } else { format!("{line}\n") };
    Some(blocks.lines().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_printed_for_people_and_phones() {
        let code = Code::from_bytes([0xfb; 32]);
        assert_eq!(grouped(code).lines().collect::<Vec<_>>(), ["fbfb fbfb fbfb fbfb"; 4]);
        let link = link(code, "https://cam.example.org/");
        assert_eq!(link, format!("https://cam.example.org/#{}-_s", "-_v7".repeat(10)));
        assert!(qr_code(&link, true).unwrap().lines().count() > 10);
        assert!(qr_code(&"x".repeat(5000), false).is_none());
    }
}
