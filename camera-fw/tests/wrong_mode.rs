//! A signaling server cannot talk a camera out of sealing: a room of role mode stays one, whatever the server announces in
//! the manner of pair mode.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::scene::Scene;
use common::viewer::Viewer;
use signal_proto::{ByeReason, Candidate, Joined, Member, PeerId, Role, RoomEvent, ServerMessage, Signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_announced_without_a_role_hears_nothing() {
    let mut scene = Scene::new().await;
    let line = "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host";
    let candidate = Candidate { candidate: line.into(), sdp_m_line_index: 0, sdp_mid: Some("0".into()) };
    let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n";
    for peer in (0..20).map(|_| PeerId::random()) {
        scene.evil.tell(scene.camera_id, &ServerMessage::Room(RoomEvent::Join { peer, role: None }));
        scene.camera.wait_for(&["of the other mode", &peer.to_string()]);
        let signals = [
            Signal::Start,
            Signal::Offer(offer.into()),
            Signal::Answer(offer.into()),
            Signal::Candidate(candidate.clone()),
            Signal::Bye(ByeReason::Left),
        ];
        for signal in signals {
            scene.tell(peer, &signal.encode());
            scene.camera.wait_for(&["a signal was dropped"]);
        }
    }
    assert_eq!(scene.camera.udp_sockets(), 0, "no peer connection");
    assert!(scene.said_meanwhile().is_empty());
    Viewer::watch(scene.evil.url(), &scene.code).await.pictures(5).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_welcome_in_the_other_mode_ends_the_connection_and_opens_nothing() {
    for welcome in [
        ServerMessage::Joined(None),
        ServerMessage::Joined(Some(Joined {
            peers: vec![Member { peer: PeerId::random(), role: Role::Viewer }],
            ice_servers: vec![],
        })),
    ] {
        let mut scene = Scene::new().await;
        scene.evil.tell(scene.camera_id, &welcome);
        scene.camera.wait_for(&["the server broke the protocol"]);
        assert_eq!(scene.camera.udp_sockets(), 0, "no peer connection");
        assert!(scene.said_meanwhile().is_empty());
        scene.end().await;
    }
}
