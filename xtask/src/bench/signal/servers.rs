//! The servers that are measured: how they are built, started, and what they are allowed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::public::Public;
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
    /// PeerJS's server, of npm
    Peerjs,
    /// GStreamer's signalling server, of crates.io
    Gstreamer,
    /// matchbox_server, of crates.io: without TLS, which it does not have
    Matchbox,
}

/// What was built.
#[derive(Debug)]
pub(super) struct Programs {
    ours: PathBuf,
    floor: PathBuf,
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
            Self::Peerjs => "PeerJS",
            Self::Gstreamer => "GStreamer",
            Self::Matchbox => "matchbox (no TLS)",
        }
    }

    /// What its clients speak, by the generator's name.
    pub(super) const fn dialect(self) -> &'static str {
        match self {
            Self::Ours | Self::Floor => "roomcam",
            Self::Peerjs => "peerjs",
            Self::Gstreamer => "gstreamer",
            Self::Matchbox => "matchbox",
        }
    }

    pub(super) fn has_tls(self) -> bool {
        self != Self::Matchbox
    }

    pub(super) const fn is_public(self) -> bool {
        self.public().is_some()
    }

    pub(super) const fn public(self) -> Option<Public> {
        match self {
            Self::Ours | Self::Floor => None,
            Self::Peerjs => Some(Public::Peerjs),
            Self::Gstreamer => Some(Public::Gstreamer),
            Self::Matchbox => Some(Public::Matchbox),
        }
    }

    /// Starts it on its core with the certificate that is in `state`.
    pub(super) fn start(self, programs: &Programs, state: &Path, connections: usize) -> Result<Running> {
        // Only for the start: later an interrupt ends us, and with us what we have started.
        let interrupts = Interrupts::listen()?;
        let address = free_address()?;
        let (cert, key) = (state.join("cert.pem"), state.join("key.pem"));
        let server = match (self, self.public()) {
            (_, Some(public)) => public.command(&public.install()?, address, &cert, &key),
            (Self::Ours, _) => {
                let mut command = Command::new(&programs.ours);
                command.args(["--tls", "files"]);
                if connections < WITHIN_DEFAULTS {
                    command.arg("--config").arg(raised(state)?);
                }
                listening(command, address, &cert, &key)
            }
            _ => listening(Command::new(&programs.floor), address, &cert, &key),
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", SERVER_CORE]).arg(server.get_program()).args(server.get_args());
        command.envs(server.get_envs().filter_map(|(key, value)| value.map(|value| (key, value))));
        let log = state.join(format!("{}.log", self.dialect()));
        let mut program = Program::start(self.name(), &command, &log, &interrupts)?;
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if program.exited()?.is_some() || Instant::now() > until {
                bail!("{} does not listen; its last lines:\n{}", self.name(), program.last_lines());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Running { program, address })
    }
}

fn listening(mut command: Command, address: SocketAddr, cert: &Path, key: &Path) -> Command {
    command.args(["--listen", &address.to_string()]).arg("--cert").arg(cert).arg("--key").arg(key);
    command
}

/// One that nobody else listens on: not every server says which it was given.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    listener.local_addr().context("no address")
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
