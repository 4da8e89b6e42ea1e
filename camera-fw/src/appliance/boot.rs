//! The boot partition: read-only, but for the moments in which there is something to write.
//!
//! A card is pulled and power fails at any time; what is not being written then cannot be damaged. FAT knows neither
//! owners nor links: what is written is renamed into place.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

/// The partition, or a folder in its place.
#[derive(Debug)]
pub(super) struct Boot {
    folder: PathBuf,
}

impl Boot {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets `work` write to it; read-only again afterwards, whatever comes of it.
    ///
    /// # Errors
    /// Of `work`, or if it cannot be made writable.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let _open = Open::new(&self.folder)?;
        work(&self.folder)
    }
}

/// A partition that is writable, and will not stay so.
struct Open<'a> {
    /// What to go back to; nothing, if it was writable before.
    before: Option<(&'a Path, MsFlags)>,
}

impl<'a> Open<'a> {
    fn new(folder: &'a Path) -> io::Result<Self> {
        let flags = statvfs(folder)?.flags();
        if !flags.contains(FsFlags::ST_RDONLY) {
            return Ok(Self { before: None });
        }
        let kept = kept(flags);
        remount(folder, kept)?;
        Ok(Self { before: Some((folder, kept)) })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let Some((folder, flags)) = self.before else { return };
        if let Err(error) = remount(folder, flags | MsFlags::MS_RDONLY) {
            tracing::warn!(%error, folder = %folder.display(), "the boot partition stays writable until the next start");
        }
    }
}

/// To remount sets these anew.
fn kept(flags: FsFlags) -> MsFlags {
    [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        (FsFlags::ST_SYNCHRONOUS, MsFlags::MS_SYNCHRONOUS),
    ]
    .into_iter()
    .filter(|(is, _)| flags.contains(*is))
    .fold(MsFlags::empty(), |all, (_, flag)| all | flag)
}

/// To read-only it writes everything out first.
fn remount(folder: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, folder, None::<&str>, flags | MsFlags::MS_REMOUNT, None::<&str>)?)
}
