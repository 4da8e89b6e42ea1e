//! What the clients of one room have to hear, and whether they do. Pure: time is an argument.
//!
//! ```text
//! for each who hears, of each whom it hears:   JOIN ▶ signal ▶ signal ▶ … ▶ LEAVE
//! ```
//! What is due is entered before it is asked for: who hears may be faster than who did it. Each thing is heard once, in this
//! order, byte for byte, and nothing else is. Only of somebody who did not leave in order the last signals may be lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use signal_proto::{Joined, Member, PeerId, Role};

/// What one hears of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It came.
    Join(Option<Role>),
    /// It said this.
    Signal(String),
    /// It went.
    Leave,
}

#[derive(Debug)]
enum Due {
    Join(Option<Role>),
    Signal { text: String, since: Instant },
    Leave,
}

/// Everybody in the room, and everything that is on its way.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    present: BTreeMap<PeerId, Present>,
    due: BTreeMap<(PeerId, PeerId), VecDeque<Due>>,
    /// Who did not leave in order, and is still heard of.
    broken: Vec<PeerId>,
}

#[derive(Debug, Clone, Copy)]
struct Present {
    role: Option<Role>,
    /// One who breaks the rules: what it hears is not looked at, and what it says may be anything.
    wild: bool,
}

/// Something that must not be. The text says what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

impl Ledger {
    /// Somebody is about to join.
    pub(super) fn entering(&mut self, peer: PeerId, role: Option<Role>) {
        for hearer in self.hearers(peer, role) {
            self.due.entry((hearer, peer)).or_default().push_back(Due::Join(role));
        }
        self.present.insert(peer, Present { role, wild: false });
    }

    /// It was let in, and this is what it was told of the others.
    pub(super) fn entered(&self, peer: PeerId, joined: Option<&Joined>) -> Result<(), Violation> {
        let Some(Present { role, .. }) = self.present.get(&peer) else {
            return Err(Violation(format!("{peer} is not in the room")));
        };
        let expected = role.map(|role| {
            let visible = |other: &Present| role == Role::Camera || other.role == Some(Role::Camera);
            let others = self.present.iter().filter(|(other, present)| **other != peer && visible(present));
            let members = others.filter_map(|(other, present)| Some(Member { peer: *other, role: present.role? }));
            members.collect::<Vec<_>>()
        });
        let told = joined.map(|joined| {
            let mut peers = joined.peers.clone();
            peers.sort_by_key(|member| member.peer);
            peers
        });
        if told == expected {
            return Ok(());
        }
        Err(Violation(format!("{peer} joined and was told of {told:?}, there are {expected:?}")))
    }

    /// Somebody is about to leave: in order, so that all it has said arrives, or not.
    pub(super) fn leaving(&mut self, peer: PeerId, in_order: bool) {
        let Some(Present { role, .. }) = self.present.remove(&peer) else { return };
        self.due.retain(|(hearer, _), _| *hearer != peer);
        for hearer in self.hearers(peer, role) {
            self.due.entry((hearer, peer)).or_default().push_back(Due::Leave);
        }
        if !in_order {
            self.broken.push(peer);
        }
    }

    /// From now on it may say anything.
    pub(super) fn goes_wild(&mut self, peer: PeerId) {
        if let Some(present) = self.present.get_mut(&peer) {
            present.wild = true;
        }
        self.due.retain(|(hearer, _), _| *hearer != peer);
    }

    /// Somebody is about to say something: to the one named, or in a pair room to the other one.
    pub(super) fn saying(&mut self, peer: PeerId, to: Option<PeerId>, text: &str, now: Instant) {
        let mut others = self.present.keys().copied().filter(|other| *other != peer);
        let to = to.or_else(|| others.next());
        let reached = to.and_then(|to| Some((to, self.present.get(&to)?)));
        if let Some((to, Present { wild: false, .. })) = reached {
            self.due.entry((to, peer)).or_default().push_back(Due::Signal { text: text.to_owned(), since: now });
        }
    }

    /// Somebody has heard something of somebody; since when a signal was on its way.
    pub(super) fn heard(&mut self, hearer: PeerId, of: PeerId, heard: &Heard) -> Result<Option<Instant>, Violation> {
        // Who has gone, or gone wild, may still have heard something in between.
        if self.present.get(&hearer).is_none_or(|present| present.wild) {
            return Ok(None);
        }
        if matches!(heard, Heard::Signal(_)) && (self.broken.contains(&of) || self.is_wild(of)) {
            self.pass_over(hearer, of, heard);
            return Ok(None);
        }
        if *heard == Heard::Leave && self.broken.contains(&of) {
            self.due.entry((hearer, of)).or_default().retain(|due| !matches!(due, Due::Signal { .. }));
        }
        let due = self.due.get_mut(&(hearer, of));
        let Some(first) = due.and_then(VecDeque::pop_front) else {
            return Err(Violation(format!("{hearer} hears of {of}, of whom nothing is due: {}", shown(heard))));
        };
        if self.due.get(&(hearer, of)).is_some_and(VecDeque::is_empty) {
            self.due.remove(&(hearer, of));
        }
        match (heard, &first) {
            (Heard::Join(role), Due::Join(expected)) if role == expected => Ok(None),
            (Heard::Signal(text), Due::Signal { text: expected, since }) if text == expected => Ok(Some(*since)),
            (Heard::Leave, Due::Leave) => {
                if !self.due.keys().any(|(_, other)| *other == of) {
                    self.broken.retain(|other| *other != of);
                }
                Ok(None)
            }
            _ => Err(Violation(format!("{hearer} hears of {of} {} where {} is due", shown(heard), shown_due(&first)))),
        }
    }

    /// What somebody says who breaks the rules: of what is due it may be a part.
    fn pass_over(&mut self, hearer: PeerId, of: PeerId, heard: &Heard) {
        let Some(due) = self.due.get_mut(&(hearer, of)) else { return };
        if let (Some(Due::Signal { text, .. }), Heard::Signal(said)) = (due.front(), heard)
            && text == said
        {
            due.pop_front();
        }
        if due.is_empty() {
            self.due.remove(&(hearer, of));
        }
    }

    fn is_wild(&self, peer: PeerId) -> bool {
        self.present.get(&peer).is_some_and(|present| present.wild)
    }

    /// Whether everybody has heard everything.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether everybody who should has heard it leave.
    pub(super) fn has_been_heard_to_leave(&self, peer: PeerId) -> bool {
        !self.present.contains_key(&peer) && !self.due.keys().any(|(_, of)| *of == peer)
    }

    /// What has not been heard yet, in words.
    pub(super) fn unsettled(&self) -> String {
        let each = self.due.iter().map(|((hearer, of), due)| {
            let first = due.front().map(shown_due).unwrap_or_default();
            format!("{hearer} has not heard of {of}: {first}, {} in all", due.len())
        });
        each.take(5).collect::<Vec<_>>().join("; ")
    }

    /// Everybody who keeps to the rules and may be spoken to by `peer`.
    pub(super) fn addressees(&self, peer: PeerId) -> Vec<PeerId> {
        let Some(Present { role, .. }) = self.present.get(&peer) else { return Vec::new() };
        let reached = |other: &Present| match (role, other.role) {
            (None, None) => true,
            (Some(role), Some(other)) => *role != other,
            _ => false,
        };
        let others =
            self.present.iter().filter(|(other, present)| **other != peer && !present.wild && reached(present));
        others.map(|(other, _)| *other).collect()
    }

    /// Who hears that somebody with this role comes and goes.
    pub(super) fn hearers(&self, peer: PeerId, role: Option<Role>) -> Vec<PeerId> {
        let hears = |other: &Present| role != Some(Role::Viewer) || other.role == Some(Role::Camera);
        let others = self.present.iter().filter(|(other, present)| **other != peer && !present.wild && hears(present));
        others.map(|(other, _)| *other).collect()
    }
}

fn shown(heard: &Heard) -> String {
    match heard {
        Heard::Join(role) => format!("JOIN {role:?}"),
        Heard::Signal(text) => format!("a signal of {} bytes, {}", text.len(), beginning(text)),
        Heard::Leave => "LEAVE".to_owned(),
    }
}

fn shown_due(due: &Due) -> String {
    match due {
        Due::Join(role) => format!("JOIN {role:?}"),
        Due::Signal { text, .. } => format!("a signal of {} bytes, {}", text.len(), beginning(text)),
        Due::Leave => "LEAVE".to_owned(),
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 16])
    }

    fn said(text: &str) -> Heard {
        Heard::Signal(text.to_owned())
    }

    /// A pair room with 1 and 2 in it, of which everything was heard.
    fn pair() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.entering(peer(1), None);
        ledger.entering(peer(2), None);
        assert!(!ledger.is_settled());
        assert_eq!(ledger.heard(peer(1), peer(2), &Heard::Join(None)), Ok(None));
        assert!(ledger.is_settled());
        ledger
    }

    #[test]
    fn signals_are_heard_once_and_in_order() {
        let (mut ledger, now) = (pair(), Instant::now());
        for text in ["a", "b"] {
            ledger.saying(peer(1), None, text, now);
        }
        assert_eq!(ledger.heard(peer(2), peer(1), &said("a")), Ok(Some(now)));
        assert!(ledger.unsettled().contains("a signal of 1 bytes, b, 1 in all"), "{}", ledger.unsettled());
        assert_eq!(ledger.heard(peer(2), peer(1), &said("b")), Ok(Some(now)));
        assert!(ledger.heard(peer(2), peer(1), &said("b")).is_err(), "twice");
        for text in ["c", "d"] {
            ledger.saying(peer(1), None, text, now);
        }
        assert!(ledger.heard(peer(2), peer(1), &said("d")).is_err(), "out of order");
    }

    #[test]
    fn nobody_hears_of_strangers() {
        let mut ledger = pair();
        assert!(ledger.heard(peer(2), peer(3), &said("a")).is_err());
        assert!(ledger.heard(peer(2), peer(3), &Heard::Join(None)).is_err());
        assert!(ledger.heard(peer(2), peer(1), &Heard::Leave).is_err(), "it is still there");
        assert!(ledger.heard(peer(2), peer(1), &Heard::Join(None)).is_err(), "it was there before");
    }

    #[test]
    fn who_leaves_in_order_is_heard_to_the_end_and_who_does_not_may_be_lost_in_part() {
        let now = Instant::now();
        for in_order in [true, false] {
            let mut ledger = pair();
            ledger.saying(peer(1), None, "a", now);
            ledger.saying(peer(1), None, "b", now);
            ledger.leaving(peer(1), in_order);
            assert!(ledger.heard(peer(2), peer(1), &said("a")).is_ok());
            assert_eq!(ledger.heard(peer(2), peer(1), &Heard::Leave).is_ok(), !in_order);
            if !in_order {
                assert!(ledger.is_settled());
                assert!(ledger.heard(peer(2), peer(1), &Heard::Leave).is_err(), "twice");
            }
        }
    }

    #[test]
    fn roles_hear_of_whom_they_may() {
        let mut ledger = Ledger::default();
        let (camera, viewer, other) = (peer(1), peer(2), peer(3));
        ledger.entering(camera, Some(Role::Camera));
        ledger.entering(viewer, Some(Role::Viewer));
        ledger.entering(other, Some(Role::Viewer));
        let member = |peer, role| Member { peer, role };
        let joined = |peers: &[Member]| Joined { peers: peers.to_vec(), ice_servers: Vec::new() };
        assert_eq!(ledger.entered(other, Some(&joined(&[member(camera, Role::Camera)]))), Ok(()));
        assert!(ledger.entered(other, Some(&joined(&[]))).is_err());
        assert!(ledger.entered(other, None).is_err());
        for viewer in [viewer, other] {
            assert_eq!(ledger.heard(camera, viewer, &Heard::Join(Some(Role::Viewer))), Ok(None));
        }
        assert!(ledger.heard(viewer, other, &Heard::Join(Some(Role::Viewer))).is_err());
        assert_eq!(ledger.addressees(viewer), [camera]);
        assert_eq!(ledger.addressees(camera), [viewer, other]);
        ledger.saying(camera, Some(peer(9)), "lost", Instant::now());
        assert!(ledger.is_settled());
    }

    #[test]
    fn who_goes_wild_may_say_anything_and_still_has_to_leave() {
        let mut ledger = pair();
        ledger.goes_wild(peer(2));
        ledger.saying(peer(1), None, "unheard", Instant::now());
        assert_eq!(ledger.heard(peer(1), peer(2), &said("noise")), Ok(None));
        ledger.leaving(peer(2), false);
        assert_eq!(ledger.heard(peer(1), peer(2), &said("more noise")), Ok(None));
        assert!(!ledger.is_settled());
        assert_eq!(ledger.heard(peer(1), peer(2), &Heard::Leave), Ok(None));
        assert!(ledger.is_settled());
        assert!(ledger.heard(peer(1), peer(2), &said("and more")).is_err(), "after LEAVE nothing is heard");
    }
}
