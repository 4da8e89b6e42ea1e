//! A room of clients that keep to the protocol, with now and then one among them that stops doing so.
//!
//! One task decides what happens next and looks whether all hear of it: [`Ledger`]. Who is in the room changes one at a time;
//! signals fly all the while.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use fastrand::Rng;
use signal_proto::{ClientMessage, Join, PeerId, RawValue, Role, RoomId, encode_client};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::ground::{Ground, fresh_room};
use super::ledger::{Ledger, Violation};
use super::member::{Event, MemberHandle};
use super::mischief::{Mischief, misbehave};
use crate::client::{Client, PATIENCE};

/// Most that keep to the protocol in a room of roles.
const MOST: usize = 6;

/// Large signals to one who does not read: enough to fill the buffers of both kernels and the outbox, and within the rate.
const FLOOD_OF_TALK: usize = 60;

/// Events that may wait; who hears more than that waits.
const EVENTS: usize = 1024;

/// Who is in a room by right.
struct Member {
    role: Option<Role>,
    handle: MemberHandle,
    /// Signals that it may send now, and when that was so: half of what the server allows to everybody.
    allowance: (f64, Instant),
}

/// Signals a second, and at once.
const RATE: f64 = 10.0;
const BURST: f64 = 30.0;

impl Member {
    fn new(role: Option<Role>, handle: MemberHandle) -> Self {
        Self { role, handle, allowance: (BURST, Instant::now()) }
    }

    /// Whether it may send one more.
    fn may_say(&mut self) -> bool {
        let (left, since) = self.allowance;
        let left = BURST.min(left + since.elapsed().as_secs_f64() * RATE);
        let may = left >= 1.0;
        self.allowance = (if may { left - 1.0 } else { left }, Instant::now());
        may
    }
}

struct Room {
    ground: Arc<Ground>,
    rng: Rng,
    from: Ipv4Addr,
    id: RoomId,
    /// Whether it is a room of roles.
    roles: bool,
    ledger: Ledger,
    members: BTreeMap<PeerId, Member>,
    events: mpsc::Receiver<(PeerId, Event)>,
    sender: mpsc::Sender<(PeerId, Event)>,
    /// Who has been asked to end, and who was asked whether all was read.
    ended: Vec<PeerId>,
    read: Vec<PeerId>,
    said: u64,
}

/// Lives until it is time to leave; then everybody leaves in order. `tour`: one of each mischief, to begin with.
pub(super) async fn run(ground: Arc<Ground>, mut rng: Rng, roles: bool, tour: Vec<Mischief>) -> Result<()> {
    let (sender, events) = mpsc::channel(EVENTS);
    let mut room = Room {
        from: ground.address(),
        id: fresh_room(&mut rng),
        ground,
        rng,
        roles,
        ledger: Ledger::default(),
        members: BTreeMap::new(),
        events,
        sender,
        ended: Vec::new(),
        read: Vec::new(),
        said: 0,
    };
    for mischief in tour {
        room.mischief(mischief).await.with_context(|| format!("after {mischief:?} in a room"))?;
    }
    while !room.ground.is_over() {
        room.step().await?;
    }
    while let Some(peer) = room.anybody() {
        room.leave(peer).await?;
    }
    room.settle().await
}

impl Room {
    async fn step(&mut self) -> Result<()> {
        match self.rng.u8(0..100) {
            0..20 => self.somebody_joins().await,
            20..28 => match self.anybody() {
                Some(peer) => self.leave(peer).await,
                None => Ok(()),
            },
            28..34 => self.somebody_vanishes().await,
            34..37 => {
                let mischief = match self.ground.firewall {
                    Some(_) => Mischief::any_or_cut_off(&mut self.rng),
                    None => Mischief::any(&mut self.rng),
                };
                self.mischief(mischief).await.with_context(|| format!("after {mischief:?} in a room"))
            }
            37..40 => self.misdirected().await,
            _ => self.chatter().await,
        }?;
        self.pass(0..120).await
    }

    /// A role that there is a place for.
    fn vacancy(&mut self) -> Option<Option<Role>> {
        if !self.roles {
            return (self.members.len() < 2).then_some(None);
        }
        let cameras = self.members.values().filter(|member| member.role == Some(Role::Camera)).count();
        let camera = cameras == 0 || (cameras < 3 && self.rng.u8(0..4) == 0);
        (self.members.len() < MOST).then_some(Some(if camera { Role::Camera } else { Role::Viewer }))
    }

    async fn somebody_joins(&mut self) -> Result<()> {
        let Some(role) = self.vacancy() else { return Ok(()) };
        let client = self.enter(role, self.from).await?;
        let peer = client.peer;
        self.members.insert(peer, Member::new(role, MemberHandle::start(client, self.sender.clone())));
        self.settle().await
    }

    /// Somebody is in the room, and everybody who should has heard of it.
    async fn enter(&mut self, role: Option<Role>, from: Ipv4Addr) -> Result<Client> {
        if self.members.is_empty() {
            // In the room before the last one may still be leaving.
            self.id = fresh_room(&mut self.rng);
        }
        self.all_read().await?;
        let begun = Instant::now();
        let mut client = self.ground.client(from).await?;
        self.ledger.entering(client.peer, role);
        let join = match role {
            None => Join::Pair { room: self.id },
            Some(role) => Join::Role { room: self.id, role },
        };
        let joined = client.join(join).await?.map_err(|code| anyhow!("{role:?} is not let into its room: {code}"))?;
        self.ground.tally.joined(begun.elapsed());
        self.ground.tally.count("join");
        self.ledger.entered(client.peer, joined.as_ref()).map_err(violated)?;
        Ok(client)
    }

    /// In a pair room a signal that is on its way reaches whoever is there when it arrives: so first all of them do.
    async fn all_read(&mut self) -> Result<()> {
        if self.roles {
            return Ok(());
        }
        self.read.clear();
        for member in self.members.values() {
            member.handle.check().await?;
        }
        let all = self.members.len();
        self.listen_until("pongs", |room| room.read.len() >= all).await
    }

    async fn leave(&mut self, peer: PeerId) -> Result<()> {
        let Some(member) = self.members.remove(&peer) else { return Ok(()) };
        self.ground.tally.count("leave");
        self.ledger.leaving(peer, true);
        member.handle.leave().await?;
        self.listen_until("the end of a connection", |room| room.ended.contains(&peer)).await?;
        self.ended.clear();
        self.settle().await
    }

    /// Without a word: a program that was killed, a network that broke.
    async fn somebody_vanishes(&mut self) -> Result<()> {
        let Some(peer) = self.anybody() else { return Ok(()) };
        let role = self.members.get(&peer).and_then(|member| member.role);
        if self.ledger.hearers(peer, role).is_empty() {
            // Nobody would tell when its place is free.
            return self.leave(peer).await;
        }
        let Some(member) = self.members.remove(&peer) else { return Ok(()) };
        self.ground.tally.count("vanish");
        self.ledger.leaving(peer, false);
        member.handle.vanish(self.rng.bool()).await?;
        self.listen_until("the end of a connection", |room| room.ended.contains(&peer)).await?;
        self.ended.clear();
        self.settle().await
    }

    /// One who is let in and then breaks the rules. The others go on, and hear it leave.
    async fn mischief(&mut self, mischief: Mischief) -> Result<()> {
        while self.members.is_empty() || (!self.roles && self.members.len() > 1) {
            match self.members.len() {
                0 => self.somebody_joins().await?,
                _ => match self.anybody() {
                    Some(peer) => self.leave(peer).await?,
                    None => break,
                },
            }
        }
        // Of a camera everybody hears, of a viewer the cameras: somebody has to.
        let has_camera = self.members.values().any(|member| member.role == Some(Role::Camera));
        let is_camera = !has_camera || self.rng.u8(0..4) == 0;
        let role = self.roles.then_some(if is_camera { Role::Camera } else { Role::Viewer });
        // An address of its own, which can be cut off.
        let from = self.ground.address();
        let client = self.enter(role, from).await?;
        self.settle().await?;
        if let (Mischief::CutOff, Some(firewall)) = (mischief, self.ground.firewall) {
            firewall.cut_off(from)?;
        }
        let rogue = client.peer;
        self.ledger.goes_wild(rogue);
        self.ledger.leaving(rogue, false);
        self.ground.tally.count(mischief.name());
        let to = self.members.iter().find(|(_, other)| other.role != role || role.is_none()).map(|(peer, _)| *peer);
        let join = match role {
            None => Join::Pair { room: self.id },
            Some(role) => Join::Role { room: self.id, role },
        };
        let to = to.filter(|_| role.is_some());
        let (rng, (tell, gone)) = (self.rng.fork(), oneshot::channel());
        let doing = tokio::spawn(misbehave(mischief, client, Some((join, to)), gone, rng));
        let until = Instant::now() + PATIENCE * 2;
        let mut flood = FLOOD_OF_TALK;
        while !self.ledger.has_been_heard_to_leave(rogue) {
            ensure!(Instant::now() < until, "nobody hears it leave: {}", self.ledger.unsettled());
            self.chatter().await?;
            if mischief == Mischief::Deaf && flood > 0 {
                flood -= 1;
                self.talk_at(rogue).await?;
            }
            self.pass(20..100).await?;
        }
        // It may have given up waiting.
        let _ = tell.send(());
        // The others are listened to meanwhile: one who is not read is not honest any more.
        while !doing.is_finished() {
            ensure!(Instant::now() < until, "it is not told that it was refused");
            self.listen(Duration::from_millis(20)).await?;
        }
        doing.await.context("the mischief itself failed")?
    }

    /// Somebody says something to somebody, or several do.
    async fn chatter(&mut self) -> Result<()> {
        let Some(peer) = self.anybody() else { return Ok(()) };
        let addressees = self.ledger.addressees(peer);
        let Some(to) = self.rng.choice(addressees.iter()).copied() else { return Ok(()) };
        let count = if self.rng.u8(0..10) == 0 { self.rng.u8(5..20) } else { self.rng.u8(1..3) };
        for _ in 0..count {
            if !self.may_say(peer) {
                break;
            }
            let text = self.signal(peer);
            let to = self.roles.then_some(to);
            self.ledger.saying(peer, to, &text, Instant::now());
            self.say(peer, to, &text).await?;
            self.ground.tally.count("signal");
        }
        Ok(())
    }

    /// To one who does not read: as much as it takes.
    async fn talk_at(&mut self, rogue: PeerId) -> Result<()> {
        let Some(peer) = self.anybody() else { return Ok(()) };
        if !self.may_say(peer) {
            return Ok(());
        }
        let text = format!("\"{}\"", "x".repeat(60_000));
        self.say(peer, self.roles.then_some(rogue), &text).await
    }

    /// To somebody in another room, who must not hear it: there nothing is due.
    async fn misdirected(&mut self) -> Result<()> {
        let (Some(peer), Some(to)) = (self.anybody(), self.ground.any_id(&mut self.rng)) else { return Ok(()) };
        if !self.roles || self.members.contains_key(&to) || !self.may_say(peer) {
            return Ok(());
        }
        self.ground.tally.count("misdirected signal");
        self.say(peer, Some(to), "\"not for you\"").await
    }

    fn may_say(&mut self, peer: PeerId) -> bool {
        self.members.get_mut(&peer).is_some_and(Member::may_say)
    }

    async fn say(&self, peer: PeerId, to: Option<PeerId>, text: &str) -> Result<()> {
        let signal: &RawValue = serde_json::from_str(text).context("not JSON")?;
        let message: Bytes = encode_client(&ClientMessage::Signal { to, signal });
        let Some(member) = self.members.get(&peer) else { bail!("{peer} is not there") };
        member.handle.say(message).await
    }

    /// JSON that nobody else has said, written in a way that nobody would write it in again: it has to arrive byte for byte.
    fn signal(&mut self, peer: PeerId) -> String {
        self.said += 1;
        let filler: String = match self.rng.u8(0..100) {
            0..60 => "v=0\\r\\n".repeat(self.rng.usize(0..300)),
            60..98 => (0..self.rng.usize(0..50)).map(|_| self.rng.alphanumeric()).collect(),
            _ => "\\u00e4\u{20ac}".repeat(self.rng.usize(1000..5000)),
        };
        let number = self.said;
        format!("{{ \"n\":{number},\"of\" : \"{peer}\",\t\"n\":1.50e+1, \"x\":[\"{filler}\" ,null] }}")
    }

    fn anybody(&mut self) -> Option<PeerId> {
        self.rng.choice(self.members.keys()).copied()
    }

    /// Everybody has heard everything.
    async fn settle(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.ledger.is_settled() {
            ensure!(Instant::now() < until, "{}", self.ledger.unsettled());
            self.listen(Duration::from_millis(50)).await?;
        }
        Ok(())
    }

    /// Time passes, in milliseconds.
    async fn pass(&mut self, milliseconds: std::ops::Range<u64>) -> Result<()> {
        let until = Instant::now() + Duration::from_millis(self.rng.u64(milliseconds));
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.listen(left).await?;
        }
        Ok(())
    }

    async fn listen_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done(self) {
            ensure!(Instant::now() < until, "{what} did not come");
            self.listen(Duration::from_millis(50)).await?;
        }
        Ok(())
    }

    /// Takes in what happens for so long, or until something has.
    async fn listen(&mut self, wait: Duration) -> Result<()> {
        let mut wait = wait;
        // The sender is ours, so the channel does not end.
        while let Ok(Some((peer, event))) = timeout(wait, self.events.recv()).await {
            self.take_in(peer, event)?;
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn take_in(&mut self, peer: PeerId, event: Event) -> Result<()> {
        match event {
            Event::Heard { of, heard } => {
                if let Some(since) = self.ledger.heard(peer, of, &heard).map_err(violated)? {
                    self.ground.tally.relayed(since.elapsed());
                }
            }
            Event::Read => self.read.push(peer),
            Event::Ended(outcome) => {
                if self.members.contains_key(&peer) {
                    outcome.with_context(|| format!("{peer}, which did nothing wrong"))?;
                    bail!("{peer} ended by itself");
                }
                self.ended.push(peer);
            }
            Event::Refused(code) => {
                ensure!(!self.members.contains_key(&peer), "{peer}, which did nothing wrong, is refused: {code}");
            }
        }
        Ok(())
    }
}

fn violated(violation: Violation) -> anyhow::Error {
    anyhow!("{}", violation.0)
}
