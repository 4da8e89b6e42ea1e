//! Files of the appliance: those in RAM, which are written whole, and those that must not leave anything behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// What a person's file may have: some pages of text. What is longer is something else.
const BYTES: u64 = 64 * 1024;

/// Reads a file that a person has written.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > BYTES {
        return Err(io::Error::other(format!("it is longer than {} KiB", BYTES / 1024)));
    }
    fs::read(path)
}

/// Writes a file in RAM: readers find the old one or the new one.
pub(super) fn put(path: &Path, content: &(impl AsRef<[u8]> + ?Sized), mode: u32, group: Option<u32>) -> io::Result<()> {
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    if group.is_some() {
        fchown(&file, None, group)?;
    }
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content.as_ref())?;
    fs::rename(&temporary, path)
}

/// Writes a file that survives a power cut: whole or not at all.
pub(super) fn put_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // A full partition must not stay full of this.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

/// A fixed name: what a power cut leaves behind is overwritten the next time.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// A folder with exactly this mode, which may be there already.
pub(super) fn folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Overwrites what the file holds, then removes it. A memory card may keep a copy where only its maker finds it.
pub(super) fn erase(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_mode_asked_for_and_leave_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("camera.toml");
        for content in ["a", "b"] {
            put(&path, content, 0o640, None).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        put_durably(&path, b"c").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_erased_is_overwritten_first() {
        let dir = tempfile::tempdir().unwrap();
        let [path, witness] = ["secret", "witness"].map(|name| dir.path().join(name));
        fs::write(&path, "secret").unwrap();
        fs::hard_link(&path, &witness).unwrap();
        erase(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&witness).unwrap(), [0; 6]);
        std::os::unix::fs::symlink(&witness, &path).unwrap();
        assert!(erase(&path).is_err(), "a link is not followed");
    }
}
