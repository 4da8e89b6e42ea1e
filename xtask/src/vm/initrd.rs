//! The guest's only file system: programs with their libraries, modules and `init.sh`, as a cpio archive.
//!
//! The archive is written here and not by the program `cpio`: that would want a tree on disk, and root for its owners.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::kernel::Kernel;
use crate::cpio::{Archive, FILE, PROGRAM};
use crate::cross;
use crate::sysroot::Sysroot;

const INIT: &str = include_str!("init.sh");
const BENCH: &str = include_str!("bench.sh");
const STUMBLES: &str = include_str!("stumbles.sh");

/// libcamera's cameras without hardware, which are there only once `init.sh` has put this file in its place.
const VIRTUAL_CAMERAS: &str = include_str!("../../../camera-fw/tests/libcamera/cameras.yaml");

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
