//! A kernel package of Debian's that was unpacked and not installed: its image, and modules with all that they need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;
use crate::system;

/// The unpacked package.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// What it was unpacked to, or installed in.
    pub(crate) tree: PathBuf,
    /// As `uname -r` says.
    pub(crate) version: String,
    /// What the boot loader loads.
    pub(crate) image: PathBuf,
}

impl Unpacked {
    /// Finds its way in what a package was unpacked to.
    pub(crate) fn of(tree: &Path) -> Result<Self> {
        let image = entry(&tree.join("boot"), |name| name.starts_with("vmlinuz-"))?;
        let version = name_of(&image).trim_start_matches("vmlinuz-").to_owned();
        if !tree.join("lib").exists() {
            // The package has the modules under /usr, and kmod looks under /lib.
            std::os::unix::fs::symlink("usr/lib", tree.join("lib")).context("cannot link the modules' folder")?;
        }
        run::to_the_end_silently(kmod("depmod")?.arg("-b").arg(tree).arg(&version))?;
        Ok(Self { tree: tree.to_owned(), version, image })
    }

    /// Where its modules are.
    pub(crate) fn modules(&self) -> PathBuf {
        self.tree.join("lib/modules").join(&self.version)
    }

    /// The files of a module and of those that it needs, in the order in which they must be loaded; none if it is built in.
    pub(crate) fn needs(&self, module: &str) -> Result<Vec<PathBuf>> {
        needs(&self.tree, &self.version, module)
    }
}

/// The same of a tree with modules in `<root>/lib/modules/<version>`, and their indices.
pub(crate) fn needs(root: &Path, version: &str, module: &str) -> Result<Vec<PathBuf>> {
    let mut needs = kmod("modprobe")?;
    needs.arg("-d").arg(root).args(["-S", version, "--show-depends", module]);
    let needs = run::output(&mut needs).with_context(|| format!("the kernel has no module {module}"))?;
    Ok(load_order(&needs))
}

/// Copies a module into a folder, unpacked, and gives the name of the copy.
pub(crate) fn keep(module: &Path, folder: &Path) -> Result<String> {
    let name = name_of(module);
    let (plain, unpacker) = match name.rsplit_once('.') {
        Some((plain, "xz")) => (plain, "xz"),
        Some((plain, "zst")) => (plain, "zstd"),
        _ => {
            fs::copy(module, folder.join(&name)).with_context(|| format!("cannot copy {}", module.display()))?;
            return Ok(name);
        }
    };
    let output = fs::File::create(folder.join(plain)).with_context(|| format!("cannot write {plain}"))?;
    let mut unpack = Command::new(unpacker);
    unpack.args(["--decompress", "--stdout"]).arg(module).stdin(Stdio::null()).stdout(output);
    run::to_the_end_silently(&mut unpack)?;
    Ok(plain.to_owned())
}

/// Writes the indices by which modprobe finds the modules in `<root>/lib/modules/<version>`.
pub(crate) fn index(root: &Path, version: &str) -> Result<()> {
    run::to_the_end_silently(kmod("depmod")?.arg("-b").arg(root).arg(version))
}

/// The modules of `insmod PATH [OPTIONS]` lines; what is built in has another line.
fn load_order(needs: &str) -> Vec<PathBuf> {
    let paths = needs.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
    paths.map(PathBuf::from).collect()
}

fn kmod(name: &str) -> Result<Command> {
    Ok(Command::new(system::administration(name).with_context(|| format!("{name} is missing (package kmod)"))?))
}

fn entry(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if wanted(&name_of(&path)) {
            return Ok(path);
        }
    }
    bail!("{} has not what a kernel package has", folder.display())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_in_modprobe_s_order() {
        let needs = "insmod /t/lib/modules/6/a/mc.ko.xz \nbuiltin b\ninsmod /t/lib/modules/6/c/vivid.ko n_devs=1\n";
        let order = load_order(needs);
        assert_eq!(order, [Path::new("/t/lib/modules/6/a/mc.ko.xz"), Path::new("/t/lib/modules/6/c/vivid.ko")]);
    }
}
