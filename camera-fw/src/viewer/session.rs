//! One negotiation between camera and viewer, as a pure state machine: no I/O, no clock, `now` is an argument.
//!
//! ```text
//!         Start                            answer                     connected
//!  Idle ────────▶ Offering ──▶ Offered ──────────▶ Connecting ─────────────────▶ Connected
//!    │  (pair: after a moment)                         ▲                            │
//!    └────────── offer of the viewer (pair mode) ──────┘        offer (pair mode) ──┘ answered again
//!
//!  any state ── bye, failure, time-out, stop ──▶ Closed
//! ```
//!
//! Offer and answer are those of RFC 3264 in the form of JSEP (RFC 8829 §3.2), candidates are trickled (RFC 8838).
//! In role mode the camera always offers. In pair mode whoever was in the room first does, but some browser clients
//! offer as soon as they are let in, too. So the camera waits a moment for such an offer and answers it; once its own
//! is out it ignores theirs, and their rollback follows from the camera's offer.

use std::time::{Duration, Instant};

use signal_proto::{ByeReason, Candidate, PictureState, Sdp, Signal};

/// The viewer must answer, and the connection come up, within this time each.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the first in a pair room holds its offer back. Chromium that has to roll an offer of its own back within
/// some 20 ms may never find a candidate.
const COURTESY: Duration = Duration::from_millis(250);

/// Candidates that may wait for the description they belong to.
const QUEUE: usize = 64;

/// Which rules hold between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The camera offers, once.
    Role,
    /// The first in the room offers; either side may offer again.
    Pair {
        /// The camera was first.
        first: bool,
    },
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The session begins.
    Start,
    /// The connection made this offer, asked for by [`Action::CreateOffer`].
    Offered(Sdp),
    /// The connection made this answer, asked for by [`Action::AcceptOffer`].
    Answered(Sdp),
    /// The connection found a candidate of its own.
    LocalCandidate(Candidate),
    /// The viewer signaled.
    Remote(Signal),
    /// Media can flow.
    Connected,
    /// The connection failed for good, or refused what the viewer sent.
    Failed,
    /// The signaling connection is gone, and the viewer's address with it.
    Detached,
    /// The viewer left the room.
    Left,
    /// There is a picture, or there is none.
    Picture(PictureState),
    /// The camera wants to end it.
    Stop(ByeReason),
    /// [`Session::deadline`] may have passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Make an offer, answer with [`Event::Offered`].
    CreateOffer,
    /// Apply the viewer's answer.
    AcceptAnswer(Sdp),
    /// Apply the viewer's offer, answer with [`Event::Answered`].
    AcceptOffer(Sdp),
    /// Apply a candidate of the viewer.
    AddCandidate(Candidate),
    /// Send to the viewer.
    Send(Signal),
    /// Frames may be sent.
    StartMedia,
    /// Close the connection; the session is over.
    Close(Outcome),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The viewer left.
    Left,
    /// The viewer did not answer or connect in time.
    TimedOut,
    /// The connection failed.
    Failed,
    /// The signaling connection was lost before the session was up.
    Detached,
    /// The camera ended it.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Offering,
    Offered,
    Connecting,
    Connected,
    Closed,
}

/// The state of one negotiation.
#[derive(Debug)]
pub(super) struct Session {
    mode: Mode,
    state: State,
    /// A remote description is in place, so that candidates can be applied.
    described: bool,
    waiting: Vec<Candidate>,
    offer_at: Option<Instant>,
    deadline: Option<Instant>,
    attached: bool,
    picture: PictureState,
    /// What the viewer takes it for: live, until it hears otherwise.
    told: PictureState,
}

impl Session {
    /// A session that has not begun.
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            state: State::Idle,
            described: false,
            waiting: Vec::new(),
            offer_at: None,
            deadline: None,
            attached: true,
            picture: PictureState::Live,
            told: PictureState::Live,
        }
    }

    /// When [`Event::Tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.offer_at.or(self.deadline)
    }

    /// Goes on by one event; what follows from it is appended to `actions`.
    pub(super) fn handle(&mut self, event: Event, now: Instant, actions: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        match event {
            Event::Start => {
                self.deadline = Some(now + PATIENCE);
                match self.mode {
                    Mode::Role => self.offer(actions),
                    Mode::Pair { first: true } => self.offer_at = Some(now + COURTESY),
                    Mode::Pair { first: false } => {}
                }
            }
            Event::Offered(sdp) => {
                self.state = State::Offered;
                self.send(Signal::Offer(sdp), actions);
                self.tell(actions);
            }
            Event::Answered(sdp) => {
                if self.state == State::Idle {
                    self.state = State::Connecting;
                    self.deadline = Some(now + PATIENCE);
                }
                self.send(Signal::Answer(sdp), actions);
                self.describe(actions);
            }
            Event::LocalCandidate(candidate) => self.send(Signal::Candidate(candidate), actions),
            Event::Remote(signal) => self.remote(signal, now, actions),
            Event::Connected => {
                if self.state != State::Connected {
                    self.state = State::Connected;
                    self.deadline = None;
                    actions.push(Action::StartMedia);
                }
            }
            Event::Failed => self.end(Outcome::Failed, Some(ByeReason::Failed), actions),
            Event::Detached => {
                self.attached = false;
                if self.state != State::Connected {
                    self.end(Outcome::Detached, None, actions);
                }
            }
            Event::Left => self.end(Outcome::Left, None, actions),
            Event::Picture(picture) => {
                self.picture = picture;
                self.tell(actions);
            }
            Event::Stop(reason) => self.end(Outcome::Stopped, Some(reason), actions),
            Event::Tick => {
                if self.offer_at.is_some_and(|due| now >= due) {
                    self.offer(actions);
                }
                if self.deadline.is_some_and(|deadline| now >= deadline) {
                    self.end(Outcome::TimedOut, Some(ByeReason::Failed), actions);
                }
            }
        }
    }

    fn remote(&mut self, signal: Signal, now: Instant, actions: &mut Vec<Action>) {
        match signal {
            // The session is the answer to a start already, and only the camera has a picture to speak of.
            Signal::Start | Signal::Picture(_) => {}
            Signal::Answer(sdp) => {
                if self.state == State::Offered {
                    self.state = State::Connecting;
                    self.deadline = Some(now + PATIENCE);
                    actions.push(Action::AcceptAnswer(sdp));
                    self.describe(actions);
                }
            }
            Signal::Offer(sdp) => match (self.mode, self.state) {
                // Only the camera offers in role mode; and an offer of ours stands (RFC 8829 §4.1.8.2).
                (Mode::Role, _) | (_, State::Offering | State::Offered | State::Closed) => {}
                (Mode::Pair { .. }, State::Idle | State::Connecting | State::Connected) => {
                    self.offer_at = None;
                    actions.push(Action::AcceptOffer(sdp));
                }
            },
            Signal::Candidate(candidate) => {
                if candidate.candidate.is_empty() {
                    // There are no more: nothing to do, a connection that cannot be made times out.
                } else if self.described {
                    actions.push(Action::AddCandidate(candidate));
                } else if self.waiting.len() < QUEUE {
                    self.waiting.push(candidate);
                }
            }
            Signal::Bye(_) => self.end(Outcome::Left, None, actions),
        }
    }

    fn offer(&mut self, actions: &mut Vec<Action>) {
        self.offer_at = None;
        self.state = State::Offering;
        actions.push(Action::CreateOffer);
    }

    fn describe(&mut self, actions: &mut Vec<Action>) {
        self.described = true;
        actions.extend(self.waiting.drain(..).map(Action::AddCandidate));
    }

    /// Says what has become of the picture, once the viewer has an offer; existing clients of pair mode do not know it.
    fn tell(&mut self, actions: &mut Vec<Action>) {
        let has_offer = matches!(self.state, State::Offered | State::Connecting | State::Connected);
        if self.mode == Mode::Role && has_offer && self.picture != self.told {
            self.told = self.picture;
            self.send(Signal::Picture(self.picture), actions);
        }
    }

    fn send(&self, signal: Signal, actions: &mut Vec<Action>) {
        if self.attached {
            actions.push(Action::Send(signal));
        }
    }

    fn end(&mut self, outcome: Outcome, bye: Option<ByeReason>, actions: &mut Vec<Action>) {
        if let (Mode::Role, Some(reason)) = (self.mode, bye) {
            self.send(Signal::Bye(reason), actions);
        }
        self.state = State::Closed;
        self.offer_at = None;
        self.deadline = None;
        self.waiting.clear();
        actions.push(Action::Close(outcome));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signal_proto::PictureState;

    use super::*;

    struct Bench {
        session: Session,
        now: Instant,
    }

    impl Bench {
        fn new(mode: Mode) -> Self {
            Self { session: Session::new(mode), now: Instant::now() }
        }

        fn on(&mut self, event: Event) -> Vec<Action> {
            let mut actions = Vec::new();
            self.session.handle(event, self.now, &mut actions);
            actions
        }

        fn offered(mode: Mode) -> Self {
            let mut bench = Self::new(mode);
            let mut started = bench.on(Event::Start);
            if mode != Mode::Role {
                assert_eq!(started, [], "a moment for the other side's offer");
                bench.now = bench.session.deadline().unwrap();
                started = bench.on(Event::Tick);
            }
            assert_eq!(started, [Action::CreateOffer]);
            assert_eq!(bench.on(Event::Offered("o".into())), [Action::Send(offer())]);
            bench
        }

        fn connected(mode: Mode) -> Self {
            let mut bench = Self::offered(mode);
            assert_eq!(bench.on(Event::Remote(answer())), [Action::AcceptAnswer("a".into())]);
            assert_eq!(bench.on(Event::Connected), [Action::StartMedia]);
            bench
        }
    }

    fn offer() -> Signal {
        Signal::Offer("o".into())
    }

    fn answer() -> Signal {
        Signal::Answer("a".into())
    }

    fn candidate(line: &str) -> Candidate {
        Candidate { candidate: line.into(), sdp_m_line_index: 0, sdp_mid: None }
    }

    const FIRST: Mode = Mode::Pair { first: true };
    const SECOND: Mode = Mode::Pair { first: false };

    #[test]
    fn a_viewer_hears_of_the_picture_when_it_has_an_offer_and_only_what_is_new() {
        let told = |state| [Action::Send(Signal::Picture(state))];
        let mut bench = Bench::connected(Mode::Role);
        assert_eq!(bench.on(Event::Picture(PictureState::Live)), []);
        assert_eq!(bench.on(Event::Picture(PictureState::Paused)), told(PictureState::Paused));
        assert_eq!(bench.on(Event::Picture(PictureState::Paused)), []);
        assert_eq!(bench.on(Event::Picture(PictureState::Live)), told(PictureState::Live));

        let mut early = Bench::new(Mode::Role);
        assert_eq!(early.on(Event::Picture(PictureState::Lost)), [], "there is no session to speak of");
        assert_eq!(early.on(Event::Start), [Action::CreateOffer]);
        let [offered, state] = &early.on(Event::Offered("o".into()))[..] else { panic!("an offer and a state") };
        assert_eq!((offered, state), (&Action::Send(offer()), &told(PictureState::Lost)[0]));

        assert_eq!(Bench::connected(FIRST).on(Event::Picture(PictureState::Paused)), [], "they do not know it");
        let mut alone = Bench::connected(Mode::Role);
        alone.on(Event::Detached);
        assert_eq!(alone.on(Event::Picture(PictureState::Lost)), [], "there is no way to say it");
    }

    #[test]
    fn the_camera_offers_and_streams() {
        for mode in [Mode::Role, FIRST] {
            let mut bench = Bench::connected(mode);
            assert_eq!(bench.session.state, State::Connected);
            assert_eq!(bench.session.deadline(), None);
            assert_eq!(bench.on(Event::Connected), [], "media starts once");
        }
    }

    #[test]
    fn second_in_a_pair_it_answers_and_answers_again() {
        let mut bench = Bench::new(SECOND);
        assert_eq!(bench.on(Event::Start), []);
        assert_eq!(bench.on(Event::Remote(Signal::Candidate(candidate("c")))), []);
        assert_eq!(bench.on(Event::Remote(offer())), [Action::AcceptOffer("o".into())]);
        let actions = bench.on(Event::Answered("a".into()));
        assert_eq!(actions, [Action::Send(answer()), Action::AddCandidate(candidate("c"))]);
        assert_eq!(bench.on(Event::Remote(offer())), [Action::AcceptOffer("o".into())]);
        assert_eq!(bench.on(Event::Answered("a".into())), [Action::Send(answer())]);
        assert_eq!(bench.on(Event::Connected), [Action::StartMedia]);
        assert_eq!(bench.on(Event::Remote(offer())), [Action::AcceptOffer("o".into())]);
    }

    #[test]
    fn an_offer_against_the_camera_s_own_is_ignored() {
        let mut bench = Bench::offered(FIRST);
        assert_eq!(bench.on(Event::Remote(offer())), []);
        assert_eq!(bench.on(Event::Remote(answer())), [Action::AcceptAnswer("a".into())]);
        let mut starting = Bench::new(FIRST);
        starting.on(Event::Start);
        starting.now += COURTESY;
        assert_eq!(starting.on(Event::Tick), [Action::CreateOffer]);
        assert_eq!(starting.on(Event::Remote(offer())), [], "its own offer is being made");
        let mut role = Bench::connected(Mode::Role);
        assert_eq!(role.on(Event::Remote(offer())), [], "viewers do not offer");
    }

    #[test]
    fn an_eager_client_is_answered_before_the_camera_offers() {
        let mut bench = Bench::new(FIRST);
        bench.on(Event::Start);
        assert_eq!(bench.on(Event::Remote(offer())), [Action::AcceptOffer("o".into())]);
        assert_eq!(bench.on(Event::Answered("a".into())), [Action::Send(answer())]);
        bench.now += COURTESY;
        assert_eq!(bench.on(Event::Tick), [], "no offer of its own any more");
        assert_eq!(bench.on(Event::Connected), [Action::StartMedia]);
    }

    #[test]
    fn what_a_viewer_says_of_the_picture_is_ignored() {
        for mode in [Mode::Role, FIRST] {
            let mut bench = Bench::connected(mode);
            assert_eq!(bench.on(Event::Remote(Signal::Picture(PictureState::Paused))), []);
            assert_eq!(bench.session.state, State::Connected);
        }
    }

    #[test]
    fn candidates_wait_for_the_description_in_order_and_bounded() {
        let mut bench = Bench::offered(Mode::Role);
        for number in 0..100 {
            assert_eq!(bench.on(Event::Remote(Signal::Candidate(candidate(&number.to_string())))), []);
        }
        let actions = bench.on(Event::Remote(answer()));
        assert_eq!(actions.len(), 1 + QUEUE);
        assert_eq!(actions[1], Action::AddCandidate(candidate("0")));
        assert_eq!(bench.on(Event::Remote(Signal::Candidate(candidate("")))), [], "end of candidates");
        let late = bench.on(Event::Remote(Signal::Candidate(candidate("x"))));
        assert_eq!(late, [Action::AddCandidate(candidate("x"))]);
    }

    #[test]
    fn patience_ends() {
        let mut bench = Bench::offered(Mode::Role);
        bench.now = bench.session.deadline().unwrap() - Duration::from_millis(1);
        assert_eq!(bench.on(Event::Tick), []);
        bench.on(Event::Remote(answer()));
        bench.now += PATIENCE;
        let bye = Action::Send(Signal::Bye(ByeReason::Failed));
        assert_eq!(bench.on(Event::Tick), [bye, Action::Close(Outcome::TimedOut)]);
        assert_eq!(bench.on(Event::Connected), [], "closed is closed");
    }

    #[test]
    fn a_running_stream_survives_the_loss_of_signaling_and_a_starting_one_does_not() {
        let mut running = Bench::connected(Mode::Role);
        assert_eq!(running.on(Event::Detached), []);
        assert_eq!(running.on(Event::LocalCandidate(candidate("c"))), [], "nobody to send it to");
        assert_eq!(running.on(Event::Failed), [Action::Close(Outcome::Failed)]);
        let mut starting = Bench::offered(Mode::Role);
        assert_eq!(starting.on(Event::Detached), [Action::Close(Outcome::Detached)]);
    }

    #[test]
    fn either_side_can_end_it() {
        let stop = Event::Stop(ByeReason::Stopping);
        let bye = Action::Send(Signal::Bye(ByeReason::Stopping));
        assert_eq!(Bench::connected(Mode::Role).on(stop), [bye, Action::Close(Outcome::Stopped)]);
        let pair = Bench::connected(FIRST).on(Event::Stop(ByeReason::Stopping));
        assert_eq!(pair, [Action::Close(Outcome::Stopped)], "pair mode has no bye");
        let left = Bench::connected(Mode::Role).on(Event::Remote(Signal::Bye(ByeReason::Left)));
        assert_eq!(left, [Action::Close(Outcome::Left)]);
        assert_eq!(Bench::offered(Mode::Role).on(Event::Left), [Action::Close(Outcome::Left)]);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(()).prop_map(|()| Event::Start),
            Just(()).prop_map(|()| Event::Offered("o".into())),
            Just(()).prop_map(|()| Event::Answered("a".into())),
            Just(()).prop_map(|()| Event::LocalCandidate(candidate("l"))),
            Just(()).prop_map(|()| Event::Remote(offer())),
            Just(()).prop_map(|()| Event::Remote(answer())),
            "[a-c]{0,1}".prop_map(|line| Event::Remote(Signal::Candidate(candidate(&line)))),
            Just(()).prop_map(|()| Event::Remote(Signal::Bye(ByeReason::Left))),
            Just(()).prop_map(|()| Event::Remote(Signal::Picture(PictureState::Lost))),
            Just(()).prop_map(|()| Event::Connected),
            Just(()).prop_map(|()| Event::Failed),
            Just(()).prop_map(|()| Event::Detached),
            Just(()).prop_map(|()| Event::Tick),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_closes_at_most_once_and_keeps_its_bounds(
            mode in prop_oneof![Just(Mode::Role), Just(FIRST), Just(SECOND)],
            events in prop::collection::vec((any_event(), 0u64..20_000), 0..200),
        ) {
            let mut bench = Bench::new(mode);
            let (mut closes, mut described) = (0, false);
            for (event, millis) in events {
                bench.now += Duration::from_millis(millis);
                let answered = matches!(event, Event::Answered(_));
                for action in bench.on(event) {
                    prop_assert_eq!(closes, 0, "nothing follows the end");
                    match action {
                        Action::Close(_) => closes += 1,
                        Action::AcceptAnswer(_) => described = true,
                        Action::AddCandidate(_) => prop_assert!(described || answered, "a candidate needs a description"),
                        Action::AcceptOffer(_) => prop_assert!(mode != Mode::Role),
                        Action::Send(Signal::Bye(_)) => prop_assert!(mode == Mode::Role, "pair mode has no bye"),
                        _ => {}
                    }
                }
                described |= answered;
                prop_assert!(bench.session.waiting.len() <= QUEUE);
            }
        }
    }
}
