//! The hub as one of several: what it asks the others through [the link](crate::cluster), and what it is told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use signal_proto::{ErrorCode, Join, PeerId, RoomEvent, RoomId, ServerMessage, encode_server};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Hub, Seat, State};
use crate::client::Client;
use crate::cluster::message::{Relayed, RoomNow};
use crate::cluster::{self, Command, most};
use crate::metrics::ClusterMetrics;
use crate::outbox::Outbox;
use crate::room::elsewhere::{Change, NodeId, Other, parts};

/// A client that waits for the cluster's answer to its join.
#[derive(Debug)]
pub(super) struct Pending {
    join: Join,
    /// Whose room it is counted as, if it makes one.
    reserved: Option<Client>,
    outbox: Outbox,
    answer: oneshot::Sender<Result<(), ErrorCode>>,
}

type Answer = oneshot::Receiver<Result<(), ErrorCode>>;

impl Seat {
    /// [`join`](Self::join) where several servers are one. It takes as long as Redis takes, and `patience` at most.
    pub(crate) async fn join_cluster(&self, join: Join, patience: Duration) -> Result<(), ErrorCode> {
        let Some(mut answer) = self.ask(cluster::hidden(join))? else { return Ok(()) };
        if let Ok(answer) = timeout(patience, &mut answer).await {
            return answer.unwrap_or(Err(ErrorCode::ClusterUnavailable));
        }
        self.give_up();
        // It may have come at the last moment.
        answer.try_recv().unwrap_or(Err(ErrorCode::ClusterUnavailable))
    }

    /// Asks whether there is a place. No answer to wait for: there is one, and it is taken.
    fn ask(&self, join: Join) -> Result<Option<Answer>, ErrorCode> {
        let hub = &*self.hub;
        let Some(cluster) = &hub.cluster else { return Err(ErrorCode::ClusterUnavailable) };
        if hub.shutdown.is_cancelled() {
            return Err(ErrorCode::ShuttingDown);
        }
        let mut state = hub.lock();
        if state.rooms.is_seated(self.peer) || state.pending.contains_key(&self.peer) {
            return Err(ErrorCode::AlreadyJoined);
        }
        let may_make = state.rooms.reserve(self.client);
        let most = most(join, state.rooms.max_viewers());
        if cluster.post(Command::Join { peer: self.peer, join, most, may_make }).is_ok() {
            let (sender, answer) = oneshot::channel();
            let reserved = may_make.then_some(self.client);
            state.pending.insert(self.peer, Pending { join, reserved, outbox: self.outbox.clone(), answer: sender });
            return Ok(Some(answer));
        }
        if may_make {
            state.rooms.release(self.client);
        }
        if cluster.is_up() || !state.rooms.is_all_here(parts(join).0) {
            return Err(ErrorCode::ClusterUnavailable);
        }
        let admitted = state.rooms.join(self.peer, self.client, join)?;
        hub.enter(&mut state, self.peer, &self.outbox, join, admitted);
        Ok(None)
    }

    /// Does not wait for the cluster's answer any longer. Whether it waited.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.hub.lock();
        let Some(pending) = state.pending.remove(&self.peer) else { return false };
        if let Some(client) = pending.reserved {
            state.rooms.release(client);
        }
        // It may be let in yet.
        self.hub.tell_cluster(Command::Leave { peer: self.peer, room: parts(pending.join).0 });
        self.hub.notice_the_last(&state);
        true
    }
}

impl Hub {
    /// Whether this server shares its rooms with others.
    pub(crate) fn is_clustered(&self) -> bool {
        self.cluster.is_some()
    }

    /// Whether joins can be decided: alone, or together with the other nodes.
    pub(crate) fn is_ready(&self) -> bool {
        self.cluster.as_ref().is_none_or(cluster::Handle::is_ready)
    }

    /// A signal to a client that is not here.
    pub(super) fn send(&self, state: &State, from: PeerId, to: PeerId, message: Bytes) {
        let Some(node) = state.rooms.node_of(to) else { return };
        if let Some(cluster) = &self.cluster
            && cluster.post(Command::Signal { node, from, to, message }).is_err()
        {
            cluster.metrics.lost.inc();
        }
    }

    /// A client has left. From a server that stops it has not, as its peers see it, until the node's lease is over: it comes
    /// back to another node before that. Its place in a pair room would be missed, so that is given up.
    pub(super) fn left(&self, state: &State, peer: PeerId, join: Join, stopping: bool) {
        if !stopping || matches!(join, Join::Pair { .. }) {
            self.tell_cluster(Command::Leave { peer, room: parts(join).0 });
        }
        self.notice_the_last(state);
    }

    /// The link that a server which stops still needs ends with the last client.
    pub(super) fn notice_the_last(&self, state: &State) {
        if let Some(cluster) = &self.cluster
            && state.is_empty()
        {
            cluster.is_empty_now();
        }
    }

    /// What cannot be said now is found when the link comes back.
    pub(super) fn tell_cluster(&self, command: Command) {
        if let Some(cluster) = &self.cluster {
            let _ = cluster.post(command);
        }
    }

    /// A room as it is now, told to `node`, which is this one.
    pub(crate) fn room_is(&self, now: &RoomNow, node: NodeId) {
        let mut state = self.lock();
        let waiting: Vec<(PeerId, Join)> = now
            .members
            .iter()
            .filter(|member| member.node == node)
            .filter_map(|member| Some((member.peer, state.pending.get(&member.peer)?.join)))
            .filter(|(_, join)| parts(*join).0 == now.room)
            .collect();
        let others: Vec<Other> = now
            .members
            .iter()
            .filter(|member| member.node != node)
            .map(|member| Other { peer: member.peer, role: member.role, node: member.node })
            .collect();
        let changes = state.rooms.others_are(now.room, &others, waiting.first().map(|(_, join)| *join));
        state.announce(changes);
        for (peer, join) in waiting {
            let Some(Pending { reserved, outbox, answer, .. }) = state.pending.remove(&peer) else { continue };
            let seated = state.rooms.seat(peer, reserved, join);
            let outcome = seated.map(|admitted| self.enter(&mut state, peer, &outbox, join, admitted));
            if outcome.is_err() {
                self.tell_cluster(Command::Leave { peer, room: now.room });
            }
            // If nobody waits for it, the client has gone, and its leave follows.
            let _ = answer.send(outcome);
        }
        self.metrics.rooms.set(state.rooms.count());
    }

    /// A signal of another node's client.
    pub(crate) fn relay(&self, signal: Relayed) {
        self.count(|metrics| &metrics.received);
        let state = self.lock();
        if state.rooms.reaches(signal.from, signal.to)
            && let Some(outbox) = state.outboxes.get(&signal.to)
        {
            outbox.push(signal.message);
        }
    }

    /// A join was refused.
    pub(crate) fn refuse(&self, peer: PeerId, code: ErrorCode) {
        let mut state = self.lock();
        let Some(pending) = state.pending.remove(&peer) else { return };
        if let Some(client) = pending.reserved {
            state.rooms.release(client);
        }
        let _ = pending.answer.send(Err(code));
    }

    /// A signal was published, and there was somebody to hear it or not.
    pub(crate) fn sent(&self, was_heard: bool) {
        self.count(|metrics| if was_heard { &metrics.sent } else { &metrics.lost });
    }

    /// The link is down: whoever waits for an answer gets none.
    pub(crate) fn lose_cluster(&self) {
        let mut state = self.lock();
        let pending = std::mem::take(&mut state.pending);
        for Pending { reserved, answer, .. } in pending.into_values() {
            if let Some(client) = reserved {
                state.rooms.release(client);
            }
            let _ = answer.send(Err(ErrorCode::ClusterUnavailable));
        }
        self.count_nodes(0);
    }

    /// The others were told that all clients here have left; so those here are told of them.
    pub(crate) fn forget_others(&self) {
        let mut state = self.lock();
        let changes = state.rooms.forget_others();
        state.announce(changes);
    }

    /// The cluster has no place for this client any more.
    pub(crate) fn dismiss(&self, peer: PeerId, code: ErrorCode) {
        if let Some(outbox) = self.lock().outboxes.get(&peer) {
            outbox.dismiss(code);
            self.count(|metrics| &metrics.displaced);
        }
    }

    /// The clients that are in a room here, and which.
    pub(crate) fn here(&self) -> HashMap<PeerId, Join> {
        self.lock().rooms.here().collect()
    }

    /// The rooms that somebody here is in.
    pub(crate) fn room_ids(&self) -> Vec<RoomId> {
        self.lock().rooms.ids().collect()
    }

    /// The nodes of whose clients something is known here.
    pub(crate) fn other_nodes(&self) -> HashSet<NodeId> {
        self.lock().rooms.nodes().collect()
    }

    pub(crate) fn max_viewers(&self) -> usize {
        self.lock().rooms.max_viewers()
    }

    /// Whether nobody is in a room, or about to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many nodes there are; none that can be asked.
    pub(crate) fn count_nodes(&self, nodes: usize) {
        if let Some(cluster) = &self.cluster {
            cluster.metrics.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
        }
    }

    /// A session with Redis has begun.
    pub(crate) fn count_session(&self) {
        self.count(|metrics| &metrics.sessions);
    }

    fn count(&self, which: impl FnOnce(&ClusterMetrics) -> &Counter) {
        if let Some(cluster) = &self.cluster {
            which(&cluster.metrics).inc();
        }
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.outboxes.is_empty() && self.pending.is_empty()
    }

    fn announce(&self, changes: Vec<Change>) {
        for change in changes {
            let (event, hearers) = match change {
                Change::Came { peer, role, hearers } => (RoomEvent::Join { peer, role }, hearers),
                Change::Went { peer, hearers } => (RoomEvent::Leave { peer }, hearers),
            };
            self.tell(&hearers, &encode_server(&ServerMessage::Room(event)));
        }
    }
}
