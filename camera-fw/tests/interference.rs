//! A signaling server that interferes with handshakes and sessions of viewers who do have the code: whatever it touched
//! ends, nothing that it sends in its place has an effect, and who was cut off comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../signal-srv/proto/tests/changes/mod.rs"]
mod changes;
mod common;

use changes::{Change, Dice, bytes, changes};
use common::evil_server::Passing;
use common::room::Session;
use common::scene::Scene;
use common::viewer::{Manners, Peering, Viewer};
use signal_proto::seal::{DeviceKey, ViewerHandshake};
use signal_proto::{ByeReason, Candidate, RawValue, Role, Signal};

/// What else the evil server has at hand when it interferes with a message.
struct Trove {
    /// Everything that was sent in this session before.
    before: Vec<Box<RawValue>>,
    /// What the camera has sealed in it.
    reflected: Vec<Box<RawValue>>,
    /// What comes after.
    later: Vec<Box<RawValue>>,
    /// The same, of another viewer who has the same code.
    foreign: Vec<Box<RawValue>>,
}

/// One of the ways to interfere with a sealed message, all of them in turn.
fn interfered(turn: usize, right: &RawValue, trove: &Trove) -> Box<RawValue> {
    let one_of = |some: &[Box<RawValue>]| some[turn % some.len()].clone();
    let changes = changes(bytes(right).len(), 1, 400);
    match turn % 6 {
        0 => one_of(&trove.before),
        1 => one_of(&trove.reflected),
        2 => one_of(&trove.later),
        3 => one_of(&trove.foreign),
        _ => changes[Dice::new(turn as u64).below(changes.len())].of(right),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_interfered_with_opens_no_peer_connection() {
    let mut scene = Scene::new().await;
    let mut attempts = 0;
    // The camera answers 32 handshakes at once: each camera process gets half of its attempts.
    for _ in 0..5 {
        for _ in 0..16 {
            let (other, mut foreign) = scene.prove().await;
            scene.evil.remove_viewer(scene.camera_id, other);
            let viewer = scene.invent();
            let (handshake, first) = scene.greeting(viewer);
            scene.tell(viewer, &first);
            let reply = scene.said_to(viewer).await;
            let mut channel = handshake.finish(&reply).unwrap();
            let start = channel.seal(&Signal::Start).unwrap();
            let answer = Signal::Answer("v=0\r\n".into());
            let trove = Trove {
                // Its greeting again would be dropped as a repetition and change nothing: another one of its own.
                before: vec![scene.greeting(viewer).1],
                reflected: vec![reply],
                later: vec![channel.seal(&answer).unwrap(), channel.seal(&Signal::Start).unwrap()],
                foreign: vec![foreign.seal(&Signal::Start).unwrap()],
            };
            let wrong = interfered(attempts, &start, &trove);
            scene.tell(viewer, &wrong);
            scene.tell(viewer, &start);
            for later in &trove.later {
                scene.tell(viewer, later);
            }
            for _ in 0..4 {
                scene.camera.wait_for(&["a signal was dropped"]);
            }
            scene.evil.remove_viewer(scene.camera_id, viewer);
            attempts += 1;
        }
        assert_eq!((scene.camera.udp_sockets(), scene.said_meanwhile().len()), (0, 0));
        scene.restart().await;
    }
    assert_eq!(attempts, 80);
    Viewer::watch(scene.evil.url(), &scene.code).await.pictures(5).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_interfered_with_ends() {
    let mut scene = Scene::new().await;
    let mut attempts = 0;
    for _ in 0..4 {
        let descriptors = scene.camera.descriptors();
        for _ in 0..30 {
            let (viewer, mut channel) = scene.prove().await;
            let start = channel.seal(&Signal::Start).unwrap();
            scene.tell(viewer, &start);
            let offer = scene.said_to(viewer).await;
            assert!(matches!(channel.open(&offer), Ok(Signal::Offer(_))));
            // The session runs on: candidates of a viewer that does not answer yet.
            let mut before = vec![start];
            for number in 0..attempts % 4 {
                let line = format!("candidate:{number} 1 udp 1 192.0.2.1 9 typ host");
                let candidate = Candidate { candidate: line, sdp_m_line_index: 0, sdp_mid: None };
                before.push(channel.seal(&Signal::Candidate(candidate)).unwrap());
                scene.tell(viewer, before.last().unwrap());
            }
            let foreign = DeviceKey::random();
            let (handshake, first) = ViewerHandshake::begin(&foreign.code(), viewer, scene.camera_id).unwrap();
            let (reply, _) = foreign.answer(viewer, scene.camera_id, &first).unwrap();
            let mut foreign = handshake.finish(&reply).unwrap();
            let answer = Signal::Answer("v=0\r\n".into());
            let right = channel.seal(&answer).unwrap();
            let later = vec![channel.seal(&Signal::Bye(ByeReason::Left)).unwrap()];
            let foreign = vec![foreign.seal(&answer).unwrap()];
            let trove = Trove { before, reflected: vec![offer], later, foreign };
            scene.tell(viewer, &interfered(attempts, &right, &trove));
            // It is over, whatever comes now, and the camera says so on the channel that was interfered with.
            for _ in 0..5 {
                scene.tell(viewer, &right);
            }
            scene.camera.wait_for(&["interfered with"]);
            scene.camera.wait_for(&["viewer gone", "Failed"]);
            while channel.open(&scene.said_to(viewer).await).unwrap() != Signal::Bye(ByeReason::Failed) {}
            scene.evil.remove_viewer(scene.camera_id, viewer);
            attempts += 1;
        }
        scene.quiet().await;
        scene.said_meanwhile();
        assert_eq!(scene.camera.descriptors(), descriptors);
        scene.restart().await;
    }
    assert_eq!(attempts, 120);
    Viewer::watch(scene.evil.url(), &scene.code).await.pictures(5).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_true_viewer_s_messages_dropped_swapped_or_repeated_end_its_session_and_it_comes_back() {
    let mut scene = Scene::new().await;
    // Each acts on what a viewer sends after its greeting: `start` is 0, the answer 1, then candidates.
    type Interference = fn(usize, &Passing, &mut Vec<Box<RawValue>>) -> Vec<Box<RawValue>>;
    let kinds: [(&str, Interference); 4] = [
        ("drops", |count, passing, _| if count == 1 { vec![] } else { vec![passing.signal.clone()] }),
        ("repeats", |count, passing, _| vec![passing.signal.clone(); if count == 1 { 2 } else { 1 }]),
        ("swaps", |count, passing, held| match count {
            1 => {
                held.push(passing.signal.clone());
                vec![]
            }
            2 => vec![passing.signal.clone(), held.remove(0)],
            _ => vec![passing.signal.clone()],
        }),
        ("changes", |count, passing, _| {
            vec![if count == 1 { Change::Flip { at: 700, bit: 3 }.of(&passing.signal) } else { passing.signal.clone() }]
        }),
    ];
    for (name, interference) in kinds {
        let (mut count, mut held) = (0, Vec::new());
        scene.evil.rule(move |passing| {
            if passing.by == Role::Camera || bytes(&passing.signal).len() == 48 {
                return vec![passing.signal.clone()];
            }
            count += 1;
            interference(count - 1, passing, &mut held)
        });
        let session = Session::start(scene.evil.url(), &scene.code).await;
        let mut peering = Peering::open(session, Manners::default()).await;
        assert_eq!(peering.bye().await, ByeReason::Failed, "the server {name}");
        scene.camera.wait_for(&["interfered with"]);
        scene.camera.wait_for(&["viewer gone"]);
        peering.close().await;
        scene.evil.be_honest();
        let mut again = Viewer::watch(scene.evil.url(), &scene.code).await;
        again.pictures(3).await;
        again.leave().await;
        scene.camera.wait_for(&["viewer gone"]);
    }
    scene.quiet().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_greeting_is_dropped_also_in_a_running_session() {
    let mut scene = Scene::new().await;
    let viewer = scene.invent();
    let (handshake, first) = scene.greeting(viewer);
    for _ in 0..10 {
        scene.tell(viewer, &first);
    }
    let reply = scene.said().await;
    let start = handshake.finish(&reply.signal).unwrap().seal(&Signal::Start).unwrap();
    for _ in 0..9 {
        scene.camera.wait_for(&["a repeated greeting"]);
    }
    assert_eq!(scene.said_meanwhile().len(), 0, "one answer");
    scene.tell(viewer, &start);
    scene.said().await;
    scene.evil.remove_viewer(scene.camera_id, viewer);
    scene.camera.wait_for(&["viewer gone"]);

    let mut watching = Viewer::watch(scene.evil.url(), &scene.code).await;
    let greeting = scene.evil.seen().into_iter().rfind(|seen| bytes(&seen.signal).len() == 48).unwrap();
    for _ in 0..10 {
        scene.tell(greeting.from, &greeting.signal);
    }
    watching.pictures(45).await;
    // Anything else of the past ends it.
    let sealed = scene.evil.seen().into_iter().rfind(|seen| seen.by == Role::Viewer).unwrap();
    scene.tell(sealed.from, &sealed.signal);
    assert_eq!(watching.peering.bye().await, ByeReason::Failed);
    scene.end().await;
}
