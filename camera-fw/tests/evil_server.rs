//! A signaling server that interferes before a viewer has proven anything: nothing that it changes, repeats, moves or
//! invents gets an answer, a peer connection or memory of the camera, and true viewers watch all the same.
//!
//! `signal-proto`'s own tests try every change on the sealing itself; here they go through the camera as a process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../signal-srv/proto/tests/changes/mod.rs"]
mod changes;
mod common;

use std::time::{Duration, Instant};

use ::bytes::Bytes;
use changes::{Dice, bytes, changes, message, raw};
use common::evil_server::{EvilServer, Passing};
use common::room::{Guest, Heard};
use common::scene::{Scene, start};
use common::viewer::Viewer;
use common::{PATIENCE, code, server, stop};
use signal_proto::seal::{Code, DeviceKey, ViewerHandshake};
use signal_proto::{
    ByeReason, Candidate, PeerId, RawValue, Role, RoomEvent, ServerMessage, Signal, decode_server, encode_server,
};
use tokio::time::timeout;

/// Greetings that are not right: changed, of others, for others, of another code, and no greetings at all.
fn false_greetings(scene: &Scene, viewer: PeerId) -> Vec<Box<RawValue>> {
    let (handshake, right) = scene.greeting(viewer);
    let mut wrong: Vec<_> = changes(bytes(&right).len(), 8, 6000).into_iter().map(|change| change.of(&right)).collect();
    let begin = |code: &Code, viewer, camera| ViewerHandshake::begin(code, viewer, camera).unwrap().1;
    for _ in 0..800 {
        wrong.push(begin(&DeviceKey::random().code(), viewer, scene.camera_id));
        wrong.push(begin(&scene.code, PeerId::random(), scene.camera_id));
        wrong.push(begin(&scene.code, viewer, PeerId::random()));
        wrong.push(begin(&scene.code, scene.camera_id, viewer));
    }
    let mut dice = Dice::new(7);
    for length in [0, 1, 32, 47, 49, 128, 1040, 2064, 40_000] {
        let random: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
        wrong.push(message(&random));
    }
    drop(handshake);
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_false_greetings_get_no_answer_and_leave_nothing_behind() {
    let mut scene = Scene::new().await;
    // Warmed up: the first of everything has been allocated.
    Viewer::watch(scene.evil.url(), &scene.code).await.leave().await;
    scene.camera.wait_for(&["viewer gone"]);
    scene.quiet().await;
    scene.said_meanwhile();
    let viewer = scene.invent();
    let wrong = false_greetings(&scene, viewer);
    assert!(wrong.len() > 9600, "{}", wrong.len());
    for wrong in &wrong[..500] {
        scene.tell(viewer, wrong);
    }
    for _ in 0..500 {
        scene.camera.wait_for(&["a signal was dropped"]);
    }
    let (memory, descriptors) = (scene.camera.memory(), scene.camera.descriptors());

    // With nobody watching; the first answer is that to the one true greeting, which comes last.
    for wrong in &wrong[500..] {
        scene.tell(viewer, wrong);
    }
    let (handshake, right) = scene.greeting(viewer);
    scene.tell(viewer, &right);
    let reply = scene.said().await;
    handshake.finish(&reply.signal).unwrap();
    assert_eq!(scene.camera.udp_sockets(), 0, "no peer connection");
    for _ in 500..wrong.len() {
        scene.camera.wait_for(&["a signal was dropped"]);
    }
    let grown = scene.camera.memory().saturating_sub(memory);
    assert!(grown < 2048, "{grown} KiB more");
    assert_eq!(scene.camera.descriptors(), descriptors);
    scene.evil.remove_viewer(scene.camera_id, viewer);

    // And while a true viewer watches.
    let mut watching = Viewer::watch(scene.evil.url(), &scene.code).await;
    watching.pictures(5).await;
    scene.said_meanwhile();
    let (sockets, viewer) = (scene.camera.udp_sockets(), scene.invent());
    assert!(sockets > 0);
    let more: Vec<_> = false_greetings(&scene, viewer).into_iter().step_by(10).collect();
    assert!(wrong.len() + more.len() > 10_000);
    for wrong in &more {
        scene.tell(viewer, wrong);
    }
    watching.pictures(30).await;
    let (handshake, right) = scene.greeting(viewer);
    scene.tell(viewer, &right);
    handshake.finish(&scene.said_to(viewer).await).unwrap();
    assert_eq!(scene.camera.udp_sockets(), sockets, "no other peer connection");
    watching.pictures(10).await;
    watching.leave().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_one_who_has_not_the_code() {
    let mut scene = Scene::new().await;
    // Who knows the room, as the server does, can get in; it hears nothing, whatever it says.
    let mut stranger = Guest::join(scene.evil.url(), scene.code.room()).await;
    let camera = stranger.cameras[0];
    for _ in 0..50 {
        let other = DeviceKey::random().code();
        let (_, first) = ViewerHandshake::begin(&other, stranger.id, camera).unwrap();
        stranger.signal(camera, &first).await;
    }
    let candidate =
        Candidate { candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(), sdp_m_line_index: 0, sdp_mid: None };
    for open in [
        Signal::Start,
        Signal::Answer("v=0\r\n".into()),
        Signal::Offer("v=0\r\n".into()),
        Signal::Candidate(candidate),
        Signal::Bye(ByeReason::Left),
    ] {
        stranger.signal(camera, &open.encode()).await;
    }
    for _ in 0..55 {
        scene.camera.wait_for(&["a signal was dropped"]);
    }
    assert_eq!(scene.camera.udp_sockets(), 0);
    // Once it has the code it is answered, and that is the first thing that it hears.
    let (handshake, first) = scene.greeting(stranger.id);
    stranger.signal(camera, &first).await;
    let Heard::Signal(_, reply) = stranger.hear().await else { panic!("no signal") };
    let mut channel = handshake.finish(&reply).unwrap();
    // A proof, and still no peer connection and no candidate: it has not asked for one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((scene.camera.udp_sockets(), scene.said_meanwhile().len()), (0, 1));
    stranger.signal(camera, &channel.seal(&Signal::Start).unwrap()).await;
    let Heard::Signal(_, offer) = stranger.hear().await else { panic!("no signal") };
    assert!(matches!(channel.open(&offer), Ok(Signal::Offer(_))));
    assert!(scene.camera.udp_sockets() > 0);
    scene.end().await;
}

/// Everything that could talk a camera into a session that is not sealed, as the server itself would say it.
fn temptations(scene: &Scene) -> Vec<Bytes> {
    let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n";
    let candidate =
        Candidate { candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(), sdp_m_line_index: 0, sdp_mid: None };
    let signals = [
        Signal::Offer(sdp.into()),
        Signal::Answer(sdp.into()),
        Signal::Start,
        Signal::Candidate(candidate),
        Signal::Bye(ByeReason::Left),
    ]
    .map(|signal| signal.encode());
    let said = |event| encode_server(&ServerMessage::Room(event));
    let mut lies = vec![Bytes::from_static(br#"{"type":"NEWS","data":{"protocol":"pair"}}"#)];
    for peer in [PeerId::random(), PeerId::from_bytes([0; 16]), scene.camera_id] {
        // Without a role, as in a pair room; as a camera; as a viewer; twice; and gone.
        for role in [None, Some(Role::Camera), Some(Role::Viewer), None] {
            lies.push(said(RoomEvent::Join { peer, role }));
            lies.extend(signals.iter().map(|signal| said(RoomEvent::Signal { peer, signal })));
        }
        lies.push(said(RoomEvent::Leave { peer }));
        lies.push(said(RoomEvent::Signal { peer, signal: &signals[0] }));
        // Somebody without a role who has the code is greeted like anybody, and no more.
        lies.push(said(RoomEvent::Join { peer, role: None }));
    }
    lies
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_of_the_server_makes_the_camera_speak_unsealed() {
    let mut scene = Scene::new().await;
    for joined_as_a_pair in [false, true] {
        if joined_as_a_pair {
            // Let in as into a pair room, by a server that has forgotten what was asked for.
            scene.evil.lie(|bytes| match decode_server(bytes) {
                Ok(ServerMessage::Joined(_)) => vec![encode_server(&ServerMessage::Joined(None))],
                _ => vec![bytes.clone()],
            });
            scene.restart().await;
        }
        for lie in temptations(&scene) {
            scene.evil.tell_bytes(scene.camera_id, lie);
        }
        let (viewer, mut channel) = scene.prove().await;
        // In a pair room the camera offers a quarter of a second after it has heard of somebody.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.camera.udp_sockets(), 0, "no peer connection");
        assert!(scene.said_meanwhile().is_empty(), "nothing is said");
        scene.tell(viewer, &channel.seal(&Signal::Start).unwrap());
        assert!(matches!(channel.open(&scene.said_to(viewer).await), Ok(Signal::Offer(_))));
        scene.evil.remove_viewer(scene.camera_id, viewer);
        scene.camera.wait_for(&["viewer gone"]);
    }
    // All that it ever said was sealed.
    let said: Vec<Passing> = scene.evil.seen().into_iter().filter(|seen| seen.by == Role::Camera).collect();
    assert!(said.len() >= 4 && said.iter().all(|said| bytes(&said.signal).len() >= 128));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_connected_cameras_and_viewers_do_not_find_each_other() {
    let server = server().await;
    let evil = EvilServer::before(&server).await;
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut cameras = Vec::new();
    for (index, state) in states.iter().enumerate() {
        cameras.push(start(&evil, state));
        evil.members(Role::Camera, index + 1).await;
    }
    let (ids, codes) = (evil.members(Role::Camera, 2).await, states.each_ref().map(|state| code(state.path())));
    // What viewers say reaches the other camera, and what cameras say comes back as if from the right one.
    evil.rule(|_| Vec::new());
    let mut said = evil.listen();
    let mut guests = Vec::new();
    for code in &codes {
        let mut guest = Guest::join(evil.url(), code.room()).await;
        let camera = guest.cameras[0];
        let (handshake, first) = ViewerHandshake::begin(code, guest.id, camera).unwrap();
        guest.signal(camera, &first).await;
        guests.push((guest, handshake));
    }
    for _ in 0..2 {
        let passing = timeout(PATIENCE, said.recv()).await.unwrap().unwrap();
        let other = *ids.iter().find(|id| **id != passing.to).unwrap();
        evil.tell(other, &ServerMessage::Room(RoomEvent::Join { peer: passing.from, role: Some(Role::Viewer) }));
        evil.signal(other, passing.from, &passing.signal);
    }
    for camera in &mut cameras {
        camera.wait_for(&["a signal was dropped", "does not have the code"]);
    }
    // A viewer of one, greeting the other with the other's code, gets an answer that is no use under the first's name.
    let (mut guest, handshake) = guests.swap_remove(0);
    let (_, first) = ViewerHandshake::begin(&codes[1], guest.id, ids[1]).unwrap();
    evil.signal(ids[1], guest.id, &first);
    let reply = timeout(PATIENCE, said.recv()).await.unwrap().unwrap();
    assert_eq!((reply.by, reply.to), (Role::Camera, guest.id));
    evil.signal(guest.id, ids[0], &reply.signal);
    let Heard::Signal(from, reply) = guest.hear().await else { panic!("no signal") };
    assert_eq!(from, ids[0]);
    assert!(handshake.finish(&reply).is_err());

    evil.be_honest();
    for code in &codes {
        Viewer::watch(evil.url(), code).await.pictures(3).await;
    }
    drop(cameras);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_are_few_at_a_time_rationed_and_forgotten() {
    let mut scene = Scene::new().await;
    let greet = |scene: &Scene| {
        let viewer = scene.invent();
        scene.tell(viewer, &scene.greeting(viewer).1);
        viewer
    };
    let began = Instant::now();
    // Sixteen wait at most; a place is free when its viewer leaves.
    for _ in 0..2 {
        let waiting: Vec<PeerId> = (0..16).map(|_| greet(&scene)).collect();
        for viewer in &waiting {
            assert_eq!(scene.said().await.to, *viewer);
        }
        greet(&scene);
        scene.camera.wait_for(&["too many handshakes at once"]);
        for viewer in waiting {
            scene.evil.remove_viewer(scene.camera_id, viewer);
        }
    }
    // The allowance of 32 is used up, and comes back at four a second.
    let (mut answered, mut refused) = (32.0, 0);
    while refused == 0 || began.elapsed() < Duration::from_secs(4) {
        let viewer = greet(&scene);
        scene.tell(viewer, &raw("null".into()));
        let line = scene.camera.wait_for(&["a signal was dropped"]);
        match line.contains("short time") {
            true => {
                refused += 1;
                scene.camera.wait_for(&["a signal was dropped"]);
            }
            false => answered += 1.0,
        }
        scene.evil.remove_viewer(scene.camera_id, viewer);
    }
    let allowed = 33.0 + began.elapsed().as_secs_f64() * 4.0;
    assert!(answered <= allowed && answered > 32.0, "{answered} of {allowed}");
    scene.said_meanwhile();

    // Whoever does not go on is forgotten after ten seconds.
    scene.restart().await;
    scene.said_meanwhile();
    let began = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..16 {
        waiting.push(scene.prove().await);
    }
    loop {
        let viewer = scene.invent();
        scene.tell(viewer, &scene.greeting(viewer).1);
        scene.tell(viewer, &raw("null".into()));
        let line = scene.camera.wait_for(&["a signal was dropped"]);
        if !line.contains("at once") {
            break;
        }
        scene.camera.wait_for(&["a signal was dropped"]);
        scene.evil.remove_viewer(scene.camera_id, viewer);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    for (viewer, mut channel) in waiting {
        scene.tell(viewer, &channel.seal(&Signal::Start).unwrap());
        scene.camera.wait_for(&["a signal was dropped", "does not have the code"]);
    }
    assert_eq!(scene.camera.udp_sockets(), 0);
    scene.end().await;
}
