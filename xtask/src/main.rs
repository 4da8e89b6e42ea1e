//! `cargo xtask …`: the one entry for people and CI.
//!
//! ```text
//! demo    system packages ▶ release build ▶ server ▶ camera ▶ link and QR code ▶ until Ctrl-C
//! test    system packages ▶ check's quick parts ▶ cargo test ▶ page ▶ end to end ▶ guest, then one sum
//! check   formatting, lints, fences, dependencies, page
//! soak    release build ▶ trouble of all kinds, for as long as one likes
//! fuzz    cargo-fuzz on the bodies that the property tests run
//! bench   figures beside their goals
//! cross   sysroot ▶ the agent for another machine
//! image   Debian ▶ stage ▶ root, initramfs ▶ card
//! package the server ▶ package for Debian
//! ```
//!
//! What runs is always printed, so that nobody has to read this to know what to type by hand.

mod appliance;
mod bench;
mod check;
mod cpio;
mod cross;
mod debian;
mod demo;
mod fences;
mod fuzz;
mod image;
mod kernel;
mod libcamera;
mod package;
mod progress;
mod proxies;
mod run;
mod smoke;
mod soak;
mod source_text;
mod sysroot;
mod system;
mod tally;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Roomcam: demo, test, check, soak, bench, cross, image, package", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything, start server and camera, print the link and its QR code, stream until Ctrl-C
    Demo(demo::Arguments),
    /// Install what the tests need and run them: all, or only the steps named
    Test(test::Arguments),
    /// Formatting, lints, fences, dependencies (licences, bans, advisories), the page's own check
    Check(check::Arguments),
    /// Trouble a program for a while, and look whether it leaves a trace
    Soak(soak::Arguments),
    /// Look for inputs that what reads the network does not bear
    Fuzz(fuzz::Arguments),
    /// Measure, and print each figure beside its goal
    Bench(bench::Arguments),
    /// Build the agent for another machine, such as a Raspberry Pi
    Cross(cross::Arguments),
    /// Make the SD card of the appliance
    Image(image::Arguments),
    /// Make the Debian package of the signaling server
    Package(package::Arguments),
    /// What `test image` runs within a network namespace
    #[command(hide = true)]
    Inside(appliance::Inside),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Cross(arguments) => cross::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Package(arguments) => package::run(&arguments),
        Command::Inside(arguments) => appliance::inside(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
