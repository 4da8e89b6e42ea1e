//! The list of what is on the card (SBOM), as CycloneDX 1.5 (<https://cyclonedx.org/docs/1.5/json/>).
//!
//! ```text
//! dpkg's status, copyright files ─▶ Debian's packages ─┐
//! kernel and firmware, unpacked ───────────────────────┼▶ sbom.cdx.json
//! linked.rs ─▶ crates and libraries in the program ────┘
//! ```
//!
//! The same inputs give the same bytes: everything is sorted, the time is an argument, and there is no serial number, which
//! would have to be another for every build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::validation::Validate;

use super::linked::Crate;
use crate::debian::RELEASE;
use crate::run;

/// What the properties of ours begin with, of which CycloneDX knows nothing.
const OURS: &str = "roomcam:";

/// A package of Debian's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// What it was built from.
    pub(crate) source: String,
    /// By the short names of its copyright file, where that is written for machines to read.
    pub(crate) licences: Vec<String>,
}

impl Package {
    /// One that was unpacked and not installed, so that dpkg does not know it.
    pub(crate) fn beside(name: &str, version: &str, architecture: &str) -> Self {
        let [name, version, architecture] = [name, version, architecture].map(str::to_owned);
        Self { source: name.clone(), name, version, architecture, licences: Vec::new() }
    }

    /// With the licences that its copyright file names.
    pub(crate) fn with_licences_of(self, copyright: &Path) -> Result<Self> {
        let text = fs::read(copyright).with_context(|| format!("cannot read {}", copyright.display()))?;
        Ok(Self { licences: licences(&String::from_utf8_lossy(&text)), ..self })
    }

    /// <https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md>
    fn purl(&self) -> String {
        let Self { name, version, architecture, .. } = self;
        format!("pkg:deb/debian/{}@{}?arch={architecture}&distro={RELEASE}", encoded(name), encoded(version))
    }
}

impl Crate {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, encoded(&self.version))
    }
}

/// All that is on the card.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    /// Of the card.
    pub(crate) version: &'a str,
    /// Its time, in seconds since 1970.
    pub(crate) epoch: u64,
    /// The root file system's, and kernel and firmware.
    pub(crate) packages: &'a [Package],
    /// What is linked into the agent.
    pub(crate) crates: &'a [Crate],
    /// The same in C, with their copyright files.
    pub(crate) libraries: &'a [(Package, PathBuf)],
}

/// The packages that dpkg says are installed; `copyright` has a file for each, of its name.
pub(crate) fn installed(status: &Path, copyright: &Path) -> Result<Vec<Package>> {
    let text = fs::read_to_string(status).with_context(|| format!("cannot read {}", status.display()))?;
    let packages = read_status(&text).with_context(|| format!("{} is not understood", status.display()))?;
    packages
        .into_iter()
        .map(|package| {
            let file = copyright.join(&package.name);
            if file.exists() { package.with_licences_of(&file) } else { Ok(package) }
        })
        .collect()
}

/// Writes the list, and checks it before by the rules of its format.
pub(crate) fn write(out: &Path, contents: &Contents<'_>) -> Result<()> {
    let bom = bom(contents)?;
    let outcome = bom.validate_version(SpecVersion::V1_5);
    ensure!(outcome.passed(), "the SBOM breaks the rules of its format: {:?}", outcome);
    let mut json = Vec::new();
    bom.output_as_json_v1_5(&mut json).context("the SBOM cannot be written as JSON")?;
    json.push(b'\n');
    fs::write(out, json).with_context(|| format!("cannot write {}", out.display()))
}

fn bom(contents: &Contents<'_>) -> Result<Bom> {
    let mut packages: Vec<_> = contents.packages.iter().map(of_package).collect();
    let linked = contents.libraries.iter().map(|(package, _)| with(of_package(package), "linked", "statically"));
    let crates: Vec<_> = contents.crates.iter().filter(|found| found.name != "camera-fw").map(of_crate).collect();
    let linked: Vec<_> = linked.chain(crates).chain([rust_library()?]).collect();
    let agent = contents.crates.iter().find(|found| found.name == "camera-fw").context("there is no camera-fw")?;
    let mut agent = of_crate(agent);
    agent.component_type = Classification::Application;

    let card =
        component(Classification::Firmware, "roomcam", contents.version, format!("roomcam@{}", contents.version));
    let reference = |component: &Component| component.bom_ref.clone().unwrap_or_default();
    let references = |components: &[Component]| components.iter().map(reference).collect::<BTreeSet<_>>();
    let mut on_card = references(&packages);
    on_card.insert(reference(&agent));
    let dependencies = vec![
        Dependency { dependency_ref: reference(&card), dependencies: on_card.into_iter().collect() },
        Dependency { dependency_ref: reference(&agent), dependencies: references(&linked).into_iter().collect() },
    ];
    packages.push(agent);
    packages.extend(linked);
    packages.sort_by_key(reference);
    packages.dedup_by_key(|component| reference(component));

    let metadata = Metadata {
        timestamp: Some(time(contents.epoch)?.try_into().context("the time is not understood")?),
        component: Some(card),
        tools: None,
        authors: None,
        manufacture: None,
        supplier: None,
        licenses: None,
        properties: None,
        lifecycles: None,
    };
    Ok(Bom {
        serial_number: None,
        metadata: Some(metadata),
        components: Some(Components(packages)),
        dependencies: Some(Dependencies(dependencies)),
        spec_version: SpecVersion::V1_5,
        ..Bom::default()
    })
}

fn component(kind: Classification, name: &str, version: &str, reference: String) -> Component {
    Component::new(kind, name, version, Some(reference))
}

fn of_package(package: &Package) -> Component {
    let mut component = component(Classification::Library, &package.name, &package.version, package.purl());
    component.purl = package.purl().parse::<Purl>().ok();
    if !package.licences.is_empty() {
        // Debian's names are nearly SPDX's, and not quite; so they are given as names.
        let licences = package.licences.iter().map(|name| LicenseChoice::license(name));
        component.licenses = Some(Licenses(licences.collect()));
    }
    with(component, "source-package", &package.source)
}

fn of_crate(found: &Crate) -> Component {
    let mut component = component(Classification::Library, &found.name, &found.version, found.purl());
    component.purl = found.purl().parse::<Purl>().ok();
    component.licenses = found.licence.as_deref().map(|licence| Licenses(vec![LicenseChoice::expression(licence)]));
    component.hashes = found
        .checksum
        .as_ref()
        .map(|sum| Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sum.clone()) }]));
    component
}

/// Rust's own library, which cargo does not count.
fn rust_library() -> Result<Component> {
    let version = run::output(Command::new("rustc").current_dir(crate::workspace::root()).arg("--version"));
    let version = version.context("rustc does not tell its version")?;
    let version = version.split_whitespace().nth(1).context("rustc tells no version")?.to_owned();
    let purl = format!("pkg:generic/rust-std@{}", encoded(&version));
    let mut component = component(Classification::Library, "rust-std", &version, purl.clone());
    component.purl = purl.parse::<Purl>().ok();
    component.licenses = Some(Licenses(vec![LicenseChoice::expression("MIT OR Apache-2.0")]));
    component.description = Some(NormalizedString::new("The standard library of Rust"));
    Ok(component)
}

fn with(mut component: Component, name: &str, value: &str) -> Component {
    let properties = component.properties.get_or_insert_with(|| Properties(Vec::new()));
    properties.0.push(Property::new(format!("{OURS}{name}"), value));
    component
}

/// As a part of a purl.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn time(epoch: u64) -> Result<String> {
    let mut date = Command::new("date");
    let said = run::output(date.args(["--utc", "--date", &format!("@{epoch}"), "+%Y-%m-%dT%H:%M:%SZ"]));
    Ok(said.context("`date` does not tell the time")?.trim().to_owned())
}

/// dpkg's list: paragraphs of fields (deb822).
fn read_status(text: &str) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let name = field("Package").context("a paragraph names no package")?;
        if field("Status").is_none_or(|status| !status.ends_with(" installed")) {
            continue;
        }
        let required = |key: &str| field(key).with_context(|| format!("{name} has no {key}")).map(str::to_owned);
        // `Source: NAME (VERSION)`; without it, it is the package itself.
        let source = field("Source").and_then(|source| source.split_whitespace().next()).unwrap_or(name);
        packages.push(Package {
            name: name.to_owned(),
            version: required("Version")?,
            architecture: required("Architecture")?,
            source: source.to_owned(),
            licences: Vec::new(),
        });
    }
    packages.sort();
    Ok(packages)
}

/// The short names of licences in a copyright file, if it is one for machines
/// (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>).
fn licences(copyright: &str) -> Vec<String> {
    let machines = copyright
        .lines()
        .take(10)
        .any(|line| line.starts_with("Format:") && (line.contains("copyright-format/1.0") || line.contains("dep5")));
    if !machines {
        return Vec::new();
    }
    let names = copyright.lines().filter_map(|line| line.strip_prefix("License:")).map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: zlib1g\nStatus: install ok installed\nArchitecture: arm64\n\
        Source: zlib (1:1.3)\nVersion: 1:1.3.dfsg+really1.3.1-1+b1\nDescription: x\n Version: 9\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1\n\n\
        Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.152\n\n";

    fn crates() -> Vec<Crate> {
        let found = |name: &str, checksum: Option<&str>| Crate {
            name: name.to_owned(),
            version: "1.2.1+spec-1.1.0".to_owned(),
            licence: Some("MIT OR Apache-2.0".to_owned()),
            checksum: checksum.map(|digit| digit.repeat(64)),
            folder: PathBuf::new(),
        };
        vec![found("camera-fw", None), found("toml", Some("a"))]
    }

    fn json(name: &str) -> serde_json::Value {
        let packages = read_status(STATUS).unwrap();
        let libraries = [(Package::beside("libvpx-dev", "1.15.0-2.1+deb13u1", "arm64"), PathBuf::new())];
        let crates = crates();
        let contents =
            Contents { version: "0.1.0", epoch: 86_400, packages: &packages, crates: &crates, libraries: &libraries };
        let out = std::env::temp_dir().join(format!("roomcam-sbom-{}-{name}.json", std::process::id()));
        write(&out, &contents).unwrap();
        let text = fs::read_to_string(&out).unwrap();
        fs::remove_file(&out).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_installed_is_read() {
        let packages = read_status(STATUS).unwrap();
        let names: Vec<_> = packages.iter().map(|package| (&*package.name, &*package.source)).collect();
        assert_eq!(names, [("adduser", "adduser"), ("zlib1g", "zlib")]);
        assert_eq!(
            packages[1].purl(),
            "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=arm64&distro=trixie"
        );
        assert!(read_status("Version: 1\n").is_err());
    }

    #[test]
    fn everything_is_on_the_list() {
        let bom = json("all");
        assert_eq!(bom["bomFormat"], "CycloneDX");
        assert_eq!(bom["specVersion"], "1.5");
        assert_eq!(bom["metadata"]["timestamp"], "1970-01-02T00:00:00Z");
        assert!(bom.get("serialNumber").is_none());
        let components = bom["components"].as_array().unwrap();
        let component = |name: &str| components.iter().find(|found| found["name"] == name).unwrap();
        for name in ["adduser", "zlib1g", "libvpx-dev", "camera-fw", "toml", "rust-std"] {
            component(name);
        }
        assert_eq!(component("toml")["purl"], "pkg:cargo/toml@1.2.1%2Bspec-1.1.0");
        assert_eq!(component("toml")["hashes"][0]["content"], "a".repeat(64));
        assert_eq!(component("camera-fw")["type"], "application");
        assert_eq!(component("libvpx-dev")["properties"][1]["name"], "roomcam:linked");
        let dependencies = bom["dependencies"].as_array().unwrap();
        let of = |index: usize| dependencies[index]["dependsOn"].as_array().unwrap().len();
        assert_eq!((of(0), of(1)), (3, 3), "two packages and the agent; a library, a crate and Rust's own");
    }

    #[test]
    fn the_same_contents_give_the_same_list() {
        assert_eq!(json("one").to_string(), json("other").to_string());
    }

    #[test]
    fn licences_are_those_that_a_machine_can_read() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
            Files: *\nLicense: BSD-3-Clause\n\nFiles: debian/*\nLicense: GPL-2+\n text\n\nLicense: GPL-2+\n more\n";
        assert_eq!(licences(text), ["BSD-3-Clause", "GPL-2+"]);
        assert!(licences("This is free software.\nLicense: whatever\n").is_empty());
    }
}
