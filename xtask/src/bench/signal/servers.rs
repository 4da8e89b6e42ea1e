//! The servers that are measured: how they are built, started, and what they are allowed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::progress::Step;
use crate::run::{Interrupts, Program};
use crate::workspace;

/// Core of the servers; the generator has the other one.
const SERVER_CORE: &str = "0";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// From so many connections on, the default limits of signal-srv let the generator saturate it.
const WITHIN_DEFAULTS: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Server {
    /// signal-srv
    Ours,
    /// tokio-tungstenite and tokio-rustls with nothing above them
    Floor,
}

/// What was built.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ours: PathBuf,
    pub(super) floor: PathBuf,
    pub(super) load: PathBuf,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) program: Program,
    pub(super) address: SocketAddr,
}

/// The release build of signal-srv, unless another one is given, and of the floor and the generator.
pub(super) fn build(ours: Option<PathBuf>) -> Result<Programs> {
    let step = Step::begin("Build servers and generator");
    let mut command = workspace::cargo();
    command.args(["build", "--release", "--package", "signal-srv", "--bench", "floor", "--bench", "load"]);
    if ours.is_none() {
        command.args(["--bin", "signal-srv"]);
    }
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build failed");
    let executable = |name: &str| executable(&output.stdout, name);
    let programs = Programs {
        ours: match ours {
            Some(file) => file,
            None => executable("signal-srv")?,
        },
        floor: executable("floor")?,
        load: executable("load")?,
    };
    step.done();
    Ok(programs)
}

/// Where cargo says that it has put a program.
fn executable(messages: &[u8], name: &str) -> Result<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo did not say where it has put {name}"))
}

impl Server {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "signal-srv",
            Self::Floor => "floor",
        }
    }

    /// Starts it on its core with the certificate that is in `state`.
    pub(super) fn start(
        self,
        programs: &Programs,
        state: &Path,
        connections: usize,
        interrupts: &Interrupts,
    ) -> Result<Running> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", SERVER_CORE]);
        match self {
            Self::Ours => {
                command.arg(&programs.ours).args(["--tls", "files"]);
                if connections < WITHIN_DEFAULTS {
                    command.arg("--config").arg(raised(state)?);
                }
            }
            Self::Floor => {
                command.arg(&programs.floor);
            }
        }
        command.args(["--listen", "127.0.0.1:0"]);
        command.arg("--cert").arg(state.join("cert.pem")).arg("--key").arg(state.join("key.pem"));
        let mut program =
            Program::start(self.name(), &command, &state.join(format!("{}.log", self.name())), interrupts)?;
        let line = program.wait_for("listening", READY_WITHIN, interrupts)?;
        let address = line
            .split("url=")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|url| url.trim_start_matches("https://").parse().ok())
            .context("the server does not say where it listens")?;
        Ok(Running { program, address })
    }
}

/// With fewer connections each of them has to send more than it may by default, or nothing would be saturated.
fn raised(state: &Path) -> Result<PathBuf> {
    println!("  fewer connections than {WITHIN_DEFAULTS}: rates of signal-srv are not limited");
    let file = state.join("raised.toml");
    let keys = ["messages_per_second", "message_burst", "bytes_per_second", "byte_burst"];
    let text = keys.map(|key| format!("{key} = 1000000000\n")).concat();
    fs::write(&file, format!("[limits]\n{text}")).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_programs_are() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"floor"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"floor"},"executable":"/t/floor-1"}
no JSON
"#;
        assert_eq!(executable(messages, "floor").expect("it is there"), PathBuf::from("/t/floor-1"));
        assert!(executable(messages, "load").is_err());
    }
}
