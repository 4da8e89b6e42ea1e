//! Media goes to nobody but the one whose certificate the sealed answer names, whichever of the two begins the DTLS
//! handshake (RFC 8842, RFC 8827 §6.5). What passes is counted on the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::room::Session;
use common::viewer::{Manners, Peering, Viewer};
use common::{Camera, code, server, stop, websocket_url};
use rtc::peer_connection::transport::RTCDtlsRole;
use signal_proto::ByeReason;
use signal_proto::seal::Code;
use signal_srv::Server;
use tempfile::TempDir;
use tokio::task::JoinSet;

const ROLES: [(RTCDtlsRole, &str); 2] =
    [(RTCDtlsRole::Client, "a=setup:active"), (RTCDtlsRole::Server, "a=setup:passive")];

struct Scene {
    server: Server,
    url: String,
    _state: TempDir,
    camera: Camera,
    code: Code,
}

impl Scene {
    async fn new() -> Self {
        let (server, state) = (server().await, tempfile::tempdir().unwrap());
        let url = websocket_url(&server);
        let config = state.path().join("camera.toml");
        std::fs::write(&config, "max_viewers = 16\n").unwrap();
        let camera = ["--server", &url, "--log", "debug", "--config", config.to_str().unwrap()];
        let mut camera = Camera::start(&camera, state.path());
        camera.wait_for(&["joined"]);
        let code = code(state.path());
        Self { server, url, _state: state, camera, code }
    }

    async fn peering(&self, manners: Manners) -> Peering {
        Peering::open(Session::start(&self.url, &self.code).await, manners).await
    }

    /// The sessions of viewers who answer like this, all at once and in both roles, end without a byte of media. Gives
    /// the number of DTLS datagrams that the camera sent to each.
    async fn refuses(&self, answers: &[fn(&str) -> String]) -> Vec<usize> {
        let mut sessions = JoinSet::new();
        for (role, _) in ROLES {
            for answer in answers {
                let mut peering = self.peering(Manners { role, answer: *answer, relayed: true }).await;
                sessions.spawn(async move {
                    assert_eq!(peering.bye().await, ByeReason::Failed);
                    let relay = peering.relay.clone().unwrap();
                    assert_eq!((relay.media(), peering.has_track()), (0, false), "packets of media");
                    peering.close().await;
                    relay.dtls()
                });
            }
        }
        sessions.join_all().await
    }

    async fn end(mut self) {
        // Nobody is left, and whoever is right still gets the picture.
        Viewer::watch(&self.url, &self.code).await.pictures(5).await;
        assert!(!self.camera.log().iter().any(|line| line.contains("panicked")));
        stop(self.server).await;
    }
}

/// The lines of a description, those of its fingerprints put through `change`.
fn with_fingerprints(sdp: &str, change: impl Fn(&str) -> Vec<String>) -> String {
    let lines = sdp.lines().flat_map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(digits) => change(digits).into_iter().map(|digits| format!("a=fingerprint:sha-256 {digits}")).collect(),
        None => vec![line.to_owned()],
    });
    lines.map(|line| line + "\r\n").collect()
}

/// Another fingerprint: one digit differs.
fn other(digits: &str, place: usize) -> String {
    let mut digits = digits.as_bytes().to_vec();
    digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
    String::from_utf8(digits).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_certificate_gets_pictures_in_both_roles() {
    let scene = Scene::new().await;
    for (role, setup) in ROLES {
        let peering = scene.peering(Manners { role, relayed: true, ..Manners::default() }).await;
        assert!(peering.answer.contains(setup), "{}", peering.answer);
        let mut viewer = peering.watch().await;
        viewer.pictures(10).await;
        // The way of counting is right: it finds what there is.
        let relay = viewer.peering.relay.clone().unwrap();
        assert!(relay.media() >= 10 && relay.dtls() >= 2, "{} {}", relay.media(), relay.dtls());
        viewer.leave().await;
    }
    stop(scene.server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_gets_none_in_either_role() {
    let scene = Scene::new().await;
    let handshakes = scene
        .refuses(&[
            |sdp| with_fingerprints(sdp, |digits| vec![other(digits, 0)]),
            |sdp| with_fingerprints(sdp, |digits| vec![other(digits, digits.len() - 1)]),
            |sdp| with_fingerprints(sdp, |digits| vec![other(digits, 0), other(digits, 3)]),
        ])
        .await;
    assert!(handshakes.len() == 6 && handshakes.iter().all(|datagrams| *datagrams > 0), "{handshakes:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_names_no_usable_certificate_gets_none() {
    let scene = Scene::new().await;
    let tried = scene
        .refuses(&[
            |sdp| with_fingerprints(sdp, |_| vec![]),
            |sdp| with_fingerprints(sdp, |digits| vec![digits[..digits.len() - 3].to_owned()]),
            |sdp| with_fingerprints(sdp, |_| vec![String::new()]),
            |sdp| sdp.replace("sha-256 ", "sha-1 "),
            |sdp| sdp.replace("sha-256 ", "none "),
        ])
        .await;
    assert_eq!(tried.len(), 10);
    scene.end().await;
}
