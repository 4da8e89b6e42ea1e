//! `cargo xtask soak NAME`: a program under all the trouble there is, for as long as one likes.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::progress::Step;
use crate::run;
use crate::system;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// The signaling server: joins, leaves, signals, clients that are killed, stopped, deaf or malicious, storms of reconnects,
    /// new certificates; clients that keep to the protocol must not notice, and nothing may be left
    Signal(Signal),
}

#[derive(Debug, clap::Args)]
struct Signal {
    /// How long it is troubled
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// Repeat the choices of another run, which has printed this
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Builds and soaks.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Program::Signal(options) = &arguments.program;
    let step = Step::begin("Build the server and its clients");
    let packages = ["--package", "signal-srv", "--package", "signal-load"];
    run::to_the_end(workspace::cargo().args(["build", "--release"]).args(packages))?;
    step.done();
    let folder = workspace::target().join("soak");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let programs = workspace::target().join("release");

    let step = Step::begin(format!("Soak the server for {} min; its log is in {}", options.minutes, folder.display()));
    let mut soak = namespace();
    let is_alone = soak.is_some();
    let command = match &mut soak {
        Some(namespace) => namespace.arg(programs.join("signal-load")),
        None => &mut Command::new(programs.join("signal-load")),
    };
    command.arg("soak").arg("--server").arg(programs.join("signal-srv")).arg("--folder").arg(&folder);
    command.arg("--minutes").arg(options.minutes.to_string());
    if let Some(seed) = options.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    if is_alone {
        command.arg("--own-network");
    } else {
        println!("without a network of its own, which takes root or user namespaces: nobody's packets are dropped");
    }
    match run::to_the_end(&mut run::ending_with_us(command)) {
        Ok(()) => {
            step.done();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

/// What runs another command in a network of its own, if there can be one.
fn namespace() -> Option<Command> {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    let mut trial = Command::new("unshare");
    trial.args(command.get_args()).args(["nft", "list", "ruleset"]);
    (system::administration("ip").is_some() && run::succeeds(&mut trial)).then_some(command)
}
