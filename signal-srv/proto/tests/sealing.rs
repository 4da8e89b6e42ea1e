//! What an evil server can do to sealed messages, it does in vain: changed, cut, extended, repeated, reordered, reflected
//! or moved to where they do not belong, none is accepted, and a channel that has met one stays closed. The tests together
//! make more than twelve thousand attempts.

#![cfg(feature = "seal")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;

use changes::{Change, Dice, bytes, changes, message, raw};
use proptest::prelude::*;
use signal_proto::seal::{Channel, DeviceKey, SealError, ViewerHandshake};
use signal_proto::{ByeReason, Candidate, PeerId, RawValue, Signal, limits};

/// Who wants to talk to whom.
#[derive(Clone)]
struct Meeting {
    device: DeviceKey,
    viewer: PeerId,
    camera: PeerId,
}

/// A meeting with its handshake done.
struct Session {
    first: Box<RawValue>,
    reply: Box<RawValue>,
    viewer: Channel,
    camera: Channel,
}

impl Meeting {
    fn random() -> Self {
        Self { device: DeviceKey::random(), viewer: PeerId::random(), camera: PeerId::random() }
    }

    fn greet(&self) -> (ViewerHandshake, Box<RawValue>) {
        ViewerHandshake::begin(&self.device.code(), self.viewer, self.camera).unwrap()
    }

    fn answer(&self, first: &RawValue) -> Result<(Box<RawValue>, Channel), SealError> {
        self.device.answer(self.viewer, self.camera, first)
    }

    fn session(&self) -> Session {
        let (handshake, first) = self.greet();
        let (reply, camera) = self.answer(&first).unwrap();
        let viewer = handshake.finish(&reply).unwrap();
        Session { first, reply, viewer, camera }
    }

    /// Those for whom this meeting's messages are not meant: its own next session, another camera, another viewer,
    /// another code and room, the two with their ids exchanged.
    fn neighbours(&self) -> [Self; 5] {
        [
            self.clone(),
            Self { camera: PeerId::random(), ..self.clone() },
            Self { viewer: PeerId::random(), ..self.clone() },
            Self { device: DeviceKey::random(), ..self.clone() },
            Self { viewer: self.camera, camera: self.viewer, ..self.clone() },
        ]
    }
}

impl Session {
    /// Who seals and who opens, in either direction.
    fn ends(&mut self, from_viewer: bool) -> (&mut Channel, &mut Channel) {
        match from_viewer {
            true => (&mut self.viewer, &mut self.camera),
            false => (&mut self.camera, &mut self.viewer),
        }
    }
}

fn signals() -> [Signal; 4] {
    let line = "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host";
    let candidate = Candidate { candidate: line.into(), sdp_m_line_index: 0, sdp_mid: None };
    [Signal::Start, Signal::Offer("v=0\r\n".into()), Signal::Candidate(candidate), Signal::Bye(ByeReason::Left)]
}

/// Passes so many genuine signals, which must be accepted.
fn pass(from: &mut Channel, to: &mut Channel, count: usize) {
    for signal in signals().iter().cycle().take(count) {
        assert!(to.open(&from.seal(signal).unwrap()).unwrap() == *signal);
    }
}

/// The channel takes neither the wrong message nor, after it, the right one or anything else.
fn rejects(channel: &mut Channel, wrong: &RawValue, right: &RawValue) {
    assert!(channel.open(wrong).is_err(), "opened {}", wrong.get());
    for after in [right, wrong, right] {
        assert!(matches!(channel.open(after), Err(SealError::Closed)), "open again after {}", wrong.get());
    }
}

#[test]
fn signals_pass_both_ways() {
    let mut session = Meeting::random().session();
    for turn in 0..200 {
        let (from, to) = session.ends(turn % 3 == 0);
        pass(from, to, 1 + turn % 5);
    }
}

#[test]
fn no_changed_first_message_is_answered() {
    let meeting = Meeting::random();
    let (handshake, first) = meeting.greet();
    let changes = changes(bytes(&first).len(), 8, 3000);
    assert!(changes.len() > 3480, "{}", changes.len());
    for change in changes {
        assert!(meeting.answer(&change.of(&first)).is_err(), "{change:?}");
    }
    let (reply, _) = meeting.answer(&first).unwrap();
    handshake.finish(&reply).unwrap();
}

#[test]
fn no_changed_reply_proves_the_camera() {
    let meeting = Meeting::random();
    let changes = changes(bytes(&meeting.session().reply).len(), 8, 1500);
    assert!(changes.len() > 2700, "{}", changes.len());
    for change in changes {
        let (handshake, first) = meeting.greet();
        let (reply, _) = meeting.answer(&first).unwrap();
        assert!(handshake.finish(&change.of(&reply)).is_err(), "{change:?}");
    }
}

#[test]
fn a_changed_message_closes_the_channel() {
    let meeting = Meeting::random();
    let length = bytes(&meeting.session().viewer.seal(&Signal::Start).unwrap()).len();
    let changes = changes(length, 1, 1500);
    assert!(changes.len() > 3700, "{}", changes.len());
    for (turn, change) in changes.into_iter().enumerate() {
        let mut session = meeting.session();
        let (from, to) = session.ends(turn % 2 == 0);
        pass(from, to, turn % 3);
        let sealed = from.seal(&Signal::Start).unwrap();
        let next = from.seal(&Signal::Start).unwrap();
        rejects(to, &change.of(&sealed), if turn % 5 == 0 { &next } else { &sealed });
    }
}

#[test]
fn a_long_message_is_checked_to_its_last_byte() {
    let meeting = Meeting::random();
    let offer = Signal::Offer("a=x\r\n".repeat(limits::SDP_BYTES / 5).into());
    let mut dice = Dice::new(0);
    for turn in 0..200 {
        let mut session = meeting.session();
        let (from, to) = session.ends(turn % 2 == 0);
        let sealed = from.seal(&offer).unwrap();
        let at = bytes(&sealed).len() - 1 - if turn < 32 { turn } else { dice.below(32 * 1024) };
        rejects(to, &Change::Flip { at, bit: dice.below(8) as u32 }.of(&sealed), &sealed);
    }
}

#[test]
fn order_is_kept_and_nothing_opens_twice() {
    let meeting = Meeting::random();
    let mut attempts = 0;
    // `count` messages are sealed, `before` of them arrive, then comes number `wrong` instead of the next.
    for count in 1..12 {
        for before in 0..count {
            for wrong in (0..count).filter(|wrong| *wrong != before) {
                let mut session = meeting.session();
                let (from, to) = session.ends(attempts % 2 == 0);
                let sealed: Vec<_> =
                    signals().iter().cycle().take(count).map(|signal| from.seal(signal).unwrap()).collect();
                for genuine in &sealed[..before] {
                    to.open(genuine).unwrap();
                }
                rejects(to, &sealed[wrong], &sealed[before]);
                attempts += 1;
            }
        }
    }
    assert_eq!(attempts, 440);
}

#[test]
fn nobody_opens_what_it_sealed_itself() {
    let meeting = Meeting::random();
    for turn in 0..100 {
        let mut session = meeting.session();
        let (from, to) = session.ends(turn % 2 == 0);
        pass(from, to, turn % 7);
        pass(to, from, turn % 4);
        // Also where its own count of received messages happens to be the message's number.
        let sealed = from.seal(&Signal::Start).unwrap();
        let right = to.seal(&Signal::Start).unwrap();
        rejects(from, &sealed, &right);
    }
}

#[test]
fn a_message_of_another_session_viewer_camera_or_room_does_not_open() {
    let mut attempts = 0;
    for turn in 0..60 {
        let meeting = Meeting::random();
        for neighbour in meeting.neighbours() {
            for from_viewer in [true, false] {
                let (mut here, mut there) = (meeting.session(), neighbour.session());
                // As many came before in both: the numbers of the messages agree.
                for session in [&mut here, &mut there] {
                    let (from, to) = session.ends(from_viewer);
                    pass(from, to, turn % 5);
                }
                let foreign = there.ends(from_viewer).0.seal(&Signal::Start).unwrap();
                let (from, to) = here.ends(from_viewer);
                rejects(to, &foreign, &from.seal(&Signal::Start).unwrap());
                attempts += 1;
            }
        }
    }
    assert_eq!(attempts, 600);
}

#[test]
fn a_handshake_of_another_session_viewer_camera_or_room_is_not_accepted() {
    let mut attempts = 0;
    for _ in 0..60 {
        let meeting = Meeting::random();
        for neighbour in meeting.neighbours().into_iter().skip(1) {
            let (handshake, first) = neighbour.greet();
            assert!(meeting.answer(&first).is_err(), "a foreign first message");
            // The reply would be right for the neighbour.
            let (own, first) = meeting.greet();
            let (foreign, _) = neighbour.answer(&handshake_of(&neighbour)).unwrap();
            assert!(own.finish(&foreign).is_err(), "a foreign reply");
            let (reply, _) = meeting.answer(&first).unwrap();
            assert!(handshake.finish(&reply).is_err(), "a reply to somebody else");
            attempts += 3;
        }
        // The same two, another handshake.
        let (own, _) = meeting.greet();
        let (reply, _) = meeting.answer(&handshake_of(&meeting)).unwrap();
        assert!(own.finish(&reply).is_err(), "a reply to another first message");
        attempts += 1;
    }
    assert_eq!(attempts, 780);
}

fn handshake_of(meeting: &Meeting) -> Box<RawValue> {
    meeting.greet().1
}

#[test]
fn a_message_in_the_place_of_another_kind_is_not_accepted() {
    let meeting = Meeting::random();
    for _ in 0..50 {
        let mut session = meeting.session();
        let sealed = session.viewer.seal(&Signal::Start).unwrap();
        let answered = session.camera.seal(&Signal::Start).unwrap();
        for wrong in [&session.reply, &sealed, &answered] {
            assert!(meeting.answer(wrong).is_err(), "as a first message");
        }
        for wrong in [&session.first, &sealed, &answered] {
            let (handshake, _) = meeting.greet();
            assert!(handshake.finish(wrong).is_err(), "as a reply");
        }
        // Its own first message back, as a reply of just the right length.
        let (handshake, first) = meeting.greet();
        let reflected = [bytes(&first), vec![0; 80]].concat();
        assert!(handshake.finish(&message(&reflected)).is_err(), "reflected");
        let Session { first, reply, mut viewer, mut camera } = session;
        rejects(&mut viewer, &reply, &answered);
        rejects(&mut camera, &first, &sealed);
    }
}

#[test]
fn a_first_message_repeated_begins_something_new_that_only_its_sender_can_finish() {
    let meeting = Meeting::random();
    let (handshake, first) = meeting.greet();
    let mut replies: Vec<_> = (0..100).map(|_| meeting.answer(&first).unwrap()).collect();
    // The viewer goes on with one of them; what it says opens in that one alone.
    let (reply, mut camera) = replies.swap_remove(17);
    let mut viewer = handshake.finish(&reply).unwrap();
    let start = viewer.seal(&Signal::Start).unwrap();
    for (_, other) in &mut replies {
        assert!(other.open(&start).is_err());
    }
    assert!(camera.open(&start).unwrap() == Signal::Start);
}

#[test]
fn lengths_tell_little() {
    let mut session = Meeting::random().session();
    let length = |sealed: Box<RawValue>| sealed.get().len();
    let lengths: Vec<usize> = signals().iter().map(|signal| length(session.viewer.seal(signal).unwrap())).collect();
    assert!(lengths.iter().all(|other| *other == lengths[0]), "{lengths:?}");
    let sdp = |bytes: usize| Signal::Answer("x".repeat(bytes).into());
    assert_eq!(length(session.viewer.seal(&sdp(2100)).unwrap()), length(session.viewer.seal(&sdp(3000)).unwrap()));
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let candidate = (".{0,200}", any::<u16>(), prop::option::of(".{0,16}")).prop_map(|(line, index, mid)| {
        Signal::Candidate(Candidate { candidate: line, sdp_m_line_index: index, sdp_mid: mid })
    });
    prop_oneof![
        Just(Signal::Start),
        ".{0,3000}".prop_map(|sdp| Signal::Offer(sdp.into())),
        "[ -~\r\n]{0,8000}".prop_map(|sdp| Signal::Answer(sdp.into())),
        candidate,
        Just(Signal::Bye(ByeReason::Busy)),
        Just(Signal::Bye(ByeReason::Stopping)),
        Just(Signal::Bye(ByeReason::Failed)),
        Just(Signal::Bye(ByeReason::Left)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_signals_arrive_as_they_were(sent in prop::collection::vec((any::<bool>(), any_signal()), 1..8)) {
        let mut session = Meeting::random().session();
        for (from_viewer, signal) in sent {
            let (from, to) = session.ends(from_viewer);
            let sealed = from.seal(&signal).unwrap();
            prop_assert!(sealed.get().len() + 128 <= limits::MESSAGE_BYTES);
            prop_assert_eq!(bytes(&sealed).len() % 1024, 16, "in steps, and the tag");
            prop_assert!(to.open(&sealed).unwrap() == signal);
        }
    }

    #[test]
    fn whatever_comes_nothing_panics_or_is_accepted(
        noise in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2200).prop_map(|bytes| message(&bytes)),
            prop::collection::vec(any::<u8>(), 48).prop_map(|bytes| message(&bytes)),
            prop::collection::vec(any::<u8>(), 128).prop_map(|bytes| message(&bytes)),
            (0usize..60_000, any::<u8>()).prop_map(|(length, byte)| message(&vec![byte; length])),
            ".{0,100}".prop_map(|text| raw(serde_json::json!({ "noise": text }).to_string())),
            ".{0,100}".prop_map(|text| raw(serde_json::json!(text).to_string())),
            any::<f64>().prop_map(|number| raw(serde_json::json!([number, { "noise": number }]).to_string())),
        ],
    ) {
        let meeting = Meeting::random();
        let (handshake, _) = meeting.greet();
        prop_assert!(meeting.answer(&noise).is_err());
        prop_assert!(handshake.finish(&noise).is_err());
        let Session { mut viewer, mut camera, .. } = meeting.session();
        prop_assert!(viewer.open(&noise).is_err());
        prop_assert!(camera.open(&noise).is_err());
    }
}

#[test]
fn what_is_too_long_to_seal_is_refused_and_harms_nothing() {
    let mut session = Meeting::random().session();
    // Control characters have six bytes each in JSON.
    let long = Signal::Offer("\u{1}".repeat(limits::SDP_BYTES).into());
    assert!(matches!(session.viewer.seal(&long), Err(SealError::TooLarge(_))));
    let (from, to) = session.ends(true);
    pass(from, to, 4);
}
