//! `cargo xtask bench NAME`: figures beside their goals and the comparison of the same run.
//!
//! A bench measures the release build as a user would run it and prints rows that fit into
//! `docs/benchmarks.md`; it writes nothing there, since a figure belongs to the machine it was seen on.

mod boot;
mod capture;
mod clip;
mod guest;
mod process;
mod quality;
mod report;
mod rig;
mod signal;
mod stream;
mod viewers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use clip::Footage;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The whole path: frame rate, time to the first frame, latency, CPU and memory of the camera
    Stream(Options),
    /// Capture and encoding in the emulated machine: frame rates by format
    Guest(Options),
    /// The card of `cargo xtask image` in the emulated machine: stages of the boot, memory, sizes
    Boot(Options),
    /// The frame path: CPU of the camera against that of libvpx alone, copies, allocations and conversions by format
    Capture(Encoding),
    /// The encoder: PSNR, SSIM and time of its settings at several bitrates
    Quality(Encoding),
    /// The signaling server: memory, CPU and latency at 10,000 connections, beside the floor of its libraries
    Signal(signal::Arguments),
}

#[derive(Debug, clap::Args)]
struct Encoding {
    #[command(flatten)]
    footage: Footage,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 where a goal is missed
    #[arg(long)]
    check: bool,
}

/// Measures and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (figures, options) = match &arguments.bench {
        Bench::Stream(options) => (stream::measure()?, options),
        Bench::Capture(Encoding { footage, options }) => (capture::measure(footage)?, options),
        Bench::Quality(Encoding { footage, options }) => (quality::measure(footage)?, options),
        Bench::Guest(options) => (guest::measure()?, options),
        Bench::Boot(options) => (boot::measure()?, options),
        Bench::Signal(arguments) => return signal::run(arguments),
    };
    println!("\n{}", report::table(&figures));
    if let Some(file) = &options.json {
        report::write_json(&figures, file)?;
    }
    let missed = figures.iter().filter(|figure| !figure.is_met()).count();
    if missed > 0 {
        println!("{missed} goal(s) missed");
    }
    Ok(if options.check && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
