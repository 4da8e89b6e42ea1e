//! What `cargo xtask bench boot` measures of a card within the namespace.
//!
//! A viewer waits at the page before the card gets power: so the first frame that is encoded is the first that somebody
//! sees. The identity is from the boot before; the journal is not on the console, which would take time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::ground::{BOOT, Ground, SOON, boot_ms, link, wait_in};
use super::machine::{Machine, Plugs};
use super::network::Lane;
use super::scenarios::{MARKS, memory_in_use};
use crate::image::Built;
use crate::progress::Step;

/// How long the viewer watches.
const WATCHED: u64 = 30;
/// When a boot is over: nothing of it is still to come.
const SETTLED: Duration = Duration::from_secs(180);

/// A number, as it is handed from the namespace to the bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

/// Where they are handed over.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("figures.json")
}

/// How large what was built is; and how long that took, where it was not there already.
pub(crate) fn sizes(built: &Built) -> Result<Vec<Measured>> {
    let megabytes = |file: &Path| {
        let data = file.metadata().with_context(|| format!("cannot look at {}", file.display()))?;
        anyhow::Ok(data.len() as f64 / 1e6)
    };
    let mut measured = vec![of("root file system", megabytes(&built.root)?, "MB")];
    if let Some(archive) = &built.archive {
        measured.push(of("image, compressed", megabytes(archive)?, "MB"));
    }
    let took: Duration = built.took.iter().map(|(_, took)| *took).sum();
    for (stage, took) in &built.took {
        measured.push(of(&format!("build: {stage}"), took.as_secs_f64(), "s"));
    }
    measured.push(of("build: all that was not there", took.as_secs_f64(), "s"));
    Ok(measured)
}

/// Boots a card twice and writes down what was seen.
pub(crate) fn measure(original: &Path, folder: &Path) -> Result<()> {
    let checks = Checks::default();
    let mut ground = Ground::new(Lane(0), 2, &checks, original, folder);
    let _router = ground.router()?;
    let card = ground.card("bench")?;
    let plugs = Plugs { journal: false, ..Plugs::all(ground.lane, ground.cores) };

    let mut measured = Vec::new();
    let step = Step::begin("First boot");
    let mut machine = ground.boot_with(&card, plugs, "bench-first")?;
    let log = joined(&mut machine)?;
    measured.extend(marks(&log, "first boot: ", &["agent started", "room joined"])?);
    let link = link(&mut machine)?;
    ground.label(&mut machine, &card)?;
    machine.power_off()?;
    step.done();

    let step = Step::begin("Boot with a viewer waiting");
    ground.browser()?.open(&link)?;
    let begun = Instant::now();
    let mut machine = ground.boot_with(&card, plugs, "bench")?;
    ground.browser()?.wait_for_frames(1, BOOT)?;
    let seen = begun.elapsed();
    let watched = ground.browser()?.watch(WATCHED)?;
    let memory = memory_in_use(&machine.shell("cat /proc/meminfo")?)?;
    let log = joined(&mut machine)?;
    step.done();

    measured.extend(stages(&mut machine)?);
    measured.extend(marks(&log, "", &MARKS)?);
    measured.extend(relative(&measured));
    let mut add = |name: &str, value: f64, unit: &str| measured.push(of(name, value, unit));
    add("QEMU started to first frame decoded in the browser", seen.as_secs_f64(), "s");
    add("frames decoded by the viewer, 720x480", watched.frames_per_second, "fps");
    add("memory in use with one viewer", memory, "MB");
    machine.cut()?;
    let text = serde_json::to_string(&measured).context("cannot write figures as JSON")?;
    fs::write(file(folder), text).context("cannot write the figures")
}

/// The agent's log, once it has joined its room.
fn joined(machine: &mut Machine) -> Result<String> {
    wait_in(machine, "journalctl --no-pager -o cat -u camera-fw.service | grep -q 'room joined'", SOON)?;
    machine.shell("journalctl --no-pager -o cat -u camera-fw.service")
}

fn marks(log: &str, before: &str, wanted: &[&str]) -> Result<Vec<Measured>> {
    let mark = |mark: &&str| {
        let line = log.lines().find(|line| line.contains(mark) && line.contains("boot_ms="));
        let line = line.with_context(|| format!("the agent did not say `{mark}`"))?;
        let at = boot_ms(line).with_context(|| format!("the mark has no time: {line}"))?;
        Ok(of(&format!("{before}kernel's start to {mark}"), at / 1000.0, "s"))
    };
    wanted.iter().map(mark).collect()
}

/// Kernel, initramfs and systemd, as each says of itself.
fn stages(machine: &mut Machine) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let kernel = machine.shell("dmesg")?;
    if let Some((run, done)) = initramfs(&kernel) {
        measured.push(of("kernel", run, "s"));
        measured.push(of("initramfs", done - run, "s"));
    }
    wait_in(machine, "systemctl is-system-running | grep -qE 'running|degraded'", SETTLED)?;
    let analysed = machine.shell("systemd-analyze time")?;
    if let Some(userspace) = userspace(&analysed) {
        measured.push(of("systemd: all units, of which the agent waits for few", userspace, "s"));
    }
    Ok(measured)
}

/// The first frame in multiples of what the kernel takes for itself, which is the same work on every machine: a host that
/// is slow or busy makes both longer.
fn relative(measured: &[Measured]) -> Option<Measured> {
    let value = |name: &str| measured.iter().find(|measured| measured.name == name).map(|measured| measured.value);
    let times = value("kernel's start to first frame encoded")? / value("kernel")?;
    Some(of("the same, in times that of the kernel alone", times, ""))
}

/// When the initramfs began and ended, in seconds since the kernel's start.
fn initramfs(kernel: &str) -> Option<(f64, f64)> {
    let time = |line: &str| line.trim_start_matches('[').trim().split([']', ' ']).next()?.parse().ok();
    let run = kernel.lines().find(|line| line.contains("Run /init as init process"))?;
    let done = kernel.lines().find_map(|line| line.split("initramfs: done after ").nth(1))?;
    Some((time(run)?, done.split(' ').next()?.parse().ok()?))
}

/// Of `Startup finished in 2.1s (kernel) + 1min 9.5s (userspace) = …`.
fn userspace(analysed: &str) -> Option<f64> {
    let part = analysed.split(['+', '=', '\n']).find(|part| part.contains("(userspace)"))?;
    let words = part.split_whitespace().map_while(|word| {
        let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let value: f64 = word[..word.len() - unit.len()].parse().ok()?;
        match unit {
            "min" => Some(value * 60.0),
            "s" => Some(value),
            "ms" => Some(value / 1000.0),
            _ => None,
        }
    });
    let words: Vec<f64> = words.collect();
    (!words.is_empty()).then(|| words.iter().sum())
}

fn of(name: &str, value: f64, unit: &str) -> Measured {
    Measured { name: name.to_owned(), value, unit: unit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_from_what_says_them() {
        let kernel = "[    0.000000] Booting Linux\n[    1.913210] Run /init as init process\n\
                      [    3.200000] initramfs: done after 3.15 s\n";
        assert_eq!(initramfs(kernel), Some((1.91321, 3.15)));
        assert_eq!(initramfs("[ 1.0] nothing"), None);
        assert_eq!(userspace(" 1min 2.5s (userspace) "), Some(62.5));
        assert_eq!(userspace("Startup finished in 2.1s (kernel) + 800ms (userspace) = 2.9s \n"), Some(0.8));
        assert_eq!(userspace("Startup finished in 2.1s (kernel)"), None);
    }

    #[test]
    fn the_first_frame_is_held_against_the_kernel() {
        let measured = [("kernel", 1.5), ("kernel's start to first frame encoded", 12.0)];
        let measured = measured.map(|(name, value)| of(name, value, "s"));
        assert!((relative(&measured).unwrap().value - 8.0).abs() < 1e-9);
        assert_eq!(relative(&measured[..1]), None);
    }

    #[test]
    fn marks_are_read_and_missed() {
        let log = "INFO agent started boot_ms=8123\nINFO room joined boot_ms=9000\n";
        let read = marks(log, "", &["agent started", "room joined"]).unwrap();
        assert!((read[0].value - 8.123).abs() < 1e-9 && read.len() == 2);
        assert!(marks(log, "", &["camera opened"]).is_err());
    }
}
