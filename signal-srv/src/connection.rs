//! One WebSocket: its socket, its place at the hub, its end.
//!
//! ```text
//!   HELLO ──▶ waiting ──JOIN_OR_CREATE──▶ in a room ──▶ farewell: leave the room, ERROR,
//!               │                             │                  close frame, drain
//!               └── join time-out, bad input ─┴── bad input, slow reader, silence, shutdown, close
//! ```
//! One task owns the socket and does everything in turn, so that nothing is locked and nothing outlives
//! it. While a message is being written nothing is read: a client that floods and does not read stalls
//! itself alone.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use signal_proto::limits::MESSAGE_BYTES;
use signal_proto::{ClientMessage, ErrorCode, Join, PeerId, Role, ServerMessage, decode_client, encode_server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error as SocketError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{self, CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::admission::{Admission, Ticket};
use crate::http::WebSocketStart;
use crate::hub::{Hub, Seat};
use crate::limits::CAMERA_SHARES;
use crate::metrics::{Metrics, Open};
use crate::outbox::{self, Inbox};
use crate::rate::{Flood, Pace};
use crate::settings::Settings;

/// What every connection needs of the server.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<Metrics>,
    /// The server stops: what is no WebSocket yet ends.
    pub(crate) stopping: CancellationToken,
    /// And this connection's turn to be dismissed has come.
    pub(crate) shutdown: CancellationToken,
}

/// What waits for a client leaves in pieces of about this many bytes, not message by message.
const WRITE_BUFFER_BYTES: usize = 8192;

/// At most so many messages leave before the client is listened to again.
const DELIVERY: usize = 32;

/// Pings are sent at multiples of this: those of some connections together, so that a server with thousands that do nothing
/// wakes up twenty times a second and not once for each of them; of not too many, since a signal may wait behind them.
const PING_GRID: Duration = Duration::from_millis(50);

/// Where the multiples begin.
static PING_ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Small buffers, for there may be thousands of connections: what tungstenite takes by default
/// (128 KiB to read, no bound on what is written) would be most of the server's memory.
fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2048)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // One relayed message behind what is not written yet, a farewell, and the pongs in between.
        .max_write_buffer_size(WRITE_BUFFER_BYTES + MESSAGE_BYTES + 8192)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES))
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed it, or its TCP connection broke.
    Left,
    /// It broke the protocol, was not let in, or the server stops.
    Refused(ErrorCode),
    /// It broke RFC 6455 itself.
    Framing,
    /// It answers no pings.
    Silent,
}

/// The WebSocket that HTTP has ended in, and its place. Boxed: what is large is moved once.
pub(crate) async fn socket<S: AsyncRead + AsyncWrite + Unpin>(
    start: WebSocketStart<S>,
) -> (Box<WebSocketStream<S>>, Ticket) {
    let WebSocketStart { stream, early, ticket } = start;
    let (role, config) = (protocol::Role::Server, Some(socket_config()));
    // A copy, since it mostly is nothing: what it was read into is twice as large as our own buffer.
    let early = early.to_vec();
    (Box::new(WebSocketStream::from_partially_read(stream, early, role, config).await), ticket)
}

/// Serves one client until it or the server has had enough.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: Box<WebSocketStream<S>>,
    ticket: Ticket,
    context: &Context,
) {
    let (outbox, inbox) = outbox::channel(&context.settings.limits, &context.shutdown);
    let open = Open::new(&context.metrics.websockets);
    let seat = context.hub.seat(ticket.client(), outbox);
    info!(peer = %seat.peer(), "client connected");
    let pace = Pace::new(&context.settings.limits, 1, Instant::now());
    let mut connection = Connection { socket, inbox, context, pace, unanswered_pings: 0, joined: false };
    let end = match connection.run(&seat).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    // First the others hear that it has gone; its own goodbye may take a while.
    drop(seat);
    match end {
        End::Left => info!("client left"),
        End::Refused(ErrorCode::ShuttingDown) => info!("client dismissed, the server stops"),
        End::Refused(code) => warn!(%code, "client refused"),
        End::Framing => warn!("client broke the WebSocket protocol"),
        End::Silent => info!("client answers no pings"),
    }
    if let Some(code) = end.error() {
        context.metrics.refused(code);
    }
    Box::pin(connection.farewell(end)).await;
    drop((open, ticket));
}

#[derive(Debug)]
struct Connection<'a, S> {
    socket: Box<WebSocketStream<S>>,
    inbox: Inbox,
    context: &'a Context,
    pace: Pace,
    unanswered_pings: u32,
    joined: bool,
}

/// What can happen next.
enum Event {
    Outgoing(Bytes),
    Incoming(Message),
    PingDue,
    /// A client that was too fast may go on.
    Resumed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self, seat: &Seat) -> Result<std::convert::Infallible, End> {
        let limits = &self.context.settings.limits;
        let join_deadline = sleep_until(Instant::now() + limits.join);
        tokio::pin!(join_deadline);
        let mut pings = interval_at(on_the_grid(Instant::now() + first_ping(seat.peer(), limits.ping)), limits.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let ended = self.inbox.ended();
        tokio::pin!(ended);
        let mut paused: Option<Instant> = None;

        self.send(encode_server(&ServerMessage::Hello(seat.peer())), ended.as_mut()).await?;
        loop {
            // In no particular order: neither a busy room nor a busy client starves the other side.
            let event = tokio::select! {
                () = &mut ended => return Err(self.end()),
                () = &mut join_deadline, if !self.joined => return Err(End::Refused(ErrorCode::JoinTimeout)),
                _ = pings.tick() => Event::PingDue,
                Some(message) = self.inbox.next() => Event::Outgoing(message),
                incoming = self.socket.next(), if paused.is_none() => Event::Incoming(read(incoming)?),
                () = resumed(paused) => Event::Resumed,
            };
            match event {
                Event::Outgoing(message) => self.deliver(message, ended.as_mut()).await?,
                Event::PingDue => self.ping(ended.as_mut()).await?,
                Event::Resumed => paused = None,
                Event::Incoming(message) => {
                    self.unanswered_pings = 0;
                    self.context.metrics.bytes_in.inc_by(message.len() as u64);
                    let counted = self.pace.count(message.len(), Instant::now());
                    paused = counted.map_err(|Flood| End::Refused(ErrorCode::RateLimited))?;
                    self.receive(seat, message, ended.as_mut()).await?;
                }
            }
        }
    }

    async fn receive(
        &mut self,
        seat: &Seat,
        message: Message,
        ended: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), End> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(_) => return Err(End::Refused(ErrorCode::TextMessage)),
            // Pongs and the answer to a close frame are tungstenite's business, on the next read.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Ok(()),
        };
        // Why exactly a message is malformed stays unsaid: the reason may quote what must not be logged.
        match decode_client(&bytes).map_err(|error| End::Refused(error.code()))? {
            ClientMessage::JoinOrCreate(join) => {
                debug!("JOIN_OR_CREATE");
                if self.context.hub.is_clustered() {
                    // In an allocation of its own: it is over soon, and would be in every connection's memory for ever.
                    let joined = Box::pin(seat.join_cluster(join, self.context.settings.limits.join));
                    tokio::select! {
                        joined = joined => joined.map_err(End::Refused)?,
                        () = ended => return Err(self.end()),
                    }
                } else {
                    seat.join(join).map_err(End::Refused)?;
                }
                self.joined = true;
                if matches!(join, Join::Role { role: Role::Camera, .. }) {
                    self.pace = Pace::new(&self.context.settings.limits, CAMERA_SHARES, Instant::now());
                }
                info!(kind = kind(join), "client joined");
            }
            ClientMessage::Signal { to, signal } => {
                debug!(bytes = signal.get().len(), "SIGNAL");
                let is_crowded = seat.signal(to, signal).map_err(End::Refused)?;
                // The addressee may wait for this very thread, and gets to empty its outbox before more arrives.
                if is_crowded {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    /// Why the outbox says that this is the end.
    fn end(&self) -> End {
        End::Refused(self.inbox.reason())
    }

    async fn ping(&mut self, ended: Pin<&mut impl Future<Output = ()>>) -> Result<(), End> {
        if self.unanswered_pings >= self.context.settings.limits.missed_pings {
            return Err(End::Silent);
        }
        self.unanswered_pings += 1;
        self.write(Message::Ping(Bytes::new()), ended).await
    }

    async fn send(&mut self, message: Bytes, ended: Pin<&mut impl Future<Output = ()>>) -> Result<(), End> {
        self.context.metrics.bytes_out.inc_by(message.len() as u64);
        self.write(Message::Binary(message), ended).await
    }

    /// Sends a message and what waits behind it.
    async fn deliver(&mut self, first: Bytes, ended: Pin<&mut impl Future<Output = ()>>) -> Result<(), End> {
        let Self { socket, inbox, context, .. } = self;
        let delivery = async {
            let mut next = Some(first);
            let mut fed = 0;
            while let Some(message) = next {
                context.metrics.bytes_out.inc_by(message.len() as u64);
                socket.feed(Message::Binary(message)).await?;
                fed += 1;
                next = if fed < DELIVERY { inbox.try_next() } else { None };
            }
            socket.flush().await
        };
        let written = in_time(delivery, context.settings.limits.write, ended).await;
        written.unwrap_or_else(|| Err(self.end()))
    }

    async fn write(&mut self, message: Message, ended: Pin<&mut impl Future<Output = ()>>) -> Result<(), End> {
        let written = in_time(self.socket.send(message), self.context.settings.limits.write, ended).await;
        written.unwrap_or_else(|| Err(self.end()))
    }

    /// Says why, closes, and reads on for a moment: a socket closed with unread data in it is reset, and
    /// the reset would overtake the reason.
    async fn farewell(mut self, end: End) {
        let goodbye = async {
            if let Some(code) = end.error() {
                let error = ServerMessage::Error { code, text: code.text().to_owned() };
                self.socket.send(Message::Binary(encode_server(&error))).await?;
            }
            if let Some(frame) = end.close_frame() {
                self.socket.send(Message::Close(Some(frame))).await?;
                while let Some(Ok(_)) = self.socket.next().await {}
            }
            let stream = self.socket.get_mut();
            stream.shutdown().await?;
            let mut discarded = [0; 2048];
            while stream.read(&mut discarded).await? > 0 {}
            Ok::<(), SocketError>(())
        };
        // If it fails, the client has gone before the goodbye, which is fine too.
        let _ = timeout(self.context.settings.limits.farewell, goodbye).await;
    }
}

/// Writes for as long as the client may take to read. `None` if something else has ended the connection.
async fn in_time(
    writing: impl Future<Output = Result<(), SocketError>>,
    limit: Duration,
    ended: Pin<&mut impl Future<Output = ()>>,
) -> Option<Result<(), End>> {
    tokio::select! {
        biased;
        written = timeout(limit, writing) => Some(match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Refused(ErrorCode::SlowReader)),
        }),
        () = ended => None,
    }
}

/// How long until a client's first ping: as its random id has it, within the interval. Those who have come all at once, after
/// a restart, would otherwise be pinged all at once for as long as they stay.
fn first_ping(peer: PeerId, interval: Duration) -> Duration {
    let [high, low, ..] = *peer.as_bytes();
    interval * u32::from(u16::from_be_bytes([high, low])) / (1 << 16)
}

/// The first multiple of [`PING_GRID`] from then on.
fn on_the_grid(instant: Instant) -> Instant {
    let into = instant.saturating_duration_since(*PING_ORIGIN).as_millis() % PING_GRID.as_millis();
    instant + (PING_GRID - Duration::from_millis(into as u64))
}

/// Returns when a pause is over; never, where there is none.
async fn resumed(paused: Option<Instant>) {
    match paused {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// What the socket gave, or why it gives no more.
fn read(incoming: Option<Result<Message, SocketError>>) -> Result<Message, End> {
    match incoming {
        None => Err(End::Left),
        Some(Ok(message)) => Ok(message),
        Some(Err(SocketError::Capacity(_))) => Err(End::Refused(ErrorCode::MessageTooLarge)),
        // Only text messages have to be UTF-8.
        Some(Err(SocketError::Utf8(_))) => Err(End::Refused(ErrorCode::TextMessage)),
        Some(Err(SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Err(End::Left),
        Some(Err(SocketError::Protocol(_))) => Err(End::Framing),
        Some(Err(_)) => Err(End::Left),
    }
}

fn kind(join: Join) -> &'static str {
    match join {
        Join::Pair { .. } => "pair",
        Join::Role { role: Role::Camera, .. } => "camera",
        Join::Role { role: Role::Viewer, .. } => "viewer",
    }
}

impl End {
    fn error(self) -> Option<ErrorCode> {
        match self {
            Self::Left | Self::Silent => None,
            Self::Refused(code) => Some(code),
            Self::Framing => Some(ErrorCode::BadMessage),
        }
    }

    /// RFC 6455 §7.4.1; the reason repeats the code for those who look at a browser's close event.
    fn close_frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Left => return None,
            Self::Silent => (CloseCode::Policy, "no answer to pings"),
            Self::Framing => (CloseCode::Protocol, "RFC 6455 violated"),
            Self::Refused(code) => {
                let number = match code {
                    ErrorCode::TextMessage => CloseCode::Unsupported,
                    ErrorCode::MessageTooLarge => CloseCode::Size,
                    ErrorCode::ShuttingDown => CloseCode::Away,
                    ErrorCode::ClusterUnavailable => CloseCode::Again,
                    _ => CloseCode::Policy,
                };
                (number, code.as_str())
            }
        };
        Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_pings_are_all_over_the_interval() {
        let interval = Duration::from_secs(16);
        let first = |high, low| {
            let mut id = [0; 16];
            (id[0], id[1]) = (high, low);
            first_ping(PeerId::from_bytes(id), interval)
        };
        assert_eq!(first(0, 0), Duration::ZERO);
        assert_eq!(first(0x40, 0), Duration::from_secs(4));
        assert!((Duration::from_secs(15)..interval).contains(&first(0xff, 0xff)));
    }

    #[test]
    fn every_refusal_has_its_close_code() {
        for code in ErrorCode::all() {
            let frame = End::Refused(code).close_frame().unwrap();
            let expected = match code.as_str() {
                "TEXT_MESSAGE" => 1003,
                "MESSAGE_TOO_LARGE" => 1009,
                "SHUTTING_DOWN" => 1001,
                "CLUSTER_UNAVAILABLE" => 1013,
                _ => 1008,
            };
            assert_eq!((u16::from(frame.code), frame.reason.as_str()), (expected, code.as_str()));
        }
    }
}
