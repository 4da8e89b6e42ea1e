//! `cargo xtask test vm`: the capture code against a real kernel driver, on the processor of a Raspberry Pi.
//!
//! ```text
//! apt ▶ Debian's kernel for arm64 ▶ image, modules ──┐
//! sysroot ▶ cross build ▶ capture, camera-fw ────────┼▶ initrd ▶ QEMU ▶ report ▶ verdict
//! sysroot ▶ busybox, v4l2-ctl, libcamera; init.sh ───┘
//! ```
//!
//! vivid is the kernel's own camera of the laboratory: a true V4L2 driver whose pictures are known, and which fails in
//! the ways that one asks of it. The guest is emulated, so that it needs no right to load modules and no KVM, and is the
//! same on every machine. It is an arm64 one because that is what cameras are; and because it is the quicker one to
//! emulate.

mod guest;
mod initrd;
mod kernel;
mod stumbles;
mod verdict;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cross::{APPLIANCE, Cross, PROFILE};
use crate::debian::{self, Architecture};
use crate::progress::{Step, strong};
use crate::run;
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::workspace;

/// What the guest is to do.
pub(crate) use guest::Task;

/// Why there cannot be such a guest on this machine, if there cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if Architecture::own().is_none() { Some("it is built on x86-64 or on 64-bit ARM") } else { debian::impossible() }
}

/// What the guest reported; and the file that says so.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) text: String,
    pub(crate) file: PathBuf,
}

/// Builds the guest with all that is in it, and lets it do its task.
pub(crate) fn boot(task: Task) -> Result<Reported> {
    system::prepare(Purpose::Guest)?;
    let folder = workspace::target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let cross = Cross::to(Architecture::Arm64)?;
    let kernel = kernel::fetch(&folder)?;
    let step = Step::begin("Build the programs for the guest");
    let mut build = cross.cargo("build");
    build.args(["--package", "camera-fw", "--bins", "--example", "capture"]).args(APPLIANCE);
    run::to_the_end(build.args(["--profile", PROFILE]))?;
    step.done();
    let initrd = initrd::write(&folder, &kernel, &cross.sysroot, &cross.built())?;
    let text = guest::run(&folder, &kernel, &initrd, task)?;
    Ok(Reported { text, file: guest::report(&folder) })
}

/// Boots the guest and judges what it reports.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let report = boot(Task::Test)?;
    for outcome in verdict::judge(&verdict::Report::read(&report.text)) {
        match outcome.result {
            Ok(figures) => {
                println!("  ✓ {}  {figures}", outcome.name);
                tally.passed += 1;
            }
            Err(problem) => {
                println!("  ✗ {}\n{problem}", strong(outcome.name));
                tally.failed += 1;
            }
        }
    }
    ensure!(tally.failed == 0, "see the report in {} and the kernel's log beside it", report.file.display());
    Ok(())
}
