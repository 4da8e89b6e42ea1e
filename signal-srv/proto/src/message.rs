//! The messages of both directions, borrowed from the bytes they were decoded from.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ErrorCode, PeerId, RoomId};

/// What a client sends.
#[derive(Debug, Clone, Copy)]
pub enum ClientMessage<'a> {
    /// `JOIN_OR_CREATE`
    JoinOrCreate(Join),
    /// `SIGNAL`
    Signal {
        /// The addressee: always in role mode, never in pair mode.
        to: Option<PeerId>,
        /// Relayed byte for byte.
        signal: &'a RawValue,
    },
}

/// How a client enters a room; the first one decides the room's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// `"data":"<room>"`: two equal clients.
    Pair {
        /// The room.
        room: RoomId,
    },
    /// `"data":{"room":…,"role":…}`: cameras and their viewers.
    Role {
        /// The room.
        room: RoomId,
        /// What the client is.
        role: Role,
    },
}

/// What a client of a role room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Offers pictures.
    Camera,
    /// Watches.
    Viewer,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub enum ServerMessage<'a> {
    /// `HELLO`: the id the server gave to this connection.
    Hello(PeerId),
    /// `JOINED`; with the room's state in role mode, bare in pair mode.
    Joined(Option<Joined>),
    /// `ROOM`: what another client of the room did.
    Room(RoomEvent<'a>),
    /// `ERROR`
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        text: String,
    },
}

/// The state of a role room for whoever has just joined it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Everyone already there that the new client may talk to or hear of.
    pub peers: Vec<Member>,
    /// STUN and TURN servers to use (W3C `RTCIceServer`).
    pub ice_servers: Vec<IceServer>,
}

/// One client of a role room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub peer: PeerId,
    /// What.
    pub role: Role,
}

/// A STUN or TURN server, as W3C's `RTCIceServer` has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls.len()).finish_non_exhaustive()
    }
}

/// What another client of the room did.
#[derive(Debug, Clone, Copy)]
pub enum RoomEvent<'a> {
    /// It joined.
    Join {
        /// Who.
        peer: PeerId,
        /// What it is; role mode only.
        role: Option<Role>,
    },
    /// It left, or its connection broke.
    Leave {
        /// Who.
        peer: PeerId,
    },
    /// It signaled.
    Signal {
        /// The sender.
        peer: PeerId,
        /// What it sent, byte for byte.
        signal: &'a RawValue,
    },
}
