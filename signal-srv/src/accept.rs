//! Accepts connections and takes each through its stages.
//!
//! ```text
//! Listening ── one task per TCP connection: TLS handshake ▶ HTTP ▶ WebSocket (connection.rs)
//! ```

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, info_span, warn};

use crate::admission::Admission;
use crate::client::Client;
use crate::connection::{self, Context};
use crate::drain::Drain;
use crate::http;
use crate::hub::Hub;
use crate::metrics::{Metrics, Open, Turned};
use crate::pulse::Question;
use crate::settings::InEffect;
use crate::tls::acme;

/// Longest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the accept task owns.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) router: Router,
    /// Beyond them the kernel's accept queue holds the newcomers.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) settings: Arc<InEffect>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain: Arc<Drain>,
    pub(crate) tasks: TaskTracker,
}

impl Listening {
    /// Until the shutdown. Whoever asks is answered: this task lives.
    pub(crate) async fn run(self, mut asked: Option<mpsc::Receiver<Question>>) {
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
