//! The rules of rooms: who may enter, who hears of whom, whom a signal reaches. Pure: no socket, no clock.
//!
//! ```text
//!            first JOIN_OR_CREATE                        last leave
//! (no room) ──────────────────────▶ Pair: 0..2 clients ─────────────▶ (no room)
//!                                   Role: 0..4 cameras, 0..N viewers
//! ```
//! The first client decides which of the two a room is. Every function says who is to be told; the
//! [hub](crate::hub) tells them. In a [cluster](crate::cluster) a room that somebody here is in holds clients of other
//! nodes, too ([`elsewhere`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use signal_proto::limits::{PAIR_CLIENTS, ROLE_CAMERAS};
use signal_proto::{ErrorCode, Join, Member, PeerId, Role, RoomId};

use crate::client::Client;

pub(crate) mod elsewhere;

use elsewhere::NodeId;

/// All rooms of one server.
#[derive(Debug)]
pub(crate) struct Rooms {
    max_viewers: usize,
    max_of_each: usize,
    rooms: HashMap<RoomId, Room>,
    /// How many of them each client has made.
    made: HashMap<Client, usize>,
    /// Where each client is. Whoever is not in here is in no room.
    seats: HashMap<PeerId, (RoomId, Option<Role>)>,
    /// Who of them is a client of another node, and of which. Empty where there is no cluster.
    elsewhere: HashMap<PeerId, NodeId>,
}

#[derive(Debug)]
struct Room {
    /// Who made it, by being the first in it; nobody here if it was there already, on another node.
    maker: Option<Client>,
    members: Members,
}

#[derive(Debug)]
enum Members {
    Pair(Vec<PeerId>),
    Role { cameras: Vec<PeerId>, viewers: Vec<PeerId> },
}

/// What follows from an admission.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Whom the new client sees. `None` in a pair room, whose `JOINED` says nothing.
    pub(crate) present: Option<Vec<Member>>,
    /// Who hears that it came.
    pub(crate) hearers: Vec<PeerId>,
}

impl Rooms {
    /// No room yet; a role room will take `max_viewers` viewers, and a client may make `max_of_each` rooms.
    pub(crate) fn new(max_viewers: usize, max_of_each: usize) -> Self {
        Self {
            max_viewers,
            max_of_each,
            rooms: HashMap::new(),
            made: HashMap::new(),
            seats: HashMap::new(),
            elsewhere: HashMap::new(),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> i64 {
        i64::try_from(self.rooms.len()).unwrap_or(i64::MAX)
    }

    /// Other limits from now on; whoever is in stays.
    pub(crate) fn change(&mut self, max_viewers: usize, max_of_each: usize) {
        (self.max_viewers, self.max_of_each) = (max_viewers, max_of_each);
    }

    /// Lets `peer` in, a connection of `client`, and makes the room if need be.
    ///
    /// # Errors
    /// `ALREADY_JOINED`, `ROOM_MODE`, `ROOM_FULL` or `TOO_MANY_ROOMS`; then nothing has changed.
    pub(crate) fn join(&mut self, peer: PeerId, client: Client, join: Join) -> Result<Admitted, ErrorCode> {
        let (id, role) = match join {
            Join::Pair { room } => (room, None),
            Join::Role { room, role } => (room, Some(role)),
        };
        let Entry::Vacant(seat) = self.seats.entry(peer) else { return Err(ErrorCode::AlreadyJoined) };
        let admitted = match self.rooms.entry(id) {
            Entry::Occupied(mut room) => room.get_mut().members.admit(peer, role, self.max_viewers)?,
            Entry::Vacant(vacant) => {
                let made = self.made.get(&client).copied().unwrap_or_default();
                if made >= self.max_of_each {
                    return Err(ErrorCode::TooManyRooms);
                }
                let mut members = Members::of_kind(role);
                let admitted = members.admit(peer, role, self.max_viewers)?;
                vacant.insert(Room { maker: Some(client), members });
                self.made.insert(client, made + 1);
                admitted
            }
        };
        seat.insert((id, role));
        Ok(admitted)
    }

    /// Takes `peer` out, and the room away with its last client here. Who hears of it is the answer;
    /// `None` if the client was in no room.
    pub(crate) fn leave(&mut self, peer: PeerId) -> Option<Vec<PeerId>> {
        let (id, role) = self.seats.remove(&peer)?;
        let Entry::Occupied(mut room) = self.rooms.entry(id) else { return Some(Vec::new()) };
        let members = &mut room.get_mut().members;
        members.remove(peer);
        let hearers = members.hearers(peer, role);
        if members.all().all(|member| self.elsewhere.contains_key(&member)) {
            let Room { maker, members } = room.remove();
            for member in members.all() {
                self.seats.remove(&member);
                self.elsewhere.remove(&member);
            }
            if let Some(maker) = maker {
                self.release(maker);
            }
        }
        Some(hearers)
    }

    /// One room less that this client has made, or has [reserved](Self::reserve).
    pub(crate) fn release(&mut self, client: Client) {
        if let Entry::Occupied(mut made) = self.made.entry(client) {
            *made.get_mut() -= 1;
            if *made.get() == 0 {
                made.remove();
            }
        }
    }

    /// Whom a signal of `peer` reaches: in a pair room the other one, in a role room `to`.
    ///
    /// `None` if nobody is there to take it. That a client which has gone and one which must not be
    /// addressed look the same is intended: a viewer learns nothing about other viewers.
    ///
    /// # Errors
    /// `NOT_JOINED`; `BAD_MESSAGE` if `to` is missing in a role room or present in a pair room.
    pub(crate) fn addressee(&self, peer: PeerId, to: Option<PeerId>) -> Result<Option<PeerId>, ErrorCode> {
        let (id, role) = self.seats.get(&peer).ok_or(ErrorCode::NotJoined)?;
        let room = self.rooms.get(id).ok_or(ErrorCode::NotJoined)?;
        match (&room.members, role, to) {
            (Members::Pair(clients), None, None) => Ok(clients.iter().copied().find(|other| *other != peer)),
            (Members::Role { viewers, .. }, Some(Role::Camera), Some(to)) => Ok(viewers.contains(&to).then_some(to)),
            (Members::Role { cameras, .. }, Some(Role::Viewer), Some(to)) => Ok(cameras.contains(&to).then_some(to)),
            _ => Err(ErrorCode::BadMessage),
        }
    }
}

impl Members {
    fn of_kind(role: Option<Role>) -> Self {
        match role {
            None => Self::Pair(Vec::with_capacity(PAIR_CLIENTS)),
            Some(_) => Self::Role { cameras: Vec::new(), viewers: Vec::new() },
        }
    }

    fn admit(&mut self, peer: PeerId, role: Option<Role>, max_viewers: usize) -> Result<Admitted, ErrorCode> {
        let (list, limit) = match (&mut *self, role) {
            (Self::Pair(clients), None) => (clients, PAIR_CLIENTS),
            (Self::Role { cameras, .. }, Some(Role::Camera)) => (cameras, ROLE_CAMERAS),
            (Self::Role { viewers, .. }, Some(Role::Viewer)) => (viewers, max_viewers),
            _ => return Err(ErrorCode::RoomMode),
        };
        if list.len() >= limit {
            return Err(ErrorCode::RoomFull);
        }
        list.push(peer);
        Ok(Admitted { present: self.present(peer, role), hearers: self.hearers(peer, role) })
    }

    fn remove(&mut self, peer: PeerId) {
        let keep = |other: &PeerId| *other != peer;
        match self {
            Self::Pair(clients) => clients.retain(keep),
            Self::Role { cameras, viewers } => {
                cameras.retain(keep);
                viewers.retain(keep);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = PeerId> {
        let (first, second): (&[PeerId], &[PeerId]) = match self {
            Self::Pair(clients) => (clients, &[]),
            Self::Role { cameras, viewers } => (cameras, viewers),
        };
        first.iter().chain(second).copied()
    }

    /// Whom a client with this role sees: cameras everybody, viewers the cameras.
    fn present(&self, peer: PeerId, role: Option<Role>) -> Option<Vec<Member>> {
        let Self::Role { cameras, viewers } = self else { return None };
        let viewers = if role == Some(Role::Camera) { viewers.as_slice() } else { &[] };
        let cameras = cameras.iter().map(|camera| Member { peer: *camera, role: Role::Camera });
        let viewers = viewers.iter().map(|viewer| Member { peer: *viewer, role: Role::Viewer });
        Some(cameras.chain(viewers).filter(|member| member.peer != peer).collect())
    }

    /// Who hears that a client with this role comes or goes: of a camera everybody, of a viewer the cameras.
    fn hearers(&self, peer: PeerId, role: Option<Role>) -> Vec<PeerId> {
        let (first, second): (&[PeerId], &[PeerId]) = match (self, role) {
            (Self::Pair(clients), _) => (clients, &[]),
            (Self::Role { cameras, viewers }, Some(Role::Camera)) => (cameras, viewers),
            (Self::Role { cameras, .. }, _) => (cameras, &[]),
        };
        first.iter().chain(second).copied().filter(|other| *other != peer).collect()
    }
}

#[cfg(test)]
mod tests;
