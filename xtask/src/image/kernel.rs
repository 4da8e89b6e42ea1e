//! Debian's kernel for the card: its image, the boards' device trees, and the modules that a camera can have a use for;
//! and the firmware that starts it.
//!
//! Unpacked, not installed: the package's scripts would make an initramfs of their own, in emulation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::inputs::Inputs;
use super::{Work, copy, entries, name_of, recipe};
use crate::debian::{Architecture, Archive, Extent};
use crate::kernel::{self, Unpacked};
use crate::run;

/// Depends on the newest kernel.
const METAPACKAGE: &str = "linux-image-arm64";

/// What the boards' own loaders load first (<https://github.com/raspberrypi/firmware>).
const FIRMWARE_PACKAGE: &str = "raspi-firmware";

/// Of the firmware, what starts a system: not the variants for its own camera stack, debugging, and the smallest memory.
const FIRMWARE: &[&str] = &["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"];

/// The lists of `image/kernel`.
pub(super) const LISTS: [&str; 3] = ["disk", "early", "modules"];

/// What Raspberry Pi OS calls its kernels, by how their versions end, and the initramfs that its firmware loads with each
/// (`auto_initramfs` in config.txt): that of most boards, and that of the Pi 5.
const OF_THE_FIRMWARE: [(&str, &str); 2] = [("-rpi-v8", "initramfs8"), ("-rpi-2712", "initramfs_2712")];

/// Kernels, their modules, and what starts them.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) folder: PathBuf,
    /// Each as `uname -r` says, with the name of its initramfs.
    pub(super) versions: Vec<(String, String)>,
    /// Names and versions of the packages, where they are not installed in the root.
    pub(super) packages: Vec<(String, String)>,
}

impl Kernel {
    /// A folder of that for each version, as in `/usr/lib/modules`.
    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// Whether it is Raspberry Pi's own, which its firmware starts in its own way.
    pub(super) fn is_of_the_board(&self) -> bool {
        self.versions.iter().any(|(version, _)| version.ends_with(OF_THE_FIRMWARE[0].0))
    }

    /// Of the packages, a file each.
    pub(super) fn copyright(&self) -> PathBuf {
        self.folder.join("copyright")
    }

    /// Files and folders for the boot partition.
    pub(super) fn boot(&self) -> PathBuf {
        self.folder.join("boot")
    }
}

pub(super) fn prepare(work: &mut Work) -> Result<Kernel> {
    let archive = Archive::open(Architecture::Arm64)?;
    let package = archive.newest(METAPACKAGE, "linux-image-")?;
    let files = archive.files_alone(&[&package, FIRMWARE_PACKAGE])?;
    let lists = recipe("kernel");
    let digest = Inputs::of("kernel 2").value(&files).value(FIRMWARE).path(&lists).digest();
    let folder = work.kept("kernel", digest, "Unpack the kernel and the boards' firmware", |_, folder| {
        let tree = folder.join("tree");
        archive.unpack(&[&package, FIRMWARE_PACKAGE], Extent::Alone, &tree)?;
        keep(&tree, folder).with_context(|| format!("{package} is not as expected"))?;
        super::remove(&tree)
    })?;
    let version = fs::read_to_string(folder.join("version")).context("cannot read the kernel's version")?;
    let packages = files.iter().filter_map(|file| named(file)).collect();
    Ok(Kernel { versions: vec![(version, "initramfs.img".to_owned())], packages, folder })
}

/// The kernels and the firmware of a Raspberry Pi OS.
pub(super) fn of(work: &mut Work, rootfs: &Path) -> Result<Kernel> {
    let (modules, boot) = (rootfs.join("usr/lib/modules"), rootfs.join("boot/firmware"));
    let mut versions = Vec::new();
    for (end, initramfs) in OF_THE_FIRMWARE {
        let found = entries(&modules)?.iter().map(|path| name_of(path)).filter(|name| name.ends_with(end)).max();
        versions.extend(found.map(|version| (version, initramfs.to_owned())));
    }
    ensure!(!versions.is_empty(), "{} is no Raspberry Pi OS: it has no kernel …-rpi-v8", rootfs.display());
    let digest = Inputs::of("kernel of 2").path(&boot).value(&versions).path(&recipe("kernel")).digest();
    let folder = work.kept("kernel", digest, "Take the kernels and the boards' firmware", |_, folder| {
        for (version, _) in &versions {
            choose(&Unpacked { tree: rootfs.to_owned(), version: version.clone(), image: PathBuf::new() }, folder)?;
        }
        let to = folder.join("boot");
        run::to_the_end_silently(Command::new("cp").args(["--recursive", "--no-preserve=all"]).arg(&boot).arg(&to))?;
        for other in entries(&to)? {
            // What has settings of its own, in the place of ours.
            let name = name_of(&other);
            if name.starts_with("initramfs") || ["cmdline.txt", "config.txt", "issue.txt"].contains(&&*name) {
                super::remove(&other)?;
            }
        }
        make(&folder.join("copyright"))
    })?;
    Ok(Kernel { folder, versions, packages: Vec::new() })
}

fn keep(tree: &Path, folder: &Path) -> Result<()> {
    let kernel = Unpacked::of(tree)?;
    fs::write(folder.join("version"), &kernel.version).context("cannot note the version")?;

    choose(&kernel, folder)?;

    let boot = folder.join("boot");
    make(&boot.join("overlays"))?;
    copy(&kernel.image, &boot.join("kernel8.img"))?;
    let trees = tree.join("usr/lib").join(format!("linux-image-{}", kernel.version)).join("broadcom");
    for file in entries(&trees)? {
        // 64-bit boards with a card: Pi 3, Zero 2 W, Pi 4, Pi 5 and their kin.
        if name_of(&file).starts_with("bcm2") {
            copy(&file, &boot.join(name_of(&file)))?;
        }
    }
    let firmware = tree.join("usr/lib/raspi-firmware");
    for file in FIRMWARE {
        copy(&firmware.join(file), &boot.join(file))?;
    }
    for overlay in entries(&firmware.join("overlays"))? {
        copy(&overlay, &boot.join("overlays").join(name_of(&overlay)))?;
    }
    let copyright = folder.join("copyright");
    make(&copyright)?;
    for package in entries(&tree.join("usr/share/doc"))? {
        if package.join("copyright").exists() {
            copy(&package.join("copyright"), &copyright.join(name_of(&package)))?;
        }
    }
    Ok(())
}

/// Keeps the modules that the lists name, with what they need.
fn choose(kernel: &Unpacked, folder: &Path) -> Result<()> {
    let modules = folder.join("modules").join(&kernel.version);
    make(&modules)?;
    for list in LISTS {
        for name in names(list)? {
            let (name, optional) = name.strip_prefix('?').map_or((&*name, false), |name| (name, true));
            match kernel.needs(name) {
                Ok(needs) => {
                    for module in needs {
                        let place = module.strip_prefix(kernel.modules()).context("a module is elsewhere")?;
                        let to = modules.join(place.parent().unwrap_or(Path::new("")));
                        make(&to)?;
                        kernel::keep(&module, &to)?;
                    }
                }
                Err(_) if optional => {}
                Err(error) => return Err(error),
            }
        }
    }
    for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        copy(&kernel.modules().join(index), &modules.join(index))?;
    }
    // depmod looks below /lib/modules.
    let lib = folder.join("lib");
    if !lib.exists() {
        std::os::unix::fs::symlink(".", &lib).context("cannot link the modules' folder")?;
    }
    kernel::index(folder, &kernel.version)
}

/// Of the modules that were kept, these and what they need. What is built in, or may be missing, is none of them.
pub(super) fn closure(folder: &Path, version: &str, wanted: &BTreeSet<String>) -> Result<BTreeSet<PathBuf>> {
    let mut closure = BTreeSet::new();
    for module in wanted {
        closure.extend(kernel::needs(folder, version, module).unwrap_or_default());
    }
    ensure!(!closure.is_empty(), "none of the modules of the initramfs is in {}", folder.display());
    Ok(closure)
}

/// The names in one of the lists, in their order.
pub(super) fn names(list: &str) -> Result<Vec<String>> {
    let path = recipe("kernel").join(list);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Package and version of `linux-image-6.12.1-arm64_6.12.1-1_arm64.deb`.
fn named(file: &str) -> Option<(String, String)> {
    let mut parts = file.split('_');
    Some((parts.next()?.to_owned(), parts.next()?.replace("%3a", ":")))
}
