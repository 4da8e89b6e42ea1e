//! Arguments, configuration, log, signals, exit code.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_srv::config::Flags;
use signal_srv::{Config, Server, ServerError, Sockets, TlsError, logging, service};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

/// Arguments or configuration are wrong: for the operator to correct, no restart helps.
const MISCONFIGURED: u8 = 2;
/// Anything else.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let config = match Config::load(&flags, std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), MISCONFIGURED),
    };
    if flags.print_config {
        print!("{}", config.to_toml());
        return ExitCode::SUCCESS;
    }
    if let Err(error) = logging::init(&config.log, config.log_format) {
        return fail(&error.into(), MISCONFIGURED);
    }
    // While there is one thread alone.
    let sockets = match Sockets::take() {
        Ok(sockets) => sockets,
        Err(error) => return fail(&error.into(), MISCONFIGURED),
    };
    match run(config, &flags, sockets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let misconfigured = matches!(
                error.downcast_ref(),
                Some(
                    ServerError::Tls(
                        TlsError::Read { .. }
                            | TlsError::Pem { .. }
                            | TlsError::Unusable { .. }
                            | TlsError::Account { .. }
                            | TlsError::Root { .. }
                            | TlsError::NoRoots { .. }
                    ) | ServerError::PlainText(_)
                        | ServerError::NothingToRedirectTo
                        | ServerError::Cluster(_)
                )
            );
            fail(&error, if misconfigured { MISCONFIGURED } else { FAILED })
        }
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("signal-srv: {error}");
    service::failed(&error.to_string());
    ExitCode::from(code)
}

#[tokio::main]
async fn run(config: Config, flags: &Flags, sockets: Sockets) -> anyhow::Result<()> {
    raise_file_limit(config.limits.connections);
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut server = Server::spawn_on(config, sockets).await?;
    let pulse = server.pulse();
    service::ready(&pulse.status());
    let watching =
        service::is_supervised().then(|| AbortOnDropHandle::new(tokio::spawn(service::watch(pulse.clone()))));
    let name = loop {
        match signals.next().await {
            "SIGHUP" => {
                service::reloading();
                reload(&mut server, flags);
                service::ready(&pulse.status());
            }
            name => break name,
        }
    };
    info!(signal = name, "stopping");
    server.shutdown();
    service::stopping(&pulse.status(), server.longest_stop());
    let stats = tokio::select! {
        stats = server.join() => stats?,
        name = signals.end() => {
            warn!(signal = name, "stopped at once");
            std::process::exit(i32::from(FAILED));
        }
    };
    drop(watching);
    info!(joins = stats.joins, dropped_signals = stats.dropped_signals, "stopped");
    Ok(())
}

/// What the files say now. A mistake in them costs nothing but the change.
fn reload(server: &mut Server, flags: &Flags) {
    let config = match Config::load(flags, std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => return error!(%error, "the configuration is not reloaded, the one before stays in effect"),
    };
    raise_file_limit(config.limits.connections);
    match server.reload(config) {
        Ok(()) => info!("configuration and certificate reloaded"),
        Err(error) => error!(%error, "the configuration is reloaded, the certificate is the one before"),
    }
}

/// Every connection is a file descriptor, and the limit that a process starts with is often 1024.
fn raise_file_limit(connections: usize) {
    const OTHER_FILES: u64 = 64;
    let wanted = connections as u64 + OTHER_FILES;
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let limit = wanted.min(hard);
        if soft < limit { setrlimit(Resource::RLIMIT_NOFILE, limit, hard).map(|()| limit) } else { Ok(soft) }
    });
    match raised {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => warn!(limit, wanted, "the limit of open files is low; raise it (systemd: LimitNOFILE=)"),
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
}

/// SIGTERM, SIGINT and SIGHUP, from the start on: one that comes early is not lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Of those only what ends the program.
    async fn end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                "SIGHUP" => {}
                name => return name,
            }
        }
    }
}
