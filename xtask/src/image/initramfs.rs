//! The first file system: `image/initramfs/init`, a shell for it, and the modules that it loads.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::inputs::Inputs;
use super::kernel::{self, Kernel, names};
use super::root::Root;
use super::{Work, copy, recipe};
use crate::cpio::{Archive, FILE, PROGRAM};
use crate::run;

/// The lists of modules that it loads.
const LISTS: [&str; 2] = ["disk", "early"];

/// What `init` calls, each a name of busybox.
const APPLETS: [&str; 14] = [
    "cat",
    "chroot",
    "cut",
    "echo",
    "hexdump",
    "mkdir",
    "modprobe",
    "mount",
    "sh",
    "sleep",
    "switch_root",
    "umask",
    "umount",
    "[",
];

/// Gives the folder with one for each kernel.
pub(super) fn prepare(work: &mut Work, kernel: &Kernel, root: &Root) -> Result<PathBuf> {
    let init = recipe("initramfs/init");
    let inputs = Inputs::of("initramfs 1").value(&kernel.folder).path(&recipe("kernel")).path(&init);
    let digest = inputs.path(&root.busybox).value(APPLETS).digest();
    work.kept("initramfs", digest, "Pack the initramfs", |_, folder| {
        kernel.versions.iter().try_for_each(|(version, name)| make(kernel, version, root, &init, &folder.join(name)))
    })
}

fn make(kernel: &Kernel, version: &str, root: &Root, init: &Path, packed: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for mounted in ["dev", "proc", "sys"] {
        archive.directory(Path::new(mounted));
    }
    archive.file(Path::new("init"), PROGRAM, &read(init)?);
    archive.file(Path::new("bin/busybox"), PROGRAM, &read(&root.busybox)?);
    for name in APPLETS {
        archive.link(&Path::new("bin").join(name), "busybox");
    }
    let mut wanted = BTreeSet::new();
    for list in LISTS {
        let names = names(list)?;
        let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches('?')).collect();
        archive.file(&Path::new("modules").join(list), FILE, (names.join("\n") + "\n").as_bytes());
        wanted.extend(names.into_iter().map(str::to_owned));
    }

    // A tree of its own, for indices of what is in it alone.
    let tree = packed.with_extension("tree");
    // As modprobe names them.
    let modules = kernel.folder.join("lib/modules").join(version);
    let place = tree.join("lib/modules").join(version);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for module in kernel::closure(&kernel.folder, version, &wanted)? {
        let to = place.join(module.strip_prefix(&modules).context("a module is elsewhere")?);
        fs::create_dir_all(to.parent().unwrap_or(&place)).context("cannot make a module's folder")?;
        copy(&module, &to)?;
    }
    for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        copy(&modules.join(index), &place.join(index))?;
    }
    crate::kernel::index(&tree, version)?;
    for file in files(&tree)? {
        archive.file(file.strip_prefix(&tree).unwrap_or(&file), FILE, &read(&file)?);
    }
    super::remove(&tree)?;

    let plain = packed.with_extension("cpio");
    fs::write(&plain, archive.finish()).with_context(|| format!("cannot write {}", plain.display()))?;
    let output = File::create(packed).with_context(|| format!("cannot write {}", packed.display()))?;
    run::to_the_end_silently(Command::new("zstd").args(["-19", "--quiet", "--stdout"]).arg(&plain).stdout(output))?;
    super::remove(&plain)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in super::entries(folder)? {
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
