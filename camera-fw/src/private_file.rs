//! Files that hold identities or codes: for their owner alone, whole or not at all, and still there after a power cut.

#[cfg(feature = "label")]
use std::fs::DirBuilder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
#[cfg(feature = "label")]
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

const OWNER_ONLY: u32 = 0o600;
#[cfg(feature = "label")]
const FOLDER: u32 = 0o700;

/// User and group of a file.
pub(crate) type Owner = (u32, u32);

/// Writes the file; `AlreadyExists` if there is something of that name.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    Temporary::file(path, content, None)?.become_file(path)
}

/// Writes the file, in the place of another one of that name, and gives it away where there is somebody to give it to.
pub(crate) fn replace(path: &Path, content: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let temporary = Temporary::file(path, content, owner)?;
    fs::rename(temporary.path(), path)?;
    sync(&folder_of(path))
}

/// Something that is deleted with all that is in it, unless it was given a name before.
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A file beside the one that it becomes.
    pub(crate) fn file(becomes: &Path, content: &[u8], owner: Option<Owner>) -> io::Result<Self> {
        let temporary = Self::beside(becomes)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&temporary.path)?;
        if let Some((user, group)) = owner {
            // The file itself, not what stands under its name by now: the folder may be another user's.
            fchown(&file, Some(user), Some(group))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// An empty folder beside the one that it becomes.
    #[cfg(feature = "label")]
    pub(crate) fn folder(becomes: &Path) -> io::Result<Self> {
        let temporary = Self::beside(becomes)?;
        create_folder(&temporary.path)?;
        Ok(temporary)
    }

    fn beside(becomes: &Path) -> io::Result<Self> {
        let name = becomes.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let temporary = Self { path: folder_of(becomes).join(name) };
        // What an earlier process of the same number left behind is of no use to anybody.
        temporary.remove();
        Ok(temporary)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its name, if there is nothing in a folder of that name.
    #[cfg(feature = "label")]
    pub(crate) fn become_folder(&self, path: &Path) -> io::Result<()> {
        sync(&self.path)?;
        fs::rename(&self.path, path)?;
        sync(&folder_of(path))
    }

    /// Gives the file its name, if there is nothing of that name: a link, unlike a rename, replaces nothing. Memory cards
    /// and sticks (FAT, exFAT) know no links.
    pub(crate) fn become_file(&self, path: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => self.remove(),
            Err(error) if knows_not(&error) => self.move_to(path)?,
            Err(error) => return Err(error),
        }
        sync(&folder_of(path))
    }

    /// Moves the file to where nothing is.
    fn move_to(&self, path: &Path) -> io::Result<()> {
        match renameat2(AT_FDCWD, &self.path, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE).map_err(io::Error::from) {
            Err(error) if knows_not(&error) => {}
            other => return other,
        }
        // Whoever makes the empty file may replace it. A power cut in between leaves it there.
        OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
        fs::rename(&self.path, path).inspect_err(|_| drop(fs::remove_file(path)))
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A folder for its owner alone.
#[cfg(feature = "label")]
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER).create(path)
}

/// Whether the file system has no such operation.
fn knows_not(error: &io::Error) -> bool {
    let codes = [Errno::EPERM, Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ENOSYS, Errno::EMLINK];
    error.raw_os_error().is_some_and(|code| codes.contains(&Errno::from_raw(code)))
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to a name.
    type Way = fn(&Temporary, &Path) -> io::Result<()>;

    #[test]
    fn a_file_takes_the_place_of_nothing_with_links_and_without() {
        let ways: [Way; 2] = [Temporary::become_file, Temporary::move_to];
        for way in ways {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("identity");
            way(&Temporary::file(&path, b"first", None).unwrap(), &path).unwrap();
            let second = way(&Temporary::file(&path, b"second", None).unwrap(), &path).unwrap_err();
            assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).unwrap(), b"first");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        }
    }
}
