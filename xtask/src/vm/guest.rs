//! The guest itself: QEMU without acceleration, a line for the kernel and one for the report, an end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;
use crate::progress::{Shown, Step};
use crate::run;

/// It takes about a minute where nothing else runs.
const BOUND: Duration = Duration::from_secs(900);

/// A Raspberry Pi 4's processor, as far as a program can tell. Two cores, each a thread of ours: as many as the least of
/// the machines that tests run on.
const MACHINE: &[&str] = &[
    "-machine",
    "virt,gic-version=3",
    "-cpu",
    "cortex-a72",
    "-smp",
    "2",
    "-accel",
    "tcg,thread=multi",
    "-m",
    "1024",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
];

/// The way that the report comes by: no terminal, which would change line ends and takes every byte by itself. The first
/// virtio device, by which the guest knows its number.
const REPORT: &[&str] = &[
    "-device",
    "virtio-serial-pci",
    "-chardev",
    // As a file: a `stdio` whose input ends, as ours does, counts as hung up, and the guest waits for ever.
    "file,id=report,path=/dev/stdout",
    "-device",
    "virtserialport,chardev=report,name=report",
];

/// A keyboard, for its lights: the kernel makes LEDs of them.
const LIGHTS: &[&str] = &["-device", "virtio-keyboard-pci"];

/// What the guest is to do: `init.sh` reads it from the kernel's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Test,
    Bench,
}

impl Task {
    const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Bench => "bench",
        }
    }
}

/// What the guest reported in its last run.
pub(crate) fn report(folder: &Path) -> PathBuf {
    folder.join("report.log")
}

/// Boots the guest and gives what it reported until it powered off.
pub(crate) fn run(folder: &Path, kernel: &Kernel, initrd: &Path, task: Task) -> Result<String> {
    let step = Step::begin("Boot the guest");
    let console = folder.join("console.log");
    let mut command = Command::new("qemu-system-aarch64");
    command.args(MACHINE).args(REPORT).args(LIGHTS);
    // Relaxed: the privacy switch is thrown by writing to the GPIO controller behind its driver's back.
    let line = format!("console=ttyAMA0 panic=-1 mitigations=off iomem=relaxed task={}", task.name());
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initrd).arg("-append").arg(line);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    let mut command = run::ending_with_us(&command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start QEMU")?;
    let outcome = listen(Guest(child), &report(folder));
    match outcome {
        Ok(report) => {
            step.done();
            Ok(report)
        }
        Err(error) => {
            step.failed();
            Err(error.context(format!("the kernel's last lines are:\n{}", last_lines(&console))))
        }
    }
}

/// A running QEMU, ended when we are done with it, however that comes.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail if it has ended by itself, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn listen(mut guest: Guest, log: &Path) -> Result<String> {
    let begun = Instant::now();
    let output = guest.0.stdout.take().context("QEMU has no output")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut report = String::new();
    let ended = loop {
        match lines.recv_timeout(BOUND.saturating_sub(begun.elapsed())) {
            Ok(line) => {
                if let Some(name) = line.strip_prefix("::begin ") {
                    println!("  {:>8}  {name}", Shown(begun.elapsed()));
                }
                report += &line;
                report.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    fs::write(log, &report).with_context(|| format!("cannot write {}", log.display()))?;
    if !ended {
        bail!("the guest was not done within {}; what it reported is in {}", Shown(BOUND), log.display());
    }
    let status = guest.0.wait().context("cannot wait for QEMU")?;
    if !status.success() || !report.lines().any(|line| line == "::done") {
        bail!("the guest ended too early (QEMU: {status}); what it reported is in {}", log.display());
    }
    Ok(report)
}

fn last_lines(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().rev().take(15).map(|line| format!("    {}", line.trim_end())).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
