//! What a node is told through its channel. Pure.
//!
//! ```text
//! R ‖ settling? (0, 1) ‖ room (32) ‖ peer (16) ‖ kind (p, c, v) ‖ node (16) ‖ …     a room, as it is now
//! S ‖ node (16) ‖ session (8) ‖ from (16) ‖ to (16) ‖ the message for the client    a signal
//! B ‖ number in decimal                                                             its own sign of life
//! ```
//! The first and the last are written by the script (`cluster.lua`).

use bytes::Bytes;
use signal_proto::limits::MESSAGE_BYTES;
use signal_proto::{PeerId, Role, RoomId};

use crate::room::elsewhere::NodeId;

/// What a relayed signal may have besides the client's message (docs/protocol.md §10).
const ENVELOPE_BYTES: usize = 256;
const SIGNAL_HEAD: usize = 1 + 16 + 8 + 16 + 16;

/// One thing that a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Room(RoomNow),
    Signal(Relayed),
    Beat(u64),
}

/// A room as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomNow {
    pub(crate) room: RoomId,
    /// Not all nodes have come back to Redis: who is missing need not have left.
    pub(crate) settling: bool,
    pub(crate) members: Vec<Client>,
}

/// A client in a room, of whatever node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) peer: PeerId,
    pub(crate) role: Option<Role>,
    pub(crate) node: NodeId,
}

/// A signal from a client of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// Whose client the sender is, and in which session with Redis that was sent: what an older one left behind comes too late.
    pub(crate) node: NodeId,
    pub(crate) session: u64,
    pub(crate) from: PeerId,
    pub(crate) to: PeerId,
    /// As the client gets it.
    pub(crate) message: Bytes,
}

/// What is no such message; nothing of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message from Redis is none of ours")]
pub(crate) struct Unreadable;

impl Told {
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        let (kind, rest) = bytes.split_first().ok_or(Unreadable)?;
        match kind {
            b'R' => RoomNow::decode(rest).map(Self::Room),
            b'S' => Relayed::decode(bytes).map(Self::Signal),
            b'B' => {
                std::str::from_utf8(rest).ok().and_then(|number| number.parse().ok()).map(Self::Beat).ok_or(Unreadable)
            }
            _ => Err(Unreadable),
        }
    }
}

impl RoomNow {
    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (settling, rest) = bytes.split_first().ok_or(Unreadable)?;
        let settling = match settling {
            b'0' => false,
            b'1' => true,
            _ => return Err(Unreadable),
        };
        let (room, rest) = rest.split_first_chunk::<32>().ok_or(Unreadable)?;
        let (members, left) = rest.as_chunks::<33>();
        if !left.is_empty() {
            return Err(Unreadable);
        }
        let members = members.iter().map(Client::decode).collect::<Result<_, _>>()?;
        Ok(Self { room: RoomId::from_bytes(*room), settling, members })
    }
}

impl Client {
    fn decode(bytes: &[u8; 33]) -> Result<Self, Unreadable> {
        let (peer, rest) = bytes.split_first_chunk::<16>().ok_or(Unreadable)?;
        let (kind, node) = rest.split_first().ok_or(Unreadable)?;
        let role = match kind {
            b'p' => None,
            b'c' => Some(Role::Camera),
            b'v' => Some(Role::Viewer),
            _ => return Err(Unreadable),
        };
        let node = NodeId(node.try_into().map_err(|_| Unreadable)?);
        Ok(Self { peer: PeerId::from_bytes(*peer), role, node })
    }
}

impl Relayed {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIGNAL_HEAD + self.message.len());
        bytes.push(b'S');
        bytes.extend_from_slice(&self.node.0);
        bytes.extend_from_slice(&self.session.to_be_bytes());
        bytes.extend_from_slice(self.from.as_bytes());
        bytes.extend_from_slice(self.to.as_bytes());
        bytes.extend_from_slice(&self.message);
        bytes
    }

    fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        let head = bytes.get(1..SIGNAL_HEAD).ok_or(Unreadable)?;
        let (node, head) = head.split_first_chunk::<16>().ok_or(Unreadable)?;
        let (session, head) = head.split_first_chunk::<8>().ok_or(Unreadable)?;
        let (from, head) = head.split_first_chunk::<16>().ok_or(Unreadable)?;
        let to = head.first_chunk::<16>().ok_or(Unreadable)?;
        let message = bytes.slice(SIGNAL_HEAD..);
        if message.len() > MESSAGE_BYTES + ENVELOPE_BYTES {
            return Err(Unreadable);
        }
        Ok(Self {
            node: NodeId(*node),
            session: u64::from_be_bytes(*session),
            from: PeerId::from_bytes(*from),
            to: PeerId::from_bytes(*to),
            message,
        })
    }
}

/// As the script names it.
pub(crate) fn kind(role: Option<Role>) -> &'static str {
    match role {
        None => "p",
        Some(Role::Camera) => "c",
        Some(Role::Viewer) => "v",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(bytes: &[u8]) -> Result<Told, Unreadable> {
        Told::decode(&Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_room_with_its_clients() {
        let mut bytes = b"R1".to_vec();
        bytes.extend([7; 32]);
        for (peer, kind) in [(1, b'c'), (2, b'v')] {
            bytes.extend([peer; 16]);
            bytes.push(kind);
            bytes.extend([9; 16]);
        }
        let client =
            |peer, role| Client { peer: PeerId::from_bytes([peer; 16]), role: Some(role), node: NodeId([9; 16]) };
        let members = vec![client(1, Role::Camera), client(2, Role::Viewer)];
        let room = RoomNow { room: RoomId::from_bytes([7; 32]), settling: true, members };
        assert_eq!(told(&bytes), Ok(Told::Room(room)));
        bytes.pop();
        assert_eq!(told(&bytes), Err(Unreadable));
        assert_eq!(told(b"B42"), Ok(Told::Beat(42)));
    }

    proptest! {
        #[test]
        fn a_signal_arrives_as_it_was_sent(
            (node, from, to) in any::<([u8; 16], [u8; 16], [u8; 16])>(),
            session in any::<u64>(),
            message in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (from, to) = (PeerId::from_bytes(from), PeerId::from_bytes(to));
            let signal = Relayed { node: NodeId(node), session, from, to, message: message.into() };
            prop_assert_eq!(told(&signal.encode()), Ok(Told::Signal(signal)));
        }

        #[test]
        fn nothing_that_arrives_is_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
            if let Some(first) = bytes.first_mut() {
                *first = b"RSBx"[kind];
            }
            let _ = told(&bytes);
        }
    }
}
