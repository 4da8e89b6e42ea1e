//! The camera's side of the signaling connection: stays in the room, comes back whenever it was thrown out.
//!
//! ```text
//! connect (TCP, TLS, upgrade) ──▶ HELLO ──▶ JOIN_OR_CREATE ──▶ JOINED ──▶ relay … ──▶ lost
//!    ▲                                                                                 │
//!    └───────────────────── wait: full jitter, 1 s doubling to 60 s ◀──────────────────┘
//! ```
//!
//! One task owns the socket. Both channels to it are bounded: events wait for the agent, signals that nobody can take
//! are the sender's to deal with. Running streams do not depend on this connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use signal_proto::limits::MESSAGE_BYTES;
use signal_proto::{
    ClientMessage, DecodeError, ErrorCode, IceServer, Join, Joined, Member, PeerId, RawValue, Role, RoomEvent, RoomId,
    ServerMessage, decode_server, encode_client,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};

use crate::config::{Protocol, ServerUrl};
use crate::marks::Mark;

/// Events that may wait for the agent, and signals for the server: an offer and candidates for each viewer besides.
const QUEUE: usize = 64;
const QUEUE_PER_VIEWER: usize = 16;

/// Each step of connecting: name and TCP, TLS, upgrade, join.
const STEP: Duration = Duration::from_secs(10);

/// The server pings every 15 s; so long without a word from it is a dead connection.
const SILENCE: Duration = Duration::from_secs(45);

/// What the server cannot take for so long is not taken any more.
const WRITE: Duration = Duration::from_secs(10);

/// What happens in the room.
#[derive(Debug)]
pub enum Event {
    /// The camera is in its room.
    Joined {
        /// The camera's own id, which the server gave it.
        camera: PeerId,
        /// Who was there before; empty in pair mode, where the server does not tell.
        peers: Vec<Member>,
        /// STUN and TURN servers to use.
        ice_servers: Vec<IceServer>,
    },
    /// Somebody came; with a role in role mode.
    PeerJoined(PeerId, Option<Role>),
    /// Somebody left.
    PeerLeft(PeerId),
    /// Somebody signaled: as it came, in role mode sealed.
    Signal(PeerId, Box<RawValue>),
    /// The connection is gone; it is being made anew.
    Lost,
}

/// A signal on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// For whom.
    pub to: PeerId,
    /// Its name, for the log.
    pub kind: &'static str,
    /// What, as it goes out.
    pub signal: Box<RawValue>,
}

/// Where and as what to join.
#[derive(Debug)]
pub struct Settings {
    /// The server.
    pub server: ServerUrl,
    /// The room.
    pub room: RoomId,
    /// Pair or role mode.
    pub protocol: Protocol,
    /// Whom to trust; unused without TLS.
    pub tls: TlsTrust,
    /// Viewers at once, all of whom may be answered in the same moment.
    pub max_viewers: usize,
}

/// The certificates that a server may prove itself with.
#[derive(Clone)]
pub struct TlsTrust(Arc<rustls::ClientConfig>);

impl std::fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTrust")
    }
}

/// The file of `--ca` is not usable.
#[derive(Debug, thiserror::Error)]
#[error("the certificate file {} is not usable: {problem}; it must hold a certificate in PEM form", path.display())]
pub struct CaError {
    path: PathBuf,
    problem: String,
}

impl CaError {
    /// What is wrong, without the name of the file.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl TlsTrust {
    /// The system's certificates and those of the file.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn new(ca: Option<&Path>) -> Result<Self, CaError> {
        let mut roots = rustls::RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        let (added, skipped) = roots.add_parsable_certificates(native.certs);
        tracing::debug!(added, skipped, "certificates of the system");
        if let Some(path) = ca {
            add_file(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CaError { path: PathBuf::new(), problem: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// Whether the file can be trusted: what [`TlsTrust::new`] would say of it.
///
/// # Errors
/// If it cannot be read or holds no certificate.
pub fn check_certificate(path: &Path) -> Result<(), CaError> {
    add_file(&mut rustls::RootCertStore::empty(), path)
}

fn add_file(roots: &mut rustls::RootCertStore, path: &Path) -> Result<(), CaError> {
    let failed = |problem: String| CaError { path: path.into(), problem };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(failed("it holds none".into()));
    }
    Ok(())
}

/// Why a connection did not come about, or ended.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("cannot reach {server}: {source}; is the server running, and is the address right?")]
    Unreachable { server: String, source: io::Error },
    #[error("{server}: {step} took too long; is the server running, and is the address right?")]
    TimedOut { server: String, step: &'static str },
    #[error("the certificate of {server} is not trusted: {reason}; if it is yours, name its file with --ca FILE")]
    Untrusted { server: String, reason: String },
    #[error("TLS with {server} failed: {source}; does the server speak TLS on this port?")]
    Tls { server: String, source: io::Error },
    #[error("{server} is no signaling server: {source}")]
    Upgrade { server: String, source: Box<tungstenite::Error> },
    #[error("the server refused ({code}): {text}")]
    Refused { code: ErrorCode, text: String },
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the connection broke: {0}")]
    Broken(Box<tungstenite::Error>),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server was silent for {} s", SILENCE.as_secs())]
    Silent,
}

impl ConnectionError {
    /// Whether nothing has left this machine: there is no network yet, or nobody to ask for the server's address.
    fn is_local(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        // What the resolver says comes without a number of the system's.
        matches!(source.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown)
            || source.raw_os_error().is_none()
    }

    /// Whether the server has refused for a reason that does not pass by itself. That it stops, or lost us for its own state,
    /// does: like after a connection that broke, a random delay is enough.
    fn lasts(&self) -> bool {
        let Self::Refused { code, .. } = self else { return false };
        !matches!(code, ErrorCode::ShuttingDown | ErrorCode::SlowReader | ErrorCode::JoinTimeout)
    }
}

impl From<tungstenite::Error> for ConnectionError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Broken(Box::new(error))
    }
}

/// The agent's end of the signaling task.
#[derive(Debug)]
pub struct Signaling {
    events: mpsc::Receiver<Event>,
    outgoing: mpsc::Sender<Outgoing>,
    task: tokio::task::JoinHandle<()>,
}

impl Signaling {
    /// Starts to connect.
    pub fn spawn(settings: Settings) -> Self {
        let (event_sender, events) = mpsc::channel(QUEUE);
        let (outgoing, signals) = mpsc::channel(QUEUE + QUEUE_PER_VIEWER * settings.max_viewers);
        let task = tokio::spawn(Client { settings, events: event_sender, signals }.run());
        Self { events, outgoing, task }
    }

    /// The next event. Safe to cancel.
    pub async fn event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends only with this value.
            None => std::future::pending().await,
        }
    }

    /// Where signals go out. A full queue means that the server does not take them.
    pub fn outgoing(&self) -> mpsc::Sender<Outgoing> {
        self.outgoing.clone()
    }

    /// Sends what is queued, leaves the room and ends the task; the caller bounds the wait.
    pub async fn leave(mut self) {
        drop(self.outgoing);
        self.events.close();
        let _ = (&mut self.task).await;
    }
}

type Socket = WebSocketStream<Box<dyn Stream>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Client {
    settings: Settings,
    events: mpsc::Sender<Event>,
    signals: mpsc::Receiver<Outgoing>,
}

impl Client {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        let agent = self.events.clone();
        loop {
            let established = tokio::select! {
                established = self.establish() => established,
                // Without this a stop would wait for the attempt.
                () = agent.closed() => return,
            };
            let outcome = match established {
                Ok((mut socket, camera, joined)) => {
                    backoff = Backoff::default();
                    let outcome = self.stay(&mut socket, camera, joined).await;
                    if outcome.is_ok() || self.events.send(Event::Lost).await.is_err() {
                        return;
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            let Err(error) = outcome else { return };
            let unit = random_unit();
            let mut delay = if error.is_local() { backoff.next_local(unit) } else { backoff.next(unit) };
            if error.lasts() {
                delay = delay.max(REFUSED);
            }
            let again_in = format!("{:.1} s", delay.as_secs_f64());
            match &error {
                error if error.lasts() || matches!(error, ConnectionError::Untrusted { .. }) => {
                    tracing::error!(%error, again_in, "signaling");
                }
                _ => tracing::warn!(%error, again_in, "signaling"),
            }
            if !self.pause(delay).await {
                return;
            }
        }
    }

    /// Waits, and throws away what cannot be sent meanwhile; false when the agent is gone.
    async fn pause(&mut self, delay: Duration) -> bool {
        let pause = sleep(delay);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return true,
                signal = self.signals.recv() => if signal.is_none() { return false },
            }
        }
    }

    /// Connects and joins.
    async fn establish(&self) -> Result<(Socket, PeerId, Joined), ConnectionError> {
        let mut socket = self.connect().await?;
        let Settings { room, protocol, .. } = self.settings;
        let timed_out = |step| ConnectionError::TimedOut { server: self.settings.server.to_string(), step };

        let hello = timeout(STEP, receive(&mut socket)).await.map_err(|_| timed_out("the greeting"))??;
        let camera = match decode(&hello)? {
            ServerMessage::Hello(camera) => camera,
            ServerMessage::Error { code, text } => return Err(ConnectionError::Refused { code, text }),
            _ => return Err(ConnectionError::Protocol("it did not begin with HELLO")),
        };
        let join = match protocol {
            Protocol::Pair => Join::Pair { room },
            Protocol::Role => Join::Role { room, role: Role::Camera },
        };
        send(&mut socket, &ClientMessage::JoinOrCreate(join)).await?;
        let answer = timeout(STEP, receive(&mut socket)).await.map_err(|_| timed_out("joining"))??;
        match decode(&answer)? {
            ServerMessage::Joined(joined) => {
                Ok((socket, camera, joined.unwrap_or(Joined { peers: Vec::new(), ice_servers: Vec::new() })))
            }
            ServerMessage::Error { code, text } => Err(ConnectionError::Refused { code, text }),
            _ => Err(ConnectionError::Protocol("it did not answer JOIN_OR_CREATE with JOINED")),
        }
    }

    /// Stays in the room until the connection is lost, or the agent leaves (`Ok`).
    async fn stay(&mut self, socket: &mut Socket, camera: PeerId, joined: Joined) -> Result<(), ConnectionError> {
        let Joined { peers, ice_servers } = joined;
        tracing::info!(peers = peers.len(), "joined");
        Mark::RoomJoined.reach();
        // What was queued for the peers of an earlier connection has no addressee any more.
        while self.signals.try_recv().is_ok() {}
        if self.events.send(Event::Joined { camera, peers, ice_servers }).await.is_err() {
            return Ok(());
        }
        self.relay(socket).await
    }

    async fn relay(&mut self, socket: &mut Socket) -> Result<(), ConnectionError> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.recv() => {
                    let Some(Outgoing { to, kind, signal }) = signal else {
                        let _ = timeout(WRITE, socket.close(None)).await;
                        return Ok(());
                    };
                    tracing::debug!(peer = %to, signal = kind, "sent");
                    let to = (self.settings.protocol == Protocol::Role).then_some(to);
                    send(socket, &ClientMessage::Signal { to, signal: &signal }).await?;
                }
                received = receive(socket) => {
                    let bytes = received?;
                    let Some(event) = event(&bytes)? else { continue };
                    if self.events.send(event).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A TCP connection to the first of the server's addresses that answers. Each gets its own time: an address family
    /// that leads nowhere must not use up that of the other.
    async fn reach(&self) -> Result<TcpStream, ConnectionError> {
        let url = &self.settings.server;
        let server = url.to_string();
        let unreachable = |source| ConnectionError::Unreachable { server: server.clone(), source };
        let timed_out = |step| ConnectionError::TimedOut { server: server.clone(), step };
        let lookup =
            timeout(STEP, lookup_host((url.host(), url.port()))).await.map_err(|_| timed_out("finding its address"))?;
        let mut failure = unreachable(io::Error::other("the name has no address"));
        for address in lookup.map_err(unreachable)? {
            failure = match timeout(STEP / 2, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(source)) => unreachable(source),
                Err(_) => timed_out("connecting"),
            };
        }
        Err(failure)
    }

    async fn connect(&self) -> Result<Socket, ConnectionError> {
        let url = &self.settings.server;
        let server = url.to_string();
        let timed_out = |step| ConnectionError::TimedOut { server: server.clone(), step };
        let tcp = self.reach().await?;
        tcp.set_nodelay(true).map_err(|source| ConnectionError::Unreachable { server: server.clone(), source })?;

        let stream: Box<dyn Stream> = if url.is_tls() {
            let name = ServerName::try_from(url.host().to_owned())
                .map_err(|error| ConnectionError::Untrusted { server: server.clone(), reason: error.to_string() })?;
            let handshake = TlsConnector::from(self.settings.tls.0.clone()).connect(name, tcp);
            let tls = timeout(STEP, handshake).await.map_err(|_| timed_out("the TLS handshake"))?;
            Box::new(tls.map_err(|source| tls_error(server.clone(), source))?)
        } else {
            Box::new(tcp)
        };

        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES + 256))
            .max_frame_size(Some(MESSAGE_BYTES + 256))
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MESSAGE_BYTES);
        let upgrade = tokio_tungstenite::client_async_with_config(&server, stream, Some(config));
        let upgraded = timeout(STEP, upgrade).await.map_err(|_| timed_out("the WebSocket upgrade"))?;
        let (socket, _) =
            upgraded.map_err(|error| ConnectionError::Upgrade { server: server.clone(), source: Box::new(error) })?;
        Ok(socket)
    }
}

/// Another try every so long for a room that is full or of the other kind, and the like: nobody leaves in a moment.
const REFUSED: Duration = Duration::from_secs(5);

fn tls_error(server: String, source: io::Error) -> ConnectionError {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            ConnectionError::Untrusted { server, reason: reason.to_string() }
        }
        _ => ConnectionError::Tls { server, source },
    }
}

/// The next binary message; an error if not even a ping comes for [`SILENCE`]. Safe to cancel, but whoever cancels and
/// calls again begins the silence anew.
async fn receive(socket: &mut Socket) -> Result<bytes::Bytes, ConnectionError> {
    loop {
        match timeout(SILENCE, socket.next()).await.map_err(|_| ConnectionError::Silent)? {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            // Pings are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Text(_))) => return Err(ConnectionError::Protocol("it sent a text message")),
            Some(Ok(Message::Close(_))) | None => return Err(ConnectionError::Closed),
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

async fn send(socket: &mut Socket, message: &ClientMessage<'_>) -> Result<(), ConnectionError> {
    let sending = socket.send(Message::Binary(encode_client(message)));
    timeout(WRITE, sending).await.map_err(|_| ConnectionError::Silent)??;
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<ServerMessage<'_>, ConnectionError> {
    decode_server(bytes).map_err(|error| {
        tracing::debug!(code = %error.code(), "an unreadable message");
        ConnectionError::Protocol("it sent a message that is none of the protocol's")
    })
}

/// What a message means to the agent; nothing, if it is newer than this program.
fn event(bytes: &[u8]) -> Result<Option<Event>, ConnectionError> {
    if matches!(decode_server(bytes), Err(DecodeError::UnknownType)) {
        return Ok(None);
    }
    Ok(match decode(bytes)? {
        ServerMessage::Room(RoomEvent::Join { peer, role }) => Some(Event::PeerJoined(peer, role)),
        ServerMessage::Room(RoomEvent::Leave { peer }) => Some(Event::PeerLeft(peer)),
        ServerMessage::Room(RoomEvent::Signal { peer, signal }) => Some(Event::Signal(peer, signal.to_owned())),
        ServerMessage::Error { code, text } => return Err(ConnectionError::Refused { code, text }),
        ServerMessage::Hello(_) | ServerMessage::Joined(_) => {
            return Err(ConnectionError::Protocol("it greeted or let in twice"));
        }
    })
}

/// Full jitter: a delay anywhere between nothing and a limit that doubles from 1 s to 60 s, so that thousands of
/// cameras do not come back to a restarted server in the same instant.
///
/// What never left this machine burdens no server, and a camera that starts is to be there as soon as its network is: for
/// the first minutes it is tried again within a second.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
    local_attempts: u32,
}

impl Backoff {
    const LONGEST: Duration = Duration::from_secs(60);
    const LOCAL_ATTEMPTS: u32 = 180;

    /// The next delay where nothing has left this machine.
    fn next_local(&mut self, unit: f64) -> Duration {
        if self.local_attempts == Self::LOCAL_ATTEMPTS {
            return self.next(unit);
        }
        self.local_attempts += 1;
        Duration::from_millis(500) + Duration::from_millis(500).mul_f64(unit.clamp(0.0, 1.0))
    }

    /// The next delay; `unit` is a random number from 0 to 1.
    fn next(&mut self, unit: f64) -> Duration {
        let limit = Duration::from_secs(1 << self.attempts.min(6)).min(Self::LONGEST);
        self.attempts += 1;
        limit.mul_f64(unit.clamp(0.0, 1.0))
    }
}

fn random_unit() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stops_is_no_refusal_that_lasts() {
        let lasts = |code: ErrorCode| ConnectionError::Refused { code, text: code.text().to_owned() }.lasts();
        assert!(!lasts(ErrorCode::ShuttingDown) && !lasts(ErrorCode::SlowReader));
        assert!(lasts(ErrorCode::RoomFull) && lasts(ErrorCode::RoomMode) && lasts(ErrorCode::RateLimited));
    }

    #[test]
    fn delays_spread_and_grow_to_a_minute() {
        let mut backoff = Backoff::default();
        let limits: Vec<u64> = (0..9).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(limits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(0.5), Duration::from_secs(30));
    }

    #[test]
    fn a_network_that_is_not_there_yet_is_asked_for_every_second() {
        let unreachable = |source| ConnectionError::Unreachable { server: "s".into(), source };
        assert!(unreachable(io::Error::other("failed to lookup address information")).is_local());
        assert!(unreachable(io::Error::from_raw_os_error(nix::libc::ENETUNREACH)).is_local());
        assert!(!unreachable(io::Error::from_raw_os_error(nix::libc::ECONNREFUSED)).is_local());
        assert!(!ConnectionError::Closed.is_local());

        let mut backoff = Backoff::default();
        for _ in 0..Backoff::LOCAL_ATTEMPTS {
            assert!((500..=1000).contains(&backoff.next_local(0.9).as_millis()));
        }
        assert_eq!(backoff.next_local(1.0), Duration::from_secs(1), "from then on as with a server");
        assert_eq!(backoff.next_local(1.0), Duration::from_secs(2));
    }

    #[test]
    fn the_server_s_nonsense_is_an_error_and_a_peer_s_is_passed_on() {
        let peer = PeerId::from_bytes([1; 16]);
        let relayed = |signal: &str| {
            let signal = serde_json::from_str(signal).unwrap();
            signal_proto::encode_server(&ServerMessage::Room(RoomEvent::Signal { peer, signal }))
        };
        for signal in ["null", r#"{"noise":"AA"}"#] {
            let Ok(Some(Event::Signal(from, raw))) = event(&relayed(signal)) else { panic!("{signal}") };
            assert_eq!((from, raw.get()), (peer, signal));
        }
        assert!(event(br#"{"type":"NEWS","data":1}"#).unwrap().is_none(), "newer than this program");
        assert!(matches!(event(b"{}"), Err(ConnectionError::Protocol(_))));
        assert!(matches!(event(br#"{"type":"JOINED"}"#), Err(ConnectionError::Protocol(_))));
        let error = event(br#"{"type":"ERROR","data":"x","code":"ROOM_FULL"}"#);
        assert!(matches!(error, Err(ConnectionError::Refused { code: ErrorCode::RoomFull, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn pings_keep_a_quiet_connection_and_silence_ends_it() {
        use tokio_tungstenite::tungstenite::protocol::Role;
        let (near, far) = tokio::io::duplex(4096);
        let near: Box<dyn Stream> = Box::new(near);
        let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let mut server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        let pinging = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_secs(15)).await;
                server.send(Message::Ping("still there".into())).await.unwrap();
            }
            server
        });
        let began = tokio::time::Instant::now();
        assert!(matches!(receive(&mut client).await, Err(ConnectionError::Silent)));
        assert_eq!(began.elapsed().as_secs(), 20 * 15 + SILENCE.as_secs());
        pinging.await.unwrap();
    }

    #[test]
    fn a_useless_ca_file_is_named() {
        let refusal = |path: &Path| TlsTrust::new(Some(path)).unwrap_err().to_string();
        assert!(refusal(Path::new("/no/ca.pem")).contains("/no/ca.pem"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(refusal(file.path()).contains("it holds none"), "{}", refusal(file.path()));
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refusal(file.path()).contains("PEM form"), "{}", refusal(file.path()));
    }
}
