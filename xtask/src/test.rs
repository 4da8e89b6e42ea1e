//! `cargo xtask test`: everything that CI runs, step by step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::appliance;
use crate::check;
use crate::package;
use crate::progress::{Shown, Step, strong};
use crate::proxies;
use crate::run;
use crate::smoke;
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::vm;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run only these; without names, all of them in this order
    #[arg(value_enum, value_name = "NAME")]
    steps: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Formatting, lints, fences, types and lint of the page
    Check,
    /// Every Rust test of the workspace
    Rust,
    /// The Debian package of the server
    Package,
    /// The page: unit tests, and every state in a browser
    Page,
    /// Camera, server and page together, in Chromium and in Firefox
    E2e,
    /// The camera code on a true libcamera with virtual cameras
    Libcamera,
    /// The camera code on a kernel driver, in an emulated machine
    Vm,
    /// The program of the appliance, started on this machine
    Cross,
    /// The card of `cargo xtask image` in an emulated machine, from power-on to the browser
    Image,
    /// The card in QEMU's model of a Raspberry Pi 4; only when it is named
    Pi4,
}

impl Name {
    const ALL: [Self; 10] = [
        Self::Check,
        Self::Rust,
        Self::Package,
        Self::Page,
        Self::E2e,
        Self::Libcamera,
        Self::Cross,
        Self::Vm,
        Self::Image,
        Self::Pi4,
    ];

    fn parts(self) -> Vec<Part> {
        match self {
            Self::Check => vec![
                Part::new("check: formatting", |_| check::formatting()),
                Part::new("check: clippy", |_| check::clippy()),
                Part::new("check: fences", |_| check::fences()),
                Part::new("check: page", |_| check::page()),
                Part::new("check: image", |_| check::image()),
            ],
            Self::Rust => vec![Part::new("rust: cargo test --workspace", rust)],
            Self::Package => vec![Part::new("package: what is in it", package::test)],
            Self::Page => vec![Part::new("page: node --test", |tally| node("page", &[], tally))],
            Self::E2e => vec![
                Part::new("e2e: in Chromium", |tally| end_to_end("chromium", tally)),
                Part::new("e2e: in Firefox", |tally| end_to_end("firefox", tally)),
            ],
            Self::Libcamera => vec![
                Part::new("libcamera: virtual cameras", crate::libcamera::run),
                Part::new("libcamera: clippy", |_| crate::libcamera::clippy()),
            ],
            Self::Cross => vec![Part::new("cross: the appliance's program", smoke::run)],
            Self::Vm => vec![Part::new("vm: capture on a kernel driver", vm::run)],
            Self::Image => vec![
                Part::new("image: the card, power-on to page", appliance::run),
                Part::new("image: made twice, the same card", appliance::twice),
            ],
            Self::Pi4 => vec![Part::new("pi4: the card in a Raspberry Pi 4", appliance::pi4::run)],
        }
    }
}

struct Part {
    name: &'static str,
    run: fn(&mut Tally) -> Result<()>,
}

impl Part {
    fn new(name: &'static str, run: fn(&mut Tally) -> Result<()>) -> Self {
        Self { name, run }
    }
}

struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
    tally: Tally,
}

/// Runs the steps; the last line printed is the sum.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let begun = Instant::now();
    let all = arguments.steps.is_empty();
    let wanted = |name: &Name| if all { *name != Name::Pi4 } else { arguments.steps.contains(name) };
    let mut names: Vec<Name> = Name::ALL.into_iter().filter(wanted).collect();
    for (name, shown, reason) in [
        (Name::Libcamera, "libcamera", crate::libcamera::impossible()),
        (Name::Package, "package", package::impossible()),
        (Name::Cross, "cross", smoke::impossible()),
        (Name::Vm, "vm", vm::impossible()),
        (Name::Image, "image", appliance::impossible()),
        (Name::Pi4, "pi4", vm::impossible()),
    ] {
        let Some(reason) = reason.filter(|_| names.contains(&name)) else { continue };
        ensure!(arguments.steps.is_empty(), "the step {shown} is not possible here: {reason}");
        println!("The step {shown} is left out: {reason}.");
        names.retain(|other| *other != name);
    }
    let without_page =
        |name: &Name| matches!(name, Name::Rust | Name::Package | Name::Libcamera | Name::Cross | Name::Vm | Name::Pi4);
    let only_rust = names.iter().all(without_page);
    system::prepare(if only_rust { Purpose::Rust } else { Purpose::Test })?;
    if names.contains(&Name::Package) {
        system::prepare(Purpose::Package)?;
    }
    if names.contains(&Name::Vm) {
        system::prepare(Purpose::Guest)?;
    }
    if names.contains(&Name::Image) {
        system::prepare(Purpose::Appliance)?;
    }

    let mut outcomes = Vec::new();
    for part in names.into_iter().flat_map(Name::parts) {
        let step = Step::begin(part.name);
        let mut tally = Tally::default();
        let passed = match (part.run)(&mut tally) {
            Ok(()) => true,
            Err(error) => {
                println!("{error:#}");
                // What could not even be counted has failed all the same.
                tally.failed = tally.failed.max(1);
                false
            }
        };
        let took = if passed { step.done() } else { step.failed() };
        outcomes.push(Outcome { name: part.name, passed, took, tally });
        if !passed {
            break;
        }
    }
    Ok(report(&outcomes, begun.elapsed()))
}

fn report(outcomes: &[Outcome], took: Duration) -> ExitCode {
    println!("\n{}", strong(&format!("{:<32} {:>12} {:>8} {:>8}", "step", "time", "passed", "failed")));
    let mut sum = Tally::default();
    for Outcome { name, passed, took, tally } in outcomes {
        let sign = if *passed { ' ' } else { '✗' };
        println!("{name:<32} {:>12} {:>8} {:>8} {sign}", Shown(*took), tally.passed, tally.failed);
        sum += *tally;
    }
    println!("{:<32} {:>12}\n", "all", Shown(took));
    println!("{sum}");
    if outcomes.iter().all(|outcome| outcome.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rust(tally: &mut Tally) -> Result<()> {
    let mut tests = workspace::cargo();
    tests.arg("test").args(workspace::ALL).arg("--no-fail-fast").envs(proxies::fetched());
    run::to_the_end_reading(&mut tests, |line| tally.read(line))
}

fn end_to_end(browser: &str, tally: &mut Tally) -> Result<()> {
    let programs = programs()?;
    let programs = programs.to_str().context("the path of the repository is not UTF-8")?;
    node("browser", &[("ROOMCAM_BROWSER", browser), ("ROOMCAM_BIN_DIR", programs)], tally)
}

/// Where the programs are as the Rust tests have built them, so that nothing is built twice.
pub(crate) fn programs() -> Result<PathBuf> {
    run::to_the_end(workspace::cargo().arg("test").args(workspace::ALL).args(["--no-run", "--quiet"]))?;
    Ok(workspace::target().join("debug"))
}

/// The tests of one folder of the page's tests, one file after the other: they measure time.
fn node(folder: &str, environment: &[(&str, &str)], tally: &mut Tally) -> Result<()> {
    install_node_modules()?;
    let tests = workspace::page_tests();
    let files = test_files(&tests.join(folder))?;
    ensure!(!files.is_empty(), "there are no tests in {}", tests.join(folder).display());
    let mut command = Command::new("node");
    command.current_dir(&tests).args(["--test", "--test-reporter=spec", "--test-concurrency=1"]);
    for file in &files {
        command.arg(file.strip_prefix(&tests).unwrap_or(file));
    }
    browsers(&mut command);
    command.envs(environment.iter().copied());
    run::to_the_end_reading(&mut command, |line| tally.read(line))
}

/// Tells a node script which browsers to drive.
pub(crate) fn browsers(command: &mut Command) {
    for (variable, found) in [("ROOMCAM_CHROMIUM", system::chromium()), ("ROOMCAM_FIREFOX", system::firefox())] {
        if let Some(program) = found {
            command.env(variable, program);
        }
    }
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `npm ci`, unless what is installed is what the lock file says.
pub(crate) fn install_node_modules() -> Result<()> {
    let tests = workspace::page_tests();
    let modified = |file: &str| tests.join(file).metadata().and_then(|data| data.modified());
    let current = match (modified("node_modules/.package-lock.json"), modified("package-lock.json")) {
        (Ok(installed), Ok(locked)) => installed >= locked,
        _ => false,
    };
    if current {
        return Ok(());
    }
    run::to_the_end(Command::new("npm").current_dir(&tests).args(["ci", "--no-audit", "--no-fund"]))
}
