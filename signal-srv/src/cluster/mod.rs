//! Several servers that act as one, through Redis (or Valkey).
//!
//! ```text
//!  connection ──▶ hub ── Command ──▶ [queue] ──▶ link.rs ──── one connection, RESP3 ────▶ Redis
//!                  ▲                                │            EVALSHA cluster.lua        │
//!                  └───────────── Told ◀────────────┘◀────── PUBLISH roomcam:to:<node> ─────┘
//! ```
//! Redis decides who may enter ([`cluster.lua`](script), which Redis runs as one step) and holds who is where. Every node
//! has a copy of the rooms that its own clients are in ([`elsewhere`](crate::room::elsewhere)), and from that copy it answers
//! everything but a join: a signal between two clients of one node never leaves it.
//!
//! # State in Redis
//!
//! | key | what |
//! |---|---|
//! | `roomcam:nodes` | hash: node → number of its session. An older session is refused everything |
//! | `roomcam:alive:<node>` | there while the node lives: it has a time to live, and every beat renews it |
//! | `roomcam:clients:<node>` | hash: peer → room |
//! | `roomcam:room:<room>` | hash: peer → kind and node |
//! | `roomcam:run`, `roomcam:settling` | which start of Redis this is, and whether nodes are still coming back to it |
//! | `roomcam:buried:<node>` | it was taken for dead, and others have announced that its clients left |
//!
//! Rooms stand there under a hash of their id ([`hidden`]): in pair mode the id is the code.
//!
//! # One channel for each node
//!
//! What happens in a room goes to those nodes only that have somebody in it; a channel for each room would have every join
//! and leave change subscriptions. The script publishes in the same step in which it changes the state, so that all that a
//! node is told has one order, which is that of the changes. Therefore the answer to a join comes through the channel as well:
//! `JOINED` has its place between what happened before and after it. A signal is published to the one node that needs it.
//! What is published of a room is always the whole room as it now is. The node announces the difference to its copy:
//! nothing twice, and after a gap what was missed.
//!
//! # When something fails
//!
//! | what | what happens |
//! |---|---|
//! | a node dies | its `alive` runs out after the [lease](crate::Limits::cluster_lease); the first that notices buries it: the script takes its clients out, a piece at a time, and the nodes of their rooms announce `LEAVE` |
//! | it was not dead (stopped, cut off) | it learns so when it comes back. Its clients hear `LEAVE` of all others, as those have of them, then everybody is announced again. Who has lost the place to somebody else is dismissed with `ROOM_FULL` or `ROOM_MODE`: who is in Redis stays |
//! | Redis is out of reach, or hangs for longer than the [time-out](crate::Limits::cluster_timeout) | nobody leaves. Rooms that are here alone go on, and can be entered; other joins get `CLUSTER_UNAVAILABLE`; signals to other nodes are lost and counted |
//! | it is back | a new session: the node enters, removes what it has no more, restores what it has, and has every room of its own shown to it |
//! | Redis has started anew, with all, some or none of its data | as above, but nobody is let in and no difference is announced before all nodes that anybody knows are back, for one lease at most: `roomcam:settling` |
//! | the subscription breaks or falls silent | it is the same connection as the commands; a beat that the node does not hear itself ends the session, too |
//! | the queue to Redis is full | a join gets `CLUSTER_UNAVAILABLE`, a signal is lost; if a leave does not fit, a new session finds the difference |
//! | an orderly stop | clients in role rooms leave no word, as with a single server: they come back to another node before the lease is over, and streams go on. In pair rooms their place is given up at once |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use signal_proto::{Join, PeerId, RoomId};
use tokio::sync::{Notify, mpsc};

use crate::metrics::ClusterMetrics;
use crate::room::elsewhere::{NodeId, join_of, parts};

mod address;
mod link;
pub(crate) mod message;
mod script;

pub(crate) use address::GivenAddress;
pub use address::{ClusterAddress, ClusterError};
pub(crate) use link::Link;
pub(crate) use script::most;

/// Commands that wait for Redis.
const QUEUE: usize = 4096;
/// Bytes of signals that wait for Redis, unless a single one has more.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// What the hub wants of the other nodes.
#[derive(Debug)]
pub(crate) enum Command {
    Join {
        peer: PeerId,
        join: Join,
        /// Of this kind, in this room.
        most: usize,
        may_make: bool,
    },
    Leave {
        peer: PeerId,
        room: RoomId,
    },
    Signal {
        node: NodeId,
        from: PeerId,
        to: PeerId,
        message: Bytes,
    },
}

/// Redis is out of reach, or the queue to it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// The hub's end of the link to Redis.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    pub(crate) metrics: ClusterMetrics,
}

/// What both ends of the link look at.
#[derive(Debug, Default)]
struct Shared {
    /// Whether commands are taken.
    up: AtomicBool,
    /// Whether this node is a part of the cluster, with nothing outstanding.
    ready: AtomicBool,
    waiting_bytes: AtomicUsize,
    /// Something did not fit that must not be lost.
    behind: Notify,
    /// The last client has gone.
    empty: Notify,
}

/// Both ends of the link of one node.
pub(crate) fn channel(metrics: ClusterMetrics) -> (Handle, link::Queue) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let shared = Arc::<Shared>::default();
    (Handle { queue: sender, shared: Arc::clone(&shared), metrics }, link::Queue { receiver, shared })
}

impl Handle {
    /// Hands a command to the link, which carries them out in this order.
    pub(crate) fn post(&self, command: Command) -> Result<(), Unavailable> {
        if !self.is_up() {
            // Whoever leaves now is not found when the link comes back.
            return Err(Unavailable);
        }
        let (bytes, leaves) = (command.bytes(), matches!(command, Command::Leave { .. }));
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = bytes == 0 || waiting == 0 || waiting + bytes <= QUEUE_BYTES;
        if fits && self.queue.try_send(command).is_ok() {
            return Ok(());
        }
        self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if leaves {
            self.shared.behind.notify_one();
        }
        Err(Unavailable)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Whether the other nodes can be asked.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// The last client has gone: a link that only waits for that can end.
    pub(crate) fn is_empty_now(&self) {
        self.shared.empty.notify_one();
    }
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Signal { message, .. } => message.len(),
            Self::Join { .. } | Self::Leave { .. } => 0,
        }
    }
}

/// The same join, into the room under the name that it has in Redis, which tells the true one to nobody.
pub(crate) fn hidden(join: Join) -> Join {
    let (room, role) = parts(join);
    let mut context = Context::new(&SHA256);
    context.update(b"roomcam cluster room");
    context.update(room.as_bytes());
    let mut name = [0; 32];
    name.copy_from_slice(context.finish().as_ref());
    join_of(RoomId::from_bytes(name), role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn up() -> (Handle, link::Queue) {
        let ends = channel(Metrics::new().for_cluster());
        ends.0.shared.up.store(true, Ordering::Release);
        ends
    }

    fn leave() -> Command {
        Command::Leave { peer: PeerId::random(), room: RoomId::random() }
    }

    fn signal(bytes: usize) -> Command {
        let message = Bytes::from(vec![0; bytes]);
        Command::Signal { node: NodeId([0; 16]), from: PeerId::random(), to: PeerId::random(), message }
    }

    #[test]
    fn nothing_waits_for_a_redis_that_is_not_there() {
        let (handle, mut queue) = up();
        handle.shared.up.store(false, Ordering::Release);
        assert_eq!(handle.post(leave()), Err(Unavailable));
        assert!(queue.receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_leave_that_does_not_fit_asks_for_a_new_session() {
        let (handle, queue) = up();
        for _ in 0..QUEUE {
            handle.post(leave()).unwrap();
        }
        assert_eq!(handle.post(signal(1)), Err(Unavailable));
        assert_eq!(handle.post(leave()), Err(Unavailable));
        // Else it would wait for ever.
        queue.shared.behind.notified().await;
    }

    #[test]
    fn signals_wait_up_to_a_number_of_bytes() {
        let (handle, _queue) = up();
        handle.post(signal(QUEUE_BYTES + 1)).unwrap();
        assert_eq!(handle.post(signal(1)), Err(Unavailable));
        handle.post(leave()).unwrap();
    }

    #[test]
    fn redis_does_not_learn_a_room_id() {
        let room = RoomId::from_bytes([0x5a; 32]);
        let (hidden_id, role) = parts(hidden(Join::Pair { room }));
        assert_ne!(hidden_id, room);
        assert_eq!(role, None);
        assert_eq!(hidden(Join::Pair { room }), hidden(Join::Pair { room }));
    }
}
