//! The rules of rooms against a model that knows them in another form: a list of who is where.

use std::net::{IpAddr, Ipv4Addr};

use signal_proto::limits::{PAIR_CLIENTS, ROLE_CAMERAS};
use signal_proto::{ErrorCode, Join, Member, PeerId, Role, RoomId};

use super::script::Script;
use crate::client::Client;
use crate::room::Rooms;

const PEERS: usize = 24;
const ROOMS: usize = 3;
const CLIENTS: usize = 2;
const VIEWERS: usize = 5;
const ROOMS_OF_EACH: usize = 2;

/// Who is in which room as what; who came first comes first.
type Model = Vec<(PeerId, RoomId, Option<Role>)>;

/// A history of joins, leaves and signals.
pub fn rooms(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut rooms = Rooms::new(VIEWERS, ROOMS_OF_EACH);
    let (mut model, mut makers) = (Model::new(), Vec::<(RoomId, usize)>::new());
    while let Some(()) = step(&mut script, &mut rooms, &mut model, &mut makers) {}
    for (peer, ..) in std::mem::take(&mut model) {
        assert!(rooms.leave(peer).is_some(), "one who is in a room cannot leave it");
    }
    assert_eq!(rooms.count(), 0, "a room without anybody");
}

fn step(
    script: &mut Script<'_>,
    rooms: &mut Rooms,
    model: &mut Model,
    makers: &mut Vec<(RoomId, usize)>,
) -> Option<()> {
    let kind = script.below(4)?;
    let peer = peer(script.below(PEERS)?);
    match kind {
        0 | 1 => {
            let (room, client) = (RoomId::from_bytes([script.below(ROOMS)? as u8; 32]), script.below(CLIENTS)?);
            let role = [None, Some(Role::Camera), Some(Role::Viewer)][script.below(3)?];
            let join = role.map_or(Join::Pair { room }, |role| Join::Role { room, role });
            let address = Client::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, client as u8)));
            let expected = refusal(model, makers, peer, client, room, role);
            match rooms.join(peer, address, join) {
                Err(code) => assert_eq!(Some(code), expected),
                Ok(admitted) => {
                    assert_eq!(expected, None, "let in");
                    assert_eq!(sorted(admitted.hearers), hearers(model, peer, room, role));
                    let present = role.map(|role| present(model, room, role));
                    let mut told = admitted.present;
                    if let Some(told) = &mut told {
                        told.sort_by_key(|member| member.peer);
                    }
                    assert_eq!(told, present);
                    if !model.iter().any(|(_, other, _)| *other == room) {
                        makers.push((room, client));
                    }
                    model.push((peer, room, role));
                }
            }
        }
        2 => {
            let place = model.iter().position(|(other, ..)| *other == peer);
            let Some((_, room, role)) = place.map(|place| model.remove(place)) else {
                assert_eq!(rooms.leave(peer), None);
                return Some(());
            };
            assert_eq!(rooms.leave(peer).map(sorted), Some(hearers(model, peer, room, role)));
            if !model.iter().any(|(_, other, _)| *other == room) {
                makers.retain(|(other, _)| *other != room);
            }
        }
        _ => {
            let to = script.below(PEERS + 1)?.checked_sub(1).map(self::peer);
            assert_eq!(rooms.addressee(peer, to), addressee(model, peer, to));
        }
    }
    let taken = ROOMS.min(model.len());
    assert!(usize::try_from(rooms.count()).is_ok_and(|count| count == makers.len() && count <= taken));
    Some(())
}

fn peer(number: usize) -> PeerId {
    PeerId::from_bytes([number as u8; 16])
}

fn sorted(mut peers: Vec<PeerId>) -> Vec<PeerId> {
    peers.sort();
    peers
}

fn refusal(
    model: &Model,
    makers: &[(RoomId, usize)],
    peer: PeerId,
    client: usize,
    room: RoomId,
    role: Option<Role>,
) -> Option<ErrorCode> {
    if model.iter().any(|(other, ..)| *other == peer) {
        return Some(ErrorCode::AlreadyJoined);
    }
    let there: Vec<_> = model.iter().filter(|(_, other, _)| *other == room).map(|(.., role)| *role).collect();
    let Some(first) = there.first() else {
        let made = makers.iter().filter(|(_, maker)| *maker == client).count();
        return (made >= ROOMS_OF_EACH).then_some(ErrorCode::TooManyRooms);
    };
    if first.is_some() != role.is_some() {
        return Some(ErrorCode::RoomMode);
    }
    let most = match role {
        None => PAIR_CLIENTS,
        Some(Role::Camera) => ROLE_CAMERAS,
        Some(Role::Viewer) => VIEWERS,
    };
    (there.iter().filter(|other| **other == role).count() >= most).then_some(ErrorCode::RoomFull)
}

/// Of a viewer cameras hear, of anybody else everybody.
fn hearers(model: &Model, peer: PeerId, room: RoomId, role: Option<Role>) -> Vec<PeerId> {
    let hears = |other: &Option<Role>| role != Some(Role::Viewer) || *other == Some(Role::Camera);
    let there = model.iter().filter(|(other, at, as_what)| *at == room && *other != peer && hears(as_what));
    sorted(there.map(|(other, ..)| *other).collect())
}

/// Viewers see cameras, cameras everybody.
fn present(model: &Model, room: RoomId, role: Role) -> Vec<Member> {
    let seen = |other: Role| role == Role::Camera || other == Role::Camera;
    let there = model.iter().filter(|(_, at, _)| *at == room);
    let members = there.filter_map(|(peer, _, role)| Some(Member { peer: *peer, role: (*role)? }));
    let mut members: Vec<_> = members.filter(|member| seen(member.role)).collect();
    members.sort_by_key(|member| member.peer);
    members
}

fn addressee(model: &Model, peer: PeerId, to: Option<PeerId>) -> Result<Option<PeerId>, ErrorCode> {
    let Some((_, room, role)) = model.iter().find(|(other, ..)| *other == peer) else {
        return Err(ErrorCode::NotJoined);
    };
    let in_room = |role: Option<Role>| {
        let there = model.iter().filter(move |(_, at, other)| at == room && *other == role);
        there.map(|(other, ..)| *other).collect::<Vec<_>>()
    };
    match (role, to) {
        (None, None) => Ok(in_room(None).into_iter().find(|other| *other != peer)),
        (Some(Role::Camera), Some(to)) => Ok(in_room(Some(Role::Viewer)).contains(&to).then_some(to)),
        (Some(Role::Viewer), Some(to)) => Ok(in_room(Some(Role::Camera)).contains(&to).then_some(to)),
        _ => Err(ErrorCode::BadMessage),
    }
}
