//! Packages of Debian's stable release, for an architecture that need not be ours, beside the system's own.
//!
//! apt does all of it (mirrors, signatures, dependencies), with lists and settings of its own under `target/debian`:
//! the system's stay as they are, and nobody has to be root. Packages are unpacked and never installed, so none of
//! their scripts runs; what those would make (accounts, caches, alternatives) is missing from such a tree.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::run;
use crate::system;
use crate::workspace;

/// The release that the appliance is made of, and the kernel of the guest.
pub(crate) const RELEASE: &str = "trixie";

/// The mirror to use where the system's own apt knows none of Debian's.
const MIRROR: &str = "ROOMCAM_DEBIAN_MIRROR";

/// The same for the security updates, which have a place of their own.
const SECURITY_MIRROR: &str = "ROOMCAM_DEBIAN_SECURITY_MIRROR";

/// After so long apt is asked again what there is. A point release or a security update does not wait for a fault.
const LISTS_KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys that Debian signs its lists with, from the package `debian-archive-keyring`.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];

/// A kind of machine, with the names that everybody has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// That of the machine we run on, if it is one of these.
    pub(crate) const fn own() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::Amd64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else {
            None
        }
    }

    /// As the compilers and the folders of libraries are named.
    pub(crate) const fn gnu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// As Rust names its target.
    pub(crate) const fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Architecture {
    /// As Debian names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

/// What of the packages named is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Them and nothing else.
    Alone,
    /// All that they depend on, too.
    Closed,
}

/// Why packages cannot be had here, if they cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if ["apt-get", "apt-cache", "dpkg-deb"].iter().any(|tool| system::program(tool).is_none()) {
        Some("it takes packages of Debian, and so apt-get, apt-cache and dpkg-deb")
    } else if system::on_ubuntu() && env::var_os(MIRROR).is_none() {
        Some(
            "it takes packages of Debian, and Ubuntu knows no mirror of them: \
             name one in the environment (ROOMCAM_DEBIAN_MIRROR=http://…/debian)",
        )
    } else {
        None
    }
}

/// Debian's packages for one architecture.
#[derive(Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
    /// Held while it lives: two of us would spoil each other's lists.
    _lock: Flock<File>,
}

impl Archive {
    /// Makes apt's settings, and waits until nobody else uses them.
    pub(crate) fn open(architecture: Architecture) -> Result<Self> {
        if let Some(reason) = impossible() {
            bail!("this is not possible here: {reason}");
        }
        let folder = workspace::target().join("debian").join(architecture.to_string());
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        let lock = lock(&folder.join("lock"))?;
        write(&folder.join("apt.conf"), &settings(&folder, architecture))?;
        write(&folder.join("sources.list"), &(sources()?.join("\n") + "\n"))?;
        // Nothing is installed there.
        write(&folder.join("status"), "")?;
        let archive = Self { folder, _lock: lock };
        if archive.lists_are_old() {
            // Without the network, what was known before is still of use.
            let _ = archive.refresh();
        }
        Ok(archive)
    }

    /// The package that a metapackage stands for: the first that it depends on whose name begins so.
    pub(crate) fn newest(&self, metapackage: &str, prefix: &str) -> Result<String> {
        let find = || {
            let depends = run::output(self.apt("apt-cache").args(["depends", metapackage])).unwrap_or_default();
            depended_on(&depends, prefix).with_context(|| format!("{RELEASE} has no package {metapackage}"))
        };
        find().or_else(|_| self.refresh().and_then(|()| find()))
    }

    /// Fetches packages and unpacks them into `tree`, which is made. Gives the names of their files, which say what came
    /// in which version.
    pub(crate) fn unpack(&self, packages: &[&str], extent: Extent, tree: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(tree).with_context(|| format!("cannot make {}", tree.display()))?;
        let archives = self.folder.join("cache/archives");
        // What an interrupted run has left there apt would not name, and so it would not be unpacked.
        empty(&archives)?;
        // The lists may be missing, or name what the mirror has replaced since.
        let files = self.fetch(packages, extent, &archives).or_else(|_| {
            self.refresh()?;
            self.fetch(packages, extent, &archives)
        })?;
        for file in &files {
            let file = archives.join(file);
            run::to_the_end_silently(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(tree))?;
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        Ok(files)
    }

    /// Gives the names of the files.
    fn fetch(&self, packages: &[&str], extent: Extent, archives: &Path) -> Result<Vec<String>> {
        let command = |option: &str| {
            let mut command = self.apt("apt-get");
            command.current_dir(archives).args(["--quiet", "--quiet", "--yes", option]);
            match extent {
                Extent::Alone => command.arg("download"),
                Extent::Closed => command.args(["--download-only", "install"]),
            };
            command.args(packages);
            command
        };
        let uris = run::output(&mut command("--print-uris")).unwrap_or_default();
        let files = file_names(&uris);
        ensure!(!files.is_empty(), "apt does not know where to get {}", packages.join(", "));
        run::to_the_end_silently(&mut command("--no-install-recommends"))?;
        Ok(files)
    }

    /// The files that these packages and all that they depend on come in: other ones for other versions.
    pub(crate) fn files(&self, packages: &[&str]) -> Result<Vec<String>> {
        let ask = || {
            let mut command = self.apt("apt-get");
            command.args(["--quiet", "--quiet", "--yes", "--print-uris", "--no-install-recommends", "--download-only"]);
            let files = file_names(&run::output(command.arg("install").args(packages)).unwrap_or_default());
            ensure!(!files.is_empty(), "apt does not know where to get {}", packages.join(", "));
            Ok(files)
        };
        ask().or_else(|_| self.refresh().and_then(|()| ask()))
    }

    /// The files that these packages alone come in.
    pub(crate) fn files_alone(&self, packages: &[&str]) -> Result<Vec<String>> {
        let ask = || {
            let mut command = self.apt("apt-get");
            command.args(["--quiet", "--quiet", "--print-uris", "download"]).args(packages);
            let files = file_names(&run::output(&mut command).unwrap_or_default());
            ensure!(files.len() == packages.len(), "apt does not know where to get {}", packages.join(", "));
            Ok(files)
        };
        ask().or_else(|_| self.refresh().and_then(|()| ask()))
    }

    fn lists_are_old(&self) -> bool {
        let refreshed = self.folder.join("refreshed").metadata().and_then(|data| data.modified());
        !refreshed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LISTS_KEEP))
    }

    fn refresh(&self) -> Result<()> {
        let advice = "if the signature cannot be checked, the package debian-archive-keyring is too old";
        run::to_the_end_silently(self.apt("apt-get").args(["--quiet", "--quiet", "update"])).context(advice)?;
        write(&self.folder.join("refreshed"), "")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(self.folder.join("apt.conf"));
        command
    }
}

/// Only one process at a time goes on from here, until it drops this.
pub(crate) fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Read after the system's own settings, of which those of the network (proxies) stay. What the system does besides at
/// every update (clear caches, tell desktops) is not for us.
fn settings(folder: &Path, architecture: Architecture) -> String {
    let folder = folder.display();
    format!(
        "#clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         #clear APT::Architectures;\n\
         APT::Architecture \"{architecture}\";\n\
         APT::Architectures {{ \"{architecture}\"; }};\n\
         APT::Default-Release \"\";\n\
         APT::Install-Recommends \"false\";\n\
         APT::Sandbox::User \"root\";\n\
         Dir::State \"{folder}/state\";\n\
         Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\";\n\
         Dir::Etc::SourceList \"{folder}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\n"
    )
}

/// The release, its updates, and its security updates, as apt's `sources.list` has them. Only the lists of packages are
/// of use: no translations, icons or metadata for desktops.
pub(crate) fn sources() -> Result<Vec<String>> {
    let (mirror, keyring) = (mirror()?, keyring()?);
    let mut sources = vec![source(&mirror, RELEASE, keyring), source(&mirror, &format!("{RELEASE}-updates"), keyring)];
    match security_mirror() {
        Some(mirror) => sources.push(source(&mirror, &format!("{RELEASE}-security"), keyring)),
        None => println!(
            "No mirror of Debian's security updates is known; name one in the environment ({SECURITY_MIRROR})."
        ),
    }
    Ok(sources)
}

fn source(mirror: &str, suite: &str, keyring: &str) -> String {
    format!("deb [target=Packages signed-by={keyring}] {mirror} {suite} main non-free-firmware")
}

/// Whether the system can tell Debian's lists from anybody's.
pub(crate) fn has_keys() -> bool {
    keyring().is_ok()
}

fn keyring() -> Result<&'static str> {
    let found = KEYRINGS.into_iter().find(|file| Path::new(file).exists());
    found.context("Debian's keys are missing (package debian-archive-keyring)")
}

/// Where the system itself gets Debian from.
fn mirror() -> Result<String> {
    if let Ok(named) = env::var(MIRROR) {
        return Ok(named);
    }
    if let Some(mirror) = system_s("Debian") {
        return Ok(mirror);
    }
    // Without lists it does not know whose repositories it has.
    system::refresh_package_lists()?;
    system_s("Debian").with_context(|| {
        format!("the system's apt knows no mirror of Debian; name one in the environment ({MIRROR}=http://…/debian)")
    })
}

fn security_mirror() -> Option<String> {
    env::var(SECURITY_MIRROR).ok().or_else(|| system_s("Debian-Security"))
}

/// The place of a repository that the system's apt knows by this label.
fn system_s(label: &str) -> Option<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]);
    run::output(&mut targets).and_then(|targets| labelled(&targets, label))
}

/// Of `Debian main http://…/debian/`.
fn labelled(targets: &str, label: &str) -> Option<String> {
    let uris = targets.lines().filter_map(|line| line.strip_prefix(label)?.strip_prefix(" main "));
    uris.map(str::to_owned).next()
}

fn depended_on(depends: &str, prefix: &str) -> Option<String> {
    let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with(prefix)).map(str::to_owned)
}

/// From lines like `'https://…' libc6_2.41-12_arm64.deb 2483572 SHA256:…`.
fn file_names(uris: &str) -> Vec<String> {
    let names = uris.lines().filter_map(|line| line.split_whitespace().nth(1));
    names.filter(|name| name.ends_with(".deb")).map(str::to_owned).collect()
}

/// Removes the packages in a folder.
fn empty(archives: &Path) -> Result<()> {
    for entry in fs::read_dir(archives).with_context(|| format!("cannot list {}", archives.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", archives.display()))?.path();
        if path.extension().is_some_and(|kind| kind == "deb") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_debian_itself() {
        let targets = "Example main http://apt.example.com/debian/\n\
                       Debian-Security main http://deb.example.org/debian-security/\n\
                       Debian contrib http://deb.example.org/other/\n\
                       Debian main http://deb.example.org/debian/\n";
        assert_eq!(labelled(targets, "Debian").unwrap(), "http://deb.example.org/debian/");
        assert_eq!(labelled(targets, "Debian-Security").unwrap(), "http://deb.example.org/debian-security/");
        assert_eq!(labelled("$(LABEL) main http://deb.example.org/debian/\n", "Debian"), None);
    }

    #[test]
    fn a_metapackage_stands_for_what_it_depends_on() {
        let depends = "linux-image-arm64\n  Depends: base-files\n  Depends: linux-image-6.12.1-arm64\n  Suggests: x\n";
        assert_eq!(depended_on(depends, "linux-image-").unwrap(), "linux-image-6.12.1-arm64");
        assert_eq!(depended_on("linux-image-arm64\n", "linux-image-"), None);
    }

    #[test]
    fn files_are_read_from_what_apt_would_fetch() {
        let uris = "'http://deb.example.org/z.deb' zlib1g_1%3a1.3_arm64.deb 85116 SHA256:00\n\
                    'http://deb.example.org/l.deb' libc6_2.41-12_arm64.deb 2483572 SHA256:00\n";
        assert_eq!(file_names(uris), ["zlib1g_1%3a1.3_arm64.deb", "libc6_2.41-12_arm64.deb"]);
        assert!(file_names("E: Unable to locate package\n").is_empty());
    }

    #[test]
    fn apt_is_given_folders_of_our_own() {
        let text = settings(Path::new("/t/arm64"), Architecture::Arm64);
        assert!(text.contains("Dir::State::status \"/t/arm64/status\";\n"));
        assert!(text.contains("APT::Architecture \"arm64\";\n"));
        let line = source("http://deb.example.org/debian/", "trixie-updates", "/k.gpg");
        let expected = "deb [target=Packages signed-by=/k.gpg] http://deb.example.org/debian/ trixie-updates main non-free-firmware";
        assert_eq!(line, expected);
    }
}
