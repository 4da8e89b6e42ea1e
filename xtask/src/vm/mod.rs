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
use crate::system;
use crate::tally::Tally;
use crate::workspace;

/// Why there cannot be such a guest on this machine, if there cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        Some("it runs this machine's own programs in an x86-64 guest")
    } else if ["apt-get", "apt-cache", "dpkg-deb"].iter().any(|tool| system::program(tool).is_none()) {
        Some("it needs Debian's kernel package, and so apt-get, apt-cache and dpkg-deb")
    } else if system::on_ubuntu() {
        Some("it needs Debian's kernel package, which Ubuntu has not")
    } else {
        None
    }
}

/// Builds the guest, runs it, judges what it reports.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
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
