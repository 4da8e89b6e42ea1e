//! Three nodes that hear of each other late, against what their clients must know in the end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 16])
}

fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 32])
}

fn client() -> Client {
    Client::of(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn other(number: u8, role: Option<Role>) -> Other {
    Other { peer: peer(number), role, node: NodeId([9; 16]) }
}

const CAMERA: Option<Role> = Some(Role::Camera);
const VIEWER: Option<Role> = Some(Role::Viewer);

#[test]
fn only_the_difference_is_news() {
    let mut rooms = Rooms::new(16, usize::MAX);
    let join = join_of(room(1), VIEWER);
    let everybody = [other(1, CAMERA), other(2, VIEWER)];
    rooms.others_are(room(1), &everybody, Some(join));
    let admitted = rooms.seat(peer(3), None, join).unwrap();
    assert_eq!(admitted.present.unwrap().len(), 1, "a viewer sees the camera alone");
    assert_eq!(rooms.others_are(room(1), &everybody, None), []);
    assert!(rooms.reaches(peer(1), peer(3)) && !rooms.reaches(peer(2), peer(3)) && !rooms.reaches(peer(3), peer(1)));
    assert_eq!(rooms.node_of(peer(1)), Some(NodeId([9; 16])));
    let changes = rooms.others_are(room(1), &[other(4, CAMERA)], None);
    let [went, viewer, came] = changes.try_into().unwrap();
    assert_eq!(went, Change::Went { peer: peer(1), hearers: vec![peer(2), peer(3)] });
    assert_eq!(viewer, Change::Went { peer: peer(2), hearers: vec![] });
    assert_eq!(came, Change::Came { peer: peer(4), role: CAMERA, hearers: vec![peer(3)] });
    assert_eq!(rooms.forget_others(), [Change::Went { peer: peer(4), hearers: vec![peer(3)] }]);
    assert!(rooms.is_all_here(room(1)));
}

#[test]
fn a_room_goes_with_its_last_client_here() {
    let mut rooms = Rooms::new(16, 1);
    let join = join_of(room(1), CAMERA);
    assert!(rooms.reserve(client()) && !rooms.reserve(client()));
    rooms.seat(peer(1), Some(client()), join).unwrap();
    rooms.others_are(room(1), &[other(2, VIEWER)], None);
    assert!(!rooms.is_all_here(room(1)));
    assert!(!rooms.reserve(client()), "the room that it made is still there");
    assert_eq!(rooms.leave(peer(1)), Some(vec![peer(2)]));
    assert_eq!((rooms.count(), rooms.seats.len(), rooms.elsewhere.len(), rooms.made.len()), (0, 0, 0, 0));
    assert_eq!(rooms.others_are(room(1), &[other(3, CAMERA)], None), [], "nobody here is in it");
    assert_eq!(rooms.count(), 0);
    // Who enters a room of others has made none.
    assert!(rooms.reserve(client()));
    rooms.others_are(room(1), &[other(2, VIEWER)], Some(join));
    rooms.seat(peer(1), Some(client()), join).unwrap();
    assert!(rooms.reserve(client()));
}

#[test]
fn nobody_of_the_other_kind_gets_between_those_who_are_here() {
    let mut rooms = Rooms::new(16, usize::MAX);
    rooms.join(peer(1), client(), join_of(room(1), None)).unwrap();
    assert_eq!(rooms.others_are(room(1), &[other(2, CAMERA)], None), []);
    assert_eq!(rooms.seat(peer(3), None, join_of(room(1), VIEWER)), Err(ErrorCode::RoomMode));
    assert!(!rooms.is_seated(peer(3)));
}

const NODES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Join {
        node: usize,
        room: u8,
        role: Option<Role>,
    },
    /// Somebody who is there.
    Leave(usize),
    /// The node hears the next thing that it was told.
    Hear(usize),
    /// What a node was told and has not heard is lost; it is shown everything again.
    Gap(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![Just(None), Just(CAMERA), Just(VIEWER)];
    prop_oneof![
        3 => (0..NODES, 0..2_u8, role).prop_map(|(node, room, role)| Step::Join { node, room, role }),
        2 => (0..100_usize).prop_map(Step::Leave),
        6 => (0..NODES).prop_map(Step::Hear),
        1 => (0..NODES).prop_map(Step::Gap),
    ]
}

/// A room as it was when it was told: who is in it, of which node.
type RoomThen = (RoomId, Vec<(PeerId, usize, Option<Role>)>);

/// What Redis has, and what it has told.
#[derive(Default)]
struct World {
    members: Vec<(PeerId, usize, RoomId, Option<Role>)>,
    told: [VecDeque<RoomThen>; NODES],
    /// Who waits for its join to be told.
    pending: HashMap<PeerId, Join>,
    /// Whom each client believes to be there.
    known: HashMap<PeerId, HashSet<PeerId>>,
}

impl World {
    fn tell(&mut self, room: RoomId, only: Option<usize>) {
        let now =
            self.members.iter().filter(|(_, _, of, _)| *of == room).map(|(peer, node, _, role)| (*peer, *node, *role));
        let now: Vec<_> = now.collect();
        for (node, told) in self.told.iter_mut().enumerate() {
            if only.map_or_else(|| now.iter().any(|(_, of, _)| *of == node), |only| only == node) {
                told.push_back((room, now.clone()));
            }
        }
    }

    /// A node tells its own clients; whoever else is among them hears it from its own.
    fn own(&self, node: usize, hearers: Vec<PeerId>) -> Vec<PeerId> {
        let is_own = |hearer: &PeerId| self.members.iter().any(|(peer, of, ..)| peer == hearer && *of == node);
        hearers.into_iter().filter(is_own).collect()
    }

    fn came(&mut self, node: usize, peer: PeerId, hearers: Vec<PeerId>) {
        for hearer in self.own(node, hearers) {
            if let Some(known) = self.known.get_mut(&hearer) {
                assert!(known.insert(peer), "nobody hears of a join twice");
            }
        }
    }

    fn went(&mut self, node: usize, peer: PeerId, hearers: Vec<PeerId>) {
        for hearer in self.own(node, hearers) {
            if let Some(known) = self.known.get_mut(&hearer) {
                assert!(known.remove(&peer), "a leave is heard by those alone who heard of the join");
            }
        }
    }

    /// As the hub does it.
    fn hear(&mut self, node: usize, rooms: &mut Rooms) {
        let Some((room, now)) = self.told[node].pop_front() else { return };
        let others: Vec<Other> = now
            .iter()
            .filter(|(_, of, _)| *of != node)
            .map(|(peer, of, role)| Other { peer: *peer, role: *role, node: NodeId([*of as u8; 16]) })
            .collect();
        let waiting: Vec<(PeerId, Join)> = now
            .iter()
            .filter(|(_, of, _)| *of == node)
            .filter_map(|(peer, ..)| Some((*peer, *self.pending.get(peer)?)))
            .collect();
        for change in rooms.others_are(room, &others, waiting.first().map(|(_, join)| *join)) {
            match change {
                Change::Came { peer, hearers, .. } => self.came(node, peer, hearers),
                Change::Went { peer, hearers } => self.went(node, peer, hearers),
            }
        }
        for (peer, join) in waiting {
            self.pending.remove(&peer);
            let Admitted { present, hearers } = rooms.seat(peer, None, join).unwrap();
            let seen = present.map_or_else(
                || hearers.iter().copied().collect(),
                |members| members.into_iter().map(|member| member.peer).collect(),
            );
            // In a pair room the newcomer learns of the other by its offer, wherever that is.
            let seen: HashSet<PeerId> = seen;
            self.known.insert(peer, seen);
            self.came(node, peer, hearers);
        }
    }
}

proptest! {
    #[test]
    fn nodes_that_hear_late_agree_in_the_end(steps in proptest::collection::vec(step(), 0..120)) {
        let mut nodes = [(); NODES].map(|()| Rooms::new(16, usize::MAX));
        let mut world = World::default();
        let mut next = 0_u8;
        for step in steps {
            match step {
                Step::Join { node, room: number, role } => {
                    let id = room(number);
                    let mut there = world.members.iter().filter(|(_, _, of, _)| *of == id);
                    let most = if role.is_none() { 2 } else { 16 };
                    let count = there.clone().filter(|(_, _, _, of)| *of == role).count();
                    if count >= most || there.any(|(_, _, _, of)| of.is_none() != role.is_none()) {
                        continue;
                    }
                    next += 1;
                    world.members.push((peer(next), node, id, role));
                    world.pending.insert(peer(next), join_of(id, role));
                    world.tell(id, None);
                }
                Step::Leave(which) => {
                    let inside: Vec<_> = world.members.clone();
                    if inside.is_empty() {
                        continue;
                    }
                    let (peer, node, room, _) = inside[which % inside.len()];
                    world.members.retain(|(other, ..)| *other != peer);
                    world.tell(room, None);
                    world.known.remove(&peer);
                    if world.pending.remove(&peer).is_none() {
                        let hearers = nodes[node].leave(peer).unwrap();
                        world.went(node, peer, hearers);
                    }
                }
                Step::Hear(node) => world.hear(node, &mut nodes[node]),
                Step::Gap(node) => {
                    world.told[node].clear();
                    // Who waited is told that it is not in, and leaves.
                    let lost: Vec<_> = world.members.iter().filter(|(peer, of, ..)| *of == node && world.pending.contains_key(peer))
                        .map(|(peer, _, room, _)| (*peer, *room)).collect();
                    for (peer, room) in lost {
                        world.pending.remove(&peer);
                        world.members.retain(|(other, ..)| *other != peer);
                        world.tell(room, None);
                    }
                    for room in nodes[node].ids().collect::<Vec<_>>() {
                        world.tell(room, Some(node));
                    }
                }
            }
        }
        for (node, rooms) in nodes.iter_mut().enumerate() {
            while !world.told[node].is_empty() {
                world.hear(node, rooms);
            }
        }
        for (peer, _, room, role) in &world.members {
            let others = world.members.iter().filter(|(other, _, of, _)| of == room && other != peer);
            let seen = others.filter(|(.., of)| *of != VIEWER || *role != VIEWER).map(|(other, ..)| *other);
            prop_assert_eq!(&world.known[peer], &seen.collect::<HashSet<_>>());
        }
        for (node, rooms) in nodes.iter().enumerate() {
            let here: HashSet<PeerId> = rooms.here().map(|(peer, _)| peer).collect();
            let there = world.members.iter().filter(|(_, of, ..)| *of == node).map(|(peer, ..)| *peer);
            prop_assert_eq!(here, there.collect());
            prop_assert_eq!(rooms.elsewhere.len() + rooms.here().count(), rooms.seats.len());
        }
    }
}
