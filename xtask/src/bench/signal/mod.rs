//! The signaling server beside the floor of its libraries and beside servers that others publish.
//!
//! Each server runs alone, pinned to one core; the load generator (`signal-srv/benches/load`) has the other one and reads
//! memory and CPU time of the server from /proc. What counts is the ratio to the others (the floor is
//! `signal-srv/benches/floor`) of the same run: on a machine that does other things all absolute figures are too high.

mod public;
mod servers;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::bench::{Options, report, rig};
use crate::progress::Step;
use crate::run;

use servers::{Programs, Running, Server};

/// Core of the generator; the servers have core 0.
const GENERATOR_CORE: &str = "1";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Parts to measure; all, unless some are named
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Servers to measure
    #[arg(long, value_delimiter = ',', default_value = "ours,floor,peerjs,gstreamer")]
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
    /// Honest clients among attackers
    Attack,
}

/// What is done to a server while honest clients are watched.
struct Attack {
    /// The generator's name of it.
    kind: &'static str,
    title: &'static str,
    attackers: u32,
}

const ATTACKS: [Attack; 5] = [
    Attack { kind: "none", title: "no attack", attackers: 0 },
    Attack { kind: "drip", title: "5,000 slow drips", attackers: 5000 },
    Attack { kind: "flood", title: "50 flooders", attackers: 50 },
    Attack { kind: "never-read", title: "1,000 that never read", attackers: 1000 },
    Attack { kind: "huge", title: "10 with 64 MiB messages", attackers: 10 },
];
const ATTACK_SECONDS: &str = "25";

/// What the generator has found of a server.
#[derive(Debug)]
struct Column {
    server: Server,
    figures: Value,
}

/// Measures and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let cores = std::thread::available_parallelism().context("cannot count the processors")?;
    ensure!(cores.get() >= 2, "this takes two processors: one for the server, one for its clients");
    let programs = servers::build(arguments.server_binary.clone())?;
    // Those that cannot be had cost nobody the others.
    let mut there = Vec::new();
    for server in &arguments.servers {
        match server.public().map(public::Public::install).transpose() {
            Ok(_) => there.push(*server),
            Err(error) => println!("{} is left out, it cannot be installed: {error:#}", server.name()),
        }
    }
    let state = rig::state()?;
    prepare_process()?;
    run::to_the_end(Command::new(&programs.load).arg("certificate").arg(&state))?;
    let bench = Bench { programs, state, arguments };
    let mut columns = Vec::new();
    for server in there {
        let step = Step::begin(server.name());
        columns.push(Column { server, figures: bench.measure(server)? });
        step.done();
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

struct Bench<'a> {
    programs: Programs,
    state: PathBuf,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.contains(&part)
    }

    /// What the generator says of one server; what it says of the attacks is below their names.
    fn measure(&self, server: Server) -> Result<Value> {
        let connections = self.arguments.connections.to_string();
        let mut figures = Value::Object(serde_json::Map::new());
        let steps = [(Part::Memory, "memory"), (Part::Idle, "idle"), (Part::Relay, "relay"), (Part::Storm, "storm")];
        let steps: Vec<_> = steps.into_iter().filter(|(part, _)| self.wants(*part)).map(|(_, name)| name).collect();
        if !steps.is_empty() {
            let seconds = self.arguments.seconds.to_string();
            figures = self.with(server, self.arguments.connections, |running| {
                let mut command = self.generator(server, "measure", running);
                command.args(["--clients", &connections, "--seconds", &seconds, "--only", &steps.join(",")]);
                said(&mut command)
            })?;
        }
        for attack in ATTACKS.iter().filter(|_| self.wants(Part::Attack)) {
            figures[attack.kind] = self.with(server, usize::MAX, |running| {
                let mut command = self.generator(server, "attack", running);
                command.args(["--kind", attack.kind, "--count", &attack.attackers.to_string()]);
                said(command.args(["--seconds", ATTACK_SECONDS]))
            })?;
        }
        Ok(figures)
    }

    /// Runs a server of its own for this.
    fn with<T>(&self, server: Server, connections: usize, what: impl FnOnce(&Running) -> Result<T>) -> Result<T> {
        let running = server.start(&self.programs, &self.state, connections)?;
        let outcome = what(&running)?;
        running.program.stop()?;
        Ok(outcome)
    }

    fn generator(&self, server: Server, what: &str, running: &Running) -> Command {
        let mut command = pinned(GENERATOR_CORE, &self.programs.load);
        command.args([what, "--dialect", server.dialect(), "--server", &running.address.to_string()]);
        command.args(["--pid", &running.program.id().to_string()]);
        if server.has_tls() {
            command.arg("--tls");
        }
        command
    }
}

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program);
    command
}

/// The last line of what the generator says, as JSON.
fn said(command: &mut Command) -> Result<Value> {
    let mut last = String::new();
    run::to_the_end_reading(command, |line| line.clone_into(&mut last))?;
    serde_json::from_str(&last).context("the generator did not say what it has found")
}

/// For what we start: as many open files as may be; and before what else runs on the machine, where we may say so and the
/// kernel groups programs by their session (sched(7)). That makes a busy machine less of a nuisance, and no quiet one.
fn prepare_process() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot ask for the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of open files")?;
    // Without it the figures are noisier, that is all.
    let _ = std::fs::write("/proc/self/autogroup", "-15");
    Ok(())
}
