//! Bind, serve, reload, stop.
//!
//! ```text
//! Server ── accept task (accept.rs) ── one task per TCP connection: TLS handshake ▶ HTTP ▶ WebSocket
//! ```
//! No task outlives the server: all are tracked, all hear of the shutdown, each ends by itself within
//! the time-outs of [`Limits`], and [`Server::join`] waits for them.
//!
//! ```text
//! shutdown ─▶ nobody is let in, handshakes and HTTP end ─▶ WebSockets are dismissed one by one (drain.rs)
//!          ─▶ the last has gone, or has had its time ─▶ operators, who could watch all that
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use crate::accept::Listening;
use crate::admission::Admission;
use crate::cluster::{self, ClusterError, Link};
use crate::config::Cluster;
use crate::drain::{Drain, STOP, Stopping};
use crate::hub::{Hub, Stats};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::readiness::Readiness;
use crate::room::Rooms;
use crate::settings::InEffect;
use crate::sockets::{self, Sockets};
use crate::tls::{Certificate, TlsError};
use crate::{Config, Tls, http, redirect};

/// Connections of operators and their programs at once.
const OPERATORS: usize = 16;

/// Connections that are sent on to HTTPS at once. Each is over with its first answer.
const REDIRECTS: usize = 1024;

/// Why a server cannot start, or does not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken.
    #[error(
        "{address} is in use: another program (another signal-srv?) listens there; stop it, or choose another address \
         with {option}"
    )]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
        /// What asked for it.
        option: &'static str,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}; choose another address with {option}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What asked for it.
        option: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// `tls = "off"` on a socket that was passed, where everybody could listen in.
    #[error(
        "--tls off is for loopback only, and {0}, the socket that was passed (LISTEN_FDS), is not: without TLS everybody on \
         the way reads room codes. Use --tls self-signed or --tls files, or say --behind-proxy if a proxy in front does TLS"
    )]
    PlainText(SocketAddr),
    /// A redirect to what is not there, on a socket that was passed.
    #[error(
        "a socket for redirects to HTTPS was passed (LISTEN_FDS), which --tls off does not serve; stop its unit, or choose \
         another --tls"
    )]
    NothingToRedirectTo,
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cluster's Redis cannot be spoken to as configured. One that is not there yet is no error.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A connection went on after it was told to end.
    #[error("{0} connections did not end in time")]
    Stop(usize),
}

/// A running server. Dropping it begins the shutdown; [`Server::join`] waits for its end.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    redirect_address: Option<SocketAddr>,
    secure: bool,
    certificate: Option<Arc<Certificate>>,
    /// As it was at the start: what of it cannot be changed since.
    config: Config,
    hub: Arc<Hub>,
    settings: Arc<InEffect>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
    pulse: Pulse,
    /// Everything that clients are served with.
    tasks: TaskTracker,
    accepting: JoinHandle<()>,
    /// What waits for the end of all that, and what it still needs then.
    draining: JoinHandle<usize>,
    remaining: TaskTracker,
}

impl Server {
    /// Loads the certificate, binds, and serves from now on.
    ///
    /// # Errors
    /// If there is no usable certificate or the address cannot be listened on.
    pub async fn spawn(config: Config) -> Result<Self, ServerError> {
        Self::spawn_on(config, Sockets::default()).await
    }

    /// The same on sockets that listen already; where there is none, it binds.
    ///
    /// # Errors
    /// As [`Server::spawn`].
    pub async fn spawn_on(config: Config, sockets: Sockets) -> Result<Self, ServerError> {
        let certificate = Certificate::load(&config.tls)?;
        let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let (listener, address) = sockets::listener(sockets.clients, config.listen, "--listen")?;
        if config.tls == Tls::Off && !config.behind_proxy && !address.ip().is_loopback() {
            return Err(ServerError::PlainText(address));
        }
        let beside = |socket: Option<_>, address: Option<_>, option| {
            // What was passed has an address of its own.
            let address = address.or(socket.is_some().then_some(config.listen));
            address.map(|address| sockets::listener(socket, address, option)).transpose()
        };
        let operators = beside(sockets.metrics, config.metrics, "--metrics")?;
        let metrics_address = operators.as_ref().map(|(_, address)| *address);
        let redirects = beside(sockets.redirect, config.redirect, "--redirect")?;
        if redirects.is_some() && config.tls == Tls::Off {
            return Err(ServerError::NothingToRedirectTo);
        }
        let redirect_address = redirects.as_ref().map(|(_, address)| *address);

        let shutdown = CancellationToken::new();
        let drained = CancellationToken::new();
        let drain = Arc::new(Drain::new());
        let rooms = Rooms::new(config.max_viewers, config.limits.rooms_per_address);
        let mut metrics = Metrics::new();
        let (cluster, queue) = config.cluster.as_ref().map(|_| cluster::channel(metrics.for_cluster())).unzip();
        let metrics = Arc::new(metrics);
        let ice_servers = config.ice_servers.clone();
        let hub = Arc::new(Hub::new(rooms, ice_servers, shutdown.clone(), Arc::clone(&metrics), cluster));
        let link = config.cluster.as_ref().zip(queue).map(|(cluster, queue)| {
            let Cluster { address, authority } = cluster;
            Link::new(address, authority.as_deref(), Arc::clone(&hub), queue, &config.limits, shutdown.clone())
        });
        let link = link.transpose()?;
        let settings = Arc::new(InEffect::new(&config));
        let streams = Arc::new(Semaphore::new(Admission::streams(&config.limits)));
        let (tasks, remaining) = (TaskTracker::new(), TaskTracker::new());
        let readiness =
            Readiness { shutdown: shutdown.clone(), certificate: certificate.clone(), hub: Arc::clone(&hub) };
        let secure = acceptor.is_some();
        let listening = Listening {
            listener,
            acceptor,
            router: http::router(matches!(config.tls, Tls::Files { .. } | Tls::Acme(_)), readiness.clone()),
            streams: Arc::clone(&streams),
            hub: Arc::clone(&hub),
            admission: Arc::default(),
            settings: Arc::clone(&settings),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
            drain: Arc::clone(&drain),
            tasks: tasks.clone(),
        };
        // Whoever asks there is the same client, and has one share of both.
        let redirects = redirects.zip(certificate.clone()).map(|((listener, _), certificate)| Listening {
            listener,
            acceptor: None,
            router: redirect::router(certificate, address.port()),
            streams: Arc::new(Semaphore::new(REDIRECTS)),
            hub: Arc::clone(&hub),
            admission: Arc::clone(&listening.admission),
            settings: Arc::clone(&settings),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
            drain: Arc::clone(&drain),
            tasks: tasks.clone(),
        });
        let (ask, asked) = mpsc::channel(1);
        let pulse =
            Pulse { accept: ask, hub: Arc::clone(&hub), metrics: Arc::clone(&metrics), shutdown: shutdown.clone() };
        let operators = operators.map(|(listener, _)| Listening {
            listener,
            acceptor: None,
            router: http::operator_router(Arc::clone(&metrics), readiness),
            streams: Arc::new(Semaphore::new(OPERATORS)),
            hub: Arc::clone(&hub),
            admission: Arc::default(),
            settings: Arc::clone(&settings),
            // What operators do is not counted.
            metrics: Arc::new(Metrics::new()),
            // They are answered to the last: that the server is not ready, and who is still there.
            shutdown: drained.clone(),
            drain: Arc::clone(&drain),
            tasks: remaining.clone(),
        });
        if let Some(link) = link {
            tasks.spawn(link.run().instrument(info_span!("cluster")));
        }
        let accepting = tasks.spawn(listening.run(Some(asked)));
        if let Some(redirects) = redirects {
            tasks.spawn(redirects.run(None));
        }
        if let Some(operators) = operators {
            remaining.spawn(operators.run(None));
        }
        let stopping = Stopping {
            shutdown: shutdown.clone(),
            drain,
            metrics,
            settings: Arc::clone(&settings),
            tasks: tasks.clone(),
            drained,
        };
        let draining = remaining.spawn(stopping.run());
        if let Some(certificate) = &certificate {
            tasks.spawn(Arc::clone(certificate).keep_current(Arc::clone(&settings), shutdown.clone()));
        }
        if let Some(address) = metrics_address {
            info!(url = %format_args!("http://{address}/metrics"), "metrics");
        }
        if let Some(address) = redirect_address {
            info!(url = %format_args!("http://{address}"), "redirecting to HTTPS");
        }
        let server = Self {
            address,
            metrics_address,
            redirect_address,
            secure,
            certificate,
            config,
            hub,
            settings,
            streams,
            shutdown,
            pulse,
            tasks,
            accepting,
            draining,
            remaining,
        };
        // The line that programs wait for.
        match server.certificate() {
            Some(certificate) => info!(url = %server.url(), certificate = %certificate.display(), "listening"),
            None => info!(url = %server.url(), "listening"),
        }
        Ok(server)
    }

    /// Where it listens; with port 0 asked for, the port that the operating system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are, if they are anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where plain HTTP is sent on to HTTPS, if it is anywhere.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// The page's address, and with `ws` for `http` the WebSocket's.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate's file, unless TLS is off.
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.path.as_path())
    }

    /// Puts into effect what can be changed while the server runs: everything but where it listens, where its certificate
    /// comes from, and its log. The certificate is loaded anew. Connections that are there go on as they are.
    ///
    /// # Errors
    /// If the certificate cannot be used; the one before stays, and the rest is in effect.
    pub fn reload(&mut self, config: Config) -> Result<(), ServerError> {
        let (new, old) = (&config, &self.config);
        let fixed = |config: &Config| {
            (
                config.listen,
                config.metrics,
                config.redirect,
                config.tls.clone(),
                config.behind_proxy,
                config.cluster.clone(),
                config.log.clone(),
                config.log_format,
            )
        };
        if fixed(new) != fixed(old) {
            warn!(
                "changes of listen, metrics, redirect, tls and what belongs to it, behind_proxy, cluster, cluster_ca, log and \
                 log_format need a restart"
            );
        }
        let (before, after) = (Admission::streams(&old.limits), Admission::streams(&new.limits));
        self.streams.add_permits(after.saturating_sub(before));
        // Those that are in use are not taken away, and so the rest comes a little later.
        self.streams.forget_permits(before.saturating_sub(after));
        self.settings.replace(new);
        self.hub.change(new.max_viewers, new.limits.rooms_per_address, new.ice_servers.clone());
        let (listen, metrics, redirect, tls, behind_proxy, cluster, log, log_format) = fixed(old);
        self.config = Config { listen, metrics, redirect, tls, behind_proxy, cluster, log, log_format, ..config };
        if let Some(certificate) = &self.certificate {
            certificate.reload()?;
        }
        Ok(())
    }

    /// What happened in the rooms so far.
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// To find out with whether the server lives.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Begins the end: no more connections, and every client is told within [`Limits::drain`].
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// The longest that a [`shutdown`](Self::shutdown) takes.
    pub fn longest_stop(&self) -> Duration {
        let limits = &self.settings.now().limits;
        limits.drain + limits.farewell + 2 * STOP
    }

    /// Waits until a [`shutdown`](Self::shutdown) is through; the final count is the answer.
    ///
    /// # Errors
    /// If connections are left some seconds after all were dismissed and had their time for a farewell.
    ///
    /// # Panics
    /// If the accept task has panicked: then nobody would ever be let in again.
    pub async fn join(mut self) -> Result<Stats, ServerError> {
        if let Err(error) = (&mut self.accepting).await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        let left = (&mut self.draining).await.unwrap_or_else(|_| self.tasks.len());
        self.remaining.close();
        if left > 0 || timeout(STOP, self.remaining.wait()).await.is_err() {
            return Err(ServerError::Stop(left + self.remaining.len()));
        }
        Ok(self.hub.stats())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
