//! The code that lets people watch: 256 random bits, made once, kept in the state directory.
//!
//! The code is the id of the camera's room. It is printed as 64 hex digits and, for a phone, as a link with the code in
//! base64url behind the `#`, which browsers keep to themselves.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use signal_proto::{IdError, RoomId};

const FILE: &str = "code";
const OWNER_ONLY: u32 = 0o600;

/// The code of this camera. Its `Debug` shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(RoomId);

/// The code cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// A file or directory does not do what is needed.
    #[error("cannot {action} {}: {source}; choose another folder with --state-dir, or mend this one", path.display())]
    State {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is damaged ({problem}); restore it from the printed code, or delete it to get a new code", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: IdError,
    },
}

impl Code {
    /// Reads the code of the state directory; makes the directory and the code where there is none.
    ///
    /// # Errors
    /// If the directory or the file cannot be used. A damaged file is never replaced: a printed code depends on it.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, CodeError> {
        let path = state_dir.join(FILE);
        let failed = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| CodeError::State { action, path, source }
        };
        match fs::read_to_string(&path) {
            Ok(text) => {
                restrict(&path).map_err(failed("protect", &path))?;
                let parsed = text.trim().parse().map(Self);
                parsed.map_err(|problem| CodeError::Damaged { path, problem })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = fs::DirBuilder::new();
                builder.recursive(true).mode(0o700).create(state_dir).map_err(failed("make", state_dir))?;
                let code = Self(RoomId::random());
                match code.store(state_dir, &path) {
                    Ok(()) => {
                        tracing::info!(file = %path.display(), "a new code was made");
                        Ok(code)
                    }
                    // Another process was first: its code is the camera's.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_create(state_dir),
                    Err(error) => Err(failed("write", &path)(error)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(CodeError::Damaged { path, problem: IdError::RoomDigit(1) })
            }
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Whole or not at all, and still there after a power cut: a temporary file, synced, linked to its name, the
    /// directory synced. A link, unlike a rename, replaces nothing.
    fn store(self, state_dir: &Path, path: &Path) -> io::Result<()> {
        let temporary = state_dir.join(format!(".code.{}", std::process::id()));
        let written = self.write(&temporary).and_then(|()| fs::hard_link(&temporary, path));
        let removed = fs::remove_file(&temporary);
        written.and(removed)?;
        File::open(state_dir)?.sync_all()
    }

    fn write(self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path)?;
        writeln!(file, "{}", self.0.to_hex())?;
        file.sync_all()
    }

    /// The room that the camera joins.
    pub fn room(self) -> RoomId {
        self.0
    }

    /// 64 hex digits.
    pub fn to_hex(self) -> String {
        self.0.to_hex()
    }

    /// The digits in groups of four, four groups a line, to be copied by hand.
    pub fn grouped(self) -> String {
        let hex = self.to_hex();
        let groups: Vec<&str> = (0..16).map(|group| &hex[4 * group..4 * group + 4]).collect();
        groups.chunks(4).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
    }

    /// The link that opens the camera in a browser.
    pub fn link(self, page_url: &str) -> String {
        format!("{page_url}#{}", URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
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

/// A code that others can read is one that others can watch with.
fn restrict(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others could read the code; access is now limited to its owner");
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let code = Code::load_or_create(&state).unwrap();
        assert_eq!(Code::load_or_create(&state).unwrap(), code);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.join("code")), 0o600);
        assert_eq!(mode(&state), 0o700);
        fs::set_permissions(state.join("code"), Permissions::from_mode(0o644)).unwrap();
        Code::load_or_create(&state).unwrap();
        assert_eq!(mode(&state.join("code")), 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn whoever_is_second_gets_the_code_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = Code(RoomId::random());
        first.store(dir.path(), &dir.path().join("code")).unwrap();
        let second = Code(RoomId::random()).store(dir.path(), &dir.path().join("code"));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Code::load_or_create(dir.path()).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_damaged_file_is_said_so_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("code");
        for damaged in [&b"12ab"[..], b"\xff\xfe"] {
            fs::write(&path, damaged).unwrap();
            let error = Code::load_or_create(dir.path()).unwrap_err().to_string();
            assert!(error.contains("code is damaged") && error.contains("delete it"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Code::load_or_create(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("state") && error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn it_is_printed_for_people_and_phones() {
        let code = Code(RoomId::from_bytes([0xfb; 32]));
        assert_eq!(code.grouped().lines().collect::<Vec<_>>(), ["fbfb fbfb fbfb fbfb"; 4]);
        let link = code.link("https://cam.example.org/");
        assert_eq!(link, format!("https://cam.example.org/#{}-_s", "-_v7".repeat(10)));
        assert_eq!(link.split('#').nth(1).unwrap().len(), 43);
        assert!(qr_code(&link, true).unwrap().lines().count() > 10);
        assert!(qr_code(&"x".repeat(5000), false).is_none());
        assert!(!format!("{code:?}").contains("fb"));
    }
}
