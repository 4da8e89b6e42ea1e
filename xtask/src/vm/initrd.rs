//! The guest's only file system: programs with their libraries, modules and `init.sh`, as a cpio archive.
//!
//! The archive is written here and not by the program `cpio`: that would want a tree on disk, and root for its owners.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::kernel::Kernel;
use crate::run;
use crate::system;
use crate::workspace;

const INIT: &str = include_str!("init.sh");

/// What the laboratory holds: a camera with an S-Video, a webcam's and an HDMI input (0x32: two bits each), with an output
/// and a node of metadata beside it; and a camera with S-Video that speaks the multi-planar API alone.
const VIVID: &str = "n_devs=2 node_types=0x20101,0x1 num_inputs=3,1 input_types=0x32,0x2 multiplanar=1,2";

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Writes the archive and says where.
pub(crate) fn write(folder: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for mounted in ["proc", "sys", "dev", "tmp", "etc"] {
        archive.directory(Path::new(mounted));
    }
    archive.file(Path::new("init"), PROGRAM, INIT.as_bytes());
    archive.file(Path::new("etc/passwd"), FILE, b"root:x:0:0::/:/bin/sh\nmaker:x:1000:1000::/tmp:/bin/sh\n");

    let built = workspace::target().join("debug");
    let mut libraries = BTreeSet::new();
    for (name, program) in [
        ("busybox", found("busybox")?),
        ("v4l2-ctl", found("v4l2-ctl")?),
        ("camera-fw", stripped(folder, &built.join("camera-fw"))?),
        ("capture", stripped(folder, &built.join("examples/capture"))?),
    ] {
        archive.file(&Path::new("bin").join(name), PROGRAM, &read(&program)?);
        libraries.extend(libraries_of(&program));
    }
    for library in libraries {
        archive.file(library.strip_prefix("/").unwrap_or(&library), PROGRAM, &read(&library)?);
    }

    let mut list = String::new();
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&Path::new("modules").join(&*name), FILE, &read(module)?);
        list += &name;
        list += if name == "vivid.ko" { " " } else { "\n" };
    }
    list += VIVID;
    list += "\n";
    archive.file(Path::new("modules/list"), FILE, list.as_bytes());

    let path = folder.join("initrd");
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn found(name: &str) -> Result<PathBuf> {
    system::program(name).with_context(|| format!("{name} is not on the path"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A copy without what only a debugger reads: nine tenths of it.
fn stripped(folder: &Path, program: &Path) -> Result<PathBuf> {
    let copy = folder.join(program.file_name().unwrap_or_default());
    run::to_the_end_silently(Command::new("strip").arg("-o").arg(&copy).arg(program))?;
    Ok(copy)
}

/// Its shared libraries, its loader among them; none if it is static.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    run::output(Command::new("ldd").arg(program)).map(|list| libraries_in(&list)).unwrap_or_default()
}

/// Of `libc.so.6 => /lib/…/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries_in(list: &str) -> Vec<PathBuf> {
    list.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// A cpio archive of the kind `newc`: the one that the kernel unpacks
/// (<https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>).
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<PathBuf>,
}

impl Archive {
    fn directory(&mut self, path: &Path) {
        if path.as_os_str().is_empty() || self.directories.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[]);
    }

    fn file(&mut self, path: &Path, mode: u32, content: &[u8]) {
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.entry(path, mode, content);
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

    fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let list = "\tlinux-vdso.so.1 (0x00007fc07431f000)\n\
             \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fc07301e000)\n\
             \t/lib64/ld-linux-x86-64.so.2 (0x00007fc074321000)\n";
        let expected = [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")];
        assert_eq!(libraries_in(list), expected);
        assert!(libraries_in("\tnot a dynamic executable\n").is_empty());
    }

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
