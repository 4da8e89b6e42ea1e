//! The load generator of `cargo xtask bench signal`: thousands of clients in rooms of two, in one thread.
//!
//! ```text
//! measure   base ▶ everybody joins ▶ idle ▶ each room signals once ▶ steady rate ▶ saturated ▶ all reconnect at once
//! attack    rooms of honest clients and newcomers, while others (a process of their own) attack
//! ```
//! It reads memory and CPU time of the server from /proc between these steps and prints its figures as one JSON object.

#![allow(unreachable_pub, reason = "a program of several files")]

mod attack;
mod clients;
mod dialect;
mod honest;
mod link;
mod measure;
mod process;
mod tls;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a certificate for the servers: cert.pem and key.pem in this folder
    Certificate { folder: PathBuf },
    /// Measure a server that runs
    Measure(measure::Options),
    /// Measure how honest clients of a server fare under an attack
    Attack(honest::Options),
    /// Attack a server
    Attackers(attack::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let figures = match arguments.command {
        Command::Certificate { folder } => return tls::make_certificate(&folder),
        Command::Attackers(options) => return local.block_on(&runtime, attack::run(options)),
        Command::Measure(options) => serde_json::to_string(&local.block_on(&runtime, measure::run(options))?)?,
        Command::Attack(options) => serde_json::to_string(&local.block_on(&runtime, honest::run(options))?)?,
    };
    println!("{figures}");
    // Thousands of connections are nobody's work to take down in order.
    std::process::exit(0);
}
