//! A guest in a room of the signaling server, and the sealed session that it may have with the camera there.

use futures_util::{SinkExt as _, StreamExt as _};
use signal_proto::limits::ROLE_CAMERAS;
use signal_proto::seal::{Channel, Code, ViewerHandshake};
use signal_proto::{
    ClientMessage, Join, PeerId, RawValue, Role, RoomEvent, RoomId, ServerMessage, Signal, decode_server, encode_client,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// What a viewer hears.
#[derive(Debug)]
pub enum Heard {
    /// A camera came.
    Came(PeerId),
    /// A camera left.
    Left(PeerId),
    /// A camera signaled.
    Signal(PeerId, Box<RawValue>),
    /// The server closed the connection.
    Closed,
}

/// A viewer in a room, of whom nobody knows whether it has the code.
pub struct Guest {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub id: PeerId,
    /// The cameras that were there before.
    pub cameras: Vec<PeerId>,
}

impl Guest {
    pub async fn join(url: &str, room: RoomId) -> Self {
        let (socket, _) = connect_async(format!("{url}/ws")).await.unwrap();
        let mut guest = Self { socket, id: PeerId::from_bytes([0; 16]), cameras: Vec::new() };
        let hello = guest.message().await.expect("the server closed");
        let ServerMessage::Hello(id) = decode_server(&hello).unwrap() else { panic!("the server did not greet") };
        guest.id = id;
        guest.send(&ClientMessage::JoinOrCreate(Join::Role { room, role: Role::Viewer })).await;
        let joined = guest.message().await.expect("the server closed");
        let ServerMessage::Joined(Some(joined)) = decode_server(&joined).unwrap() else { panic!("not let in") };
        guest.cameras = joined.peers.iter().map(|member| member.peer).collect();
        guest
    }

    async fn message(&mut self) -> Option<bytes::Bytes> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Some(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    async fn send(&mut self, message: &ClientMessage<'_>) {
        self.socket.send(Message::Binary(encode_client(message))).await.unwrap();
    }

    pub async fn signal(&mut self, to: PeerId, signal: &RawValue) {
        self.send(&ClientMessage::Signal { to: Some(to), signal }).await;
    }

    /// The next thing that happens in the room.
    pub async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.next()).await.expect("nothing is heard")
    }

    /// The same, however long it takes. Safe to cancel.
    pub async fn next(&mut self) -> Heard {
        let Some(bytes) = self.message().await else { return Heard::Closed };
        match decode_server(&bytes).unwrap() {
            ServerMessage::Room(RoomEvent::Join { peer, .. }) => Heard::Came(peer),
            ServerMessage::Room(RoomEvent::Leave { peer }) => Heard::Left(peer),
            ServerMessage::Room(RoomEvent::Signal { peer, signal }) => Heard::Signal(peer, signal.to_owned()),
            ServerMessage::Error { .. } => Heard::Closed,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// A viewer that has found the camera of its code.
pub struct Session {
    pub guest: Guest,
    pub camera: PeerId,
    pub channel: Channel,
}

impl Session {
    /// Joins the room of the code, greets every camera in it, and goes on with the first that proves itself.
    pub async fn prove(url: &str, code: &Code) -> Self {
        let guest = Guest::join(url, code.room()).await;
        Self::prove_as(guest, code).await
    }

    pub async fn prove_as(mut guest: Guest, code: &Code) -> Self {
        let mut greeted: Vec<(PeerId, Option<ViewerHandshake>)> = Vec::new();
        let mut cameras = guest.cameras.clone();
        loop {
            for camera in cameras.drain(..) {
                if greeted.len() < ROLE_CAMERAS {
                    let (handshake, first) = ViewerHandshake::begin(code, guest.id, camera).unwrap();
                    guest.signal(camera, &first).await;
                    greeted.push((camera, Some(handshake)));
                }
            }
            match guest.hear().await {
                Heard::Came(camera) => cameras.push(camera),
                Heard::Left(camera) => greeted.retain(|(peer, _)| *peer != camera),
                Heard::Signal(camera, reply) => {
                    // Whoever fails once is refuted, and gets no other chance.
                    let handshake = greeted.iter_mut().find(|(peer, _)| *peer == camera);
                    let Some(handshake) = handshake.and_then(|(_, handshake)| handshake.take()) else { continue };
                    if let Ok(channel) = handshake.finish(&reply) {
                        return Self { guest, camera, channel };
                    }
                }
                Heard::Closed => panic!("the server closed"),
            }
        }
    }

    /// The same, and asks for the picture.
    pub async fn start(url: &str, code: &Code) -> Self {
        let mut session = Self::prove(url, code).await;
        session.send(&Signal::Start).await;
        session
    }

    pub async fn send(&mut self, signal: &Signal) {
        let sealed = self.channel.seal(signal).unwrap();
        self.guest.signal(self.camera, &sealed).await;
    }

    /// The next signal of the camera; `None` when it has left.
    pub async fn receive(&mut self) -> Option<Signal> {
        timeout(PATIENCE, self.next()).await.expect("the camera is silent")
    }

    /// The same, however long it takes. Safe to cancel.
    pub async fn next(&mut self) -> Option<Signal> {
        loop {
            match self.guest.next().await {
                Heard::Signal(peer, sealed) if peer == self.camera => {
                    return Some(self.channel.open(&sealed).expect("what the camera seals opens"));
                }
                Heard::Left(peer) if peer == self.camera => return None,
                Heard::Closed => return None,
                _ => {}
            }
        }
    }
}
