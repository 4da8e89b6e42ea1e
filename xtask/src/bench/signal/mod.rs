//! The signaling server beside the floor of its libraries.
//!
//! Each server runs alone, pinned to one core; the load generator (`signal-srv/benches/load`) has the other one and reads
//! memory and CPU time of the server from /proc. What counts is the ratio to the floor (`signal-srv/benches/floor`) of the
//! same run: on a machine that does other things all absolute figures are too high.

mod servers;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::bench::{Options, report, rig};
use crate::progress::Step;
use crate::run::{self, Interrupts};

use servers::{Programs, Server};
use table::Column;

/// Core of the generator; the servers have core 0.
const GENERATOR_CORE: &str = "1";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Parts to measure; all, unless some are named
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Servers to measure
    #[arg(long, value_delimiter = ',', default_value = "ours,floor")]
    servers: Vec<Server>,
    /// Connections, in rooms of two
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Length of each measurement in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measure this signal-srv instead of building one
    #[arg(long, value_name = "FILE")]
    server_binary: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory without and with connections, CPU of a join
    Memory,
    /// CPU of connections that do nothing
    Idle,
    /// CPU of a signal, and how long it takes
    Relay,
    /// Everybody comes back at once
    Storm,
}

impl Part {
    const ALL: [Self; 4] = [Self::Memory, Self::Idle, Self::Relay, Self::Storm];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Idle => "idle",
            Self::Relay => "relay",
            Self::Storm => "storm",
        }
    }
}

/// Measures and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let parts = if arguments.only.is_empty() { Part::ALL.to_vec() } else { arguments.only.clone() };
    let programs = servers::build(arguments.server_binary.clone())?;
    let state = rig::state()?;
    let interrupts = Interrupts::listen()?;
    take_precedence();
    run::to_the_end(Command::new(&programs.load).arg("certificate").arg(&state))?;
    let mut columns = Vec::new();
    for server in &arguments.servers {
        let step = Step::begin(server.name());
        let running = server.start(&programs, &state, arguments.connections, &interrupts)?;
        let figures = measure(&programs, &running, &parts, arguments)?;
        running.program.stop()?;
        step.done();
        columns.push(Column { server: *server, figures });
    }
    println!("\n{}", table::text(&columns));
    let figures = table::figures(&columns);
    if let Some(file) = &arguments.options.json {
        report::write_json(&figures, file)?;
    }
    let missed = figures.iter().filter(|figure| !figure.is_met()).count();
    if missed > 0 {
        println!("{missed} goal(s) missed");
    }
    Ok(if arguments.options.check && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the generator says of one server, as JSON.
fn measure(
    programs: &Programs,
    running: &servers::Running,
    parts: &[Part],
    arguments: &Arguments,
) -> Result<serde_json::Value> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", GENERATOR_CORE]).arg(&programs.load).args(["measure", "--tls"]);
    command.args(["--server", &running.address.to_string(), "--pid", &running.program.id().to_string()]);
    command.args(["--clients", &arguments.connections.to_string()]);
    command.args(["--seconds", &arguments.seconds.to_string()]);
    let parts: Vec<_> = parts.iter().map(|part| part.name()).collect();
    command.args(["--only", &parts.join(",")]);
    let mut last = String::new();
    run::to_the_end_reading(&mut command, |line| line.clone_into(&mut last))?;
    serde_json::from_str(&last).context("the generator did not say what it found")
}

/// Before what else runs on the machine, where we may and the kernel groups programs by their session (sched(7)); it makes
/// a busy machine less of a nuisance, and no quiet one.
fn take_precedence() {
    // Without it the figures are noisier, that is all.
    let _ = std::fs::write("/proc/self/autogroup", "-15");
}
