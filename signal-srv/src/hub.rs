//! Rooms and outboxes behind one lock: the only state that connections share.
//!
//! The lock is held for a few map operations and `try_send`s, never across an await. What goes to
//! several clients is encoded once. Order is kept where it matters: a client's `JOINED` enters its
//! outbox under the same lock as everything that others send it afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bytes::Bytes;
use signal_proto::{ErrorCode, IceServer, Join, Joined, PeerId, RawValue, RoomEvent, ServerMessage, encode_server};

use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::cluster;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::room::elsewhere::parts;
use crate::room::{Admitted, Rooms};

mod clustered;

/// What happened since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Clients let into a room.
    pub joins: u64,
    /// Clients that left their room, in whatever way.
    pub leaves: u64,
    /// Signals to somebody who was not there.
    pub dropped_signals: u64,
}

#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    shutdown: CancellationToken,
    metrics: Arc<Metrics>,
    /// The way to the other nodes, where several servers are one.
    cluster: Option<cluster::Handle>,
}

#[derive(Debug)]
struct State {
    rooms: Rooms,
    ice_servers: Vec<IceServer>,
    /// The outbox of every client that is in a room.
    outboxes: HashMap<PeerId, Outbox>,
    /// Who waits for the other nodes to be let in.
    pending: HashMap<PeerId, clustered::Pending>,
}

/// A client's place at the hub. Dropping it is the one way to leave, so every join has one leave.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    peer: PeerId,
    client: Client,
    outbox: Outbox,
}

impl Hub {
    pub(crate) fn new(
        rooms: Rooms,
        ice_servers: Vec<IceServer>,
        shutdown: CancellationToken,
        metrics: Arc<Metrics>,
        cluster: Option<cluster::Handle>,
    ) -> Self {
        let state = State { rooms, ice_servers, outboxes: HashMap::new(), pending: HashMap::new() };
        Self { state: Mutex::new(state), shutdown, metrics, cluster }
    }

    /// From the next join on.
    pub(crate) fn change(&self, max_viewers: usize, rooms_of_each: usize, ice_servers: Vec<IceServer>) {
        let mut state = self.lock();
        state.rooms.change(max_viewers, rooms_of_each);
        state.ice_servers = ice_servers;
    }

    /// A place for a new client, under a fresh id, in no room yet.
    pub(crate) fn seat(self: &Arc<Self>, client: Client, outbox: Outbox) -> Seat {
        Seat { hub: Arc::clone(self), peer: PeerId::random(), client, outbox }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            joins: self.metrics.joins(),
            leaves: self.metrics.leaves.get(),
            dropped_signals: self.metrics.dropped.get(),
        }
    }

    /// Whether somebody is at the rooms just now: for a moment at most, unless something is very wrong.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.state.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// What follows when a client was let in.
    fn enter(&self, state: &mut State, peer: PeerId, outbox: &Outbox, join: Join, admitted: Admitted) {
        let Admitted { present, hearers } = admitted;
        let joined = present.map(|peers| Joined { peers, ice_servers: state.ice_servers.clone() });
        outbox.push(encode_server(&ServerMessage::Joined(joined)));
        state.outboxes.insert(peer, outbox.clone());
        let (_, role) = parts(join);
        if !hearers.is_empty() {
            state.tell(&hearers, &encode_server(&ServerMessage::Room(RoomEvent::Join { peer, role })));
        }
        self.metrics.rooms.set(state.rooms.count());
        self.metrics.joined(join);
    }

    /// A panic elsewhere must not end every session: the maps are consistent between operations.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// Enters a room: `JOINED` to this client, `ROOM/JOIN` to those who may hear of it. Not into one that is about to end.
    pub(crate) fn join(&self, join: Join) -> Result<(), ErrorCode> {
        if self.hub.shutdown.is_cancelled() {
            return Err(ErrorCode::ShuttingDown);
        }
        let mut state = self.hub.lock();
        let admitted = state.rooms.join(self.peer, self.client, join)?;
        self.hub.enter(&mut state, self.peer, &self.outbox, join, admitted);
        Ok(())
    }

    /// Relays a signal, byte for byte. Whether the addressee should be given time to read is the answer.
    pub(crate) fn signal(&self, to: Option<PeerId>, signal: &RawValue) -> Result<bool, ErrorCode> {
        let event = encode_server(&ServerMessage::Room(RoomEvent::Signal { peer: self.peer, signal }));
        let state = self.hub.lock();
        match state.rooms.addressee(self.peer, to)? {
            Some(addressee) => {
                self.hub.metrics.relayed.inc();
                let Some(outbox) = state.outboxes.get(&addressee) else {
                    self.hub.send(&state, self.peer, addressee, event);
                    return Ok(true);
                };
                outbox.push(event);
                Ok(outbox.is_crowded())
            }
            None => {
                self.hub.metrics.dropped.inc();
                Ok(false)
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.hub.is_clustered() && self.give_up() {
            return;
        }
        let mut state = self.hub.lock();
        let join = if self.hub.is_clustered() { state.rooms.joined_as(self.peer) } else { None };
        let Some(hearers) = state.rooms.leave(self.peer) else { return self.hub.notice_the_last(&state) };
        state.outboxes.remove(&self.peer);
        self.hub.metrics.rooms.set(state.rooms.count());
        self.hub.metrics.leaves.inc();
        // When the server stops, nobody has left: all lose the server, none its peers. A camera that heard
        // LEAVE would end a stream that can go on.
        let stopping = self.hub.shutdown.is_cancelled();
        if !stopping {
            let event = encode_server(&ServerMessage::Room(RoomEvent::Leave { peer: self.peer }));
            state.tell(&hearers, &event);
        }
        if let Some(join) = join {
            self.hub.left(&state, self.peer, join, stopping);
        }
    }
}

impl State {
    fn tell(&self, hearers: &[PeerId], message: &Bytes) {
        for outbox in hearers.iter().filter_map(|hearer| self.outboxes.get(hearer)) {
            outbox.push(message.clone());
        }
    }
}
