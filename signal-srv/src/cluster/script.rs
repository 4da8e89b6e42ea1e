//! The script's operations as commands, and what it answers.

use std::collections::HashSet;
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use signal_proto::limits::{PAIR_CLIENTS, ROLE_CAMERAS};
use signal_proto::{ErrorCode, Join, PeerId, Role, RoomId};

use super::message::kind;
use crate::room::elsewhere::{NodeId, parts};

/// What Redis runs.
pub(super) const SOURCE: &str = include_str!("cluster.lua");

/// The script as this session of this node calls it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) sha: String,
    pub(super) node: NodeId,
    pub(super) session: u64,
}

/// What Redis answered that it should not have.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unexpected {
    /// The script refused because this session is not the node's, or the node was buried.
    #[error("this node was taken for dead")]
    Gone,
    #[error("Redis refuses: {0}")]
    Server(String),
    #[error("Redis answers something else than it should")]
    Form,
}

/// A sign of life, and what came back.
#[derive(Debug)]
pub(super) struct Beaten {
    pub(super) settled: bool,
    pub(super) nodes: Vec<NodeId>,
    pub(super) dead: Vec<NodeId>,
}

/// What Redis had of this node when it entered.
#[derive(Debug)]
pub(super) struct Entered {
    /// Others have announced that its clients left.
    pub(super) buried: bool,
    pub(super) clients: Vec<(PeerId, RoomId)>,
}

impl Script {
    fn call(&self, operation: &str) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.sha).arg(0).arg(operation).arg(&self.node.0[..]).arg(self.session);
        call
    }

    pub(super) fn enter(&self, lease: Duration, run: &str, known_run: &str, known: &HashSet<NodeId>) -> Cmd {
        let mut call = self.call("enter");
        call.arg(millis(lease)).arg(run).arg(known_run);
        for node in known {
            call.arg(&node.0[..]);
        }
        call
    }

    pub(super) fn join(&self, peer: PeerId, join: Join, most: usize, may_make: bool) -> Cmd {
        let mut call = self.call("join");
        place(&mut call, peer, join, most);
        call.arg(if may_make { "1" } else { "0" });
        call
    }

    pub(super) fn restore(&self, peer: PeerId, join: Join, most: usize) -> Cmd {
        let mut call = self.call("restore");
        place(&mut call, peer, join, most);
        call
    }

    pub(super) fn show(&self, room: RoomId) -> Cmd {
        let mut call = self.call("show");
        call.arg(&room.as_bytes()[..]);
        call
    }

    pub(super) fn leave(&self, peer: PeerId, room: RoomId) -> Cmd {
        let mut call = self.call("leave");
        call.arg(&peer.as_bytes()[..]).arg(&room.as_bytes()[..]);
        call
    }

    pub(super) fn beat(&self, lease: Duration, run: &str, number: u64) -> Cmd {
        let mut call = self.call("beat");
        call.arg(millis(lease)).arg(run).arg(number);
        call
    }

    pub(super) fn bury(&self, dead: NodeId) -> Cmd {
        let mut call = self.call("bury");
        call.arg(&dead.0[..]);
        call
    }
}

fn place(call: &mut Cmd, peer: PeerId, join: Join, most: usize) {
    let (room, role) = parts(join);
    call.arg(&peer.as_bytes()[..]).arg(&room.as_bytes()[..]).arg(kind(role)).arg(most);
}

/// Most clients of this kind in one room.
pub(crate) fn most(join: Join, max_viewers: usize) -> usize {
    match join {
        Join::Pair { .. } => PAIR_CLIENTS,
        Join::Role { role: Role::Camera, .. } => ROLE_CAMERAS,
        Join::Role { role: Role::Viewer, .. } => max_viewers,
    }
}

/// The channel of a node.
pub(super) fn channel(node: NodeId) -> Vec<u8> {
    [b"roomcam:to:", &node.0[..]].concat()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The answer to a join or a restore: in, or why not.
pub(super) fn admission(value: Value) -> Result<Result<(), ErrorCode>, Unexpected> {
    let text = text(value)?;
    if text == "OK" {
        return Ok(Ok(()));
    }
    text.parse().map(Err).map_err(|_| Unexpected::Form)
}

/// An answer that says nothing.
pub(super) fn done(value: Value) -> Result<(), Unexpected> {
    if text(value)? == "OK" { Ok(()) } else { Err(Unexpected::Form) }
}

/// The number of an answer: subscribers that were reached, or whether there is more to bury.
pub(super) fn number(value: Value) -> Result<i64, Unexpected> {
    match checked(value)? {
        Value::Int(number) => Ok(number),
        _ => Err(Unexpected::Form),
    }
}

pub(super) fn entered(value: Value) -> Result<Entered, Unexpected> {
    let Value::Array(parts) = checked(value)? else { return Err(Unexpected::Form) };
    let Ok([Value::Int(buried), Value::Array(clients)]) = <[Value; 2]>::try_from(parts) else {
        return Err(Unexpected::Form);
    };
    let mut pairs = Vec::with_capacity(clients.len() / 2);
    let mut clients = clients.into_iter();
    while let (Some(peer), Some(room)) = (clients.next(), clients.next()) {
        pairs.push((PeerId::from_bytes(id(peer)?), RoomId::from_bytes(id(room)?)));
    }
    Ok(Entered { buried: buried != 0, clients: pairs })
}

pub(super) fn beaten(value: Value) -> Result<Beaten, Unexpected> {
    let Value::Array(parts) = checked(value)? else { return Err(Unexpected::Form) };
    let Ok([Value::Int(settled), Value::Array(nodes), Value::Array(dead)]) = <[Value; 3]>::try_from(parts) else {
        return Err(Unexpected::Form);
    };
    let ids = |values: Vec<Value>| values.into_iter().map(|value| id(value).map(NodeId)).collect::<Result<_, _>>();
    Ok(Beaten { settled: settled != 0, nodes: ids(nodes)?, dead: ids(dead)? })
}

/// Neither an error nor a refusal.
fn checked(value: Value) -> Result<Value, Unexpected> {
    match value {
        Value::ServerError(error) => {
            // The first word says what it is; what follows may quote what we sent.
            Err(Unexpected::Server(error.code().to_owned()))
        }
        Value::BulkString(bytes) if bytes == b"GONE" => Err(Unexpected::Gone),
        value => Ok(value),
    }
}

fn text(value: Value) -> Result<String, Unexpected> {
    match checked(value)? {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| Unexpected::Form),
        Value::SimpleString(text) => Ok(text),
        Value::Okay => Ok("OK".to_owned()),
        _ => Err(Unexpected::Form),
    }
}

fn id<const N: usize>(value: Value) -> Result<[u8; N], Unexpected> {
    match value {
        Value::BulkString(bytes) => bytes.try_into().map_err(|_| Unexpected::Form),
        _ => Err(Unexpected::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(admission(bulk(b"OK")).unwrap(), Ok(()));
        assert_eq!(admission(bulk(b"ROOM_FULL")).unwrap(), Err(ErrorCode::RoomFull));
        assert!(matches!(admission(bulk(b"GONE")), Err(Unexpected::Gone)));
        assert!(matches!(admission(bulk(b"nonsense")), Err(Unexpected::Form)));
        assert!(matches!(beaten(bulk(b"GONE")), Err(Unexpected::Gone)));
        let answer = Value::Array(vec![Value::Int(1), Value::Array(vec![bulk(&[1; 16])]), Value::Array(vec![])]);
        let Beaten { settled, nodes, dead } = beaten(answer).unwrap();
        assert_eq!((settled, nodes, dead), (true, vec![NodeId([1; 16])], vec![]));
        let answer = Value::Array(vec![Value::Int(0), Value::Array(vec![bulk(&[1; 16]), bulk(&[2; 32])])]);
        let Entered { buried, clients } = entered(answer).unwrap();
        assert_eq!((buried, clients), (false, vec![(PeerId::from_bytes([1; 16]), RoomId::from_bytes([2; 32]))]));
        let short = Value::Array(vec![Value::Int(0), Value::Array(vec![bulk(&[1; 15]), bulk(&[2; 32])])]);
        assert!(matches!(entered(short), Err(Unexpected::Form)));
    }

    #[test]
    fn every_refusal_of_the_script_is_a_code() {
        for code in ["CLUSTER_UNAVAILABLE", "TOO_MANY_ROOMS", "ROOM_MODE", "ROOM_FULL"] {
            assert!(SOURCE.contains(&format!("'{code}'")));
            assert!(matches!(admission(bulk(code.as_bytes())), Ok(Err(_))), "{code}");
        }
    }
}
