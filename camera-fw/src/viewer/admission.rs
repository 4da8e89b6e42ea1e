//! Who may become a viewer: whoever proves that he has the code, and nobody else. Pure: no I/O, no clock, `now` is an
//! argument.
//!
//! ```text
//!   message 1 ── opens with the code? ──▶ reply, pending ── first sealed message opens, and is `start` ──▶ admitted
//!       └ no: dropped, nothing is kept         └ 10 s, or anything else: forgotten
//! ```
//!
//! Until then the viewer costs one small record: no peer connection, no candidate, no TURN allocation. Message 1 can be
//! replayed by the server, `start` cannot: it is sealed with the key that the camera's reply has just made.

use std::time::{Duration, Instant};

use signal_proto::seal::{Channel, DeviceKey};
use signal_proto::{PeerId, RawValue, Signal};

use super::wire::Wire;

/// Handshakes that wait for the viewer's `start`.
const PENDING: usize = 16;
/// How long each of them waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes that are answered at once, when many viewers come back together, and then one every so often: each costs
/// a key pair and two Diffie-Hellman operations.
const BURST: u32 = 32;
const INTERVAL: Duration = Duration::from_millis(250);

/// What becomes of a signal of somebody who is no viewer yet.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing, and nobody is told.
    Dropped(&'static str),
    /// It was a valid message 1: this goes back.
    Reply(Box<RawValue>),
    /// The viewer has proven the code and wants the picture.
    Admitted(Wire),
}

struct Pending {
    viewer: PeerId,
    first: Box<RawValue>,
    channel: Channel,
    deadline: Instant,
}

/// The handshakes of one stay in the room.
pub(crate) struct Admission {
    key: DeviceKey,
    camera: Option<PeerId>,
    pending: Vec<Pending>,
    /// When the allowance of handshakes is full again.
    full_at: Option<Instant>,
}

impl Admission {
    /// Nobody is waiting.
    pub(crate) fn new(key: DeviceKey) -> Self {
        Self { key, camera: None, pending: Vec::new(), full_at: None }
    }

    /// The camera is in its room, under this id: handshakes under another one are void.
    pub(crate) fn joined(&mut self, camera: PeerId) {
        self.pending.clear();
        self.camera = Some(camera);
    }

    /// The viewer left the room.
    pub(crate) fn left(&mut self, viewer: PeerId) {
        self.pending.retain(|pending| pending.viewer != viewer);
    }

    /// Judges a signal of somebody who is no viewer yet.
    pub(crate) fn signal(&mut self, viewer: PeerId, signal: &RawValue, now: Instant) -> Verdict {
        self.pending.retain(|pending| now < pending.deadline);
        match self.pending.iter().position(|pending| pending.viewer == viewer) {
            Some(index) if self.pending[index].first.get() == signal.get() => Verdict::Dropped("a repeated greeting"),
            Some(index) => {
                let Pending { first, mut channel, .. } = self.pending.swap_remove(index);
                match channel.open(signal) {
                    Ok(Signal::Start) => Verdict::Admitted(Wire::sealed(channel, first)),
                    Ok(_) => Verdict::Dropped("a viewer that does not begin with start"),
                    Err(_) => Verdict::Dropped("a handshake that was interfered with"),
                }
            }
            None => self.greet(viewer, signal, now),
        }
    }

    fn greet(&mut self, viewer: PeerId, signal: &RawValue, now: Instant) -> Verdict {
        let Some(camera) = self.camera else { return Verdict::Dropped("a greeting before the camera has joined") };
        if self.pending.len() >= PENDING {
            return Verdict::Dropped("too many handshakes at once");
        }
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        if full_at + INTERVAL > now + INTERVAL * BURST {
            return Verdict::Dropped("too many handshakes in a short time");
        }
        let Ok((reply, channel)) = self.key.answer(viewer, camera, signal) else {
            return Verdict::Dropped("somebody who does not have the code");
        };
        self.full_at = Some(full_at + INTERVAL);
        self.pending.push(Pending { viewer, first: signal.to_owned(), channel, deadline: now + PATIENCE });
        Verdict::Reply(reply)
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use signal_proto::ByeReason;
    use signal_proto::seal::{Code, ViewerHandshake};

    use super::*;

    struct Bench {
        admission: Admission,
        code: Code,
        camera: PeerId,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let key = DeviceKey::random();
            let (code, camera) = (key.code(), PeerId::random());
            let mut admission = Admission::new(key);
            admission.joined(camera);
            Self { admission, code, camera, now: Instant::now() }
        }

        fn greeting(&self, viewer: PeerId) -> (ViewerHandshake, Box<RawValue>) {
            ViewerHandshake::begin(&self.code, viewer, self.camera).unwrap()
        }

        fn signal(&mut self, viewer: PeerId, signal: &RawValue) -> Verdict {
            self.admission.signal(viewer, signal, self.now)
        }

        fn dropped(&mut self, viewer: PeerId, signal: &RawValue) -> &'static str {
            match self.signal(viewer, signal) {
                Verdict::Dropped(reason) => reason,
                other => panic!("not dropped: {other:?}"),
            }
        }

        fn proven(&mut self, viewer: PeerId) -> Channel {
            let (handshake, first) = self.greeting(viewer);
            let Verdict::Reply(reply) = self.signal(viewer, &first) else { panic!("no reply") };
            handshake.finish(&reply).unwrap()
        }
    }

    #[test]
    fn whoever_has_the_code_is_let_in() {
        let (mut bench, viewer) = (Bench::new(), PeerId::random());
        let mut channel = bench.proven(viewer);
        let start = channel.seal(&Signal::Start).unwrap();
        let Verdict::Admitted(mut wire) = bench.signal(viewer, &start) else { panic!("not admitted") };
        let offer = Signal::Offer("o".into());
        assert_eq!(channel.open(&wire.encode(&offer).unwrap()).unwrap(), offer);
        assert!(bench.admission.pending.is_empty());
    }

    #[test]
    fn whoever_has_not_leaves_no_trace() {
        let (mut bench, viewer) = (Bench::new(), PeerId::random());
        let other = DeviceKey::random().code();
        let (_, wrong) = ViewerHandshake::begin(&other, viewer, bench.camera).unwrap();
        let (_, of_another) = bench.greeting(PeerId::random());
        let (_, to_another) = ViewerHandshake::begin(&bench.code, viewer, PeerId::random()).unwrap();
        let offer = Signal::Offer("o".into()).encode();
        for bad in [wrong, of_another, to_another, offer] {
            assert_eq!(bench.dropped(viewer, &bad), "somebody who does not have the code");
        }
        assert!(bench.admission.pending.is_empty() && bench.admission.full_at.is_none());
    }

    #[test]
    fn the_first_thing_a_viewer_says_is_start() {
        for other in [Signal::Answer("a".into()), Signal::Bye(ByeReason::Left)] {
            let (mut bench, viewer) = (Bench::new(), PeerId::random());
            let sealed = bench.proven(viewer).seal(&other).unwrap();
            bench.dropped(viewer, &sealed);
            assert!(bench.admission.pending.is_empty());
        }
    }

    #[test]
    fn a_repeated_greeting_changes_nothing() {
        let (mut bench, viewer) = (Bench::new(), PeerId::random());
        let (handshake, first) = bench.greeting(viewer);
        let Verdict::Reply(reply) = bench.signal(viewer, &first) else { panic!("no reply") };
        assert_eq!(bench.dropped(viewer, &first), "a repeated greeting");
        let start = handshake.finish(&reply).unwrap().seal(&Signal::Start).unwrap();
        assert!(matches!(bench.signal(viewer, &start), Verdict::Admitted(_)));
    }

    #[test]
    fn an_interfered_handshake_is_over() {
        let (mut bench, viewer, other) = (Bench::new(), PeerId::random(), PeerId::random());
        let start = bench.proven(viewer).seal(&Signal::Start).unwrap();
        let foreign = bench.proven(other).seal(&Signal::Start).unwrap();
        assert_eq!(bench.dropped(viewer, &foreign), "a handshake that was interfered with");
        bench.dropped(viewer, &start);
        assert!(matches!(bench.signal(other, &foreign), Verdict::Admitted(_)), "the other one is not affected");
    }

    #[test]
    fn few_wait_and_not_for_long() {
        let mut bench = Bench::new();
        let viewers: Vec<PeerId> = (0..PENDING).map(|_| PeerId::random()).collect();
        let channels: Vec<Channel> = viewers.iter().map(|viewer| bench.proven(*viewer)).collect();
        let late = PeerId::random();
        let (_, first) = bench.greeting(late);
        assert_eq!(bench.dropped(late, &first), "too many handshakes at once");
        bench.admission.left(viewers[0]);
        assert!(matches!(bench.signal(late, &first), Verdict::Reply(_)), "one has left");
        bench.now += PATIENCE;
        for (viewer, mut channel) in viewers.into_iter().zip(channels) {
            let start = channel.seal(&Signal::Start).unwrap();
            bench.dropped(viewer, &start);
        }
        assert!(bench.admission.pending.is_empty());
    }

    #[test]
    fn handshakes_are_rationed() {
        let mut bench = Bench::new();
        let mut answered = 0;
        for _ in 0..1000 {
            let viewer = PeerId::random();
            let (_, first) = bench.greeting(viewer);
            answered += u32::from(matches!(bench.signal(viewer, &first), Verdict::Reply(_)));
            bench.admission.left(viewer);
        }
        assert_eq!(answered, BURST);
        for _ in 0..20 {
            bench.now += INTERVAL;
            bench.proven(PeerId::random());
            let viewer = PeerId::random();
            let (_, first) = bench.greeting(viewer);
            bench.dropped(viewer, &first);
            bench.admission.pending.clear();
        }
    }

    #[test]
    fn another_stay_in_the_room_is_another_beginning() {
        let (mut bench, viewer) = (Bench::new(), PeerId::random());
        let start = bench.proven(viewer).seal(&Signal::Start).unwrap();
        bench.admission.joined(PeerId::random());
        bench.dropped(viewer, &start);
        let mut fresh = Admission::new(DeviceKey::random());
        assert!(matches!(fresh.signal(viewer, &start, bench.now), Verdict::Dropped(_)), "not joined yet");
    }
}
