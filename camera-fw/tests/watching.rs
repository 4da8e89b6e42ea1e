//! Viewers that are no browsers watch the real camera through the real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::room::Session;
use common::viewer::Viewer;
use common::{Camera, code, server, stop, websocket_url};
use signal_proto::{ByeReason, Signal};

#[tokio::test(flavor = "multi_thread")]
async fn eight_viewers_share_one_encode_and_one_that_leaves_disturbs_nobody() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url, "--log", "debug"], state.path());
    camera.wait_for(&["joined"]);
    let code = code(state.path());

    let mut viewers = Vec::new();
    for _ in 0..8 {
        viewers.push(Viewer::watch(&url, &code).await);
    }
    for viewer in &mut viewers {
        let pictures = viewer.pictures(10).await;
        assert!(pictures[0].key, "the first picture stands alone");
        assert!(pictures.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 90_000));
        assert!(pictures.iter().all(|picture| picture.bytes > 10));
        // This receiver has not negotiated the extension and gets its picture all the same.
        assert!(viewer.peering.offer.contains("playout-delay") && !viewer.peering.answer.contains("playout-delay"));
    }

    viewers.pop().unwrap().leave().await;
    camera.wait_for(&["viewer gone"]);
    for viewer in &mut viewers {
        viewer.pictures(30).await;
    }

    let line = camera.wait_for(&["last second", "viewers=7"]);
    let number = |key: &str| -> u32 { line.split(key).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap() };
    assert!(number(" encoded=") <= number(" captured=") + 1, "one encode for all: {line}");

    for viewer in viewers {
        viewer.leave().await;
    }
    let (status, took, _) = camera.stop();
    assert!(status.success());
    assert!(took.as_secs() < 6, "{took:?}");
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_a_key_frame_is_answered_with_one() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url, "--log", "debug"], state.path());
    camera.wait_for(&["joined"]);
    let mut viewer = Viewer::watch(&url, &code(state.path())).await;
    assert!(viewer.picture().await.key);
    // Nobody asks, so none comes.
    assert!(viewer.pictures(45).await.iter().all(|picture| !picture.key));
    viewer.send_pli().await;
    viewer.key_picture().await;
    viewer.leave().await;
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_too_many_is_told_that_the_camera_is_busy() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let config = state.path().join("camera.toml");
    std::fs::write(&config, "max_viewers = 1\nwidth = 320\nheight = 240\n").unwrap();
    let mut camera = Camera::start(&["--server", &url, "--config", config.to_str().unwrap()], state.path());
    camera.wait_for(&["joined"]);
    let code = code(state.path());
    let mut first = Viewer::watch(&url, &code).await;
    let mut second = Session::start(&url, &code).await;
    assert_eq!(second.receive().await, Some(Signal::Bye(ByeReason::Busy)));
    first.pictures(10).await;
    first.leave().await;
    camera.wait_for(&["viewer gone"]);
    Viewer::watch(&url, &code).await.pictures(5).await;
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_to_the_viewers() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url], state.path());
    camera.wait_for(&["joined"]);
    let mut session = Session::start(&url, &code(state.path())).await;
    assert!(matches!(session.receive().await, Some(Signal::Offer(_))));
    let (status, took, _) = tokio::task::spawn_blocking(move || camera.stop()).await.unwrap();
    assert!(status.success() && took.as_secs() < 6, "{status} {took:?}");
    loop {
        let signal = session.receive().await.expect("it says goodbye before it leaves");
        if signal == Signal::Bye(ByeReason::Stopping) {
            break;
        }
    }
    assert_eq!(session.receive().await, None, "then it leaves");
    stop(server).await;
}
