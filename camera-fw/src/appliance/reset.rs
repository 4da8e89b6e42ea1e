//! A camera that shall forget who it was: the file `roomcam-reset` on the boot partition.
//!
//! ```text
//!  file there ─▶ everything on the data partition overwritten, removed ─▶ label too ─▶ file removed ─▶ new identity
//! ```
//!
//! After a power cut in between it begins anew, which does no harm: nobody has seen the new label yet. Where the file
//! cannot be removed a mark on the data partition keeps it from counting at every start.

use std::fs;
use std::io;
use std::path::Path;

use super::boot::Boot;
use super::files;
use super::problems::Problems;

/// On the boot partition; Windows likes to add to names.
const NAMES: [&str; 2] = ["roomcam-reset", "roomcam-reset.txt"];
/// On the data partition.
const MARK: &str = "reset-was-done";
/// Kept: what the file system needs, and the saved time, which is nobody's secret.
const KEPT: [&str; 2] = ["lost+found", "timesync"];

/// Resets if that is wanted.
pub(super) fn obey(boot: &Boot, data: &Path, label: &str, problems: &mut Problems) {
    let wanted: Vec<&str> = NAMES.into_iter().filter(|name| boot.folder().join(name).exists()).collect();
    let mark = data.join(MARK);
    if wanted.is_empty() {
        let _ = fs::remove_file(mark);
        return;
    }
    if mark.exists() {
        problems.add(format!(
            "the camera was reset; remove {} from the card, which the camera cannot",
            wanted.join(" and ")
        ));
        return;
    }
    tracing::warn!("reset: the identity and everything else that the camera has kept is erased");
    if let Err(error) = empty(data) {
        problems.add(format!(
            "the reset is not complete: the data partition cannot be written ({error}); flash the card anew"
        ));
    }
    let removed = boot.write(|folder| {
        match files::erase(&folder.join(label)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        wanted.iter().try_for_each(|name| files::erase(&folder.join(name)))
    });
    if let Err(error) = removed {
        problems.add(format!(
            "the camera was reset, but the boot partition cannot be written ({error}); remove {} and {label} yourself",
            wanted.join(" and ")
        ));
        if let Err(error) = files::put_durably(&mark, b"") {
            tracing::warn!(%error, "the reset will be done at the next start again");
        }
    }
}

/// Erases what is in a folder. Goes on where it fails, and says so in the end. Links are removed, not followed.
fn empty(folder: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| KEPT.contains(&name)) {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type()?);
        let done = if kind.is_dir() {
            // It stays, empty: something may be mounted from it.
            empty(&path)
        } else if kind.is_file() {
            files::erase(&path)
        } else {
            fs::remove_file(&path)
        };
        outcome = outcome.and(done);
    }
    outcome
}
