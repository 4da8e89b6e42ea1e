//! What a node of a [cluster](crate::cluster) knows of the others' clients: who else is in the rooms that somebody here is in.
//!
//! Who may enter is decided where all nodes ask. What is decided comes back as the whole room as it is then, and the
//! difference to what was known is what clients here hear. So nothing is announced twice, whatever was missed.

use std::collections::hash_map::Entry;

use signal_proto::{ErrorCode, Join, PeerId, Role, RoomId};

use super::{Admitted, Members, Room, Rooms};
use crate::client::Client;

/// One server of a cluster, for as long as its process lives: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(crate) [u8; 16]);

/// A client of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) peer: PeerId,
    pub(crate) role: Option<Role>,
    pub(crate) node: NodeId,
}

/// What clients here are to hear. Those of other nodes among the hearers hear it from theirs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Came { peer: PeerId, role: Option<Role>, hearers: Vec<PeerId> },
    Went { peer: PeerId, hearers: Vec<PeerId> },
}

impl Rooms {
    /// Whether this room is here, and nobody of another node is in it.
    pub(crate) fn is_all_here(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.members.all().all(|peer| !self.elsewhere.contains_key(&peer)))
    }

    /// Whether `peer` is in a room already.
    pub(crate) fn is_seated(&self, peer: PeerId) -> bool {
        self.seats.contains_key(&peer)
    }

    /// The room that a client is in, and as what it joined.
    pub(crate) fn joined_as(&self, peer: PeerId) -> Option<Join> {
        self.seats.get(&peer).map(|(room, role)| join_of(*room, *role))
    }

    /// Most viewers in a room.
    pub(crate) fn max_viewers(&self) -> usize {
        self.max_viewers
    }

    /// Counts a room that `client` is about to make, if it may make one more.
    pub(crate) fn reserve(&mut self, client: Client) -> bool {
        let made = self.made.entry(client).or_default();
        let may = *made < self.max_of_each;
        *made += usize::from(may);
        if *made == 0 {
            self.made.remove(&client);
        }
        may
    }

    /// Lets in a client that the cluster has admitted: limits have been looked at. `reserved` is whose reservation is kept
    /// if it has made the room, and given back if not.
    ///
    /// # Errors
    /// `ROOM_MODE` as long as there are clients of the other kind here that the cluster has sent away.
    pub(crate) fn seat(&mut self, peer: PeerId, reserved: Option<Client>, join: Join) -> Result<Admitted, ErrorCode> {
        let (id, role) = parts(join);
        let room = self.rooms.entry(id).or_insert_with(|| Room { maker: None, members: Members::of_kind(role) });
        let (is_first, fits) = (room.members.all().next().is_none(), room.members.takes(role));
        let admitted = fits.then(|| room.members.admit_anyway(peer, role));
        if fits {
            self.seats.insert(peer, (id, role));
        }
        match reserved {
            Some(client) if is_first => room.maker = Some(client),
            Some(client) => self.release(client),
            None => {}
        }
        admitted.ok_or(ErrorCode::RoomMode)
    }

    /// The clients of other nodes in this room are these from now on. Nothing is known of rooms that nobody here is in, unless
    /// somebody [enters](Self::seat) it now (`join`).
    pub(crate) fn others_are(&mut self, id: RoomId, others: &[Other], join: Option<Join>) -> Vec<Change> {
        let room = match (self.rooms.entry(id), join) {
            (Entry::Occupied(room), _) => room.into_mut(),
            (Entry::Vacant(vacant), Some(join)) => {
                vacant.insert(Room { maker: None, members: Members::of_kind(parts(join).1) })
            }
            (Entry::Vacant(_), None) => return Vec::new(),
        };
        let went: Vec<PeerId> = room.members.all().filter(|peer| self.elsewhere.contains_key(peer)).collect();
        let mut changes: Vec<Change> = Vec::new();
        for peer in went.into_iter().filter(|peer| others.iter().all(|other| other.peer != *peer)) {
            let Some((_, role)) = self.seats.remove(&peer) else { continue };
            self.elsewhere.remove(&peer);
            room.members.remove(peer);
            changes.push(Change::Went { peer, hearers: room.members.hearers(peer, role) });
        }
        for &Other { peer, role, node } in others {
            // One of another kind cannot be: whoever says so is not believed.
            if self.seats.contains_key(&peer) || !room.members.takes(role) {
                continue;
            }
            let Admitted { hearers, .. } = room.members.admit_anyway(peer, role);
            self.seats.insert(peer, (id, role));
            self.elsewhere.insert(peer, node);
            changes.push(Change::Came { peer, role, hearers });
        }
        changes
    }

    /// Of the clients of other nodes nothing is known any more.
    pub(crate) fn forget_others(&mut self) -> Vec<Change> {
        let rooms: Vec<RoomId> = self.elsewhere.keys().filter_map(|peer| Some(self.seats.get(peer)?.0)).collect();
        rooms.into_iter().flat_map(|room| self.others_are(room, &[], None)).collect()
    }

    /// The node of a client that is not one of this.
    pub(crate) fn node_of(&self, peer: PeerId) -> Option<NodeId> {
        self.elsewhere.get(&peer).copied()
    }

    /// The nodes of all clients that are not of this.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.elsewhere.values().copied()
    }

    /// Whether a signal of `from`, a client of another node, reaches `to`.
    pub(crate) fn reaches(&self, from: PeerId, to: PeerId) -> bool {
        let named = match self.seats.get(&from) {
            Some((_, Some(_))) => Some(to),
            Some((_, None)) => None,
            None => return false,
        };
        self.elsewhere.contains_key(&from) && self.addressee(from, named) == Ok(Some(to))
    }

    /// The clients here that are in a room, and how they entered it.
    pub(crate) fn here(&self) -> impl Iterator<Item = (PeerId, Join)> {
        let here = self.seats.iter().filter(|(peer, _)| !self.elsewhere.contains_key(peer));
        here.map(|(peer, (room, role))| (*peer, join_of(*room, *role)))
    }

    /// The rooms that somebody here is in.
    pub(crate) fn ids(&self) -> impl Iterator<Item = RoomId> {
        self.rooms.keys().copied()
    }
}

impl Members {
    fn takes(&self, role: Option<Role>) -> bool {
        matches!(self, Self::Pair(_)) == role.is_none()
    }

    /// Without a look at the limits.
    fn admit_anyway(&mut self, peer: PeerId, role: Option<Role>) -> Admitted {
        match (&mut *self, role) {
            (Self::Role { cameras, .. }, Some(Role::Camera)) => cameras.push(peer),
            (Self::Role { viewers, .. }, _) => viewers.push(peer),
            (Self::Pair(clients), _) => clients.push(peer),
        }
        Admitted { present: self.present(peer, role), hearers: self.hearers(peer, role) }
    }
}

/// The room that a client wants to enter, and as what.
pub(crate) fn parts(join: Join) -> (RoomId, Option<Role>) {
    match join {
        Join::Pair { room } => (room, None),
        Join::Role { room, role } => (room, Some(role)),
    }
}

pub(crate) fn join_of(room: RoomId, role: Option<Role>) -> Join {
    role.map_or(Join::Pair { room }, |role| Join::Role { room, role })
}

#[cfg(test)]
mod tests;
