//! Debian's kernel, unpacked and not installed: its image, and the modules that the guest loads.
//!
//! Kept under `target/vm/<package>-<digest of the recipe>`, so that only a new kernel is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::debian::{Architecture, Archive, Extent};
use crate::progress::Step;
use crate::run;
use crate::sysroot;
use crate::system;

/// Depends on the newest kernel; the flavour `cloud` would lack the media modules.
const METAPACKAGE: &str = "linux-image-arm64";

/// A module with its options. Those that it needs are loaded before it.
type Wanted = (&'static str, &'static str);

/// What the guest loads. A keyboard, for the sake of its lights, which are LEDs like those of a board. The camera of the
/// laboratory: one with an S-Video, a webcam's and an HDMI input (0x32: two bits each), with an output and a node of
/// metadata beside it; and one with S-Video that speaks the multi-planar API alone. All else that the guest takes (GPIO,
/// udmabuf, virtio) is built in.
const MODULES: [Wanted; 2] = [
    ("virtio_input", ""),
    ("vivid", "n_devs=2 node_types=0x20101,0x1 num_inputs=3,1 input_types=0x32,0x2 multiplanar=1,2"),
];

/// A kernel ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// What the boot loader loads.
    pub(crate) image: PathBuf,
    /// The modules, with their options, in the order in which they must be loaded.
    pub(crate) modules: Vec<(PathBuf, String)>,
}

/// The newest kernel that apt knows of, from the cache in `folder` if it is there.
pub(crate) fn fetch(folder: &Path) -> Result<Kernel> {
    let archive = Archive::open(Architecture::Arm64)?;
    let package = archive.newest(METAPACKAGE, "linux-image-")?;
    let cached = folder.join(format!("{package}-{}", sysroot::digest(MODULES)));
    if !cached.join("order").exists() {
        let step = Step::begin(format!("Fetch the kernel {package}"));
        let scratch = folder.join("unpacking");
        remove(&scratch)?;
        remove(&cached)?;
        let unpacked = archive
            .unpack(&[&package], Extent::Alone, &scratch)
            .and_then(|_| keep(&scratch, &cached).with_context(|| format!("{package} is not as expected")));
        remove(&scratch)?;
        if let Err(error) = unpacked {
            step.failed();
            return Err(error);
        }
        step.done();
    }
    let order = cached.join("order");
    let order = fs::read_to_string(&order).with_context(|| format!("cannot read {}", order.display()))?;
    let modules = order.lines().map(|line| {
        let (name, options) = line.split_once(' ').unwrap_or((line, ""));
        (cached.join(name), options.to_owned())
    });
    Ok(Kernel { image: cached.join("vmlinuz"), modules: modules.collect() })
}

/// Copies what the guest needs of the unpacked package.
fn keep(tree: &Path, cached: &Path) -> Result<()> {
    let image = entry(&tree.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    let version = name_of(&image).trim_start_matches("vmlinuz-").to_owned();
    if !tree.join("lib").exists() {
        // The package has the modules under /usr, and kmod looks under /lib.
        std::os::unix::fs::symlink("usr/lib", tree.join("lib")).context("cannot link the modules' folder")?;
    }
    run::to_the_end_silently(kmod("depmod")?.arg("-b").arg(tree).arg(&version))?;

    fs::create_dir_all(cached).with_context(|| format!("cannot make {}", cached.display()))?;
    let mut order = Vec::new();
    for (module, options) in MODULES {
        let mut needs = kmod("modprobe")?;
        needs.arg("-d").arg(tree).args(["-S", &version, "--show-depends", module]);
        let needs = run::output(&mut needs).with_context(|| format!("it has no module {module}"))?;
        for path in load_order(&needs) {
            let name = keep_module(&path, cached)?;
            let wanted = name.trim_end_matches(".ko") == module;
            let line = if wanted { format!("{name} {options}") } else { name };
            if !order.contains(&line) {
                order.push(line);
            }
        }
        ensure!(order.iter().any(|line| line.starts_with(module)), "it has no module {module}");
    }
    fs::copy(&image, cached.join("vmlinuz")).with_context(|| format!("cannot copy {}", image.display()))?;
    // Last: it says that all the rest is there.
    fs::write(cached.join("order"), order.join("\n") + "\n").context("cannot write the modules' order")
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
    fn modules_are_loaded_in_modprobe_s_order() {
        let needs = "insmod /t/lib/modules/6/a/mc.ko.xz \nbuiltin b\ninsmod /t/lib/modules/6/c/vivid.ko n_devs=1\n";
        let order = load_order(needs);
        assert_eq!(order, [Path::new("/t/lib/modules/6/a/mc.ko.xz"), Path::new("/t/lib/modules/6/c/vivid.ko")]);
    }
}
