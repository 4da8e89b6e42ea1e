//! Debian's kernel for the card: its image, the boards' device trees, and the modules that a camera can have a use for;
//! and the firmware that starts it.
//!
//! Unpacked, not installed: the package's scripts would make an initramfs of their own, in emulation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::inputs::Inputs;
use super::{Work, copy, entries, name_of, recipe};
use crate::debian::{Architecture, Archive, Extent};
use crate::kernel::{self, Unpacked};

/// Depends on the newest kernel.
const METAPACKAGE: &str = "linux-image-arm64";

/// What the boards' own loaders load first (<https://github.com/raspberrypi/firmware>).
const FIRMWARE_PACKAGE: &str = "raspi-firmware";

/// Of the firmware, what starts a system: not the variants for its own camera stack, debugging, and the smallest memory.
const FIRMWARE: &[&str] = &["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"];

/// The lists of `image/kernel`.
pub(super) const LISTS: [&str; 3] = ["disk", "early", "modules"];

/// A kernel, its modules, and what starts it.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) folder: PathBuf,
    /// As `uname -r` says.
    pub(super) version: String,
    /// Names and versions of the packages.
    pub(super) packages: Vec<(String, String)>,
}

impl Kernel {
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// A folder of that for each version, as in `/usr/lib/modules`.
    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("modules")
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
    let digest = Inputs::of("kernel 1").value(&files).value(FIRMWARE).path(&lists).digest();
    let folder = work.kept("kernel", digest, "Unpack the kernel and the boards' firmware", |_, folder| {
        let tree = folder.join("tree");
        archive.unpack(&[&package, FIRMWARE_PACKAGE], Extent::Alone, &tree)?;
        keep(&tree, folder).with_context(|| format!("{package} is not as expected"))?;
        super::remove(&tree)
    })?;
    let version = fs::read_to_string(folder.join("version")).context("cannot read the kernel's version")?;
    Ok(Kernel { version, packages: files.iter().filter_map(|file| named(file)).collect(), folder })
}

fn keep(tree: &Path, folder: &Path) -> Result<()> {
    let kernel = Unpacked::of(tree)?;
    copy(&kernel.image, &folder.join("vmlinuz"))?;
    fs::write(folder.join("version"), &kernel.version).context("cannot note the version")?;

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
    std::os::unix::fs::symlink(".", folder.join("lib")).context("cannot link the modules' folder")?;
    kernel::index(folder, &kernel.version)?;

    let boot = folder.join("boot");
    make(&boot.join("overlays"))?;
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

/// Of the modules that were kept, these and what they need. What is built in, or may be missing, is none of them.
pub(super) fn closure(folder: &Path, version: &str, wanted: &BTreeSet<String>) -> Result<BTreeSet<PathBuf>> {
    let mut closure = BTreeSet::new();
    for module in wanted {
        closure.extend(kernel::needs(folder, version, module).unwrap_or_default());
    }
    if closure.is_empty() {
        bail!("none of the modules of the initramfs is in {}", folder.display())
    }
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
