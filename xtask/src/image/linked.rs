//! What is in the agent besides its own code: crates, Rust's library, and the C libraries that are not shared ones.
//!
//! cargo is asked for the very build that goes onto the card, its target and features; tools of the build (build scripts,
//! macros and what these need) leave nothing of theirs in the program and are not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::sbom::Package;
use crate::cross::APPLIANCE;
use crate::debian::Architecture;
use crate::run;
use crate::sysroot::Sysroot;
use crate::workspace;

/// The packages of the sysroot whose libraries become part of the program.
const STATIC: [&str; 1] = ["libvpx-dev"];

/// A crate in the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As an SPDX expression.
    pub(crate) licence: Option<String>,
    /// SHA-256 of what the registry has handed out; our own crates have none.
    pub(crate) checksum: Option<String>,
    /// Where its sources are.
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates of the appliance's program, by name.
pub(crate) fn crates() -> Result<Vec<Crate>> {
    let mut tree = workspace::cargo();
    tree.args(["tree", "--quiet", "--package", "camera-fw", "--target", Architecture::Arm64.rust()]).args(APPLIANCE);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    let tree = run::output(&mut tree).context("`cargo tree` failed")?;
    let linked: BTreeSet<(String, String)> = tree.lines().filter_map(named).collect();
    ensure!(linked.len() > 1, "`cargo tree` names no crates");

    let mut metadata = workspace::cargo();
    let metadata = run::output(metadata.args(["metadata", "--quiet", "--format-version", "1", "--all-features"]));
    let metadata = metadata.context("`cargo metadata` failed")?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("`cargo metadata` is not understood")?;
    let described: BTreeMap<_, _> =
        metadata.packages.into_iter().map(|found| ((found.name.clone(), found.version.clone()), found)).collect();
    let lock = workspace::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock is not understood")?;
    let mut checksums: BTreeMap<_, _> =
        lock.package.into_iter().map(|found| ((found.name, found.version), found.checksum)).collect();

    linked
        .into_iter()
        .map(|key| {
            let found = described.get(&key).with_context(|| format!("cargo describes no {} {}", key.0, key.1))?;
            let folder = found.manifest_path.parent().context("a manifest without a folder")?.to_path_buf();
            let licence = found.license.as_deref().map(expression);
            let checksum = checksums.remove(&key).flatten();
            Ok(Crate { name: key.0, version: key.1, licence, checksum, folder })
        })
        .collect()
}

/// Of `serde v1.0.229` and `camera-fw v0.1.0 (/home/me/roomcam/camera-fw)`.
fn named(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

/// Old crates write `MIT/Apache-2.0`, which means either.
fn expression(licence: &str) -> String {
    licence.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The C libraries in the program, as the sysroot's packages, each with its copyright file.
pub(crate) fn libraries(sysroot: &Sysroot) -> Result<Vec<(Package, PathBuf)>> {
    let packages = sysroot.packages()?;
    STATIC
        .iter()
        .map(|name| {
            let found = packages.iter().find(|(package, _)| package == name);
            let (name, version) = found.with_context(|| format!("the sysroot has no {name}"))?;
            let copyright = sysroot.root.join("usr/share/doc").join(name).join("copyright");
            let package = Package::beside(name, version, &sysroot.architecture.to_string());
            Ok((package.with_licences_of(&copyright)?, copyright))
        })
        .collect()
}

/// Names and versions of the crates whose sources a program names, as panics do: `…/index.crates.io-…/NAME-VERSION/src/…`.
/// Not all that are in it, but none that is not.
pub(crate) fn named_in(program: &[u8]) -> BTreeSet<String> {
    const REGISTRY: &[u8] = b"/registry/src/";
    let starts = program.windows(REGISTRY.len()).enumerate().filter(|(_, window)| *window == REGISTRY);
    starts
        .filter_map(|(at, _)| {
            let rest = &program[at + REGISTRY.len()..];
            let rest = &rest[..rest.len().min(200)];
            let mut parts = rest.split(|byte| *byte == b'/');
            let _index = parts.next()?;
            let name = std::str::from_utf8(parts.next()?).ok()?;
            parts.next()?;
            Some(name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_are_those_of_the_program() {
        let crates = crates().unwrap();
        let has = |name: &str| crates.iter().any(|found| found.name == name);
        for expected in ["camera-fw", "signal-proto", "webrtc", "ring", "env-libvpx-sys", "libcamera", "qrcode"] {
            assert!(has(expected), "{expected} is missing");
        }
        for tool in ["syn", "clap_derive", "bindgen", "cc", "proptest", "signal-srv"] {
            assert!(!has(tool), "{tool} is not in the program");
        }
        for found in &crates {
            assert!(found.licence.is_some(), "{} has no licence", found.name);
            let ours = found.folder.starts_with(workspace::root());
            assert_eq!(found.checksum.is_none(), ours, "{}", found.name);
        }
    }

    #[test]
    fn lines_and_licences_are_read() {
        let found = named("camera-fw v0.1.0 (/home/me/camera-fw)").unwrap();
        assert_eq!(found, ("camera-fw".to_owned(), "0.1.0".to_owned()));
        assert_eq!(named(""), None);
        assert_eq!(expression("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(expression("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0");
    }

    #[test]
    fn a_program_tells_what_is_in_it() {
        let program = b"\0/cargo/registry/src/index.crates.io-19/tokio-1.54.1/src/runtime/mod.rs\0/registry/src/x";
        assert_eq!(named_in(program).into_iter().collect::<Vec<_>>(), ["tokio-1.54.1"]);
    }
}
