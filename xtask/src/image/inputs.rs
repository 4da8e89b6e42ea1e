//! What went into a stage, as a number: another one for other inputs.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Collects inputs. For our own cache, not against anybody: a quick hash does.
pub(super) struct Inputs(DefaultHasher);

impl Inputs {
    /// Begins with the recipe's name and number, to be raised when what is done with the inputs changes.
    pub(super) fn of(recipe: &str) -> Self {
        Self(DefaultHasher::new()).value(recipe)
    }

    pub(super) fn value(mut self, value: impl std::hash::Hash) -> Self {
        value.hash(&mut self.0);
        self
    }

    /// Contents, names and modes of a file or of all below a folder. What cannot be read counts as missing: who uses it
    /// says so.
    pub(super) fn path(mut self, path: &Path) -> Self {
        self.take(path);
        self
    }

    fn take(&mut self, path: &Path) {
        path.file_name().hash(&mut self.0);
        if let Ok(target) = fs::read_link(path) {
            target.hash(&mut self.0);
        } else if path.is_dir() {
            let mut entries: Vec<_> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            entries.sort();
            for entry in entries {
                self.take(&entry);
            }
        } else {
            fs::metadata(path).map(|data| data.permissions().mode() & 0o111).ok().hash(&mut self.0);
            fs::read(path).ok().hash(&mut self.0);
        }
    }

    pub(super) fn digest(self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_names_and_modes_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let digest = || Inputs::of("test").path(folder.path()).digest();
        let mut seen = vec![digest()];
        fs::write(&file, "x").unwrap();
        seen.push(digest());
        fs::write(&file, "y").unwrap();
        seen.push(digest());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        seen.push(digest());
        fs::rename(&file, folder.path().join("b")).unwrap();
        seen.push(digest());
        assert_eq!(digest(), digest());
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }
}
