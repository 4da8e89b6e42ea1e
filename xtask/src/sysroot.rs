//! The sysroot: what of Debian's stable release our programs are built against, and run with, wherever that happens.
//!
//! ```text
//! package list ─▶ apt: with all they depend on ─▶ unpacked ─▶ target/sysroot/trixie-arm64-<digest of the recipe>
//! ```
//!
//! The system that we develop on may be older (no libcamera that the crate knows) or of another architecture. A sysroot
//! takes its final name when it is whole, so a half-made one is never taken for one.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::debian::{self, Architecture, Archive, Extent, RELEASE};
use crate::progress::Step;
use crate::workspace;

/// To be raised when what is done with the packages changes.
const RECIPE: u32 = 2;

/// In a sysroot: the packages in it, one file name (`libvpx-dev_1.15.0-2.1_arm64.deb`) a line.
const PACKAGES: &str = "packages";

/// The version of the compiler whose libraries the release has.
const GCC: &str = "14";

/// What building takes: libc, C++, and the libraries of the camera; and libcamera's modules for run time.
pub(crate) const DEVELOPMENT: &[&str] = &[
    "libc6-dev",
    "libgcc-14-dev",
    "libstdc++-14-dev",
    "libvpx-dev",
    "libturbojpeg0-dev",
    "libcamera-dev",
    "libcamera-ipa",
];

/// What the guest runs besides our programs.
const GUEST: &[&str] = &["busybox-static", "v4l-utils"];

/// A file system of the release, to build against.
#[derive(Debug, Clone)]
pub(crate) struct Sysroot {
    pub(crate) root: PathBuf,
    pub(crate) architecture: Architecture,
}

/// The sysroot for this architecture; made if it is not there.
pub(crate) fn prepare(architecture: Architecture) -> Result<Sysroot> {
    let packages = packages(architecture);
    let folder = workspace::target().join("sysroot");
    let root = folder.join(name(architecture, &packages));
    let sysroot = Sysroot { root, architecture };
    if sysroot.root.exists() {
        return Ok(sysroot);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _alone = debian::lock(&folder.join(format!("{architecture}.lock")))?;
    if sysroot.root.exists() {
        // Another process made it while we waited.
        return Ok(sysroot);
    }
    let step = Step::begin(format!("Unpack a sysroot of {RELEASE} for {architecture}"));
    let partial = folder.join(format!("{architecture}.partial"));
    match make(architecture, &packages, &partial) {
        Ok(()) => {
            fs::rename(&partial, &sysroot.root)
                .with_context(|| format!("cannot name it {}", sysroot.root.display()))?;
            step.done();
            Ok(sysroot)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

impl Sysroot {
    /// One that somebody else has made: a root file system, if what building takes is in it.
    pub(crate) fn of(root: &Path, architecture: Architecture) -> Result<Self> {
        let root = root.canonicalize().with_context(|| format!("there is no sysroot at {}", root.display()))?;
        let sysroot = Self { root, architecture };
        let libraries = sysroot.libraries();
        let parts = [
            ("libc6-dev", sysroot.root.join("usr/include/stdio.h")),
            ("libstdc++-14-dev", sysroot.compiler().join("libstdc++.so")),
            ("libvpx-dev", libraries.join("libvpx.a")),
            ("libturbojpeg0-dev", libraries.join("pkgconfig/libturbojpeg.pc")),
            ("libcamera-dev", libraries.join("pkgconfig/libcamera.pc")),
        ];
        let missing: Vec<_> = parts.iter().filter(|(_, file)| !file.exists()).map(|(package, _)| *package).collect();
        ensure!(
            missing.is_empty(),
            "{} has not what building takes; install in it, for {architecture}: {}",
            sysroot.root.display(),
            missing.join(" ")
        );
        ensure!(
            sysroot.root.join("lib").exists(),
            "{0} has no folder or link `lib`; make it: ln -s usr/lib {0}/lib",
            sysroot.root.display()
        );
        Ok(sysroot)
    }

    /// Where the libraries of this architecture are.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib").join(self.architecture.gnu())
    }

    /// Where the compiler's own libraries are, which a compiler of another release does not look for by itself.
    pub(crate) fn compiler(&self) -> PathBuf {
        self.root.join("usr/lib/gcc").join(self.architecture.gnu()).join(GCC)
    }

    /// Where pkg-config finds what there is, as its `PKG_CONFIG_LIBDIR`.
    pub(crate) fn pkg_config(&self) -> String {
        let own = self.libraries().join("pkgconfig");
        format!("{}:{}", own.display(), self.root.join("usr/share/pkgconfig").display())
    }

    /// Names and versions of the packages in it.
    pub(crate) fn packages(&self) -> Result<Vec<(String, String)>> {
        let list = self.root.join(PACKAGES);
        let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        Ok(text.lines().filter_map(package).collect())
    }

    /// The version of a library, as its file for pkg-config says.
    pub(crate) fn version(&self, library: &str) -> Result<String> {
        let file = self.libraries().join("pkgconfig").join(format!("{library}.pc"));
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let version = text.lines().find_map(|line| line.strip_prefix("Version:"));
        Ok(version.with_context(|| format!("{} names no version", file.display()))?.trim().to_owned())
    }

    /// The loader that starts its programs.
    pub(crate) fn loader(&self) -> PathBuf {
        self.root.join(match self.architecture {
            Architecture::Amd64 => "usr/lib64/ld-linux-x86-64.so.2",
            Architecture::Arm64 => "usr/lib/ld-linux-aarch64.so.1",
        })
    }
}

/// Of `libvpx-dev_1.15.0-2.1_arm64.deb`; apt writes the colon of an epoch as `%3a`.
fn package(file: &str) -> Option<(String, String)> {
    let mut parts = file.split('_');
    Some((parts.next()?.to_owned(), parts.next()?.replace("%3a", ":")))
}

fn packages(architecture: Architecture) -> Vec<&'static str> {
    let guest = if architecture == Architecture::Arm64 { GUEST } else { &[] };
    DEVELOPMENT.iter().chain(guest).copied().collect()
}

/// Another name for another content.
fn name(architecture: Architecture, packages: &[&str]) -> String {
    format!("{RELEASE}-{architecture}-{}", digest((RECIPE, packages)))
}

/// A few digits that are others for another recipe.
pub(crate) fn digest(recipe: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}

fn make(architecture: Architecture, packages: &[&str], partial: &Path) -> Result<()> {
    if partial.exists() {
        fs::remove_dir_all(partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    let files = Archive::open(architecture)?.unpack(packages, Extent::Closed, partial)?;
    let list = partial.join(PACKAGES);
    fs::write(&list, files.join("\n") + "\n").with_context(|| format!("cannot write {}", list.display()))?;
    // Programs name their loader, and libc's linker script its parts, by the old places. These links are the business
    // of `base-files`, which nothing here depends on.
    for place in ["lib", "lib64"] {
        if partial.join("usr").join(place).exists() && !partial.join(place).exists() {
            std::os::unix::fs::symlink(Path::new("usr").join(place), partial.join(place))
                .with_context(|| format!("cannot link {place} in {}", partial.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_has_another_name() {
        let name_of = |packages: &[&str]| name(Architecture::Arm64, packages);
        assert!(name_of(&["a"]).starts_with("trixie-arm64-"));
        assert_eq!(name_of(&["a", "b"]), name_of(&["a", "b"]));
        assert_ne!(name_of(&["a", "b"]), name_of(&["a"]));
        assert_ne!(name_of(&["a", "b"]), name_of(&["ab"]));
    }

    #[test]
    fn a_system_without_headers_is_no_sysroot() {
        let error = Sysroot::of(Path::new("/nowhere"), Architecture::Arm64).unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let error = Sysroot::of(folder, Architecture::Arm64).unwrap_err().to_string();
        assert!(error.contains("libcamera-dev") && error.contains("libc6-dev"), "{error}");
    }

    #[test]
    fn packages_are_known_by_their_files() {
        let found = package("libturbojpeg0-dev_1%3a2.1.5-4_arm64.deb").unwrap();
        assert_eq!(found, ("libturbojpeg0-dev".to_owned(), "1:2.1.5-4".to_owned()));
    }

    #[test]
    fn the_compiler_s_libraries_are_those_of_its_packages() {
        for package in ["libgcc", "libstdc++"] {
            assert!(DEVELOPMENT.contains(&&*format!("{package}-{GCC}-dev")));
        }
    }
}
