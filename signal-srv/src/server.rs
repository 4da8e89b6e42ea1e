//! Bind, accept, limit, stop.
//!
//! ```text
//! Server ── accept task ── one task per TCP connection: TLS handshake ▶ HTTP ▶ WebSocket
//! ```
//! No task outlives the server: all are tracked, all hear of the shutdown, each ends by itself within
//! the time-outs of [`Limits`], and [`Server::join`] waits for them.
//!
//! ```text
//! shutdown ─▶ nobody is let in, handshakes and HTTP end ─▶ WebSockets are dismissed one by one (drain.rs)
//!          ─▶ the last has gone, or has had its time ─▶ operators, who could watch all that
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::admission::Admission;
use crate::client::Client;
use crate::cluster::{self, ClusterError, Link};
use crate::config::Cluster;
use crate::connection::{self, Context};
use crate::drain::{self, Drain};
use crate::hub::{Hub, Stats};
use crate::metrics::{Metrics, Open, Turned};
use crate::readiness::Readiness;
use crate::room::Rooms;
use crate::settings::InEffect;
use crate::sockets::{self, Sockets};
use crate::tls::{Certificate, TlsError, acme};
use crate::{Config, Tls, http, redirect};

/// Connections of operators and their programs at once.
const OPERATORS: usize = 16;

/// Connections that are sent on to HTTPS at once. Each is over with its first answer.
const REDIRECTS: usize = 1024;

/// Longest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection that was dismissed and has had its time for a farewell ends within this.
const STOP: Duration = Duration::from_secs(3);

/// How often it is tried again whether the rooms can be looked at.
const PULSE: Duration = Duration::from_millis(10);

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

/// The end of a server, from the shutdown on.
struct Stopping {
    shutdown: CancellationToken,
    drain: Arc<Drain>,
    metrics: Arc<Metrics>,
    settings: Arc<InEffect>,
    tasks: TaskTracker,
    /// What is served to the last ends, too.
    drained: CancellationToken,
}

impl Stopping {
    /// Gives the number of tasks that did not end in time.
    async fn run(self) -> usize {
        self.shutdown.cancelled().await;
        self.tasks.close();
        let limits = &self.settings.now().limits;
        let connections = usize::try_from(self.metrics.websockets.get()).unwrap_or(0);
        let window = drain::window(connections, limits.drain);
        info!(connections, within = %format_args!("{:.1} s", window.as_secs_f64()), "dismissing clients");
        self.drain.run(window).await;
        let ended = timeout(limits.farewell + STOP, self.tasks.wait()).await;
        self.drained.cancel();
        if ended.is_ok() { 0 } else { self.tasks.len() }
    }
}

/// Whether the server does what it is there for, and how much of it.
#[derive(Debug, Clone)]
pub struct Pulse {
    accept: mpsc::Sender<oneshot::Sender<()>>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

impl Pulse {
    /// Returns once the task that accepts connections has answered and the rooms could be looked at. For ever, if not.
    pub async fn feel(&self) {
        let (answer, answered) = oneshot::channel();
        let accepts = self.accept.send(answer).await.is_ok() && answered.await.is_ok();
        // Once the server stops nothing is accepted any more.
        if !accepts && !self.shutdown.is_cancelled() {
            return std::future::pending().await;
        }
        while self.hub.is_busy() {
            sleep(PULSE).await;
        }
    }

    /// One line for an operator.
    pub fn status(&self) -> String {
        let (clients, rooms) = (self.metrics.websockets.get(), self.metrics.rooms.get());
        let doing = if self.shutdown.is_cancelled() { "stopping, " } else { "" };
        format!("{doing}{clients} clients in {rooms} rooms")
    }
}

/// What the accept task owns.
struct Listening {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    /// Beyond them the kernel's accept queue holds the newcomers.
    streams: Arc<Semaphore>,
    hub: Arc<Hub>,
    admission: Arc<Admission>,
    settings: Arc<InEffect>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    drain: Arc<Drain>,
    tasks: TaskTracker,
}

impl Listening {
    /// Until the shutdown. Whoever asks is answered: this task lives.
    async fn run(self, mut asked: Option<mpsc::Receiver<oneshot::Sender<()>>>) {
        let shutdown = self.shutdown.clone();
        let accept = self.accept();
        tokio::pin!(accept);
        loop {
            let next = async {
                match &mut asked {
                    Some(asked) => asked.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = &mut accept => return,
                Some(answer) = next => {
                    // If it takes no answer, it has waited long enough.
                    let _ = answer.send(());
                }
            }
        }
    }

    async fn accept(self) {
        let connections = AtomicU64::new(0);
        let mut pause = Duration::from_millis(5);
        // The semaphore is never closed, so this goes on until the shutdown.
        while let Ok(permit) = Arc::clone(&self.streams).acquire_owned().await {
            match self.listener.accept().await {
                // The address is counted, and is nobody else's business, least of all the log's.
                Ok((stream, address)) => {
                    pause = Duration::from_millis(5);
                    let settings = self.settings.now();
                    let client = Client::of(address.ip());
                    // Behind a proxy are many, who are told apart by what it says.
                    let is_proxy = settings.proxies.trust(address.ip());
                    let ticket = if is_proxy { None } else { self.admission.stream(client, &settings.limits) };
                    if ticket.is_none() && !is_proxy {
                        debug!("a client with too many connections was turned away");
                        self.metrics.turned_away(Turned::Stream);
                        continue;
                    }
                    let id = connections.fetch_add(1, Ordering::Relaxed);
                    let (acceptor, router) = (self.acceptor.clone(), self.router.clone());
                    let context = Context {
                        hub: Arc::clone(&self.hub),
                        admission: Arc::clone(&self.admission),
                        settings,
                        metrics: Arc::clone(&self.metrics),
                        stopping: self.shutdown.clone(),
                        shutdown: self.drain.turn(),
                    };
                    let places = (permit, ticket, Open::new(&self.metrics.streams));
                    let connection = async move {
                        serve(stream, address.ip(), acceptor, router, context).await;
                        // What the connection took is given back when it has ended.
                        drop(places);
                    };
                    self.tasks.spawn(connection.instrument(info_span!("conn", id)));
                }
                Err(error) if is_the_clients(&error) => debug!(%error, "a connection broke before it was accepted"),
                Err(error) => {
                    // Most likely out of file descriptors: at once would fail again, and connections end all the time.
                    error!(%error, "cannot accept connections; if it persists, raise the limit of open files");
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Each stage is in an allocation of its own, so that an idle WebSocket does not hold what the others needed.
type Stage<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One TCP connection, from its first byte to its last.
async fn serve(stream: TcpStream, peer: IpAddr, acceptor: Option<TlsAcceptor>, router: Router, context: Context) {
    // Signaling is small messages one at a time: Nagle's algorithm would hold each back for 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let opening: Stage<'_, Option<Stage<'_, ()>>> = match acceptor {
        Some(acceptor) => Box::pin(open_tls(stream, peer, acceptor, router, &context)),
        None => Box::pin(open(stream, peer, router, &context)),
    };
    let websocket = opening.await;
    if let Some(websocket) = websocket {
        websocket.await;
    }
}

/// The TLS handshake, and what it protects.
async fn open_tls(
    stream: TcpStream,
    peer: IpAddr,
    acceptor: TlsAcceptor,
    router: Router,
    context: &Context,
) -> Option<Stage<'_, ()>> {
    let handshake = timeout(context.settings.limits.tls_handshake, acceptor.accept(stream));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = context.stopping.cancelled() => return None,
    };
    if !matches!(accepted, Ok(Ok(_))) {
        context.metrics.turned_away(Turned::Tls);
    }
    match accepted {
        Ok(Ok(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(acme::PROTOCOL) => {
            // It has seen what it wanted to see, and nothing else is to be had this way (RFC 8737 §3).
            let _ = timeout(context.settings.limits.farewell, stream.shutdown()).await;
        }
        Ok(Ok(stream)) => return open(stream, peer, router, context).await,
        Ok(Err(error)) if is_for_want_of_a_certificate(&error) => debug!("there is no certificate yet"),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => warn!(%error, "TLS handshake failed"),
        Ok(Err(error)) => debug!(%error, "TLS handshake broken off"),
        Err(_) => debug!("TLS handshake took too long"),
    }
    None
}

/// What is wrong with the client has a variant of its own.
fn is_for_want_of_a_certificate(error: &io::Error) -> bool {
    matches!(error.get_ref().and_then(|error| error.downcast_ref()), Some(rustls::Error::General(_)))
}

/// HTTP, and the WebSocket that it may end in.
async fn open<S>(stream: S, peer: IpAddr, router: Router, context: &Context) -> Option<Stage<'_, ()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let start = http::serve(stream, peer, router, context).await?;
    let (socket, ticket) = connection::socket(start).await;
    Some(Box::pin(connection::serve(socket, ticket, context)))
}
