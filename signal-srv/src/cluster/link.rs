//! The link of one node to Redis: comes up, keeps alive, carries out what the hub wants, hands it what it is told, comes back.
//!
//! ```text
//!          connect, SUBSCRIBE, enter, restore, show            beat, commands
//!   down ────────────────────────────────────────────▶ up ────────────────────▶ (the server stops)
//!    ▲                                                  │
//!    └── 0.1 s to 2 s, random ── a time-out, a break, a beat unheard, taken for dead, something lost
//! ```
//! Both halves of a session run in one task: one awaits answers, the other hands on what is pushed meanwhile.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, Value, cmd, pipe};
use signal_proto::PeerId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::address::{ClusterError, said};
use super::message::{Relayed, Told};
use super::script::{self, Beaten, Script, Unexpected};
use super::{ClusterAddress, Command, Shared};
use crate::Limits;
use crate::hub::Hub;
use crate::room::elsewhere::NodeId;

/// Commands that travel together: what came while the ones before were under way.
const BATCH: usize = 256;
/// What Redis may tell us faster than it is handed on.
const PUSHES: usize = 8192;
const PUSHED_BYTES: usize = 64 * 1024 * 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The link's end of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) receiver: mpsc::Receiver<Command>,
    pub(super) shared: Arc<Shared>,
}

/// One node's link, and what it remembers from one session to the next.
#[derive(Debug)]
pub(crate) struct Link {
    client: redis::Client,
    hub: Arc<Hub>,
    queue: Queue,
    lease: Duration,
    patience: Duration,
    shutdown: CancellationToken,
    node: NodeId,
    session: u64,
    /// The start of Redis that the last session was with.
    run: String,
    /// The nodes that there were.
    nodes: Vec<NodeId>,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{}", said(.0))]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
    #[error("no answer in time")]
    Hangs,
    #[error("the connection broke")]
    Broken,
    #[error("what is published does not arrive")]
    Deaf,
    #[error("more was published, or was to be said, than could be dealt with")]
    Behind,
}

/// What both halves of a session share.
#[derive(Debug)]
struct Session<'a> {
    connection: MultiplexedConnection,
    script: Script,
    run: String,
    hub: &'a Hub,
    /// The last of its own signs of life that it has heard.
    heard: AtomicU64,
    /// Something was not announced, because not all nodes are back.
    frozen: AtomicBool,
    pushed_bytes: Arc<AtomicUsize>,
}

impl Link {
    /// # Errors
    /// If the address, or the authority for its certificate, cannot be used.
    pub(crate) fn new(
        address: &ClusterAddress,
        authority: Option<&Path>,
        hub: Arc<Hub>,
        queue: Queue,
        limits: &Limits,
        shutdown: CancellationToken,
    ) -> Result<Self, ClusterError> {
        let client = address.client(authority)?;
        if address.is_in_the_open() {
            warn!("what is said to Redis can be read and changed on the way; use rediss:// outside of this machine");
        }
        let (lease, patience) = (limits.cluster_lease, limits.cluster_timeout);
        let (run, nodes, session) = (String::new(), Vec::new(), 0);
        let node = NodeId(*PeerId::random().as_bytes());
        Ok(Self { client, hub, queue, lease, patience, shutdown, node, session, run, nodes })
    }

    /// Keeps the link until the server has stopped and its last client has gone.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut is_news = true;
        let shared = Arc::clone(&self.queue.shared);
        loop {
            let ended = self.session().await;
            shared.up.store(false, Ordering::Release);
            let was_ready = shared.ready.swap(false, Ordering::AcqRel);
            self.hub.lose_cluster();
            let Err(fault) = ended else { return };
            is_news |= was_ready;
            if was_ready {
                pause = FIRST_PAUSE;
            }
            match (&fault, is_news) {
                (Fault::Unexpected(Unexpected::Gone) | Fault::Deaf | Fault::Behind, true) => {
                    warn!(error = %fault, "cluster: a new session with Redis is needed");
                }
                (_, true) => error!(
                    error = %fault,
                    "cluster: Redis is out of reach. Rooms that are here alone go on, other joins are refused; it is \
                     tried again every other second"
                ),
                (_, false) => debug!(error = %fault, "cluster: Redis is still out of reach"),
            }
            is_news = false;
            tokio::select! {
                () = sleep(pause.mul_f64(random_unit())) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = drained(&self.hub, &shared, &self.shutdown) => return,
            }
        }
    }

    /// One session. `Ok` is the end of the server.
    async fn session(&mut self) -> Result<(), Fault> {
        let (sender, pushes) = mpsc::channel(PUSHES);
        let overflow = CancellationToken::new();
        let pushed_bytes = Arc::<AtomicUsize>::default();
        let push = pusher(sender, Arc::clone(&pushed_bytes), overflow.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience))
            .set_push_sender(push);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(self.patience, connecting).await.map_err(|_| Fault::Hangs)??;
        self.session += 1;
        let mut session = Session {
            connection,
            script: Script { sha: String::new(), node: self.node, session: self.session },
            run: String::new(),
            hub: &Arc::clone(&self.hub),
            heard: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            pushed_bytes,
        };
        session.script.sha = load(&mut session.connection).await?;
        session.run = run_id(&mut session.connection).await?;
        session.connection.subscribe(script::channel(self.node)).await?;
        let shared = Arc::clone(&self.queue.shared);
        tokio::select! {
            Err(fault) = session.hear(pushes) => Err(fault),
            ended = self.speak(&session) => ended,
            () = overflow.cancelled() => Err(Fault::Behind),
            () = shared.behind.notified() => Err(Fault::Behind),
        }
    }

    /// Everything that is said to Redis, in order.
    async fn speak(&mut self, session: &Session<'_>) -> Result<(), Fault> {
        let mut known = self.hub.other_nodes();
        known.extend(&self.nodes);
        let entered = session.script.enter(self.lease, &session.run, &self.run, &known);
        let entered = script::entered(session.ask(&entered).await?)?;
        self.run.clone_from(&session.run);
        self.hub.count_session();
        let begin = Instant::now();

        // From here on the hub's commands are for this session. What happened before is in what it has now.
        let shared = Arc::clone(&self.queue.shared);
        while let Ok(command) = self.queue.receiver.try_recv() {
            shared.waiting_bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        }
        shared.up.store(true, Ordering::Release);
        if entered.buried {
            self.hub.forget_others();
        }
        self.restore(session, &entered).await?;
        session.show_all().await?;

        let mut number = 0;
        // A sign of life that it should hear itself, and since when.
        let mut unheard = (0, Instant::now());
        let mut commands = Vec::with_capacity(BATCH);
        let mut next_beat = Instant::now();
        loop {
            tokio::select! {
                _ = self.queue.receiver.recv_many(&mut commands, BATCH) => {
                    session.carry_out(&mut commands, &shared).await?;
                }
                // Here, where nothing that was taken out of the queue is under way.
                () = drained(&self.hub, &shared, &self.shutdown) => {
                    // What the last clients left behind; nobody waits for more than one answer.
                    while let Ok(command) = self.queue.receiver.try_recv() {
                        commands.push(command);
                    }
                    return session.carry_out(&mut commands, &shared).await.or(Ok(()));
                }
                () = sleep_until(next_beat) => {
                    if session.heard.load(Ordering::Relaxed) >= unheard.0 {
                        unheard = (number + 1, Instant::now());
                    } else if unheard.1.elapsed() >= self.patience {
                        return Err(Fault::Deaf);
                    }
                    number += 1;
                    let beat = session.script.beat(self.lease, &session.run, number);
                    let Beaten { settled, nodes, dead } = script::beaten(session.ask(&beat).await?)?;
                    self.hub.count_nodes(nodes.len());
                    self.nodes = nodes;
                    if settled && session.frozen.swap(false, Ordering::AcqRel) {
                        session.show_all().await?;
                    }
                    if settled && !shared.ready.swap(true, Ordering::AcqRel) {
                        info!(nodes = self.nodes.len(), "cluster: joined");
                    }
                    // After a start of Redis nobody's lease has been renewed for a while.
                    if begin.elapsed() >= self.lease {
                        session.bury(&dead).await?;
                    }
                    next_beat = Instant::now() + if settled { self.lease / 4 } else { self.lease / 20 };
                }
            }
        }
    }

    /// Makes Redis have the clients that are here, and no others of this node.
    async fn restore(&self, session: &Session<'_>, entered: &script::Entered) -> Result<(), Fault> {
        let here = self.hub.here();
        let mut calls: Vec<(Cmd, Option<PeerId>)> = Vec::new();
        for (peer, room) in &entered.clients {
            // Others have announced that all have left; so it is for all alike.
            if entered.buried || !here.contains_key(peer) {
                calls.push((session.script.leave(*peer, *room), None));
            }
        }
        let max_viewers = self.hub.max_viewers();
        for (peer, join) in here {
            let most = script::most(join, max_viewers);
            calls.push((session.script.restore(peer, join, most), Some(peer)));
        }
        let mut beaten = Instant::now();
        for calls in calls.chunks(BATCH) {
            let mut batch = pipe();
            for (call, _) in calls {
                batch.add_command(call.clone());
            }
            for (value, (_, peer)) in session.ask_all(&batch).await?.into_iter().zip(calls) {
                if let (Err(code), Some(peer)) = (script::admission(value)?, peer) {
                    self.hub.dismiss(*peer, code);
                }
            }
            if beaten.elapsed() >= self.lease / 4 {
                beaten = Instant::now();
                script::beaten(session.ask(&session.script.beat(self.lease, "", 0)).await?)?;
            }
        }
        Ok(())
    }
}

impl Session<'_> {
    /// Hands on what Redis pushes.
    async fn hear(&self, mut pushes: mpsc::Receiver<PushInfo>) -> Result<Infallible, Fault> {
        let mut relays = Relays::default();
        while let Some(push) = pushes.recv().await {
            self.pushed_bytes.fetch_sub(size(&push), Ordering::Relaxed);
            match push.kind {
                PushKind::Message => {}
                PushKind::Disconnection => return Err(Fault::Broken),
                _ => continue,
            }
            let Some(Value::BulkString(bytes)) = push.data.into_iter().nth(1) else { continue };
            match Told::decode(&Bytes::from(bytes)) {
                Ok(Told::Beat(number)) => {
                    self.heard.fetch_max(number, Ordering::Relaxed);
                }
                Ok(Told::Room(room)) if room.settling => self.frozen.store(true, Ordering::Release),
                Ok(Told::Room(room)) => self.hub.room_is(&room, self.script.node),
                Ok(Told::Signal(signal)) if relays.are_behind(&signal) => {}
                Ok(Told::Signal(signal)) => self.hub.relay(signal),
                Err(error) => warn!(%error, "cluster: something that is not understood was dropped"),
            }
        }
        Err(Fault::Broken)
    }

    async fn ask(&self, command: &Cmd) -> Result<Value, Fault> {
        match self.connection.clone().send_packed_command(command).await {
            Err(error) if error.is_timeout() => Err(Fault::Hangs),
            answer => Ok(answer?),
        }
    }

    async fn ask_all(&self, batch: &Pipeline) -> Result<Vec<Value>, Fault> {
        let count = batch.len();
        match self.connection.clone().send_packed_commands(batch, 0, count).await {
            Ok(values) if values.len() == count => Ok(values),
            Ok(_) => Err(Unexpected::Form.into()),
            Err(error) if error.is_timeout() => Err(Fault::Hangs),
            Err(error) => Err(error.into()),
        }
    }

    /// What the hub wants, all at once.
    async fn carry_out(&self, commands: &mut Vec<Command>, shared: &Shared) -> Result<(), Fault> {
        if commands.is_empty() {
            return Ok(());
        }
        let mut batch = pipe();
        for command in &*commands {
            shared.waiting_bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
            match command {
                Command::Join { peer, join, most, may_make } => {
                    batch.add_command(self.script.join(*peer, *join, *most, *may_make));
                }
                Command::Leave { peer, room } => {
                    batch.add_command(self.script.leave(*peer, *room));
                }
                Command::Signal { node, from, to, message } => {
                    let Script { node: own, session, .. } = self.script;
                    let signal = Relayed { node: own, session, from: *from, to: *to, message: message.clone() };
                    batch.add_command(cmd("PUBLISH").arg(script::channel(*node)).arg(signal.encode()).take());
                }
            }
        }
        let answers = self.ask_all(&batch).await?;
        for (command, answer) in commands.drain(..).zip(answers) {
            match command {
                // Who was let in hears it through the channel, in its order.
                Command::Join { peer, .. } => {
                    if let Err(code) = script::admission(answer)? {
                        self.hub.refuse(peer, code);
                    }
                }
                Command::Leave { .. } => script::done(answer)?,
                Command::Signal { .. } => self.hub.sent(script::number(answer)? > 0),
            }
        }
        Ok(())
    }

    /// Has all rooms of this node shown to it.
    async fn show_all(&self) -> Result<(), Fault> {
        for rooms in self.hub.room_ids().chunks(BATCH) {
            let mut batch = pipe();
            for room in rooms {
                batch.add_command(self.script.show(*room));
            }
            for answer in self.ask_all(&batch).await? {
                script::done(answer)?;
            }
        }
        Ok(())
    }

    async fn bury(&self, dead: &[NodeId]) -> Result<(), Fault> {
        for node in dead {
            while script::number(self.ask(&self.script.bury(*node)).await?)? != 0 {}
            info!("cluster: a node is gone, its clients have left");
        }
        Ok(())
    }
}

/// The newest session that was heard of each node: what an older one of it left in a socket comes too late.
#[derive(Debug, Default)]
struct Relays(std::collections::HashMap<NodeId, u64>);

impl Relays {
    fn are_behind(&mut self, signal: &Relayed) -> bool {
        let newest = self.0.entry(signal.node).or_default();
        let is_old = signal.session < *newest;
        *newest = signal.session.max(*newest);
        is_old
    }
}

/// Takes what is pushed without ever waiting; too much of it ends the session, so that nothing is missed unnoticed.
fn pusher(
    sender: mpsc::Sender<PushInfo>,
    bytes: Arc<AtomicUsize>,
    overflow: CancellationToken,
) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync + 'static {
    move |push| {
        let waiting = bytes.fetch_add(size(&push), Ordering::Relaxed);
        if waiting > PUSHED_BYTES {
            overflow.cancel();
            return Err(SendError);
        }
        sender.try_send(push).map_err(|error| {
            if matches!(error, mpsc::error::TrySendError::Full(_)) {
                overflow.cancel();
            }
            SendError
        })
    }
}

fn size(push: &PushInfo) -> usize {
    push.data.iter().map(|value| if let Value::BulkString(bytes) = value { bytes.len() } else { 0 }).sum()
}

async fn load(connection: &mut MultiplexedConnection) -> Result<String, Fault> {
    match connection.send_packed_command(cmd("SCRIPT").arg("LOAD").arg(script::SOURCE)).await? {
        Value::BulkString(sha) => String::from_utf8(sha).map_err(|_| Unexpected::Form.into()),
        Value::ServerError(error) => Err(Unexpected::Server(error.code().to_owned()).into()),
        _ => Err(Unexpected::Form.into()),
    }
}

/// What Redis calls itself from one start to the next.
async fn run_id(connection: &mut MultiplexedConnection) -> Result<String, Fault> {
    let info: String = match connection.send_packed_command(cmd("INFO").arg("server")).await? {
        Value::ServerError(error) => return Err(Unexpected::Server(error.code().to_owned()).into()),
        info => redis::from_redis_value(info).map_err(|_| Unexpected::Form)?,
    };
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.map(|id| id.trim().to_owned()).ok_or(Unexpected::Form.into())
}

/// Returns once the server stops and its last client has gone.
async fn drained(hub: &Hub, shared: &Shared, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    while !hub.is_empty() {
        shared.empty.notified().await;
    }
}

/// Between 0 and 1, so that nodes do not come back in step.
fn random_unit() -> f64 {
    let [first, second, ..] = *PeerId::random().as_bytes();
    f64::from(u16::from_be_bytes([first, second])) / f64::from(u16::MAX)
}
