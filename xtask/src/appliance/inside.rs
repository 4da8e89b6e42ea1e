//! What runs within the namespace: the network, then scenario after scenario.

use std::collections::VecDeque;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use clap::ValueEnum;

use super::checks::Checks;
use super::figures;
use super::ground::Ground;
use super::network::{self, Daemon, Lane};
use super::scenarios::{ALONE, Scenario, TOGETHER};
use crate::progress::Step;

/// Names scenarios, with commas between them: only those are run.
const ONLY: &str = "ROOMCAM_SCENARIOS";

#[derive(Debug, clap::Args)]
pub(crate) struct Inside {
    #[arg(value_enum)]
    task: Task,
    #[arg(long)]
    card: PathBuf,
}

/// What is done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    Test,
    Bench,
}

impl Task {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Bench => "bench",
        }
    }
}

/// `cargo xtask inside …`, which nobody types.
pub(crate) fn inside(arguments: &Inside) -> Result<ExitCode> {
    let folder = super::folder();
    network::set_up()?;
    let _dhcp = Lane::ALL.map(|lane| lane.dhcp(&folder));
    let _server = Daemon::server(&folder)?;
    match arguments.task {
        Task::Test => test(&arguments.card, &folder),
        Task::Bench => figures::measure(&arguments.card, &folder).map(|()| ExitCode::SUCCESS),
    }
}

fn test(card: &Path, folder: &Path) -> Result<ExitCode> {
    let checks = Checks::default();
    let only = env::var(ONLY).unwrap_or_default();
    let wanted = |scenario: &&Scenario| only.is_empty() || only.split(',').any(|name| name == scenario.name);
    for scenario in ALONE.iter().filter(wanted) {
        play(scenario, &mut Ground::new(Lane(0), 2, &checks, card, folder));
    }
    let waiting: Mutex<VecDeque<&Scenario>> = Mutex::new(TOGETHER.iter().filter(wanted).collect());
    thread::scope(|threads| {
        for lane in Lane::ALL {
            let (waiting, checks) = (&waiting, &checks);
            threads.spawn(move || {
                let mut ground = Ground::new(lane, 1, checks, card, folder);
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(scenario) = next else { return };
                    play(scenario, &mut ground);
                }
            });
        }
    });
    println!("{}", checks.sum());
    Ok(if checks.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(scenario: &Scenario, ground: &mut Ground<'_>) {
    let step = Step::begin(format!("{} (lane {})", scenario.name, ground.lane.0));
    match (scenario.run)(ground) {
        Ok(()) => {
            step.done();
        }
        Err(problem) => {
            step.failed();
            ground.checks.check(&format!("{}: goes to its end", scenario.name), Err(problem));
        }
    }
}
