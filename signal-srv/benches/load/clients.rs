//! Clients in rooms of two, each a task: it joins, signals when it is told to, and answers when that is the game.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::dialect::{Dialect, Heard};
use crate::link::{CLOSE, Frame, Link, PING, Prepared, Target};

/// Rooms whose clients connect from one address: fewer than a server lets one address have by default.
const ROOMS_OF_AN_ADDRESS: usize = 50;
/// An answer that takes longer is none.
const ANSWER: Duration = Duration::from_secs(60);
/// Attempts of one client to get in.
const ATTEMPTS: usize = 8;

/// Rows of signals that one room exchanges before another takes its turn.
const TURNS: u8 = 4;

pub struct Plan {
    pub target: Target,
    pub dialect: Dialect,
    pub clients: usize,
    /// Bytes of a signal.
    pub size: usize,
    /// Signals that a client sends in a row when the server is saturated.
    pub burst: u64,
    /// Third byte of the first address that clients connect from.
    pub network: u8,
}

/// What all clients share; they are in one thread.
pub struct Shared {
    plan: Plan,
    /// Who takes part, by number; room `n` has clients `2n` and `2n + 1`.
    commands: RefCell<Vec<UnboundedSender<Signal>>>,
    ids: RefCell<Vec<String>>,
    sent_at: RefCell<Vec<Instant>>,
    /// The number of the last signal that each has got.
    last: RefCell<Vec<u64>>,
    turns: RefCell<Vec<u8>>,
    /// Signals of a row that a room still waits for.
    waiting: RefCell<Vec<u64>>,
    /// So many rooms are busy, if signals are answered at once.
    window: Cell<Option<usize>>,
    pub arrived: Cell<u64>,
    pub sent: Cell<u64>,
    pub disorder: Cell<u64>,
    /// Time from one client to the other, in nanoseconds, while anybody wants to know.
    pub times: RefCell<Option<Vec<u64>>>,
    joined: Cell<usize>,
    pub lost: Cell<u64>,
    pub refused: Cell<u64>,
    pub reasons: RefCell<BTreeMap<String, u64>>,
    changed: Notify,
}

/// A client is to send so many.
struct Signal(u64);

pub struct Crowd {
    pub shared: Rc<Shared>,
    tasks: JoinSet<()>,
}

impl Crowd {
    pub fn new(plan: Plan) -> Self {
        let clients = plan.clients;
        let shared = Shared {
            plan,
            commands: RefCell::default(),
            ids: RefCell::new(vec![String::new(); clients]),
            sent_at: RefCell::new(vec![Instant::now(); clients]),
            last: RefCell::default(),
            turns: RefCell::default(),
            waiting: RefCell::default(),
            window: Cell::default(),
            arrived: Cell::default(),
            sent: Cell::default(),
            disorder: Cell::default(),
            times: RefCell::default(),
            joined: Cell::default(),
            lost: Cell::default(),
            refused: Cell::default(),
            reasons: RefCell::default(),
            changed: Notify::new(),
        };
        Self { shared: Rc::new(shared), tasks: JoinSet::new() }
    }

    /// Everybody joins, at most so many at once. False if somebody could not.
    pub async fn join(&mut self, at_once: usize) -> bool {
        let clients = self.shared.plan.clients;
        let places = Rc::new(Semaphore::new(at_once));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..clients).map(|_| unbounded_channel()).unzip();
        *self.shared.commands.borrow_mut() = senders;
        *self.shared.last.borrow_mut() = vec![0; clients];
        *self.shared.turns.borrow_mut() = vec![0; clients / 2];
        *self.shared.waiting.borrow_mut() = vec![0; clients / 2];
        self.shared.joined.set(0);
        let gone = self.shared.lost.get();
        for (number, receiver) in receivers.into_iter().enumerate() {
            let (shared, places) = (Rc::clone(&self.shared), Rc::clone(&places));
            self.tasks.spawn_local(async move {
                let place = places.acquire().await;
                let link = shared.get_in(number).await;
                drop(place);
                shared.joined.set(shared.joined.get() + 1);
                shared.changed.notify_one();
                let Some(link) = link else { return shared.lost.set(shared.lost.get() + 1) };
                if let Err(error) = shared.live(number, link, receiver).await {
                    shared.lost.set(shared.lost.get() + 1);
                    shared.note(format!("lost: {error}"));
                }
            });
        }
        while self.shared.joined.get() < clients {
            self.shared.changed.notified().await;
        }
        self.shared.lost.get() == gone
    }

    /// All connections are gone at once, without a goodbye.
    pub async fn vanish(&mut self) {
        self.tasks.shutdown().await;
    }

    pub fn rooms(&self) -> usize {
        self.shared.plan.clients / 2
    }

    /// This client sends one signal.
    pub fn signal(&self, client: usize) {
        self.shared.signal(client, 1);
    }

    /// So many rooms at a time talk as fast as they can, each in its turn.
    pub fn saturate(&self, rooms: usize) {
        let rooms = rooms.min(self.rooms());
        self.shared.window.set(Some(rooms));
        for room in 0..rooms {
            self.shared.begin(room);
        }
    }

    /// Nobody answers any more; what is on the way arrives.
    pub async fn calm(&self) {
        self.shared.window.set(None);
        let mut before = u64::MAX;
        while before != self.shared.arrived.get() {
            before = self.shared.arrived.get();
            sleep(Duration::from_millis(300)).await;
        }
    }
}

impl Shared {
    fn source(&self, client: usize) -> Ipv4Addr {
        let address = client / 2 / ROOMS_OF_AN_ADDRESS;
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Ipv4Addr::new(127, self.plan.network, byte(address / 250), byte(address % 250 + 1))
    }

    fn note(&self, reason: String) {
        *self.reasons.borrow_mut().entry(reason).or_default() += 1;
    }

    /// Connects and joins; tries again if it is turned away.
    async fn get_in(&self, client: usize) -> Option<Link> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                let spread = u64::try_from(client % 97).unwrap_or(0);
                sleep(Duration::from_millis(100 + 10 * spread)).await;
            }
            match timeout(ANSWER, self.enter(client)).await {
                Ok(Ok(link)) => return Some(link),
                Ok(Err(error)) => self.note(format!("refused: {error}")),
                Err(_) => self.note("refused: no answer".to_owned()),
            }
            self.refused.set(self.refused.get() + 1);
        }
        None
    }

    async fn enter(&self, client: usize) -> io::Result<Link> {
        let Plan { target, dialect, .. } = &self.plan;
        let (room, seat) = (client / 2, client % 2);
        let mut link = target.connect(client, self.source(client), &dialect.path(room, seat)).await?;
        loop {
            let frame = link.next().await?;
            match self.hear(&mut link, &frame).await? {
                Heard::Hello { id } => {
                    self.ids.borrow_mut()[client] = id;
                    match dialect.join(room) {
                        Some(join) => link.send(&Prepared::new(dialect.opcode(), &join)).await?,
                        None => return Ok(link),
                    }
                }
                Heard::Joined => return Ok(link),
                Heard::Signal { .. } | Heard::Other => {}
            }
        }
    }

    /// Understands a frame and answers pings.
    async fn hear(&self, link: &mut Link, frame: &Frame) -> io::Result<Heard> {
        match frame.opcode {
            PING => link.pong(&frame.payload).await.map(|()| Heard::Other),
            CLOSE => Err(io::Error::other("closed by the server")),
            _ => self.plan.dialect.hear(&frame.payload).map_err(io::Error::other),
        }
    }

    async fn live(&self, client: usize, mut link: Link, mut told: UnboundedReceiver<Signal>) -> io::Result<()> {
        let mut message: Option<Prepared> = None;
        let mut number = 0;
        loop {
            let Signal(count) = tokio::select! {
                frame = link.next() => match self.hear(&mut link, &frame?).await? {
                    Heard::Signal { number } => self.arrived(client, number),
                    _ => continue,
                },
                told = told.recv() => match told {
                    Some(told) => told,
                    None => return Ok(()),
                },
            };
            if count > 0 {
                let message = message.get_or_insert_with(|| self.message(client));
                self.sent.set(self.sent.get() + count);
                self.sent_at.borrow_mut()[client] = Instant::now();
                for _ in 0..count {
                    number += 1;
                    message.number(number);
                    link.put(message).await?;
                }
                link.flush().await?;
            }
        }
    }

    fn message(&self, client: usize) -> Prepared {
        let Plan { dialect, size, .. } = self.plan;
        let ids = self.ids.borrow();
        Prepared::new(dialect.opcode(), &dialect.signal(&ids[client], &ids[client ^ 1], size))
    }

    /// A signal has arrived; so many are the answer.
    fn arrived(&self, client: usize, number: u64) -> Signal {
        if let Some(times) = self.times.borrow_mut().as_mut() {
            let time = self.sent_at.borrow()[client ^ 1].elapsed();
            times.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        self.arrived.set(self.arrived.get() + 1);
        let last = std::mem::replace(&mut self.last.borrow_mut()[client], number);
        if number != last + 1 {
            self.disorder.set(self.disorder.get() + 1);
        }
        let Some(window) = self.window.get() else { return Signal(0) };
        let room = client / 2;
        {
            let waiting = &mut self.waiting.borrow_mut()[room];
            *waiting = waiting.saturating_sub(1);
            if *waiting > 0 {
                return Signal(0);
            }
            *waiting = self.plan.burst;
        }
        let left = {
            let turns = &mut self.turns.borrow_mut()[room];
            *turns = turns.saturating_sub(1);
            *turns
        };
        if left == 0 {
            self.begin((room + window) % (self.plan.clients / 2));
            return Signal(0);
        }
        Signal(self.plan.burst)
    }

    fn begin(&self, room: usize) {
        self.turns.borrow_mut()[room] = TURNS;
        self.waiting.borrow_mut()[room] = self.plan.burst;
        self.signal(2 * room, self.plan.burst);
    }

    fn signal(&self, client: usize, count: u64) {
        // One that has been lost is counted already.
        let _ = self.commands.borrow()[client].send(Signal(count));
    }
}
