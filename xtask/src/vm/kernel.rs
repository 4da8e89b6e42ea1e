//! Debian's kernel, unpacked and not installed: its image, and the modules that vivid needs.
//!
//! Kept under `target/vm/<package>_<version>`, so that only a new version is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::progress::Step;
use crate::run;
use crate::system;

/// Depends on the newest kernel; the flavour `cloud` would lack the media modules.
const METAPACKAGE: &str = "linux-image-amd64";

/// A kernel ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// What the boot loader loads.
    pub(crate) image: PathBuf,
    /// The modules in the order in which they must be loaded, the last is vivid.
    pub(crate) modules: Vec<PathBuf>,
}

/// The newest kernel that apt knows of, from the cache in `folder` if it is there.
pub(crate) fn fetch(folder: &Path) -> Result<Kernel> {
    // The lists may be missing, or name what the mirror has replaced since.
    let known = newest().and_then(|(package, file)| fetch_known(folder, &package, &file));
    if let Ok(kernel) = known {
        return Ok(kernel);
    }
    system::refresh_package_lists()?;
    let (package, file) = newest()?;
    fetch_known(folder, &package, &file)
}

/// The package of the newest kernel, and the name of its file, which has the version in it.
fn newest() -> Result<(String, String)> {
    let depends = run::output(Command::new("apt-cache").args(["depends", METAPACKAGE])).unwrap_or_default();
    let package = depended_on(&depends)
        .with_context(|| format!("apt knows no package {METAPACKAGE}: the step vm needs Debian's package lists"))?;
    let uris = run::output(Command::new("apt-get").args(["download", "--print-uris", &package])).unwrap_or_default();
    let file = file_name(&uris).with_context(|| format!("apt does not know where to get {package}"))?;
    Ok((package, file))
}

fn depended_on(depends: &str) -> Option<String> {
    let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// From `'https://…' linux-image-….deb 70550672 SHA256:…`.
fn file_name(uris: &str) -> Option<String> {
    uris.split_whitespace().find(|word| word.ends_with(".deb")).map(str::to_owned)
}

fn fetch_known(folder: &Path, package: &str, file: &str) -> Result<Kernel> {
    let cached = folder.join(file.trim_end_matches(".deb"));
    if !cached.join("order").exists() {
        let step = Step::begin(format!("Fetch the kernel {package}"));
        let scratch = folder.join("unpacking");
        remove(&scratch)?;
        remove(&cached)?;
        fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let unpacked = unpack(&scratch, package, &cached);
        remove(&scratch)?;
        if let Err(error) = unpacked {
            step.failed();
            return Err(error);
        }
        step.done();
    }
    let order = cached.join("order");
    let order = fs::read_to_string(&order).with_context(|| format!("cannot read {}", order.display()))?;
    Ok(Kernel { image: cached.join("vmlinuz"), modules: order.lines().map(|name| cached.join(name)).collect() })
}

fn unpack(scratch: &Path, package: &str, cached: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download.current_dir(scratch).args(["--quiet", "--quiet", "download"]);
    if nix::unistd::geteuid().is_root() {
        // apt's own user may not write into our folder, and need not.
        download.args(["--option", "APT::Sandbox::User=root"]);
    }
    run::to_the_end(download.arg(package))?;
    let deb = entry(scratch, |name| name.ends_with(".deb"))?;
    let tree = scratch.join("tree");
    run::to_the_end_silently(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&tree))?;

    let image = entry(&tree.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    let version = name_of(&image).trim_start_matches("vmlinuz-").to_owned();
    if !tree.join("lib").exists() {
        // Newer packages put the modules under /usr, and kmod looks under /lib.
        std::os::unix::fs::symlink("usr/lib", tree.join("lib")).context("cannot link the modules' folder")?;
    }
    run::to_the_end_silently(kmod("depmod")?.arg("-b").arg(&tree).arg(&version))?;
    let mut needs = kmod("modprobe")?;
    needs.arg("-d").arg(&tree).args(["-S", &version, "--show-depends", "vivid"]);
    let needs = run::output(&mut needs).with_context(|| format!("{package} has no module vivid"))?;

    fs::create_dir_all(cached).with_context(|| format!("cannot make {}", cached.display()))?;
    let mut order = String::new();
    for module in load_order(&needs) {
        let name = keep_module(&module, cached)?;
        order += &name;
        order += "\n";
    }
    ensure!(order.ends_with("vivid.ko\n"), "{package} has no module vivid");
    fs::copy(&image, cached.join("vmlinuz")).with_context(|| format!("cannot copy {}", image.display()))?;
    // Last: it says that all the rest is there.
    fs::write(cached.join("order"), order).context("cannot write the modules' order")
}

/// The modules of `insmod PATH [OPTIONS]` lines; what is built in has another line.
fn load_order(needs: &str) -> Vec<PathBuf> {
    let paths = needs.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
    paths.map(PathBuf::from).collect()
}

/// Copies a module, unpacked, and gives the name of the copy.
fn keep_module(module: &Path, cached: &Path) -> Result<String> {
    let name = name_of(module);
    let (plain, unpacker) = match name.rsplit_once('.') {
        Some((plain, "xz")) => (plain, "xz"),
        Some((plain, "zst")) => (plain, "zstd"),
        _ => {
            fs::copy(module, cached.join(&name)).with_context(|| format!("cannot copy {}", module.display()))?;
            return Ok(name);
        }
    };
    let output = fs::File::create(cached.join(plain)).with_context(|| format!("cannot write {plain}"))?;
    let mut unpack = Command::new(unpacker);
    unpack.args(["--decompress", "--stdout"]).arg(module).stdin(Stdio::null()).stdout(output);
    run::to_the_end_silently(&mut unpack)?;
    Ok(plain.to_owned())
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

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_found_in_what_apt_says() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: linux-image-none\n";
        assert_eq!(depended_on(depends).unwrap(), "linux-image-6.1.0-56-amd64");
        assert_eq!(depended_on("linux-image-amd64\n"), None);
        let uris = "'http://deb.example.org/l.deb' linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb 70550672 SHA256:00\n";
        assert_eq!(file_name(uris).unwrap(), "linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb");
        assert_eq!(file_name(""), None);
    }

    #[test]
    fn modules_are_loaded_in_modprobe_s_order() {
        let needs = "insmod /t/lib/modules/6/a/mc.ko.xz \nbuiltin b\ninsmod /t/lib/modules/6/c/vivid.ko n_devs=1\n";
        let order = load_order(needs);
        assert_eq!(order, [Path::new("/t/lib/modules/6/a/mc.ko.xz"), Path::new("/t/lib/modules/6/c/vivid.ko")]);
    }
}
