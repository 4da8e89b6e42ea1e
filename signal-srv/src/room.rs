//! The rules of rooms: who may enter, who hears of whom, whom a signal reaches. Pure: no socket, no clock.
//!
//! ```text
//!            first JOIN_OR_CREATE                        last leave
//! (no room) ──────────────────────▶ Pair: 0..2 clients ─────────────▶ (no room)
//!                                   Role: 0..4 cameras, 0..N viewers
//! ```
//! The first client decides which of the two a room is. Every function says who is to be told; the
//! [hub](crate::hub) tells them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use signal_proto::limits::{PAIR_CLIENTS, ROLE_CAMERAS};
use signal_proto::{ErrorCode, Join, Member, PeerId, Role, RoomId};

/// All rooms of one server.
#[derive(Debug)]
pub(crate) struct Rooms {
    max_viewers: usize,
    rooms: HashMap<RoomId, Room>,
    /// Where each client is. Whoever is not in here is in no room.
    seats: HashMap<PeerId, (RoomId, Option<Role>)>,
}

#[derive(Debug)]
enum Room {
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
    /// No room yet; a role room will take `max_viewers` viewers.
    pub(crate) fn new(max_viewers: usize) -> Self {
        Self { max_viewers, rooms: HashMap::new(), seats: HashMap::new() }
    }

    /// Lets `peer` in, and makes the room if need be.
    ///
    /// # Errors
    /// `ALREADY_JOINED`, `ROOM_MODE` or `ROOM_FULL`; then nothing has changed.
    pub(crate) fn join(&mut self, peer: PeerId, join: Join) -> Result<Admitted, ErrorCode> {
        let (id, role) = match join {
            Join::Pair { room } => (room, None),
            Join::Role { room, role } => (room, Some(role)),
        };
        let Entry::Vacant(seat) = self.seats.entry(peer) else { return Err(ErrorCode::AlreadyJoined) };
        let admitted = match self.rooms.entry(id) {
            Entry::Occupied(mut room) => room.get_mut().admit(peer, role, self.max_viewers)?,
            Entry::Vacant(vacant) => {
                let mut room = Room::of_kind(role);
                let admitted = room.admit(peer, role, self.max_viewers)?;
                vacant.insert(room);
                admitted
            }
        };
        seat.insert((id, role));
        Ok(admitted)
    }

    /// Takes `peer` out, and the room away with its last client. Who hears of it is the answer;
    /// `None` if the client was in no room.
    pub(crate) fn leave(&mut self, peer: PeerId) -> Option<Vec<PeerId>> {
        let (id, role) = self.seats.remove(&peer)?;
        let Entry::Occupied(mut room) = self.rooms.entry(id) else { return Some(Vec::new()) };
        room.get_mut().remove(peer);
        let hearers = room.get().hearers(peer, role);
        if room.get().is_empty() {
            room.remove();
        }
        Some(hearers)
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
        match (room, role, to) {
            (Room::Pair(clients), None, None) => Ok(clients.iter().copied().find(|other| *other != peer)),
            (Room::Role { viewers, .. }, Some(Role::Camera), Some(to)) => Ok(viewers.contains(&to).then_some(to)),
            (Room::Role { cameras, .. }, Some(Role::Viewer), Some(to)) => Ok(cameras.contains(&to).then_some(to)),
            _ => Err(ErrorCode::BadMessage),
        }
    }
}

impl Room {
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

    fn is_empty(&self) -> bool {
        match self {
            Self::Pair(clients) => clients.is_empty(),
            Self::Role { cameras, viewers } => cameras.is_empty() && viewers.is_empty(),
        }
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
