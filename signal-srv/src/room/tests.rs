//! The rules one by one, then random histories of many clients against what must always hold.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 16])
}

fn client(number: u8) -> Client {
    Client::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
}

fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 32])
}

fn pair(number: u8) -> Join {
    Join::Pair { room: room(number) }
}

fn camera(number: u8) -> Join {
    Join::Role { room: room(number), role: Role::Camera }
}

fn viewer(number: u8) -> Join {
    Join::Role { room: room(number), role: Role::Viewer }
}

fn member(number: u8, role: Role) -> Member {
    Member { peer: peer(number), role }
}

#[test]
fn a_pair_room_takes_two_and_vanishes_with_the_last() {
    let mut rooms = Rooms::new(16, usize::MAX);
    assert_eq!(rooms.join(peer(1), client(1), pair(1)), Ok(Admitted { present: None, hearers: vec![] }));
    assert_eq!(rooms.join(peer(2), client(1), pair(1)), Ok(Admitted { present: None, hearers: vec![peer(1)] }));
    assert_eq!(rooms.join(peer(3), client(1), pair(1)), Err(ErrorCode::RoomFull));
    assert_eq!(rooms.addressee(peer(1), None), Ok(Some(peer(2))));
    assert_eq!(rooms.addressee(peer(1), Some(peer(2))), Err(ErrorCode::BadMessage));
    assert_eq!(rooms.leave(peer(1)), Some(vec![peer(2)]));
    assert_eq!(rooms.addressee(peer(2), None), Ok(None));
    assert_eq!(rooms.leave(peer(2)), Some(vec![]));
    assert!(rooms.rooms.is_empty());
    assert_eq!(
        rooms.join(peer(3), client(1), camera(1)).unwrap().present,
        Some(vec![]),
        "the room's kind is open again"
    );
}

#[test]
fn a_client_makes_no_more_rooms_than_it_may_and_enters_those_of_others() {
    let mut rooms = Rooms::new(16, 2);
    rooms.join(peer(1), client(1), camera(1)).unwrap();
    rooms.join(peer(2), client(1), pair(2)).unwrap();
    assert_eq!(rooms.join(peer(3), client(1), camera(3)), Err(ErrorCode::TooManyRooms));
    rooms.join(peer(3), client(2), camera(3)).unwrap();
    rooms.join(peer(4), client(1), viewer(3)).unwrap();
    // Not when its maker leaves a room, but when the room is gone.
    rooms.join(peer(5), client(2), viewer(1)).unwrap();
    rooms.leave(peer(1)).unwrap();
    assert_eq!(rooms.join(peer(1), client(1), camera(4)), Err(ErrorCode::TooManyRooms));
    rooms.leave(peer(5)).unwrap();
    rooms.join(peer(1), client(1), camera(4)).unwrap();
    for number in 1..=4 {
        rooms.leave(peer(number)).unwrap();
    }
    assert!(rooms.made.is_empty());
}

#[test]
fn cameras_hear_of_everybody_and_viewers_of_cameras() {
    let mut rooms = Rooms::new(16, usize::MAX);
    rooms.join(peer(1), client(1), viewer(1)).unwrap();
    let second = rooms.join(peer(2), client(1), viewer(1)).unwrap();
    assert_eq!(second, Admitted { present: Some(vec![]), hearers: vec![] });
    let first_camera = rooms.join(peer(3), client(1), camera(1)).unwrap();
    assert_eq!(first_camera.present, Some(vec![member(1, Role::Viewer), member(2, Role::Viewer)]));
    assert_eq!(first_camera.hearers, [peer(1), peer(2)]);
    let second_camera = rooms.join(peer(4), client(1), camera(1)).unwrap();
    let everybody = vec![member(3, Role::Camera), member(1, Role::Viewer), member(2, Role::Viewer)];
    assert_eq!(second_camera.present, Some(everybody));
    assert_eq!(second_camera.hearers, [peer(3), peer(1), peer(2)]);
    let third = rooms.join(peer(5), client(1), viewer(1)).unwrap();
    assert_eq!(third.present, Some(vec![member(3, Role::Camera), member(4, Role::Camera)]));
    assert_eq!(third.hearers, [peer(3), peer(4)]);
    assert_eq!(rooms.leave(peer(1)), Some(vec![peer(3), peer(4)]));
    assert_eq!(rooms.leave(peer(3)), Some(vec![peer(4), peer(2), peer(5)]));
}

#[test]
fn signals_go_from_camera_to_viewer_and_back_alone() {
    let mut rooms = Rooms::new(16, usize::MAX);
    for (number, join) in [(1, camera(1)), (2, camera(1)), (3, viewer(1)), (4, viewer(1)), (5, camera(2))] {
        rooms.join(peer(number), client(1), join).unwrap();
    }
    assert_eq!(rooms.addressee(peer(1), Some(peer(3))), Ok(Some(peer(3))));
    assert_eq!(rooms.addressee(peer(3), Some(peer(2))), Ok(Some(peer(2))));
    assert_eq!(rooms.addressee(peer(1), Some(peer(2))), Ok(None), "camera to camera");
    assert_eq!(rooms.addressee(peer(3), Some(peer(4))), Ok(None), "viewer to viewer");
    assert_eq!(rooms.addressee(peer(3), Some(peer(3))), Ok(None), "to itself");
    assert_eq!(rooms.addressee(peer(3), Some(peer(5))), Ok(None), "into another room");
    assert_eq!(rooms.addressee(peer(3), Some(peer(9))), Ok(None), "to nobody");
    assert_eq!(rooms.addressee(peer(3), None), Err(ErrorCode::BadMessage));
    assert_eq!(rooms.addressee(peer(9), Some(peer(1))), Err(ErrorCode::NotJoined));
}

#[test]
fn a_room_is_of_the_kind_of_its_first_client_and_of_limited_size() {
    let mut rooms = Rooms::new(2, usize::MAX);
    rooms.join(peer(1), client(1), pair(1)).unwrap();
    assert_eq!(rooms.join(peer(2), client(1), viewer(1)), Err(ErrorCode::RoomMode));
    rooms.join(peer(2), client(1), viewer(2)).unwrap();
    assert_eq!(rooms.join(peer(3), client(1), pair(2)), Err(ErrorCode::RoomMode));
    rooms.join(peer(3), client(1), viewer(2)).unwrap();
    assert_eq!(rooms.join(peer(4), client(1), viewer(2)), Err(ErrorCode::RoomFull));
    for number in 10..14 {
        rooms.join(peer(number), client(1), camera(2)).unwrap();
    }
    assert_eq!(rooms.join(peer(14), client(1), camera(2)), Err(ErrorCode::RoomFull));
    assert_eq!(rooms.join(peer(1), client(1), pair(1)), Err(ErrorCode::AlreadyJoined));
    assert_eq!(rooms.join(peer(1), client(1), pair(9)), Err(ErrorCode::AlreadyJoined));
    assert_eq!(rooms.leave(peer(4)), None, "who was not let in does not leave");
}

#[derive(Debug, Clone)]
enum Step {
    Join(u8, Join),
    Leave(u8),
    Signal(u8, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..24_u8;
    let join = (0..3_u8, 0..3).prop_map(|(number, kind)| match kind {
        0 => pair(number),
        1 => camera(number),
        _ => viewer(number),
    });
    prop_oneof![
        4 => (client.clone(), join).prop_map(|(client, join)| Step::Join(client, join)),
        2 => client.clone().prop_map(Step::Leave),
        2 => (client.clone(), proptest::option::of(client)).prop_map(|(from, to)| Step::Signal(from, to)),
    ]
}

/// What the clients know, from what they were told alone.
#[derive(Default)]
struct World {
    inside: HashMap<PeerId, Join>,
    /// Whom each client believes to be in its room.
    known: HashMap<PeerId, HashSet<PeerId>>,
}

impl World {
    fn is_viewer(&self, peer: PeerId) -> bool {
        matches!(self.inside[&peer], Join::Role { role: Role::Viewer, .. })
    }

    fn room_of(&self, peer: PeerId) -> RoomId {
        match self.inside[&peer] {
            Join::Pair { room } | Join::Role { room, .. } => room,
        }
    }

    /// Whom a client should know of: all others of its room, except that viewers know no viewers.
    fn should_know(&self, peer: PeerId) -> HashSet<PeerId> {
        let others = self.inside.keys().copied().filter(|other| *other != peer);
        others
            .filter(|other| self.room_of(*other) == self.room_of(peer))
            .filter(|other| !(self.is_viewer(peer) && self.is_viewer(*other)))
            .collect()
    }
}

proptest! {
    #[test]
    fn random_histories(steps in proptest::collection::vec(step(), 0..200)) {
        const MAX_VIEWERS: usize = 3;
        let mut rooms = Rooms::new(MAX_VIEWERS, usize::MAX);
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Join(number, join) => {
                    let peer = peer(number);
                    let was_inside = world.inside.contains_key(&peer);
                    match rooms.join(peer, client(1), join) {
                        Ok(Admitted { present, hearers }) => {
                            prop_assert!(!was_inside, "a client is in one room at most");
                            world.inside.insert(peer, join);
                            let mut known: HashSet<PeerId> = HashSet::new();
                            match present {
                                Some(members) => known.extend(members.iter().map(|member| member.peer)),
                                // In a pair room the newcomer learns of the other by its offer.
                                None => known.extend(&hearers),
                            }
                            world.known.insert(peer, known);
                            for hearer in hearers {
                                let news = world.known.get_mut(&hearer).unwrap().insert(peer);
                                prop_assert!(news, "nobody hears of a join twice");
                            }
                        }
                        Err(code) => {
                            prop_assert_eq!(was_inside, code == ErrorCode::AlreadyJoined);
                        }
                    }
                }
                Step::Leave(number) => {
                    let peer = peer(number);
                    let hearers = rooms.leave(peer);
                    prop_assert_eq!(hearers.is_some(), world.inside.remove(&peer).is_some(), "one leave for each join");
                    world.known.remove(&peer);
                    for hearer in hearers.unwrap_or_default() {
                        let known = world.known.get_mut(&hearer).unwrap().remove(&peer);
                        prop_assert!(known, "a leave is heard by those alone who heard of the join");
                    }
                }
                Step::Signal(number, to) => {
                    let peer_of = peer;
                    let from = peer(number);
                    match rooms.addressee(from, to.map(peer_of)) {
                        Ok(Some(addressee)) => {
                            prop_assert!(world.known[&from].contains(&addressee));
                            prop_assert!(world.known[&addressee].contains(&from));
                            prop_assert!(to.is_none_or(|to| peer_of(to) == addressee));
                        }
                        Ok(None) => prop_assert!(world.inside.contains_key(&from)),
                        Err(code) => prop_assert_eq!(code == ErrorCode::NotJoined, !world.inside.contains_key(&from)),
                    }
                }
            }
            for (client, known) in &world.known {
                prop_assert_eq!(known, &world.should_know(*client));
            }
            prop_assert_eq!(rooms.seats.len(), world.inside.len());
            let occupied: HashSet<_> = world.inside.keys().map(|client| world.room_of(*client)).collect();
            prop_assert_eq!(&occupied, &rooms.rooms.keys().copied().collect(), "an empty room vanishes");
            prop_assert_eq!(rooms.made.values().sum::<usize>(), rooms.rooms.len());
            for room in rooms.rooms.values() {
                match &room.members {
                    Members::Pair(clients) => prop_assert!(clients.len() <= PAIR_CLIENTS),
                    Members::Role { cameras, viewers } => {
                        prop_assert!(cameras.len() <= ROLE_CAMERAS && viewers.len() <= MAX_VIEWERS);
                    }
                }
            }
        }
        for client in world.inside.into_keys() {
            prop_assert!(rooms.leave(client).is_some());
        }
        prop_assert!(rooms.rooms.is_empty() && rooms.seats.is_empty() && rooms.made.is_empty());
    }
}
