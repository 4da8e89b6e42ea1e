//! `cargo xtask test vm`: the capture code against a real kernel driver.
//!
//! ```text
//! apt ▶ Debian's kernel ▶ modules of vivid ─┐
//! cargo build ▶ capture, camera-fw ─────────┼▶ initrd ▶ QEMU ▶ report ▶ verdict
//! busybox, v4l2-ctl, init.sh ───────────────┘
//! ```
//!
//! vivid is the kernel's own camera of the laboratory: a true V4L2 driver whose pictures are known, and which fails in
//! the ways that one asks of it. The guest is emulated, so that it needs no right to load modules and no KVM.

mod guest;
mod initrd;
mod kernel;
mod verdict;

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::progress::strong;
use crate::run;
use crate::tally::Tally;
use crate::workspace;

/// Builds the guest, runs it, judges what it reports.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the step vm needs an x86-64 machine; on this one run the others: cargo xtask test check rust page e2e"
    );
    let folder = workspace::target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    run::to_the_end(workspace::cargo().args(["build", "--package", "camera-fw", "--bins", "--examples"]))?;

    let kernel = kernel::fetch(&folder)?;
    let initrd = initrd::write(&folder, &kernel)?;
    let report = guest::run(&folder, &kernel, &initrd)?;
    for outcome in verdict::judge(&verdict::Report::read(&report)) {
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
    ensure!(tally.failed == 0, "see the report in {} and the kernel's log beside it", guest::report(&folder).display());
    Ok(())
}
