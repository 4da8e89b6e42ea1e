//! `cargo xtask image`: the workspace as an SD card that streams when it gets power.
//!
//! ```text
//! Debian's packages ─▶ base.rs (mmdebstrap) ─────▶ base.tar ─┐
//! cross build ─▶ camera-fw ─▶ image/stage-roomcam ───────────┼▶ root.rs ──▶ root.squashfs ─┐
//! Debian's kernel ─▶ kernel.rs ─▶ modules ───────────────────┤                              │
//!                        │                    image/initramfs ┴▶ initramfs.rs ─▶ initramfs ─┼▶ card.rs ─▶ .img ─▶ .img.xz
//!                        └▶ kernel, device trees; raspi-firmware, image/boot ───────────────┘
//! ```
//!
//! Each arrow's end is kept under `target/image` by a digest of all that went into it, so that only what changed is made
//! again; and each is made so that the same inputs give the same bytes.

mod base;
mod card;
mod initramfs;
mod inputs;
mod kernel;
mod licences;
pub(crate) mod linked;
pub(crate) mod lint;
mod root;
mod sbom;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::kernel::Kernel;
use self::root::Root;
use crate::cross::Cross;
use crate::debian::Architecture;
use crate::progress::{Shown, Step};
use crate::run;
use crate::sysroot::Sysroot;
use crate::system::{self, Purpose};
use crate::workspace;

/// What the list of a card's contents, and the licences, are called behind its name.
const SBOM: &str = "sbom.cdx.json";
const LICENCES: &str = "licences.tar.xz";

/// The time that everything in the image bears, in seconds (<https://reproducible-builds.org/specs/source-date-epoch/>).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Forget what was built before, and make all of it anew
    #[arg(long)]
    anew: bool,
    /// Keep what is built in this folder [default: target/image]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Pack this root file system, in which the stage has run (image/pi-gen), instead of Debian's
    #[arg(long, value_name = "DIR", conflicts_with = "program")]
    rootfs: Option<PathBuf>,
    /// Take this agent, built for 64-bit ARM, instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Without the compressed copy: for tests, which read the card as it is
    #[arg(skip)]
    uncompressed: bool,
}

impl Arguments {
    /// For tests.
    pub(crate) fn uncompressed() -> Self {
        Self { uncompressed: true, ..Self::default() }
    }
}

/// A card, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Built {
    /// Where all of it is.
    pub(crate) folder: PathBuf,
    /// The card, byte for byte; most of it are holes.
    pub(crate) card: PathBuf,
    /// The same to be handed out, unless nobody asked for that.
    pub(crate) archive: Option<PathBuf>,
    /// Its root file system.
    pub(crate) root: PathBuf,
    /// How long each stage took that was not there yet.
    pub(crate) took: Vec<(&'static str, Duration)>,
}

/// `cargo xtask image`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let begun = Instant::now();
    let built = build(arguments)?;
    let size = |path: &Path| path.metadata().map_or(0.0, |data| data.len() as f64 / 1e6);
    let archive = built.archive.context("there is no archive")?;
    println!("\n{}", archive.display());
    println!("{:.0} MB, its root {:.0} MB, after {}", size(&archive), size(&built.root), Shown(begun.elapsed()));
    println!("Write it to a card: image/README.md. Beside it: its checksum, what is in it (SBOM), and the licences.");
    Ok(ExitCode::SUCCESS)
}

/// Why no image can be made on this machine, if none can.
pub(crate) fn impossible() -> Option<&'static str> {
    if Architecture::own().is_none() {
        return Some("it is built on x86-64 or on 64-bit ARM");
    }
    crate::debian::impossible()
}

/// Makes what is not there yet.
pub(crate) fn build(arguments: &Arguments) -> Result<Built> {
    if let Some(reason) = impossible() {
        bail!("an image cannot be made here: {reason}");
    }
    system::prepare(Purpose::Image)?;
    let folder = arguments.out.clone().unwrap_or_else(|| workspace::target().join("image"));
    if arguments.anew {
        remove(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let _alone = crate::debian::lock(&folder.join("lock"))?;
    let mut work = Work { folder, epoch: epoch()?, took: Vec::new() };

    let given = arguments.rootfs.as_ref().map(|rootfs| rootfs.join("usr/bin/camera-fw")).or(arguments.program.clone());
    let (program, sysroot) = work.program(given.as_deref())?;
    let (kernel, base) = match &arguments.rootfs {
        Some(rootfs) => (kernel::of(&mut work, rootfs)?, rootfs.clone()),
        None => (kernel::prepare(&mut work)?, base::prepare(&mut work)?),
    };
    let root = root::prepare(&mut work, &base, &kernel, &program)?;
    let initramfs = initramfs::prepare(&mut work, &kernel, &root)?;
    let card = card::prepare(&mut work, &kernel, &root, &initramfs)?;
    let archive = if arguments.uncompressed {
        None
    } else {
        let archive = work.compress(&card)?;
        let papers = work.papers(&kernel, &root, &program, &sysroot)?;
        Some(work.hand_out(&archive, &papers)?)
    };
    Ok(Built { folder: work.folder, card, archive, root: root.image, took: work.took })
}

/// Makes everything but the agent a second time, from nothing, and says in which stage it came to something else, if it did.
pub(crate) fn again(first: &Built) -> Result<Option<&'static str>> {
    let folder = workspace::target().join("image-again");
    let arguments = Arguments {
        anew: true,
        out: Some(folder.clone()),
        program: Some(Cross::to(Architecture::Arm64)?.built().join("camera-fw")),
        uncompressed: true,
        ..Arguments::default()
    };
    let second = build(&arguments)?;
    let of = |kind: &str, built: &Built| -> Result<u64> {
        let folder = entries(&built.folder)?.into_iter().find(|entry| name_of(entry).starts_with(&format!("{kind}-")));
        let folder = folder.with_context(|| format!("there is no {kind} in {}", built.folder.display()))?;
        let files = entries(&folder)?.into_iter().filter(|file| !name_of(file).ends_with("log"));
        Ok(files.fold(inputs::Inputs::of(kind), |inputs, file| inputs.path(&file)).digest())
    };
    let mut other = None;
    // The earliest is what there is to mend.
    for stage in ["card", "initramfs", "root", "base", "kernel"] {
        if of(stage, first)? != of(stage, &second)? {
            other = Some(stage);
        }
    }
    if other.is_none() {
        remove(&folder)?;
    }
    Ok(other)
}

/// What every stage takes.
#[derive(Debug)]
struct Work {
    folder: PathBuf,
    /// Seconds since 1970.
    epoch: u64,
    took: Vec<(&'static str, Duration)>,
}

impl Work {
    /// What is kept under this name, made by `make` in a folder of its own if it is not there. It takes its name when it is
    /// whole; what was kept of the same kind before goes.
    fn kept(
        &mut self,
        kind: &'static str,
        digest: u64,
        what: &'static str,
        make: impl FnOnce(&Self, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let kept = self.folder.join(format!("{kind}-{digest:016x}"));
        if kept.exists() {
            return Ok(kept);
        }
        let step = Step::begin(what);
        let partial = self.folder.join(format!("{kind}.partial"));
        remove(&partial)?;
        fs::create_dir(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        if let Err(error) = make(self, &partial) {
            step.failed();
            return Err(error);
        }
        for old in entries(&self.folder)? {
            if name_of(&old).strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')) {
                remove(&old)?;
            }
        }
        fs::rename(&partial, &kept).with_context(|| format!("cannot name it {}", kept.display()))?;
        self.took.push((kind, step.done()));
        Ok(kept)
    }

    /// The agent, built for the card.
    fn program(&mut self, given: Option<&Path>) -> Result<(PathBuf, Sysroot)> {
        let begun = Instant::now();
        let cross = Cross::to(Architecture::Arm64)?;
        let program = given.map_or_else(|| cross.build(), |given| Ok(given.to_owned()))?;
        self.took.push(("program", begun.elapsed()));
        Ok((program, cross.sysroot))
    }

    /// What is in the card, and under which licences.
    fn papers(&mut self, kernel: &Kernel, root: &Root, program: &Path, sysroot: &Sysroot) -> Result<PathBuf> {
        let version = env!("CARGO_PKG_VERSION");
        let inputs = inputs::Inputs::of("papers 1").value(&kernel.folder).path(&root.status).path(program);
        let digest = inputs.value(self.epoch).path(&workspace::root().join("Cargo.lock")).digest();
        self.kept("papers", digest, "List what is in it, and collect the licences", |work, folder| {
            let mut packages = sbom::installed(&root.status, &root.copyright)?;
            for (name, version) in &kernel.packages {
                let package = sbom::Package::beside(name, version, "arm64");
                packages.push(package.with_licences_of(&kernel.copyright().join(name))?);
            }
            let (crates, libraries) = (linked::crates()?, linked::libraries(sysroot)?);
            let contents = sbom::Contents {
                version,
                epoch: work.epoch,
                packages: &packages,
                crates: &crates,
                libraries: &libraries,
            };
            sbom::write(&folder.join(SBOM), &contents)?;
            let texts = licences::Texts {
                packages: &packages,
                copyright: &[&root.copyright, &kernel.copyright()],
                common: &root.common,
                crates: &crates,
                libraries: &libraries,
            };
            licences::collect(&folder.join(LICENCES), &texts, work.epoch)
        })
    }

    /// Puts what people take with them into one folder, under names that stay.
    fn hand_out(&self, archive: &Path, papers: &Path) -> Result<PathBuf> {
        let name = name_of(archive).replace(".img.xz", "");
        let sums = archive.with_extension("xz.sha256");
        let given = [
            (archive.to_owned(), name_of(archive)),
            (sums.clone(), name_of(&sums)),
            (papers.join(SBOM), format!("{name}.{SBOM}")),
            (papers.join(LICENCES), format!("{name}.{LICENCES}")),
        ];
        for (file, name) in given {
            let to = self.folder.join(name);
            remove(&to)?;
            // The same file: a copy would cost as much again.
            fs::hard_link(&file, &to).or_else(|_| copy(&file, &to))?;
        }
        Ok(self.folder.join(name_of(archive)))
    }

    /// Compresses the card to what people flash. xz, because every tool that writes cards reads it; quickly, because
    /// most of the card is compressed already.
    fn compress(&mut self, card: &Path) -> Result<PathBuf> {
        let digest = inputs::Inputs::of("archive 1").path(card).digest();
        let name = name_of(card);
        let folder = self.kept("archive", digest, "Compress the card", |_, folder| {
            let archive = folder.join(format!("{name}.xz"));
            let output = File::create(&archive).with_context(|| format!("cannot write {}", archive.display()))?;
            let mut xz = Command::new("xz");
            // Blocks of a set size: their number, and so the result, does not depend on that of the processors.
            xz.args(["-1", "--threads=2", "--block-size=16MiB", "--keep", "--stdout"]).arg(card).stdout(output);
            run::to_the_end_silently(&mut xz)?;
            checksums(folder, &archive, card)
        })?;
        Ok(folder.join(format!("{name}.xz")))
    }

    fn sets(&self, command: &mut Command) {
        command.env(EPOCH, self.epoch.to_string()).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    }
}

/// As `sha256sum --check` reads them. The uncompressed card's too: that is what is on the card after writing.
fn checksums(folder: &Path, archive: &Path, card: &Path) -> Result<()> {
    let mut text = String::new();
    for file in [archive, card] {
        let mut sum = Command::new("sha256sum");
        sum.current_dir(file.parent().unwrap_or(folder)).arg(name_of(file));
        text += &run::output(&mut sum).with_context(|| format!("sha256sum does not read {}", file.display()))?;
    }
    let path = folder.join(format!("{}.sha256", name_of(archive)));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// That of the last commit: the same for everybody who builds it.
fn epoch() -> Result<u64> {
    let named = env::var(EPOCH).ok();
    let text = named.or_else(|| {
        run::output(Command::new("git").current_dir(workspace::root()).args(["log", "-1", "--format=%ct"]))
    });
    let text = text.with_context(|| format!("this is no git repository; give the time of the source in {EPOCH}"))?;
    text.trim().parse().with_context(|| format!("{EPOCH} is {text:?}; seconds since 1970 are needed"))
}

/// A command that is root of a mount namespace of its own, so that nothing that it mounts is ours: truly root where we
/// are, and otherwise as far as a user may be (subuid(5)).
fn as_root_apart(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--map-auto", "--map-root-user"]);
    }
    command.arg("--").arg(program.as_ref());
    command
}

/// Runs a command whose output is of interest only if it fails.
fn quietly(command: &mut Command, log: &Path) -> Result<()> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone().context("cannot write it twice")?;
    let ended = run::to_the_end_silently(command.stdout(output).stderr(errors).stdin(std::process::Stdio::null()));
    ended.map_err(|error| {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(20).map(|line| format!("    {line}")).collect();
        error.context(format!("its last lines:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n")))
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        found.push(entry.with_context(|| format!("cannot list {}", folder.display()))?.path());
    }
    found.sort();
    Ok(found)
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Files of the repository that the image is made of.
fn recipe(path: &str) -> PathBuf {
    workspace::root().join("image").join(path)
}
