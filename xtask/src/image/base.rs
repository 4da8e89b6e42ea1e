//! Debian, as its packages make it: the root file system that the stage begins with.
//!
//! mmdebstrap installs the packages that the stage names, and what they and every system need. Their scripts are programs
//! for another processor, so where ours is another one the kernel runs them through QEMU (binfmt_misc).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::inputs::Inputs;
use super::{Work, as_root_apart, entries, name_of, quietly, recipe};
use crate::debian::{self, Architecture, Archive, RELEASE};
use crate::run;

/// What the kernel is to do with programs for ARM: registered here.
const FOREIGN: &str = "/proc/sys/fs/binfmt_misc/qemu-aarch64";

/// What Debian has under other names than Raspberry Pi OS: libcamera of its release.
const OF_DEBIAN: &[&str] = &["libcamera0.4", "libcamera-ipa"];

/// What is never unpacked, to be quicker. `image/local/left-out` has the last word.
const NEVER: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
];

/// Gives the archive of the base.
pub(super) fn prepare(work: &mut Work) -> Result<PathBuf> {
    let packages = packages(&recipe("stage-roomcam"))?;
    let files = {
        let archive = Archive::open(Architecture::Arm64)?;
        let mut wanted: Vec<&str> = packages.iter().map(String::as_str).collect();
        // As apt calls what no system may lack.
        wanted.push("?essential");
        archive.files(&wanted)?
    };
    let digest = Inputs::of("base 1").value(&packages).value(files).value(NEVER).value(work.epoch_of_base()).digest();
    let folder = work.kept("base", digest, "Install Debian's packages", |work, folder| {
        enable_foreign_programs()?;
        make(work, &packages, folder)
    })?;
    Ok(folder.join("base.tar"))
}

impl Work {
    /// What mmdebstrap stamps its files with. The commit's time is of no use to it: every commit would make it anew, and
    /// the root that is made of it bears its own.
    const fn epoch_of_base(&self) -> u64 {
        let _ = self;
        1_700_000_000
    }
}

fn make(work: &Work, packages: &[String], folder: &Path) -> Result<()> {
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = as_root_apart("mmdebstrap");
        command.arg("--mode=root");
        command
    } else {
        let mut command = Command::new("mmdebstrap");
        command.arg("--mode=unshare");
        command
    };
    work.sets(&mut command);
    command.env(super::EPOCH, work.epoch_of_base().to_string());
    command.args(["--variant=essential", "--architectures=arm64", "--format=tar"]);
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    for option in NEVER {
        command.arg(format!("--dpkgopt={option}"));
    }
    command.arg(format!("--include={}", packages.join(",")));
    command.arg(RELEASE).arg(folder.join("base.tar")).args(debian::sources()?);
    quietly(&mut command, &folder.join("log"))
}

/// Those that the stage names, in pi-gen's way: files `NN-packages` in each of its folders.
pub(super) fn packages(stage: &Path) -> Result<Vec<String>> {
    let mut packages: Vec<String> = OF_DEBIAN.iter().map(ToString::to_string).collect();
    for folder in entries(stage)?.into_iter().filter(|entry| entry.is_dir()) {
        for list in entries(&folder)?.into_iter().filter(|entry| name_of(entry).ends_with("-packages")) {
            let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            packages.extend(lines.flat_map(str::split_whitespace).map(str::to_owned));
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// Sees to it that the kernel runs programs for ARM. What Debian's package registers at boot is missing where services do
/// not start, as in containers.
fn enable_foreign_programs() -> Result<()> {
    if Architecture::own() == Some(Architecture::Arm64) || Path::new(FOREIGN).exists() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the kernel does not run programs for ARM yet; once, as root:\n\n  \
             mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-aarch64\n"
        );
    }
    if !Path::new("/proc/sys/fs/binfmt_misc/register").exists() {
        run::to_the_end(Command::new("mount").args(["-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc"]))?;
    }
    run::to_the_end(Command::new("update-binfmts").args(["--enable", "qemu-aarch64"]))?;
    if Path::new(FOREIGN).exists() { Ok(()) } else { bail!("the kernel does not run programs for ARM (binfmt_misc)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_those_of_the_stage() {
        let packages = packages(&recipe("stage-roomcam")).unwrap();
        for expected in ["systemd", "libcamera0.4", "iwd"] {
            assert!(packages.iter().any(|package| package == expected), "{packages:?}");
        }
        assert!(packages.iter().all(|package| !package.contains(['#', ' ', ','])), "{packages:?}");
    }
}
