//! `cargo xtask test libcamera`: capture through a true libcamera, from cameras that it makes up.
//!
//! ```text
//! sysroot (libcamera as on the appliance) ─▶ cargo test --features libcamera ─┐
//! tests/libcamera/stand_in.c ─▶ cc ─▶ what the system lacks, preloaded ───────┼▶ tests, on this machine
//! tests/libcamera/cameras.yaml ─▶ libcamera's virtual pipeline ───────────────┘
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cross::{APPLIANCE, Cross};
use crate::debian::{self, Architecture};
use crate::run;
use crate::tally::Tally;
use crate::workspace;

/// Why there is no such libcamera for this machine, if there is none.
pub(crate) fn impossible() -> Option<&'static str> {
    if Architecture::own().is_none() {
        Some("it takes a libcamera for this machine, and knows of one for x86-64 and arm64 only")
    } else {
        debian::impossible()
    }
}

/// Builds the tests against the sysroot and runs them.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let cross = Cross::here()?;
    let stand_in = build_stand_in()?;
    let mut tests = cross.cargo("test");
    // A list: the paths may have spaces. The tests hand it on to the programs that they start.
    let preload = format!("LD_PRELOAD={}", stand_in.display());
    tests.arg("--config").arg(format!("target.{}.runner=[\"env\", {preload:?}]", cross.sysroot.architecture.rust()));
    tests.args(["--package", "camera-fw"]).args(APPLIANCE);
    tests.args(["--lib", "--bins", "--test", "libcamera", "--test", "libcamera_anew"]);
    tests.env("ROOMCAM_VIRTUAL_CAMERAS", folder().join("cameras.yaml"));
    // It would warn of modules that virtual cameras do not need.
    tests.env("LIBCAMERA_LOG_LEVELS", "*:ERROR");
    run::to_the_end_reading(&mut tests, |line| tally.read(line))
}

/// The same checks as for everything else, which a system without libcamera cannot make for this part.
pub(crate) fn clippy() -> Result<()> {
    let mut clippy = Cross::here()?.cargo("clippy");
    clippy.args(["--package", "camera-fw"]).args(APPLIANCE).args(["--all-targets", "--", "--deny", "warnings"]);
    run::to_the_end(&mut clippy)
}

fn build_stand_in() -> Result<PathBuf> {
    let built = workspace::target().join("libcamera");
    fs::create_dir_all(&built).with_context(|| format!("cannot make {}", built.display()))?;
    let library = built.join("stand_in.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library);
    run::to_the_end(compile.arg(folder().join("stand_in.c")))?;
    Ok(library)
}

fn folder() -> PathBuf {
    workspace::root().join(Path::new("camera-fw/tests/libcamera"))
}
