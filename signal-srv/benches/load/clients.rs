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

use crate::dialect::{Dialect, Heard, Join, Way};
use crate::link::{CLOSE, Frame, Link, PING, Prepared, Target};

/// Rooms whose clients connect from one address: fewer than a server lets one address have by default.
const ROOMS_OF_AN_ADDRESS: usize = 50;
/// An answer that takes longer is none.
const ANSWER: Duration = Duration::from_secs(60);
/// Attempts of one client to get in.
const ATTEMPTS: usize = 8;

/// When nothing has arrived for so long, nothing will.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Rows of signals that one room exchanges before another takes its turn.
const TURNS: u8 = 4;

pub struct Plan {
    pub target: Target,
    pub dialect: Dialect,
    pub clients: usize,
    /// Bytes of a signal.
    pub size: usize,
    /// Third byte of the first address that clients connect from.
    pub network: u8,
}

/// What all clients share; they are in one thread.
pub struct Shared {
    plan: Plan,
    /// Who takes part, by number; room `n` has clients `2n` and `2n + 1`.
    commands: RefCell<Vec<UnboundedSender<Signal>>>,
    ids: RefCell<Vec<String>>,
    sessions: RefCell<Vec<String>>,
    sent_at: RefCell<Vec<Instant>>,
    /// The number of the last signal that each has got.
    last: RefCell<Vec<u64>>,
    turns: RefCell<Vec<u8>>,
    /// Signals of a row that a room still waits for.
    waiting: RefCell<Vec<u64>>,
    /// So many rooms are busy, if signals are answered at once.
    window: Cell<Option<usize>>,
    /// Signals that a client sends in a row then.
    burst: Cell<u64>,
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
pub struct Signal(u64);

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
            ids: RefCell::default(),
            sessions: RefCell::default(),
            sent_at: RefCell::new(vec![Instant::now(); clients]),
            last: RefCell::default(),
            turns: RefCell::default(),
            waiting: RefCell::default(),
            window: Cell::default(),
            burst: Cell::new(1),
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
        let receivers = self.prepare();
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

    /// Everybody is new; where they are told what to send.
    pub fn prepare(&self) -> Vec<UnboundedReceiver<Signal>> {
        let (shared, clients) = (&self.shared, self.shared.plan.clients);
        let (senders, receivers) = (0..clients).map(|_| unbounded_channel()).unzip();
        *shared.commands.borrow_mut() = senders;
        *shared.ids.borrow_mut() = vec![String::new(); clients];
        *shared.sessions.borrow_mut() = vec![String::new(); clients];
        *shared.last.borrow_mut() = vec![0; clients];
        *shared.turns.borrow_mut() = vec![0; clients / 2];
        *shared.waiting.borrow_mut() = vec![0; clients / 2];
        shared.joined.set(0);
        receivers
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

    /// So many rooms at a time talk as fast as they can, each in its turn, with so many signals in a row.
    pub fn saturate(&self, rooms: usize, burst: u64) {
        self.shared.burst.set(burst);
        self.shared.turns.borrow_mut().fill(0);
        let rooms = rooms.min(self.rooms());
        self.shared.window.set(Some(rooms));
        for room in 0..rooms {
            self.shared.begin(room);
        }
    }

    /// Nobody answers any more; what is on the way arrives. What does not come in five seconds does not come.
    pub async fn calm(&self) {
        let shared = &self.shared;
        shared.window.set(None);
        let (mut arrived, mut since) = (shared.arrived.get(), Instant::now());
        // Twice in a row, for those who have been told and have not sent yet.
        let mut complete = 0;
        while complete < 2 && since.elapsed() < GIVEN_UP {
            sleep(Duration::from_millis(200)).await;
            let now = shared.arrived.get();
            complete = if now == arrived && now == shared.sent.get() { complete + 1 } else { 0 };
            if now != arrived {
                (arrived, since) = (now, Instant::now());
            }
        }
    }
}

impl Shared {
    pub fn target(&self) -> &Target {
        &self.plan.target
    }

    pub fn opcode(&self) -> u8 {
        self.plan.dialect.opcode()
    }

    pub fn path(&self, client: usize) -> String {
        self.plan.dialect.path(self.name(client / 2), client % 2)
    }

    pub fn source(&self, client: usize) -> Ipv4Addr {
        let address = client / 2 / ROOMS_OF_AN_ADDRESS;
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Ipv4Addr::new(127, self.plan.network, byte(address / 250), byte(address % 250 + 1))
    }

    /// The same on no two networks.
    fn name(&self, room: usize) -> usize {
        usize::from(self.plan.network) * 1_000_000 + room
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
            match timeout(ANSWER, self.enter(client, None)).await {
                Ok(Ok(link)) => return Some(link),
                Ok(Err(error)) => self.note(format!("refused: {error}")),
                Err(_) => self.note("refused: no answer".to_owned()),
            }
            self.refused.set(self.refused.get() + 1);
        }
        None
    }

    /// Connects and joins.
    pub async fn enter(&self, client: usize, receive_buffer: Option<u32>) -> io::Result<Link> {
        let Plan { target, dialect, .. } = &self.plan;
        let target = Target { receive_buffer, ..target.clone() };
        let (room, seat) = (client / 2, client % 2);
        let mut link = target.connect(client, self.source(client), &self.path(client)).await?;
        loop {
            let frame = link.next().await?;
            match self.hear(&mut link, &frame).await? {
                Heard::Hello { id } => {
                    self.ids.borrow_mut()[client] = id;
                    match dialect.join(self.name(room), seat) {
                        Join::Done => return Ok(link),
                        Join::Say(message) => link.send(&Prepared::new(dialect.opcode(), &message)).await?,
                        Join::Follow(message) => self.follow(client, message, &mut link).await?,
                    }
                }
                Heard::Again => {
                    if let Join::Follow(message) = dialect.join(self.name(room), seat) {
                        self.follow(client, message, &mut link).await?;
                    }
                }
                Heard::Joined { session } => {
                    self.sessions.borrow_mut()[client] = session;
                    return Ok(link);
                }
                Heard::Signal { .. } | Heard::Other => {}
            }
        }
    }

    /// Says this to the other one of the room, as soon as that one is there.
    async fn follow(&self, client: usize, message: &str, link: &mut Link) -> io::Result<()> {
        let other = || self.ids.borrow()[client ^ 1].clone();
        while other().is_empty() {
            sleep(Duration::from_millis(2)).await;
        }
        link.send(&Prepared::new(self.plan.dialect.opcode(), &message.replace("{}", &other()))).await
    }

    /// Understands a frame and answers pings.
    pub async fn hear(&self, link: &mut Link, frame: &Frame) -> io::Result<Heard> {
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

    pub fn message(&self, client: usize) -> Prepared {
        let Plan { dialect, size, .. } = self.plan;
        let (ids, sessions) = (self.ids.borrow(), self.sessions.borrow());
        let way =
            Way { room: self.name(client / 2), seat: client % 2, to: &ids[client ^ 1], session: &sessions[client] };
        Prepared::new(dialect.opcode(), &dialect.signal(&way, size))
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
            *waiting = self.burst.get();
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
        Signal(self.burst.get())
    }

    /// The next room that is not busy has its turn.
    fn begin(&self, room: usize) {
        let rooms = self.plan.clients / 2;
        let free = (room..room + rooms).map(|room| room % rooms).find(|room| self.turns.borrow()[*room] == 0);
        let Some(room) = free else { return };
        self.turns.borrow_mut()[room] = TURNS;
        self.waiting.borrow_mut()[room] = self.burst.get();
        self.signal(2 * room, self.burst.get());
    }

    fn signal(&self, client: usize, count: u64) {
        // One that has been lost is counted already.
        let _ = self.commands.borrow()[client].send(Signal(count));
    }
}
