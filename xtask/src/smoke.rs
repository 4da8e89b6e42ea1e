//! `cargo xtask test cross`: the appliance's program, started on this machine.
//!
//! ```text
//! cross build ─▶ camera-fw for arm64 ─┐
//! sysroot ─▶ loader, libraries ───────┼▶ qemu-user ─▶ devices; run --source pattern ─▶ frames ─▶ SIGTERM ─▶ end
//! signal-srv, of this machine ────────┘
//! ```
//!
//! It takes seconds, where an emulated machine takes minutes, and finds what a wrong build would do first: not start, miss a
//! library, not reach a server, not stop.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cross::{self, Cross};
use crate::debian::{self, Architecture};
use crate::image::linked;
use crate::run::{self, Interrupts, Program};
use crate::system::{self, Purpose};
use crate::tally::Tally;
use crate::test;
use crate::workspace;

const WITHIN: Duration = Duration::from_secs(60);

/// What the program may need at run time: whatever the image has to have besides.
const LIBRARIES: [&str; 8] = [
    "libturbojpeg.so.0",
    "libcamera.so.0.4",
    "libcamera-base.so.0.4",
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libc.so.6",
    "ld-linux-aarch64.so.1",
];

/// The most that the program may take on the card.
const LIMIT: u64 = 12_000_000;

/// Why this cannot be done on this machine, if it cannot.
pub(crate) fn impossible() -> Option<&'static str> {
    if Architecture::own().is_none() { Some("it is built on x86-64 or on 64-bit ARM") } else { debian::impossible() }
}

/// Builds the program and looks at it from all sides.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let cross = Cross::to(Architecture::Arm64)?;
    let program = cross.build()?;
    let mut check = |what: &str, outcome: Result<String>| {
        match outcome {
            Ok(figures) => {
                println!("  ✓ {what}  {figures}");
                tally.passed += 1;
            }
            Err(error) => {
                println!("  ✗ {what}\n{error:#}");
                tally.failed += 1;
            }
        };
    };
    check("it is small", size(&program));
    check("it needs no library that an image would not have", libraries(&program));
    check("nothing in it tells where it was built", places(&program));
    check("every crate that it names is on the list of what is in it", crates(&program));
    check("it looks for cameras", devices(&cross, &program));
    check("it takes pictures, joins a server, and stops in order", stream(&cross, &program));
    ensure!(tally.failed == 0, "the program for the appliance is not as it should be");
    Ok(())
}

fn size(program: &Path) -> Result<String> {
    let size = program.metadata().with_context(|| format!("cannot read {}", program.display()))?.len();
    ensure!(size <= LIMIT, "it has {size} bytes, and {LIMIT} are the limit");
    Ok(format!("{:.1} MB", size as f64 / 1e6))
}

fn libraries(program: &Path) -> Result<String> {
    let needed = cross::needed(program)?;
    let others: Vec<_> = needed.iter().filter(|name| !LIBRARIES.contains(&&***name)).collect();
    ensure!(others.is_empty(), "it needs {others:?}");
    Ok(String::new())
}

fn places(program: &Path) -> Result<String> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let root = workspace::root();
    let home = std::env::var("HOME").unwrap_or_default();
    for place in [&*root.to_string_lossy(), &*home].into_iter().filter(|place| place.len() > 1) {
        let place = format!("{place}/");
        ensure!(!bytes.windows(place.len()).any(|window| window == place.as_bytes()), "{place} stands in it");
    }
    Ok(String::new())
}

/// What it says of itself, compared with what cargo says.
fn crates(program: &Path) -> Result<String> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let listed: BTreeSet<_> =
        linked::crates()?.into_iter().map(|found| format!("{}-{}", found.name, found.version)).collect();
    let named = linked::named_in(&bytes);
    ensure!(!named.is_empty(), "it names none");
    let unlisted: Vec<_> = named.difference(&listed).collect();
    ensure!(unlisted.is_empty(), "these are not: {unlisted:?}");
    Ok(format!("{} of {}", named.len(), listed.len()))
}

fn devices(cross: &Cross, program: &Path) -> Result<String> {
    let said = run::output(emulated(cross, program)?.arg("devices")).context("`camera-fw devices` failed")?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

fn stream(cross: &Cross, program: &Path) -> Result<String> {
    let state = state()?;
    // Before anything listens for signals: a build must end on Ctrl-C as ever.
    let mut server = Command::new(test::programs()?.join("signal-srv"));
    let interrupts = Interrupts::listen()?;
    server.args(["--tls", "off", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state.join("server"));
    let mut server = Program::start("signal-srv", &server, &state.join("signal-srv.log"), &interrupts)?;
    let line = server.wait_for("listening", WITHIN, &interrupts)?;
    let url = url(&line).with_context(|| format!("no address in `{line}`"))?;

    let mut camera = emulated(cross, program)?;
    camera.args(["run", "--source", "pattern", "--log", "debug", "--server", &url]);
    camera.arg("--state-dir").arg(state.join("camera"));
    let mut camera = Program::start("camera-fw", &camera, &state.join("camera-fw.log"), &interrupts)?;
    camera.wait_for("joined", WITHIN, &interrupts)?;
    let frames = camera.wait_until("a frame", |line| captured(line) > 0, WITHIN, &interrupts)?;
    let status = camera.stop()?;
    server.stop()?;
    ensure!(status.success(), "it ended with {status} on SIGTERM; see {}", state.join("camera-fw.log").display());
    Ok(format!("{} frames in a second", captured(&frames)))
}

/// The program, on this machine: by the sysroot's loader where the processor is one of its kind, else by an emulator.
fn emulated(cross: &Cross, program: &Path) -> Result<Command> {
    let mut command = if Architecture::own() == Some(cross.sysroot.architecture) {
        let mut command = Command::new(cross.sysroot.loader());
        command.arg("--library-path").arg(cross.sysroot.libraries());
        command
    } else {
        system::prepare(Purpose::Emulator)?;
        let mut command = Command::new(system::emulator().context("there is no qemu-aarch64-static")?);
        command.arg("-L").arg(&cross.sysroot.root);
        command
    };
    command.arg(program);
    Ok(command)
}

fn state() -> Result<PathBuf> {
    let state = workspace::target().join("smoke");
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("cannot clear {}", state.display()))?;
    }
    fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    Ok(state)
}

/// Of the server's line `listening url=http://127.0.0.1:8192`, for a camera.
fn url(line: &str) -> Option<String> {
    let url = line.split_whitespace().find_map(|word| word.strip_prefix("url="))?;
    Some(url.trim_matches('"').replacen("http", "ws", 1))
}

/// Of the camera's line `last second … captured=30 …`; none are none.
fn captured(line: &str) -> u32 {
    let counted = line.split_whitespace().find_map(|word| word.strip_prefix("captured="));
    counted.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_read() {
        assert_eq!(captured("DEBUG last second viewers=0 captured=30 missed=0"), 30);
        assert_eq!(captured("INFO joined peers=0"), 0);
        assert_eq!(url("INFO listening url=http://127.0.0.1:81").unwrap(), "ws://127.0.0.1:81");
    }
}
