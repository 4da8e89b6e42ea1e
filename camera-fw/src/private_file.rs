//! Files that hold identities or codes: for their owner alone, whole or not at all, and still there after a power cut.

#[cfg(feature = "label")]
use std::fs::DirBuilder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
#[cfg(feature = "label")]
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

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

    /// Gives the file its name, if there is nothing of that name: a link, unlike a rename, replaces nothing.
    pub(crate) fn become_file(&self, path: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, path)?;
        self.remove();
        sync(&folder_of(path))
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

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
