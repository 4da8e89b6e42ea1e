//! The licences of everything on the card, as their authors have written them: `licences.tar.xz`.
//!
//! | folder | what is in it |
//! |---|---|
//! | `debian/PACKAGE` | the copyright file of every package of Debian's, and of those whose libraries are in the agent |
//! | `common-licenses/` | the texts that those files refer to |
//! | `crates/NAME-VERSION/` | what each crate of the agent says of its licence, in files of its own |
//! | `crates/README` | the licences of all crates, and which of them bring no text |
//! | `rust/`, `roomcam/` | those of Rust's library, and ours |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::linked::Crate;
use super::sbom::Package;
use crate::run;
use crate::workspace;

/// How files with a licence are called, in capitals, before any ending.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// Where licences come from.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    pub(crate) packages: &'a [Package],
    /// Folders with the packages' copyright files, each called as its package.
    pub(crate) copyright: &'a [&'a Path],
    /// The root file system's `/usr/share/common-licenses`.
    pub(crate) common: &'a Path,
    pub(crate) crates: &'a [Crate],
    /// The packages whose libraries are in the agent, with the files that are their copyright files.
    pub(crate) libraries: &'a [(Package, PathBuf)],
}

/// Writes the archive; `epoch` is the time that everything in it bears, in seconds since 1970.
pub(crate) fn collect(out: &Path, texts: &Texts<'_>, epoch: u64) -> Result<()> {
    let folder = out.with_extension("partial");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let root = folder.join("licences");
    debian(&root, texts)?;
    crates(&root.join("crates"), texts.crates)?;
    rust(&root.join("rust"))?;
    for name in ["LICENSE", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&workspace::root().join(name), &root.join("roomcam").join(name))?;
    }
    pack(&folder, out, epoch)?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn debian(root: &Path, texts: &Texts<'_>) -> Result<()> {
    let find = |name: &str| texts.copyright.iter().map(|folder| folder.join(name)).find(|file| file.exists());
    // Packages of one source may share one file, which a link leads to; and links to what was not unpacked are lost.
    let mut of_source: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for package in texts.packages {
        if let Some(file) = find(&package.name) {
            of_source.entry(&package.source).or_insert(file);
        }
    }
    let mut missing = Vec::new();
    for package in texts.packages {
        match find(&package.name).or_else(|| of_source.get(&*package.source).cloned()) {
            Some(file) => copy(&file, &root.join("debian").join(&package.name))?,
            None => missing.push(&*package.name),
        }
    }
    ensure!(missing.is_empty(), "there is no copyright file of {}", missing.join(", "));
    for (package, file) in texts.libraries {
        copy(file, &root.join("debian").join(&package.name))?;
    }
    for file in files(texts.common)? {
        copy(&file, &root.join("common-licenses").join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn crates(root: &Path, crates: &[Crate]) -> Result<()> {
    let mut list =
        String::from("The crates in camera-fw and their licences (SPDX). Those with a star bring no text of it.\n\n");
    for found in crates {
        let own = found.folder.starts_with(workspace::root());
        let texts: Vec<_> = if own { Vec::new() } else { texts_in(&found.folder)? };
        let star = if texts.is_empty() && !own { "*" } else { " " };
        let licence = found.licence.as_deref().unwrap_or("see its files");
        let _ = writeln!(list, "{star} {} {}: {licence}", found.name, found.version);
        for file in texts {
            let name = file.file_name().unwrap_or_default();
            copy(&file, &root.join(format!("{}-{}", found.name, found.version)).join(name))?;
        }
    }
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    fs::write(root.join("README"), list).context("cannot write the list of crates")
}

/// The files of a crate that say what its licence is.
fn texts_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let names = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        NAMES.iter().any(|start| name.starts_with(start))
    };
    Ok(files(folder)?.into_iter().filter(names).collect())
}

/// As rustup installs them beside the compiler; a distribution's Rust has them elsewhere, and itself.
fn rust(folder: &Path) -> Result<()> {
    let sysroot = run::output(Command::new("rustc").current_dir(workspace::root()).args(["--print", "sysroot"]));
    let sysroot = sysroot.context("rustc does not say where it is")?;
    let texts = Path::new(sysroot.trim()).join("share/doc/rust");
    for name in ["COPYRIGHT-library.html", "COPYRIGHT.html", "COPYRIGHT", "LICENSE-MIT", "LICENSE-APACHE"] {
        let file = texts.join(name);
        if file.exists() {
            copy(&file, &folder.join(name))?;
        }
    }
    Ok(())
}

fn pack(folder: &Path, out: &Path, epoch: u64) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(out).arg("--directory").arg(folder);
    tar.args(["--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"]);
    // One thread: with more, where the blocks end depends on their number.
    tar.arg(format!("--mtime=@{epoch}")).arg("--use-compress-program=xz -6 --threads=1").arg("licences");
    run::to_the_end_silently(&mut tar)
}

/// The files in a folder (not below it), by name; links to files count.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // Not `fs::copy`: modes are one of the things that differ from system to system.
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of a test's own, which it removes.
    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("roomcam-licences-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("copyright")).unwrap();
        fs::create_dir_all(folder.join("common")).unwrap();
        fs::create_dir_all(folder.join("toml")).unwrap();
        fs::write(folder.join("copyright/zlib1g"), "zlib's").unwrap();
        fs::write(folder.join("common/GPL-2"), "GPL").unwrap();
        fs::write(folder.join("toml/LICENSE-MIT"), "MIT").unwrap();
        fs::write(folder.join("toml/lib.rs"), "").unwrap();
        folder
    }

    fn archive(folder: &Path, packages: &[Package], out: &str) -> Result<Vec<u8>> {
        let crates = [Crate {
            name: "toml".to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT".to_owned()),
            checksum: None,
            folder: folder.join("toml"),
        }];
        let libraries = [(Package::beside("libvpx-dev", "1", "arm64"), folder.join("copyright/zlib1g"))];
        let copyright = folder.join("copyright");
        let texts = Texts {
            packages,
            copyright: &[&copyright],
            common: &folder.join("common"),
            crates: &crates,
            libraries: &libraries,
        };
        let out = folder.join(out);
        collect(&out, &texts, 1_700_000_000)?;
        Ok(fs::read(&out).unwrap())
    }

    #[test]
    fn every_text_is_in_it_and_the_same_texts_give_the_same_archive() {
        let folder = scratch("all");
        let package = Package::beside("zlib1g", "1", "arm64");
        // Of the same source, without a file of its own.
        let sibling = Package { name: "zlib1g-udeb".to_owned(), ..package.clone() };
        let packages = [package, sibling];
        let first = archive(&folder, &packages, "one.tar.xz").unwrap();
        let second = archive(&folder, &packages, "two.tar.xz").unwrap();
        assert!(first == second);
        let list = run::output(Command::new("tar").arg("-tf").arg(folder.join("one.tar.xz"))).unwrap();
        for file in [
            "debian/zlib1g",
            "debian/zlib1g-udeb",
            "debian/libvpx-dev",
            "common-licenses/GPL-2",
            "crates/toml-1.0.0/LICENSE-MIT",
            "crates/README",
            "roomcam/LICENSE-MIT",
        ] {
            assert!(list.lines().any(|line| line == format!("licences/{file}")), "{file} is missing:\n{list}");
        }
        assert!(!list.contains("lib.rs"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_package_without_a_licence_is_an_error() {
        let folder = scratch("none");
        let error = archive(&folder, &[Package::beside("unknown", "1", "arm64")], "x.tar.xz").unwrap_err();
        assert!(error.to_string().contains("unknown"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
