//! `cargo xtask soak signal` runs this; see the library.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_load::client::Door;
use signal_load::soak::{self, Options};

#[derive(Debug, Parser)]
#[command(name = "signal-load", about = "Plays the clients of signal-srv")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All kinds of trouble at once, while clients that keep to the protocol look whether they notice
    Soak {
        /// The program to soak
        #[arg(long, value_name = "FILE")]
        server: PathBuf,
        /// Where certificates, configuration and log go
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// How long
        #[arg(long, value_name = "N", default_value_t = 1.0)]
        minutes: f64,
        /// The same seed makes the same choices
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// The network is ours alone, with nothing up in it yet
        #[arg(long)]
        own_network: bool,
    },
    /// Clients that chatter until somebody ends this process
    #[command(hide = true)]
    Crowd {
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        roots: PathBuf,
        #[arg(long)]
        from: Ipv4Addr,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    raise_file_limit()?;
    match Arguments::parse().task {
        Task::Soak { server, folder, minutes, seed, own_network } => {
            if own_network {
                let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
                ensure!(status.context("cannot start ip (package iproute2)")?.success(), "cannot bring loopback up");
            }
            let seed = seed.unwrap_or_else(|| fastrand::u64(..));
            let crowd = std::env::current_exe().context("cannot tell which program this is")?;
            let lasts = Duration::try_from_secs_f64(minutes * 60.0).context("so many minutes cannot be")?;
            println!("seed {seed}");
            let options =
                Options { server, lasts, seed, crowd: Some(crowd), owns_network: own_network, folder, says: true };
            let report = soak::run(&options).await.with_context(|| format!("the soak with --seed {seed} failed"))?;
            println!("\n{report}");
            Ok(())
        }
        Task::Crowd { address, roots, from } => soak::chatter(Door::new(address, &roots)?, from).await,
    }
}

/// Every client is a descriptor.
fn raise_file_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot ask for the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")
}
