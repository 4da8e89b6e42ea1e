//! The root file system: the stage on top of the base, the kernel's modules, and nothing that a camera does not need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::inputs::Inputs;
use super::kernel::Kernel;
use super::{Work, as_root_apart, copy, quietly, recipe};
use crate::run;

/// A root file system, and what was found in it before it was packed.
#[derive(Debug)]
pub(super) struct Root {
    /// squashfs.
    pub(super) image: PathBuf,
    /// dpkg's list of its packages.
    pub(super) status: PathBuf,
    /// The packages' licences, a file each.
    pub(super) copyright: PathBuf,
    /// Those that many have, which the packages' own name and do not repeat.
    pub(super) common: PathBuf,
    /// The shell and tools of the initramfs.
    pub(super) busybox: PathBuf,
}

/// From the archive of the base; or from a folder in which the stage has run already.
pub(super) fn prepare(work: &mut Work, base: &Path, kernel: &Kernel, program: &Path) -> Result<Root> {
    let (stage, local) = (recipe("stage-roomcam"), recipe("local"));
    let inputs = Inputs::of("root 1")
        .value(base)
        .path(&base.join("var/lib/dpkg/status"))
        .value(&kernel.folder)
        .path(program)
        .path(&stage)
        .path(&local);
    let digest = inputs.value(work.epoch).digest();
    let folder = work.kept("root", digest, "Make the root file system", |work, folder| {
        // A copy, for the agent's sake: in the repository it has no place.
        let scratch = folder.join("scratch");
        fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let copied = scratch.join("stage");
        run::to_the_end_silently(Command::new("cp").args(["--recursive", "--preserve=mode"]).arg(&stage).arg(&copied))?;
        let files = copied.join("01-camera/files");
        fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
        copy(program, &files.join("camera-fw"))?;

        let mut make = as_root_apart(local.join("make-root.sh"));
        work.sets(&mut make);
        make.arg(base).arg(&copied).arg(kernel.modules()).arg(&scratch).arg(folder);
        quietly(&mut make, &folder.join("log"))?;
        super::remove(&scratch)
    })?;
    Ok(Root {
        image: folder.join("root.squashfs"),
        status: folder.join("status"),
        copyright: folder.join("copyright"),
        common: folder.join("common-licenses"),
        busybox: folder.join("busybox"),
    })
}
