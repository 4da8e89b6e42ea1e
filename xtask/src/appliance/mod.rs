//! `cargo xtask test image`: the card, as it is flashed, in an emulated machine, from power-on to the browser.
//!
//! ```text
//! image::build ─▶ card ─▶ copies ─▶ QEMU (virt, arm64, vivid) ── tap ── router, signal-srv, Chromium ─▶ checks
//!                          └ mtools, e2fsprogs: what people put on it, and what breaks
//! ```
//!
//! All of it happens in a network namespace: xtask runs itself in one (`inside`). Each scenario has copies of the card of
//! its own; the first runs alone, since it takes figures, the others two at a time.

mod browser;
mod card;
mod checks;
mod console;
mod figures;
mod ground;
mod inside;
mod machine;
mod network;
pub(crate) mod pi4;
mod qr;
mod scan;
mod scenarios;
mod shell;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::image;
use crate::progress::Step;
use crate::run;
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::test;
use crate::vm;
use crate::workspace;

pub(crate) use figures::Measured;
pub(crate) use inside::{Inside, Task, inside};

/// A card to be used in place of one that is built for the purpose.
const CARD: &str = "ROOMCAM_CARD";

/// Why cards cannot be tested on this machine, if they cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if let Some(reason) = vm::impossible().or_else(image::impossible) {
        return Some(reason);
    }
    if system::program("unshare").is_none() {
        return Some("it needs a network namespace, and so unshare (package util-linux)");
    }
    // Some containers have namespaces and no taps.
    let possible = run::succeeds(namespace().args(["sh", "-c", ": <>/dev/net/tun"]));
    (!possible).then_some(
        "it needs a network namespace with a tap in it: either root, or user namespaces and a /dev/net/tun for everybody",
    )
}

/// What runs another command in namespaces of its own, as root of them.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--uts", "--mount"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}

/// Where logs, pictures and copies of the card are.
pub(crate) fn folder() -> PathBuf {
    workspace::target().join("appliance")
}

/// Gets everything ready that is needed outside of the namespace, but for the card.
fn prepare() -> Result<()> {
    system::prepare(Purpose::Appliance)?;
    test::install_node_modules()?;
    let step = Step::begin("Build the server, and the program that prints labels");
    run::to_the_end(workspace::cargo().args(["build", "--package", "signal-srv", "--package", "camera-fw"]))?;
    step.done();
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The card to test.
fn card() -> Result<PathBuf> {
    match env::var_os(CARD) {
        Some(card) => PathBuf::from(card).canonicalize().with_context(|| format!("{CARD} names no file")),
        None => Ok(image::build(&image::Arguments::uncompressed())?.card),
    }
}

/// Runs ourselves within the namespace.
fn enter(task: Task, card: &Path) -> Result<Command> {
    let mut command = namespace();
    command.arg(env::current_exe().context("cannot tell which program this is")?);
    command.arg("inside").arg(task.name()).arg("--card").arg(card);
    Ok(command)
}

/// `cargo xtask test image`.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let card = card()?;
    prepare()?;
    let outcome = run::to_the_end_reading(&mut enter(Task::Test, &card)?, |line| tally.read(line));
    outcome.with_context(|| format!("logs and pictures are in {}", folder().display()))
}

/// Whether the same sources give the same card, to the last bit.
pub(crate) fn twice(tally: &mut Tally) -> Result<()> {
    if env::var_os(CARD).is_some() {
        println!("  left out: {CARD} names a card that was not made here");
        return Ok(());
    }
    let built = image::build(&image::Arguments::uncompressed())?;
    if let Some(stage) = image::again(&built)? {
        bail!("made a second time, the {stage} is another; both are in {}", workspace::target().display());
    }
    tally.passed += 1;
    Ok(())
}

/// What `cargo xtask bench boot` is about.
pub(crate) fn measure() -> Result<Vec<Measured>> {
    if let Some(reason) = impossible() {
        bail!("this is not possible here: {reason}");
    }
    let mut measured = Vec::new();
    let card = match env::var_os(CARD) {
        Some(card) => PathBuf::from(card),
        None => {
            let built = image::build(&image::Arguments::default())?;
            measured.extend(figures::sizes(&built)?);
            built.card
        }
    };
    prepare()?;
    run::to_the_end(&mut enter(Task::Bench, &card)?)?;
    let file = figures::file(&folder());
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let booted: Vec<Measured> =
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", file.display()))?;
    measured.extend(booted);
    Ok(measured)
}
