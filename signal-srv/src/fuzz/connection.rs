//! Connections at one hub, over pipes in memory and in a time of their own: what clients send, when they read, and what becomes
//! of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use signal_proto::{
    ClientMessage, ErrorCode, Join, PeerId, RawValue, Role, RoomEvent, RoomId, ServerMessage, decode_server,
    encode_client,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::script::Script;
use crate::Config;
use crate::admission::Admission;
use crate::client::Client;
use crate::connection::{self, Context};
use crate::http::WebSocketStart;
use crate::hub::{Hub, Stats};
use crate::metrics::Metrics;
use crate::room::Rooms;
use crate::settings::InEffect;

const CLIENTS: usize = 5;
const STEPS: usize = 200;

/// Whoever answers nothing is gone after so long, whatever it has sent before: three pings, a write, a farewell, and some more.
const LONGEST: Duration = Duration::from_secs(90);

/// Nothing real is waited for: an hour takes no time.
const LET_RUN: Duration = Duration::from_millis(1);

/// A history of up to five clients.
pub fn connection(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(history(Script::new(bytes)));
}

/// What has come of it.
type Sums = (Stats, u64);

/// The server's side, and everybody who talks to it.
struct World {
    context: Context,
    tasks: JoinSet<()>,
    clients: [Option<Other>; CLIENTS],
}

/// A client's side.
struct Other {
    pipe: DuplexStream,
    /// What did not fit into the pipe yet.
    unsent: Vec<u8>,
    heard: Vec<u8>,
    peer: Option<PeerId>,
}

async fn history(mut script: Script<'_>) -> Sums {
    let mut world = World::new();
    for _ in 0..STEPS {
        if world.step(&mut script).await.is_none() {
            break;
        }
        world.let_run(LET_RUN).await;
    }
    world.end().await
}

impl World {
    fn new() -> Self {
        let config = Config::default();
        let metrics = Arc::new(Metrics::new());
        let (stopping, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let rooms = Rooms::new(config.max_viewers, config.limits.rooms_per_address);
        let hub = Arc::new(Hub::new(rooms, Vec::new(), stopping.clone(), Arc::clone(&metrics), None));
        let settings = InEffect::new(&config).now();
        let context = Context { hub, admission: Arc::<Admission>::default(), settings, metrics, stopping, shutdown };
        Self { context, tasks: JoinSet::new(), clients: [const { None }; CLIENTS] }
    }

    /// What happens next; none at the end of the script.
    async fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        let kind = script.below(14)?;
        let number = script.below(CLIENTS)?;
        match kind {
            0 | 1 => {
                let room = 64 << script.below(8)?;
                if self.clients[number].is_none() {
                    self.clients[number] = Some(self.connect(room));
                }
            }
            2 | 3 => {
                let room = RoomId::from_bytes([script.below(2)? as u8; 32]);
                let join = match script.below(3)? {
                    0 => Join::Pair { room },
                    1 => Join::Role { room, role: Role::Camera },
                    _ => Join::Role { room, role: Role::Viewer },
                };
                self.say(number, &encode_client(&ClientMessage::JoinOrCreate(join)));
            }
            4 | 5 => {
                let (to, times) = (script.below(CLIENTS + 1)?, script.next()?);
                let to = self.clients.get(to).and_then(Option::as_ref).and_then(|other| other.peer);
                let signal = encode_client(&ClientMessage::Signal { to, signal: RawValue::TRUE });
                // Mostly one, now and then more than one may send.
                for _ in 0..times.saturating_sub(250).max(1) as usize * if times > 250 { 40 } else { 1 } {
                    self.say(number, &signal);
                }
            }
            6 => {
                let message = script.bytes()?;
                self.say(number, message);
            }
            7 => {
                let (first, payload) = (script.next()?, script.bytes()?);
                self.send(number, &frame(first, payload));
            }
            8 => {
                let bytes = script.bytes()?;
                self.send(number, bytes);
            }
            9 => {
                let large = usize::from(script.next()?) * 512;
                let text = format!("{{\"type\":\"SIGNAL\",\"data\":\"{}\"}}", "x".repeat(large));
                self.say(number, text.as_bytes());
            }
            10 => {
                let most = usize::from(script.next()?) * 64;
                if let Some(other) = &mut self.clients[number] {
                    other.read(most);
                }
            }
            11 => {
                if let Some(other) = self.clients[number].take() {
                    other.check();
                }
            }
            12 => {
                let milliseconds = [10, 500, 1500, 4000, 6000, 14_000, 20_000][script.below(7)?];
                self.let_run(Duration::from_millis(milliseconds)).await;
            }
            _ => match script.below(8)? {
                0 => {
                    self.context.stopping.cancel();
                    self.context.shutdown.cancel();
                }
                1 => self.send(number, &frame(0x88, &1000_u16.to_be_bytes())),
                _ => self.send(number, &frame(0x89, b"?")),
            },
        }
        Some(())
    }

    fn connect(&mut self, room: usize) -> Other {
        let (pipe, stream) = duplex(room);
        let client = Client::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ticket = self.context.admission.socket(client, &self.context.settings.limits).expect("there is a place");
        let start = WebSocketStart { stream, early: Bytes::new(), ticket };
        let context = self.context.clone();
        self.tasks.spawn(async move {
            let (socket, ticket) = connection::socket(start).await;
            connection::serve(socket, ticket, &context).await;
        });
        Other { pipe, unsent: Vec::new(), heard: Vec::new(), peer: None }
    }

    /// A binary message, whole.
    fn say(&mut self, number: usize, message: &[u8]) {
        self.send(number, &frame(0x82, message));
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        if let Some(other) = &mut self.clients[number] {
            other.unsent.extend(bytes);
        }
    }

    /// Time passes, and everybody writes what there is room for.
    async fn let_run(&mut self, time: Duration) {
        self.clients.iter_mut().flatten().for_each(Other::write);
        sleep(time).await;
        self.clients.iter_mut().flatten().for_each(Other::write);
    }

    /// Nobody does anything any more: all of them are gone by themselves, and nothing is left.
    async fn end(mut self) -> Sums {
        let all_gone = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.expect("a connection panicked");
            }
        };
        assert!(timeout(LONGEST, all_gone).await.is_ok(), "one that answers nothing is kept");
        for other in self.clients.iter_mut().flatten() {
            other.read(usize::MAX);
        }
        self.clients.into_iter().flatten().for_each(|other| other.check());
        let (stats, metrics) = (self.context.hub.stats(), &self.context.metrics);
        assert_eq!(stats.joins, stats.leaves);
        assert_eq!((metrics.rooms.get(), metrics.websockets.get()), (0, 0));
        assert!(self.context.admission.is_empty(), "a place is not given back");
        (stats, metrics.relayed.get())
    }
}

impl Other {
    fn write(&mut self) {
        while !self.unsent.is_empty() {
            match self.pipe.write(&self.unsent).now_or_never() {
                Some(Ok(written)) => drop(self.unsent.drain(..written)),
                // It is over: what is left is never sent.
                Some(Err(_)) => self.unsent.clear(),
                None => return,
            }
        }
    }

    /// Takes what is there, but not more than that.
    fn read(&mut self, most: usize) {
        let (mut buffer, mut left) = ([0; 1024], most);
        while left > 0 {
            let space = left.min(buffer.len());
            match self.pipe.read(&mut buffer[..space]).now_or_never() {
                Some(Ok(read)) if read > 0 => {
                    self.heard.extend(&buffer[..read]);
                    left -= read;
                }
                _ => break,
            }
        }
        if self.peer.is_none()
            && let Some(hello) = messages(&self.heard).into_iter().next()
            && let Ok(ServerMessage::Hello(peer)) = decode_server(&hello.1)
        {
            self.peer = Some(peer);
        }
    }

    /// What it has heard is the beginning of something that makes sense.
    fn check(&self) {
        let mut told = Told::default();
        for (opcode, payload) in messages(&self.heard) {
            told.take_in(opcode, &payload);
        }
    }
}

/// What a client makes of what it is told.
#[derive(Debug, Default)]
struct Told {
    greeted: bool,
    joined: bool,
    roles: bool,
    known: BTreeSet<PeerId>,
    error: Option<ErrorCode>,
    closed: bool,
}

impl Told {
    fn take_in(&mut self, opcode: u8, payload: &[u8]) {
        assert!(!self.closed, "a frame after the close frame");
        match opcode {
            0x2 => self.message(payload),
            0x8 => self.closed = true,
            0x9 | 0xa => assert!(payload.len() <= 125),
            other => panic!("the server sent a frame of kind {other:#x}"),
        }
    }

    fn message(&mut self, payload: &[u8]) {
        let message = decode_server(payload).expect("the server sends messages");
        assert_eq!(self.error, None, "a message after ERROR");
        assert_eq!(self.greeted, !matches!(message, ServerMessage::Hello(_)), "HELLO comes first, and once");
        match message {
            ServerMessage::Hello(_) => self.greeted = true,
            ServerMessage::Joined(joined) => {
                assert!(!self.joined, "JOINED twice");
                (self.joined, self.roles) = (true, joined.is_some());
                self.known.extend(joined.iter().flat_map(|joined| &joined.peers).map(|member| member.peer));
            }
            ServerMessage::Error { code, .. } => self.error = Some(code),
            ServerMessage::Room(event) => {
                assert!(self.joined, "ROOM before JOINED");
                self.event(event);
            }
        }
    }

    fn event(&mut self, event: RoomEvent<'_>) {
        match event {
            RoomEvent::Join { peer, role } => {
                assert_eq!(role.is_some(), self.roles, "a role where there are none, or none where there are");
                assert!(self.known.insert(peer), "JOIN of one that was there");
            }
            RoomEvent::Leave { peer } => {
                // In a pair room nobody says who was there first.
                assert!(self.known.remove(&peer) || !self.roles, "LEAVE of one that was not there");
            }
            RoomEvent::Signal { peer, signal } => {
                assert!(self.known.contains(&peer) || !self.roles, "a signal of one that is not there");
                let text = signal.get();
                assert!(!text.is_empty());
            }
        }
    }
}

/// A client's frame (RFC 6455 §5.2), masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The frames of a server that are there as a whole. It fragments none and masks none (§5.1).
fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((opcode, payload, rest)) = split(bytes) {
        all.push((opcode, payload.to_vec()));
        bytes = rest;
    }
    all
}

fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    assert_eq!(first & 0xf0, 0x80, "a fragment, or a reserved bit");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, rest) = match second {
        126 => rest.split_first_chunk::<2>().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 0xf, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_script_comes_as_far_as_clients_do() {
        let pair = include_bytes!("../../fuzz/seeds/connection/00");
        let (stats, relayed) = history(Script::new(pair)).await;
        assert_eq!((stats.joins, stats.leaves, relayed), (2, 2, 2));
        let roles = include_bytes!("../../fuzz/seeds/connection/01");
        let (stats, relayed) = history(Script::new(roles)).await;
        assert_eq!((stats.joins, relayed, stats.dropped_signals), (3, 2, 1));
    }
}
