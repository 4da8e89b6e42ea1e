//! Servers that others publish, to compare with. They are installed once, below `target/bench/public`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;
use crate::workspace;

/// Any number of clients, and nobody is thrown out who does not send PeerJS's own heartbeats.
const PEERJS_LIMITS: [&str; 4] = ["--concurrent_limit", "1000000", "--alive_timeout", "86400000"];

/// A server from a registry, in exactly this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Public {
    Peerjs,
    Gstreamer,
    Matchbox,
}

impl Public {
    /// Where it is, installed if it is not there yet.
    pub(super) fn install(self) -> Result<PathBuf> {
        let root = workspace::target().join("bench/public");
        let program = root.join(match self {
            Self::Peerjs => "node_modules/peer/dist/bin/peerjs.js",
            Self::Gstreamer => "bin/gst-webrtc-signalling-server",
            Self::Matchbox => "bin/matchbox_server",
        });
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        match self {
            Self::Peerjs => {
                let mut npm = Command::new("npm");
                npm.current_dir(&root).args(["install", "--prefix", ".", "--no-audit", "--no-fund", "peer@1.0.2"]);
                run::to_the_end(&mut npm)?;
            }
            // ring as we have it: the other library wants a C toolchain of its own.
            Self::Gstreamer => cargo_install(
                &root,
                &["gst-plugin-webrtc-signalling@0.15.4", "--no-default-features", "--features", "rustls-ring"],
            )?,
            Self::Matchbox => cargo_install(&root, &["matchbox_server@0.15.0"])?,
        }
        Ok(program)
    }

    /// How it is started; its log is as quiet as it can be, which is in its favour.
    pub(super) fn command(self, program: &Path, address: SocketAddr, cert: &Path, key: &Path) -> Command {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        match self {
            Self::Peerjs => {
                let mut command = Command::new("node");
                command.arg(program).args(["--host", &host, "--port", &port]).args(PEERJS_LIMITS);
                command.arg("--sslcert").arg(cert).arg("--sslkey").arg(key);
                command
            }
            Self::Gstreamer => {
                let mut command = Command::new(program);
                command.env("WEBRTCSINK_SIGNALLING_SERVER_LOG", "error");
                command.args(["--host", &host, "--port", &port]).arg("--cert").arg(cert).arg("--key").arg(key);
                command
            }
            Self::Matchbox => {
                let mut command = Command::new(program);
                command.env("RUST_LOG", "error").arg(address.to_string());
                command
            }
        }
    }
}

fn cargo_install(root: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["install", "--locked", "--root"]).arg(root).arg("--target-dir").arg(root.join("build"));
    run::to_the_end(command.args(arguments))
}
