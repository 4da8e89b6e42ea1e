//! The screen: the code to scan, the link, and what is wrong.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::code;

/// UTF-8; no cursor; no blanking; clean (console_codes(4)).
const BEGIN: &str = "\x1b%G\x1b[?25l\x1b[9;0]\x1b[0m\x1b[2J\x1b[H";

/// What is shown.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    pub(super) name: &'a str,
    /// Who reads it can watch; not there if the screen shall not show it.
    pub(super) link: Option<&'a str>,
    pub(super) problems: &'a [String],
}

impl Screen<'_> {
    /// The text; with QR code as large as it has to be, so problems stand where they are seen, at the bottom.
    fn text(&self) -> String {
        let mut text = BEGIN.to_owned();
        if let Some(link) = self.link {
            text.push_str(&code::qr_code(link, true).unwrap_or_default());
            let _ = writeln!(text, "{}   Scan the code, or open this link. Who has it can watch.\n{link}", self.name);
        } else {
            let _ = writeln!(text, "{}", self.name);
        }
        if !self.problems.is_empty() {
            text.push_str("\nSomething is wrong. On the card, see roomcam-errors.txt:\n");
            for problem in self.problems {
                let _ = writeln!(text, "\x1b[1m*\x1b[0m {problem}");
            }
        }
        text.replace('\n', "\r\n")
    }

    /// Shows it. A device that is none, or not there, is none of a headless camera's concern.
    pub(super) fn show(&self, device: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut screen = options.write(true).truncate(true).custom_flags(OFlag::O_NOCTTY.bits()).open(device)?;
        screen.write_all(self.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_shown_unless_it_shall_not_be_and_problems_always() {
        let link = "https://cam.example.org/#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let problems = ["roomcam.toml, line 3: x".to_owned()];
        let open = Screen { name: "Küche", link: Some(link), problems: &problems }.text();
        assert!(
            open.contains(link) && open.contains("▀") && open.contains("Küche") && open.contains("line 3"),
            "{open}"
        );
        // A screen of 640x480 has 30 rows of 80 letters.
        let quiet = Screen { name: "Küche", link: Some(link), problems: &[] }.text();
        assert!(quiet.lines().count() <= 26, "{}", quiet.lines().count());
        let closed = Screen { name: "Küche", link: None, problems: &problems }.text();
        assert!(!closed.contains("cam.example.org") && !closed.contains('▀') && closed.contains("line 3"), "{closed}");
    }
}
