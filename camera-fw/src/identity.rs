//! Who this camera is: the secret that its code commits to, made once and kept in the state directory.
//!
//! ```text
//!   first start ──▶ random ──▶ file `identity` ──▶ every later start        rekey ──▶ another one in its place
//!   a sheet of labels ──▶ provisioning file, copied there before the first start
//! ```
//!
//! Whoever reads the file can pose as the camera, so it is its owner's alone. It is written whole or not at all, and it
//! is still there after a power cut.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use signal_proto::seal::{Code, DeviceKey};

use crate::private_file;

/// The file in the state directory.
pub const FILE: &str = "identity";
/// Kept beside it once the code was shown to a server, which pair mode does.
const SHOWN: &str = "shown-in-pair-mode";

const OWNER_ONLY: u32 = 0o600;
const FOLDER: u32 = 0o700;
const VERSION: u32 = 1;
/// An identity has some 300 bytes: what is longer is none, and is not read.
const FILE_BYTES: u64 = 4096;

const HEADER: &str = "# The identity of a Roomcam. Whoever reads this file can pose as the camera and watch it.\n\
    # Its place is the camera's state directory, under the name `identity`.\n";

/// A camera's secret, and the code that follows from it. Its `Debug` shows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(DeviceKey);

/// The identity cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
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
    /// There is none to replace.
    #[error(
        "there is no identity in {}, so no code that could be replaced; name the folder of the camera with --state-dir",
        folder.display()
    )]
    Nothing {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The file holds something else. What it holds is never quoted: it is a secret.
    #[error(
        "{} is damaged ({problem}); restore it from a backup or its provisioning file, or run `camera-fw rekey` for a \
         new identity, with which printed labels become waste",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    private_key: String,
    nonce: String,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::State { action, path, source }
}

impl Identity {
    /// A fresh one, kept nowhere yet.
    pub fn random() -> Self {
        Self(DeviceKey::random())
    }

    /// The identity of the state directory; makes the directory and the identity where there is none.
    ///
    /// # Errors
    /// If the directory or the file cannot be used. A damaged file is never replaced: printed labels depend on it.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, IdentityError> {
        match Self::load(state_dir) {
            Err(IdentityError::State { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(FOLDER).create(state_dir).map_err(failed("make", state_dir))?;
        let path = state_dir.join(FILE);
        let identity = Self::random();
        match identity.store_new(&path) {
            Ok(()) => {
                tracing::info!(file = %path.display(), "a new identity was made");
                Ok(identity)
            }
            // Another process was first: its identity is the camera's.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(state_dir),
            Err(error) => Err(failed("write", &path)(error)),
        }
    }

    /// The identity of the state directory.
    ///
    /// # Errors
    /// If there is none, or none that can be used.
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        let path = state_dir.join(FILE);
        let mut file = File::open(&path).map_err(failed("read", &path))?;
        let metadata = file.metadata().map_err(failed("read", &path))?;
        let damaged = |problem: &str| IdentityError::Damaged { path: path.clone(), problem: problem.to_owned() };
        if metadata.len() > FILE_BYTES {
            return Err(damaged("it is too long"));
        }
        restrict(&file, &path, &metadata).map_err(failed("protect", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
        Self::parse(&text).map_err(|problem| damaged(&problem))
    }

    /// The identity of a file that is somewhere else. What is wrong with it is said without a quotation.
    #[cfg(feature = "appliance")]
    pub(crate) fn from_provisioning(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let form: Form = toml::from_str(text).map_err(|error| {
            // Not the parser's message: it quotes the line, which may hold the key.
            let line =
                error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            format!("line {line} is not what it should be")
        })?;
        if form.version != VERSION {
            return Err(format!("it has version {}, this program knows {VERSION}", form.version));
        }
        let key = bytes(&form.private_key).ok_or("private_key is not 64 hex digits")?;
        let nonce = bytes(&form.nonce).ok_or("nonce is not 64 hex digits")?;
        DeviceKey::from_parts(key, nonce).map(Self).map_err(|error| error.to_string())
    }

    /// Replaces the identity of the state directory; the old code is dead. A camera that runs notices by itself. The file
    /// keeps its owner: whoever replaces the identity of a service may be root, and the service is not.
    ///
    /// # Errors
    /// If there is none to replace, or the file cannot be written.
    pub fn replace(state_dir: &Path) -> Result<Self, IdentityError> {
        let path = state_dir.join(FILE);
        let old = match fs::metadata(&path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Nothing { folder: state_dir.into() });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let identity = Self::random();
        // Nobody but root can give a file away.
        let owner = geteuid().is_root().then(|| (old.uid(), old.gid()));
        private_file::replace(&path, identity.to_file().as_bytes(), owner).map_err(failed("write", &path))?;
        Ok(identity)
    }

    /// Writes it to a file that does not exist yet.
    ///
    /// # Errors
    /// As those of the file system; `AlreadyExists` if there is something of that name.
    pub fn store_new(&self, path: &Path) -> io::Result<()> {
        private_file::create(path, self.to_file().as_bytes())
    }

    /// The text of the file.
    pub(crate) fn to_file(&self) -> String {
        let hex = |bytes: &[u8; 32]| Code::from_bytes(*bytes).to_hex();
        let form = Form { version: VERSION, private_key: hex(self.0.private_key()), nonce: hex(self.0.nonce()) };
        HEADER.to_owned() + &toml::to_string(&form).expect("three plain values serialize")
    }

    /// The code that is printed.
    pub fn code(&self) -> Code {
        self.0.code()
    }

    /// The secret itself, for the handshake with viewers.
    pub fn device_key(&self) -> &DeviceKey {
        &self.0
    }

    /// Notes that a server has learnt the code: in pair mode it is the id of the room.
    ///
    /// # Errors
    /// As those of the file system.
    pub fn note_shown(&self, state_dir: &Path) -> io::Result<()> {
        private_file::replace(&state_dir.join(SHOWN), &self.mark(), None)
    }

    /// Whether [`Identity::note_shown`] was called for this identity, and not only for one before it.
    pub fn was_shown(&self, state_dir: &Path) -> bool {
        fs::read(state_dir.join(SHOWN)).is_ok_and(|mark| mark == self.mark())
    }

    fn mark(&self) -> Vec<u8> {
        (self.code().check_digits() + "\n").into_bytes()
    }
}

/// 64 hex digits.
fn bytes(digits: &str) -> Option<[u8; 32]> {
    (digits.len() == 64).then(|| digits.parse::<Code>().ok()).flatten().map(|bytes| *bytes.as_bytes())
}

/// An identity that others can read is one that others can use.
fn restrict(file: &File, path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others could read the identity; access is now limited to its owner");
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(())
}

/// Notices that the file was replaced while the camera runs.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Option<Stamp>,
    looked: Option<Stamp>,
    complained: Option<Stamp>,
}

type Stamp = (u64, u64, i64, i64);

impl Watch {
    /// Looks at what is there now.
    pub fn new(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let seen = stamp(&path);
        Self { path, seen, looked: seen, complained: None }
    }

    /// Whether there is another file than the one that was [`Watch::seen`]. A file that is gone counts as unchanged: the
    /// camera stays who it is until it is told otherwise.
    pub fn changed(&mut self) -> bool {
        self.looked = stamp(&self.path).or(self.seen);
        self.looked != self.seen
    }

    /// What [`Watch::changed`] found is known now.
    pub fn seen(&mut self) {
        self.seen = self.looked;
    }

    /// Whether this was asked before of what [`Watch::changed`] found: a file that cannot be used is worth one complaint.
    pub fn complained(&mut self) -> bool {
        std::mem::replace(&mut self.complained, self.looked) == self.looked
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let identity = Identity::load_or_create(&state).unwrap();
        assert_eq!(Identity::load_or_create(&state).unwrap(), identity);
        assert_eq!((mode(&state.join(FILE)), mode(&state)), (0o600, 0o700));
        fs::set_permissions(state.join(FILE), Permissions::from_mode(0o644)).unwrap();
        Identity::load_or_create(&state).unwrap();
        assert_eq!(mode(&state.join(FILE)), 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(format!("{identity:?}"), "Identity(DeviceKey(redacted))");
    }

    #[test]
    fn whoever_is_second_gets_the_identity_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let (first, path) = (Identity::random(), dir.path().join(FILE));
        first.store_new(&path).unwrap();
        assert_eq!(Identity::random().store_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Identity::load_or_create(dir.path()).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_new_one_takes_the_place_of_the_old_one_and_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let old = Identity::load_or_create(dir.path()).unwrap();
        let mut watch = Watch::new(dir.path());
        assert!(!watch.changed());
        let new = Identity::replace(dir.path()).unwrap();
        assert!(watch.changed(), "until it was seen");
        assert!(!watch.complained() && watch.complained(), "one complaint");
        assert_ne!(new.code(), old.code());
        assert_eq!(Identity::load(dir.path()).unwrap(), new);
        assert!(watch.changed());
        watch.seen();
        assert!(!watch.changed());
        assert_eq!(mode(&dir.path().join(FILE)), 0o600);
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(!watch.changed(), "what is gone is not followed");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_is_not_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let error = Identity::replace(&dir.path().join("elsewhere")).unwrap_err().to_string();
        assert!(error.contains("elsewhere") && error.contains("--state-dir"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_one_belongs_to_whom_the_old_one_did() {
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        // Only root can give a file away; for anybody else this shows that the file is replaced all the same.
        let given = std::os::unix::fs::chown(&path, Some(12_345), Some(12_345)).is_ok();
        Identity::replace(dir.path()).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid() == 12_345, metadata.gid() == 12_345), (given, given));
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn leftovers_of_a_power_cut_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let leftover = dir.path().join(format!(".{FILE}.{}", std::process::id()));
        fs::write(&leftover, "version = 1\npriv").unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), identity);
        assert!(!leftover.exists());
    }

    #[test]
    fn a_damaged_file_is_said_so_kept_and_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let good = Identity::random().to_file();
        let secret = good.lines().find_map(|line| line.strip_prefix("private_key = \"")).unwrap()[..64].to_owned();
        let damaged: [(Vec<u8>, &str); 8] = [
            (vec![], "line 1"),
            (vec![0xff; 100], "no text"),
            (vec![b' '; 5000], "too long"),
            (good[..good.len() / 2].into(), "line "),
            (good.replace("version = 1", "version = 2").into(), "version 2"),
            (good.replace(&secret, &secret[1..]).into(), "private_key"),
            (good.replace(&secret, &"0".repeat(64)).into(), "not random"),
            ((good.clone() + "more = 1\n").into(), "line 6"),
        ];
        for (content, reason) in damaged {
            fs::write(&path, &content).unwrap();
            let error = Identity::load_or_create(dir.path()).unwrap_err().to_string();
            assert!(error.contains("identity is damaged") && error.contains(reason), "{reason}: {error}");
            assert!(error.contains("rekey") && !error.contains(&secret[2..12]), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Identity::load_or_create(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("state") && error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn a_code_that_a_server_has_seen_is_remembered_until_there_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        assert!(!identity.was_shown(dir.path()));
        identity.note_shown(dir.path()).unwrap();
        assert!(identity.was_shown(dir.path()));
        assert!(!Identity::replace(dir.path()).unwrap().was_shown(dir.path()));
    }

    #[test]
    fn a_thousand_first_starts_give_a_thousand_codes() {
        let codes: std::collections::HashSet<String> = (0..1000).map(|_| Identity::random().code().to_hex()).collect();
        assert_eq!(codes.len(), 1000);
    }
}
