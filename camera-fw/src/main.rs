//! Arguments, configuration, logging, signals and the exit code: nothing else.
//!
//! Exit codes: 0 stopped by a signal, 1 something failed, 2 wrong arguments or configuration.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use camera_fw::config::{Config, ConfigError, Layer, Protocol};
use camera_fw::devices::Listing;
use camera_fw::identity::Identity;
use camera_fw::{agent, capture, code, label};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// A stop takes this long at most.
const STOP: Duration = Duration::from_secs(5);

const USAGE: u8 = 2;

/// Roomcam's camera: streams to whoever has its code.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stream (the default).
    Run,
    /// Print the code of this camera, its link and its QR code.
    Code {
        /// Print the link alone.
        #[arg(long, conflicts_with = "hex")]
        link: bool,
        /// Print the 64 hex digits alone.
        #[arg(long)]
        hex: bool,
    },
    /// Draw the label of this camera, or a sheet of labels for new ones.
    Label(label::Options),
    /// Replace this camera's identity by a new one: the old code is dead at once.
    Rekey {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// List the cameras of this machine, and which one `--source auto` takes.
    Devices {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What the image starts before and after the camera.
    #[cfg(feature = "appliance")]
    #[command(subcommand)]
    Appliance(camera_fw::appliance::Command),
}

#[derive(Debug, Args)]
struct Options {
    /// Signaling server, for example wss://cam.example.org:8192 [default: wss://localhost:8192]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Certificate (PEM) to trust besides those of the system
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// auto, a device such as /dev/video0, libcamera, libcamera:ID, pattern, or a file that ends in .y4m [default: auto]
    #[arg(long, global = true)]
    source: Option<String>,
    /// Folder that keeps the identity [default: $STATE_DIRECTORY or ~/.local/state/camera-fw]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, global = true, env = "CAMERA_FW_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the effective configuration and exit
    #[arg(long, global = true)]
    print_config: bool,
    /// error, warn, info, debug, trace, or a filter such as camera_fw::viewer=debug
    #[arg(long, global = true, env = "CAMERA_FW_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(problem) = start_log(&cli.options.log) {
        return complain(USAGE, &problem);
    }
    #[cfg(feature = "appliance")]
    if let Some(Command::Appliance(command)) = &cli.command {
        // It makes the configuration that everything else begins with.
        return camera_fw::appliance::run(command).map_or_else(|error| complain(1, &error), |()| ExitCode::SUCCESS);
    }
    let config = match configure(&cli.options) {
        Ok(config) => config,
        Err(error) => return complain(USAGE, &error),
    };
    let outcome = if cli.options.print_config {
        print(&config.to_toml())
    } else {
        match cli.command.unwrap_or(Command::Run) {
            Command::Run => run(config),
            Command::Code { link, hex } => show_code(&config, link, hex),
            Command::Label(options) => match label::write(&options, &config) {
                Err(error) if error.is_usage() => return complain(USAGE, &error),
                written => written.map_err(anyhow::Error::from).and_then(|report| show_label(&report)),
            },
            Command::Rekey { yes } => rekey(&config, yes),
            Command::Devices { json } => {
                let listing = Listing::new(capture::cameras(), config.camera.wanted);
                print(&if json { listing.to_json() } else { listing.to_text() })
            }
            #[cfg(feature = "appliance")]
            Command::Appliance(_) => Ok(()),
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(1, &error),
    }
}

fn configure(options: &Options) -> Result<Config, ConfigError> {
    let flags = Layer {
        server: options.server.clone(),
        ca: options.ca.clone(),
        source: options.source.clone(),
        state_dir: options.state_dir.clone(),
        ..Layer::default()
    };
    let file = options.config.as_deref().map(Layer::from_file).transpose()?.unwrap_or_default();
    let environment = Layer::from_env(|variable| std::env::var(variable).ok())?;
    flags.over(environment).over(file).resolve()
}

/// Only this program's own messages, whatever the filter says: those of the libraries hold SDP and addresses.
fn start_log(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?} is not possible: {error}"))?;
    let own = filter_fn(|metadata| metadata.target().starts_with("camera_fw"));
    let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(own));
    // Not `init`: that would also collect what the libraries write through the crate `log`.
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let token = stop.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            next().await;
            token.cancel();
            tokio::select! {
                () = next() => {}
                () = tokio::time::sleep(STOP) => eprintln!("error: stopping took too long"),
            }
            std::process::exit(1);
        });
        agent::run(config, stop).await.map_err(anyhow::Error::from)
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

fn show_code(config: &Config, link_only: bool, hex_only: bool) -> anyhow::Result<()> {
    let code = Identity::load_or_create(&config.state_dir)?.code();
    if config.protocol == Protocol::Pair && !hex_only {
        eprintln!(
            "note: this camera is in pair mode, for clients of their own; the page behind the link speaks role mode"
        );
    }
    if hex_only {
        return print(&format!("{}\n", code.to_hex()));
    }
    let link = code::link(code, &config.page_url);
    if link_only {
        return print(&format!("{link}\n"));
    }
    let qr = code::qr_code(&link, stdout().is_terminal()).unwrap_or_default();
    print(&format!(
        "{qr}\nLink  {link}\n\nCode\n{}\n\nCheck digits  {}\n\nWho has this code can watch. Keep it like a key.\n",
        code::grouped(code),
        code.check_digits()
    ))
}

fn show_label(report: &label::Report) -> anyhow::Result<()> {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    print(&report.summary)
}

fn rekey(config: &Config, yes: bool) -> anyhow::Result<()> {
    if !yes {
        anyhow::ensure!(stdin().is_terminal(), "there is nobody to ask here; to replace the identity, say --yes");
        eprint!(
            "The present code of the camera in {} is dead from then on: printed labels become waste, and everybody who \
             watches needs the new code.\nReplace it? Type yes: ",
            config.state_dir.display()
        );
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        anyhow::ensure!(answer.trim() == "yes", "nothing was changed");
    }
    Identity::replace(&config.state_dir)?;
    eprintln!("The identity was replaced. A camera that runs with it changes over within a few seconds.\n");
    show_code(config, false, false)
}

/// Standard output that was closed early (`camera-fw code | head -1`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn complain(code: u8, problem: &impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(code)
}
