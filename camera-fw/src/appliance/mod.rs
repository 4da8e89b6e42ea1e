//! The device as an appliance: what a person puts on the boot partition becomes what the programs read, and what the
//! device has to say goes back there.
//!
//! ```text
//!  boot partition (FAT, read-only)        prepare                          run folder (RAM)
//!  roomcam.toml ─────────▶ lines ─▶ settings ─┬─▶ camera.toml, ca.pem ──────▶ agent
//!                                             ├─▶ iwd/NETWORK.psk, iwd.conf ▶ iwd
//!  authorized_keys ──────────────▶ ssh ───────┼─▶ ssh/authorized_keys ──────▶ dropbear
//!  roomcam-reset ────────────────▶ reset      │
//!  identity ──────▶ provisioning ─▶ home ─────┼─▶ state_dir ────────────────▶ agent
//!                                             └─▶ problems.txt ─┐
//!  roomcam-label.svg, roomcam-errors.txt ◀──────── present ◀────┤
//!  the screen (QR code, link, problems)  ◀───────── console ◀───┘
//! ```
//!
//! [`prepare`] runs before the agent and is quick. What is wrong on the boot partition costs what it is about, and is
//! said; a device that boots without any of it streams all the same. [`present`] runs when the agent does already.
//! Neither Wi-Fi passphrases nor codes are in any message.

mod boot;
mod console;
mod entropy;
mod files;
mod home;
mod lines;
mod prepare;
mod present;
mod problems;
mod provisioning;
mod reset;
mod settings;
mod ssh;
mod text;
mod wifi;

use std::path::PathBuf;

pub use prepare::prepare;
pub use present::present;

use crate::config::ConfigError;

/// What `camera-fw appliance` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Turn what is on the boot partition into what the programs read.
    Prepare(Prepare),
    /// Write label and errors to the boot partition, show code and errors on the screen.
    Present(Present),
}

/// The folders of an appliance.
#[derive(Debug, Clone, clap::Args)]
pub struct Folders {
    /// The boot partition, which people write to
    #[arg(long, value_name = "DIR", default_value = "/boot/firmware")]
    boot: PathBuf,
    /// The data partition, which keeps the identity
    #[arg(long, value_name = "DIR", default_value = "/var/lib/roomcam")]
    data: PathBuf,
    /// What lasts until the power goes
    #[arg(long, value_name = "DIR", default_value = "/run/roomcam")]
    run: PathBuf,
    /// Where /sys and /dev are
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// The arguments of `camera-fw appliance prepare`.
#[derive(Debug, clap::Args)]
pub struct Prepare {
    #[command(flatten)]
    folders: Folders,
    /// The user that the agent runs as
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// The arguments of `camera-fw appliance present`.
#[derive(Debug, clap::Args)]
pub struct Present {
    #[command(flatten)]
    folders: Folders,
    /// The screen
    #[arg(long, value_name = "DEVICE", default_value = "/dev/tty1")]
    console: PathBuf,
}

/// Nothing can work.
#[derive(Debug, thiserror::Error)]
pub enum ApplianceError {
    /// The user of the agent is unknown.
    #[error("there is no user {0} here; name the one that the agent runs as with --user")]
    User(String),
    /// A file or folder for the agent cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was prepared cannot be read.
    #[error("{0}; did `camera-fw appliance prepare` run before?")]
    Unprepared(#[from] ConfigError),
}

impl ApplianceError {
    fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// Does it.
///
/// # Errors
/// If nothing can work.
pub fn run(command: &Command) -> Result<(), ApplianceError> {
    match command {
        Command::Prepare(arguments) => prepare(arguments),
        Command::Present(arguments) => present(arguments),
    }
}
