//! The guest's only file system: programs with their libraries, modules and `init.sh`, as a cpio archive.
//!
//! The archive is written here and not by the program `cpio`: that would want a tree on disk, and root for its owners.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::kernel::Kernel;
use crate::cross;
use crate::sysroot::Sysroot;

const INIT: &str = include_str!("init.sh");
const BENCH: &str = include_str!("bench.sh");
const STUMBLES: &str = include_str!("stumbles.sh");

/// libcamera's cameras without hardware, which are there only once `init.sh` has put this file in its place.
const VIRTUAL_CAMERAS: &str = include_str!("../../../camera-fw/tests/libcamera/cameras.yaml");

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Writes the archive with our programs from the folder `built`, and says where it is.
pub(crate) fn write(folder: &Path, kernel: &Kernel, sysroot: &Sysroot, built: &Path) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for mounted in ["proc", "sys", "dev", "tmp", "etc"] {
        archive.directory(Path::new(mounted));
    }
    archive.file(Path::new("init"), PROGRAM, INIT.as_bytes());
    archive.file(Path::new("bench.sh"), FILE, BENCH.as_bytes());
    archive.file(Path::new("stumbles.sh"), FILE, STUMBLES.as_bytes());
    archive.file(Path::new("etc/passwd"), FILE, b"root:x:0:0::/:/bin/sh\nmaker:x:1000:1000::/tmp:/bin/sh\n");

    let mut programs = vec![sysroot.root.join("usr/bin/busybox"), sysroot.root.join("usr/bin/v4l2-ctl")];
    programs.extend([built.join("camera-fw"), built.join("examples/capture")]);
    for program in &programs {
        archive.file(&Path::new("bin").join(program.file_name().unwrap_or_default()), PROGRAM, &read(program)?);
    }
    // libcamera opens its modules by itself, so that no program names them.
    let modules = files(&sysroot.libraries().join("libcamera"))?;
    programs.extend(modules.iter().filter(|file| file.extension().is_some_and(|kind| kind == "so")).cloned());
    for file in modules.iter().chain(&files(&sysroot.root.join("usr/share/libcamera"))?) {
        archive.file(file.strip_prefix(&sysroot.root).unwrap_or(file), FILE, &read(file)?);
    }
    archive.file(Path::new("cameras.yaml"), FILE, VIRTUAL_CAMERAS.as_bytes());
    for (name, library) in libraries(&programs, &sysroot.libraries())? {
        archive.file(&Path::new("usr/lib").join(sysroot.architecture.gnu()).join(name), PROGRAM, &read(&library)?);
    }
    let loader = sysroot.loader();
    archive.file(&Path::new("lib").join(loader.file_name().unwrap_or_default()), PROGRAM, &read(&loader)?);

    let mut list = String::new();
    for (module, options) in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&Path::new("modules").join(&*name), FILE, &read(module)?);
        list += &format!("{name} {options}\n");
    }
    archive.file(Path::new("modules/list"), FILE, list.as_bytes());

    let path = folder.join("initrd");
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The shared libraries that the programs need, and those that these need, by name.
fn libraries(programs: &[PathBuf], folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut unread = programs.to_vec();
    while let Some(file) = unread.pop() {
        for name in cross::needed(&file)?.iter().filter(|name| !name.starts_with("ld-linux")) {
            let library = folder.join(name);
            ensure!(library.exists(), "{} needs {name}, which {} has not", file.display(), folder.display());
            if found.insert(name.clone(), library.clone()).is_none() {
                unread.push(library);
            }
        }
    }
    Ok(found)
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
