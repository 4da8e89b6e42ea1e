//! A signaling server that cannot be trusted: a proxy before the real one that sees every message, and edits, drops,
//! reorders, repeats, reflects and invents them as a test tells it to.
//!
//! ```text
//!   camera, viewers ⇄ [ record ─▶ rule ─▶ ] ⇄ signal-srv
//!                          tell ──▲
//! ```
//!
//! Clients talk to it as to any server and are known to it by the ids that the real server gave them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use signal_proto::{
    ClientMessage, Join, PeerId, RawValue, Role, RoomEvent, ServerMessage, decode_client, decode_server, encode_client,
    encode_server,
};
use signal_srv::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{accept_hdr_async, connect_async};

use super::{PATIENCE, websocket_url};

/// A signal on its way, as the server sees it.
#[derive(Debug, Clone)]
pub struct Passing {
    pub from: PeerId,
    pub to: PeerId,
    pub by: Role,
    pub signal: Box<RawValue>,
}

/// What arrives in its place: itself, nothing, something else, several things.
pub type Rule = Box<dyn FnMut(&Passing) -> Vec<Box<RawValue>> + Send>;

/// What a client hears in place of what the real server says.
pub type Lie = Box<dyn FnMut(&Bytes) -> Vec<Bytes> + Send>;

#[derive(Default)]
struct State {
    /// Every byte that clients sent and were sent, without the WebSocket's framing and masking.
    recording: Vec<u8>,
    seen: Vec<Passing>,
    taps: Vec<mpsc::UnboundedSender<Passing>>,
    rule: Option<Rule>,
    lie: Option<Lie>,
    lines: HashMap<PeerId, mpsc::UnboundedSender<Bytes>>,
}

type Shared = Arc<Mutex<State>>;

pub struct EvilServer {
    url: String,
    state: Shared,
    members: watch::Receiver<Vec<(PeerId, Role)>>,
    _listening: JoinSet<()>,
}

impl EvilServer {
    /// Stands before the real server, and is honest as yet.
    pub async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (upstream, state) = (websocket_url(server), Shared::default());
        let (sender, members) = watch::channel(Vec::new());
        let (sender, shared) = (Arc::new(sender), state.clone());
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            // Lines end with the proxy, or with either end of them.
            let mut lines = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let line = Line { state: shared.clone(), members: sender.clone(), client: None, role: None };
                lines.spawn(line.serve(tcp, upstream.clone()));
            }
        });
        Self { url, state, members, _listening: listening }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on signals go through the rule.
    pub fn rule(&self, rule: impl FnMut(&Passing) -> Vec<Box<RawValue>> + Send + 'static) {
        self.state.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// From now on what the real server says goes through this.
    pub fn lie(&self, lie: impl FnMut(&Bytes) -> Vec<Bytes> + Send + 'static) {
        self.state.lock().unwrap().lie = Some(Box::new(lie));
    }

    /// From now on everything passes as it is.
    pub fn be_honest(&self) {
        let mut state = self.state.lock().unwrap();
        (state.rule, state.lie) = (None, None);
    }

    /// The signals that will be sent from now on, as they are sent.
    pub fn listen(&self) -> mpsc::UnboundedReceiver<Passing> {
        let (sender, tap) = mpsc::unbounded_channel();
        self.state.lock().unwrap().taps.push(sender);
        tap
    }

    /// The signals that were sent so far, as they were sent.
    pub fn seen(&self) -> Vec<Passing> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn recording(&self) -> Vec<u8> {
        self.state.lock().unwrap().recording.clone()
    }

    /// Waits for so many clients of this role, and names them in the order in which they came.
    pub async fn members(&self, role: Role, count: usize) -> Vec<PeerId> {
        let mut members = self.members.clone();
        let of_role = |members: &[(PeerId, Role)]| -> Vec<PeerId> {
            members.iter().filter(|(_, other)| *other == role).map(|(peer, _)| *peer).collect()
        };
        let enough = timeout(PATIENCE, members.wait_for(|members| of_role(members).len() >= count)).await;
        of_role(&enough.expect("too few came").unwrap())
    }

    /// Tells a client something, as if the real server did.
    pub fn tell(&self, client: PeerId, message: &ServerMessage<'_>) {
        self.tell_bytes(client, encode_server(message));
    }

    /// Tells a client anything at all.
    pub fn tell_bytes(&self, client: PeerId, message: Bytes) {
        let state = self.state.lock().unwrap();
        let _ = state.lines.get(&client).expect("no such client").send(message);
    }

    /// Gives a client a signal, in the name of whomever.
    pub fn signal(&self, to: PeerId, from: PeerId, signal: &RawValue) {
        self.tell(to, &ServerMessage::Room(RoomEvent::Signal { peer: from, signal }));
    }

    /// Tells a camera of a viewer that nobody else knows of.
    pub fn invent_viewer(&self, camera: PeerId) -> PeerId {
        let peer = PeerId::random();
        self.tell(camera, &ServerMessage::Room(RoomEvent::Join { peer, role: Some(Role::Viewer) }));
        peer
    }

    pub fn remove_viewer(&self, camera: PeerId, peer: PeerId) {
        self.tell(camera, &ServerMessage::Room(RoomEvent::Leave { peer }));
    }
}

/// One client's connection.
struct Line {
    state: Shared,
    members: Arc<watch::Sender<Vec<(PeerId, Role)>>>,
    client: Option<PeerId>,
    role: Option<Role>,
}

impl Line {
    async fn serve(mut self, tcp: TcpStream, upstream: String) {
        tcp.set_nodelay(true).unwrap();
        let state = self.state.clone();
        #[allow(clippy::result_large_err, reason = "the type is the library's")]
        let head = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let mut head = request.uri().to_string();
            for (name, value) in request.headers() {
                head += &format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes()));
            }
            state.lock().unwrap().recording.extend(head.into_bytes());
            Ok(response)
        };
        let Ok(mut client) = accept_hdr_async(tcp, head).await else { return };
        let Ok((mut server, _)) = connect_async(format!("{upstream}/ws")).await else { return };
        let (sender, mut told) = mpsc::unbounded_channel();
        loop {
            let sent = tokio::select! {
                message = client.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let mut sent = Ok(());
                        for message in self.hear_client(&bytes) {
                            sent = sent.and(server.send(Message::Binary(message)).await);
                        }
                        sent
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    _ => break,
                },
                message = server.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let mut sent = Ok(());
                        for message in self.hear_server(&bytes, &sender) {
                            sent = sent.and(client.send(Message::Binary(message)).await);
                        }
                        sent
                    }
                    Some(Ok(Message::Ping(bytes))) => client.send(Message::Ping(bytes)).await,
                    _ => break,
                },
                Some(bytes) = told.recv() => client.send(Message::Binary(bytes)).await,
            };
            if sent.is_err() {
                break;
            }
        }
        if let Some(client) = self.client {
            self.state.lock().unwrap().lines.remove(&client);
            self.members.send_modify(|members| members.retain(|(peer, _)| *peer != client));
        }
    }

    fn hear_client(&mut self, bytes: &Bytes) -> Vec<Bytes> {
        let mut state = self.state.lock().unwrap();
        state.recording.extend(bytes);
        match decode_client(bytes) {
            Ok(ClientMessage::JoinOrCreate(Join::Role { role, .. })) => self.role = Some(role),
            Ok(ClientMessage::Signal { to: Some(to), signal }) => {
                let (Some(from), Some(by)) = (self.client, self.role) else { return vec![bytes.clone()] };
                let passing = Passing { from, to, by, signal: signal.to_owned() };
                state.taps.retain(|tap| tap.send(passing.clone()).is_ok());
                state.seen.push(passing.clone());
                let Some(mut rule) = state.rule.take() else { return vec![bytes.clone()] };
                let arriving = rule(&passing);
                state.rule = Some(rule);
                let message = |signal: &RawValue| encode_client(&ClientMessage::Signal { to: Some(to), signal });
                return arriving.iter().map(|signal| message(signal)).collect();
            }
            _ => {}
        }
        vec![bytes.clone()]
    }

    fn hear_server(&mut self, bytes: &Bytes, line: &mpsc::UnboundedSender<Bytes>) -> Vec<Bytes> {
        let mut state = self.state.lock().unwrap();
        state.recording.extend(bytes);
        match decode_server(bytes) {
            Ok(ServerMessage::Hello(id)) => {
                self.client = Some(id);
                state.lines.insert(id, line.clone());
            }
            Ok(ServerMessage::Joined(_)) => {
                if let (Some(id), Some(role)) = (self.client, self.role) {
                    self.members.send_modify(|members| members.push((id, role)));
                }
            }
            _ => {}
        }
        let Some(mut lie) = state.lie.take() else { return vec![bytes.clone()] };
        let heard = lie(bytes);
        state.lie = Some(lie);
        heard
    }
}
