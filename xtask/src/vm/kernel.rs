//! Debian's kernel, unpacked and not installed: its image, and the modules that the guest loads.
//!
//! Kept under `target/vm/<package>-<digest of the recipe>`, so that only a new kernel is fetched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::debian::{Architecture, Archive, Extent};
use crate::kernel::{self, Unpacked};
use crate::progress::Step;
use crate::sysroot;

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
    let kernel = Unpacked::of(tree)?;
    fs::create_dir_all(cached).with_context(|| format!("cannot make {}", cached.display()))?;
    let mut order = Vec::new();
    for (module, options) in MODULES {
        for path in kernel.needs(module)? {
            let name = kernel::keep(&path, cached)?;
            let wanted = name.trim_end_matches(".ko") == module;
            let line = if wanted { format!("{name} {options}") } else { name };
            if !order.contains(&line) {
                order.push(line);
            }
        }
        ensure!(order.iter().any(|line| line.starts_with(module)), "it has no module {module}");
    }
    fs::copy(&kernel.image, cached.join("vmlinuz"))
        .with_context(|| format!("cannot copy {}", kernel.image.display()))?;
    // Last: it says that all the rest is there.
    fs::write(cached.join("order"), order.join("\n") + "\n").context("cannot write the modules' order")
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
