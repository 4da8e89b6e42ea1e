//! The viewers: one task each, with its session, its connection and its share of the encoded frames.
//!
//! ```text
//!   signals from the room ──▶ Admission (who may) ──▶ Wire (opens) ──▶ Session (what to do) ──▶ Connection ──▶ viewer
//!                                                                            ▲                      ▲
//!                                                                 events ────┘        Subscription ─┘ frames
//! ```

pub(crate) mod admission;
mod connection;
mod rate;
mod sdp;
mod session;
mod socket;
pub(crate) mod wire;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use signal_proto::{ByeReason, IceServer, PeerId, PictureState, RawValue, Signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tracing::Instrument as _;

use crate::fanout::{Fanout, Subscription};
use crate::signaling::Outgoing;
use connection::{Connection, ConnectionEvent, Transport};
use session::{Action, Event, Outcome, Session};
use wire::{Received, Wire};

pub use session::Mode;

/// Signals that may wait for a viewer's task: a description and a burst of candidates.
const INPUTS: usize = 128;

/// Connections that may be closing while as many others are open.
const CLOSING: usize = 8;

/// Closing one connection, at most.
const CLOSE: Duration = Duration::from_secs(2);

/// What a viewer's task is told.
#[derive(Debug)]
enum Input {
    /// The viewer signaled; as it came.
    Signal(Box<RawValue>),
    /// The viewer left the room.
    Left,
    /// The signaling connection is gone.
    Detached,
    /// The camera ends the session.
    Stop(ByeReason),
}

/// The camera's viewers by their peer id.
#[derive(Debug)]
pub struct Viewers {
    fanout: Fanout,
    picture: watch::Receiver<Option<PictureState>>,
    outgoing: mpsc::Sender<Outgoing>,
    limit: usize,
    ice_servers: Vec<IceServer>,
    /// Those whom the room knows.
    attached: HashMap<PeerId, mpsc::Sender<Input>>,
    /// Those who stayed when the signaling connection was lost: they watch on, but have no address any more.
    detached: Vec<mpsc::Sender<Input>>,
    tasks: JoinSet<()>,
}

impl Viewers {
    /// No viewers yet; `limit` at once.
    pub fn new(
        fanout: Fanout,
        picture: watch::Receiver<Option<PictureState>>,
        outgoing: mpsc::Sender<Outgoing>,
        limit: usize,
    ) -> Self {
        Self {
            fanout,
            picture,
            outgoing,
            limit,
            ice_servers: Vec::new(),
            attached: HashMap::new(),
            detached: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// STUN and TURN servers for the connections to come.
    pub fn use_ice_servers(&mut self, ice_servers: Vec<IceServer>) {
        self.ice_servers = ice_servers;
    }

    /// How many there are, whether the room knows them or not.
    pub fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Whether the room has this viewer.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.attached.contains_key(&peer)
    }

    /// Begins a session, or says that there are enough.
    pub(crate) fn welcome(&mut self, peer: PeerId, mode: Mode, mut wire: Wire) {
        if self.knows(peer) {
            return;
        }
        // A place is free at once when a viewer leaves, its connection takes a moment more: those are bounded too.
        if self.attached.len() >= self.limit || self.tasks.len() >= 3 * self.limit + CLOSING {
            tracing::info!(%peer, limit = self.limit, "a viewer too many was turned away");
            if mode == Mode::Role {
                send(&self.outgoing, peer, &mut wire, &Signal::Bye(ByeReason::Busy));
            }
            return;
        }
        self.make_room();
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let viewer = Viewer {
            peer,
            session: Session::new(mode),
            wire,
            ice_servers: self.ice_servers.clone(),
            fanout: self.fanout.clone(),
            picture: self.picture.clone(),
            outgoing: self.outgoing.clone(),
            inputs: receiver,
        };
        self.attached.insert(peer, inputs);
        self.tasks.spawn(viewer.run().instrument(tracing::info_span!("viewer", %peer)));
    }

    /// Passes a viewer's signal on. A viewer that floods its own queue loses its session.
    pub fn signal(&mut self, peer: PeerId, signal: Box<RawValue>) {
        let Some(inputs) = self.attached.get(&peer) else { return };
        if inputs.try_send(Input::Signal(signal)).is_err() {
            tracing::warn!(%peer, "the viewer sends faster than it can be served, or is gone");
            self.attached.remove(&peer);
        }
    }

    /// The viewer left the room.
    pub fn left(&mut self, peer: PeerId) {
        if let Some(inputs) = self.attached.remove(&peer) {
            // Full or closed: dropping the sender ends the session as well.
            let _ = inputs.try_send(Input::Left);
        }
    }

    /// The signaling connection is lost: streams go on, negotiations end.
    pub fn detach(&mut self) {
        let detach =
            |(_, inputs): (PeerId, mpsc::Sender<Input>)| inputs.try_send(Input::Detached).is_ok().then_some(inputs);
        self.detached.extend(self.attached.drain().filter_map(detach));
    }

    /// Streams that outlived the signaling connection must not pile up when it breaks again and again.
    fn make_room(&mut self) {
        while self.attached.len() + self.detached.len() >= 2 * self.limit && !self.detached.is_empty() {
            // The oldest; without a sender its session ends as if the viewer had left.
            self.detached.remove(0);
        }
    }

    /// Waits until a session is over. Safe to cancel; never returns while there are none.
    pub async fn gone(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!(%error, "a viewer's task broke"),
            None => std::future::pending().await,
        }
        self.attached.retain(|_, inputs| !inputs.is_closed());
        self.detached.retain(|inputs| !inputs.is_closed());
    }

    /// Ends every session, in order where the time allows it.
    pub async fn stop(mut self) {
        for inputs in self.attached.values().chain(&self.detached) {
            let _ = inputs.try_send(Input::Stop(ByeReason::Stopping));
        }
        self.attached.clear();
        self.detached.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Viewer {
    peer: PeerId,
    session: Session,
    wire: Wire,
    ice_servers: Vec<IceServer>,
    fanout: Fanout,
    picture: watch::Receiver<Option<PictureState>>,
    outgoing: mpsc::Sender<Outgoing>,
    inputs: mpsc::Receiver<Input>,
}

impl Viewer {
    async fn run(mut self) {
        let began = Instant::now();
        let connection = Connection::open(&self.ice_servers, self.fanout.commands().clone()).await;
        let outcome = match connection {
            Ok(mut connection) => {
                let outcome = self.serve(&mut connection).await;
                if timeout(CLOSE, connection.close()).await.is_err() {
                    tracing::warn!("the connection took too long to close");
                }
                outcome
            }
            Err(error) => {
                tracing::error!(%error, "no connection could be opened");
                let mut actions = Vec::new();
                self.session.handle(Event::Failed, Instant::now(), &mut actions);
                for action in actions {
                    if let Action::Send(signal) = action {
                        self.send(&signal);
                    }
                }
                Outcome::Failed
            }
        };
        tracing::info!(?outcome, seconds = began.elapsed().as_secs(), "viewer gone");
    }

    async fn serve(&mut self, connection: &mut Connection) -> Outcome {
        let began = Instant::now();
        let mut frames: Option<Subscription> = None;
        let state = shown(&mut self.picture);
        self.session.handle(Event::Picture(state), Instant::now(), &mut Vec::new());
        let mut event = Event::Start;
        loop {
            let mut actions = Vec::new();
            self.session.handle(event, Instant::now(), &mut actions);
            // Some actions have an event as their result, which may lead to more of them.
            let mut index = 0;
            while index < actions.len() {
                let action = std::mem::replace(&mut actions[index], Action::StartMedia);
                index += 1;
                let result = match action {
                    Action::Close(outcome) => return outcome,
                    Action::Send(signal) => {
                        if self.send(&signal) {
                            continue;
                        }
                        return Outcome::Failed;
                    }
                    Action::StartMedia => {
                        tracing::info!(millis = began.elapsed().as_millis(), "viewer connected");
                        frames = Some(self.fanout.subscribe());
                        continue;
                    }
                    Action::AddCandidate(candidate) => {
                        connection.add_candidate(candidate).await;
                        continue;
                    }
                    Action::CreateOffer => connection.create_offer().await.map(|sdp| Some(Event::Offered(sdp.into()))),
                    Action::AcceptAnswer(sdp) => connection.accept_answer(sdp.0).await.map(|()| None),
                    Action::AcceptOffer(sdp) => {
                        connection.accept_offer(sdp.0).await.map(|sdp| Some(Event::Answered(sdp.into())))
                    }
                };
                let next = result.unwrap_or_else(|error| {
                    tracing::warn!(%error, "negotiation failed");
                    Some(Event::Failed)
                });
                if let Some(next) = next {
                    self.session.handle(next, Instant::now(), &mut actions);
                }
            }
            event = self.wait(connection, &mut frames).await;
        }
    }

    /// Sends frames until something happens that the session must know of.
    async fn wait(&mut self, connection: &mut Connection, frames: &mut Option<Subscription>) -> Event {
        loop {
            let deadline = self.session.deadline();
            tokio::select! {
                biased;
                input = self.inputs.recv() => match input.unwrap_or(Input::Left) {
                    Input::Left => return Event::Left,
                    Input::Detached => return Event::Detached,
                    Input::Stop(reason) => return Event::Stop(reason),
                    Input::Signal(raw) => match self.wire.decode(&raw) {
                        Received::Signal(signal) => {
                            tracing::debug!(signal = signal.name(), "received");
                            return Event::Remote(signal);
                        }
                        Received::Nothing => {}
                        Received::Broken => {
                            tracing::warn!("a sealed message was interfered with: the session ends");
                            return Event::Failed;
                        }
                    },
                },
                event = connection.event() => match event {
                    ConnectionEvent::Candidate(candidate) => return Event::LocalCandidate(candidate),
                    ConnectionEvent::Transport(Transport::Connected) => return Event::Connected,
                    ConnectionEvent::Transport(Transport::Failed) => return Event::Failed,
                    ConnectionEvent::Transport(Transport::Pending) => {}
                },
                () = tick(deadline) => return Event::Tick,
                state = changed(&mut self.picture) => return Event::Picture(state),
                frame = next(frames) => match frame {
                    Some(frame) => {
                        if let Err(error) = connection.send(&frame).await {
                            tracing::trace!(%error, "a frame was not sent");
                        }
                    }
                    // The encoder has stopped, and so will the agent.
                    None => *frames = None,
                },
            }
        }
    }

    fn send(&mut self, signal: &Signal) -> bool {
        send(&self.outgoing, self.peer, &mut self.wire, signal)
    }
}

/// Hands a signal to the signaling task; false if that is so far behind that the session has no future.
fn send(outgoing: &mpsc::Sender<Outgoing>, to: PeerId, wire: &mut Wire, signal: &Signal) -> bool {
    let Some(sealed) = wire.encode(signal) else {
        tracing::warn!(signal = signal.name(), "a signal is too long to be sealed");
        return false;
    };
    let sent = outgoing.try_send(Outgoing { to, kind: signal.name(), signal: sealed }).is_ok();
    if !sent {
        tracing::warn!("the signaling server does not take signals fast enough");
    }
    sent
}

async fn next(frames: &mut Option<Subscription>) -> Option<crate::encoder::EncodedFrame> {
    match frames {
        Some(frames) => frames.next().await,
        None => std::future::pending().await,
    }
}

/// No source yet is no picture.
fn shown(picture: &mut watch::Receiver<Option<PictureState>>) -> PictureState {
    picture.borrow_and_update().unwrap_or(PictureState::Lost)
}

async fn changed(picture: &mut watch::Receiver<Option<PictureState>>) -> PictureState {
    match picture.changed().await {
        Ok(()) => shown(picture),
        // The frame path has ended, and so will the agent.
        Err(_) => std::future::pending().await,
    }
}

async fn tick(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
