//! The archives that the kernel unpacks at its start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modes of what is in them.
const DIRECTORY: u32 = 0o040_755;
pub(crate) const PROGRAM: u32 = 0o100_755;
pub(crate) const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// A cpio archive of the kind `newc`: the one that the kernel unpacks
/// (<https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>).
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<PathBuf>,
}

impl Archive {
    pub(crate) fn directory(&mut self, path: &Path) {
        if path.as_os_str().is_empty() || self.directories.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[]);
    }

    pub(crate) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.entry(path, mode, content);
    }

    pub(crate) fn link(&mut self, path: &Path, to: &str) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.entry(path, LINK, to.as_bytes());
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_string_lossy();
        self.entries += 1;
        self.bytes.extend_from_slice(b"070701");
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_each_directory_once_and_everything_aligned() {
        let mut archive = Archive::default();
        archive.file(Path::new("a/b/c"), FILE, b"12345");
        archive.file(Path::new("a/d"), PROGRAM, b"");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let starts: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 5, "a, a/b, a/b/c, a/d and the trailer");
        assert!(starts.iter().all(|at| at % 4 == 0) && bytes.len() % 4 == 0);
        let third = &text[starts[2]..starts[3]];
        assert_eq!(&third[14..22], "000081a4", "mode");
        assert_eq!(&third[54..62], "00000005", "size");
        assert_eq!(&third[94..102], "00000006", "length of the name with its zero");
        assert_eq!(&third[110..115], "a/b/c");
        assert_eq!(&third[116..121], "12345");
    }
}
