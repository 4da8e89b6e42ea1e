//! What can be wrong with the server, and how the camera comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;

use common::viewer::Viewer;
use common::{Camera, code, server, stop, websocket_url};
use signal_srv::{Config, Server, Tls};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_waited_for() {
    let state = tempfile::tempdir().unwrap();
    let placeholder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen: SocketAddr = placeholder.local_addr().unwrap();
    drop(placeholder);
    let mut camera = Camera::start(&["--server", &format!("ws://{listen}")], state.path());
    camera.wait_for(&["cannot reach", "refused", "is the server running"]);
    let server = Server::spawn(Config { listen, ..Config::default() }).await.unwrap();
    camera.wait_for(&["joined"]);
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_only_if_it_is_named() {
    let state = tempfile::tempdir().unwrap();
    let tls = Tls::SelfSigned { state_dir: state.path().join("server") };
    // Reachable under names that its certificate has, and under one that it has not.
    let listen = "0.0.0.0:0".parse().unwrap();
    let server = Server::spawn(Config { tls, listen, ..Config::default() }).await.unwrap();
    let url = format!("wss://localhost:{}", server.address().port());

    let mut distrustful = Camera::start(&["--server", &url], state.path());
    distrustful.wait_for(&["ERROR", "is not trusted", "--ca FILE"]);
    drop(distrustful);
    assert_eq!(server.stats().joins, 0);

    let certificate = server.certificate().unwrap().to_str().unwrap();
    let mut camera = Camera::start(&["--server", &url, "--ca", certificate], state.path());
    camera.wait_for(&["joined"]);

    let wrong_name = format!("wss://127.0.0.2:{}", server.address().port());
    let mut misdirected = Camera::start(&["--server", &wrong_name, "--ca", certificate], state.path());
    misdirected.wait_for(&["is not trusted"]);
    drop((camera, misdirected));
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_signaling_server_is_said_so() {
    let state = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let web = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await;
        }
    });
    let mut plain = Camera::start(&["--server", &format!("ws://{address}")], state.path());
    plain.wait_for(&["is no signaling server", "404"]);
    let mut tls = Camera::start(&["--server", &format!("wss://{address}")], state.path());
    tls.wait_for(&["TLS with", "failed", "speak TLS"]);
    web.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_gets_its_camera_back_and_the_stream_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let first = server().await;
    let (url, listen) = (websocket_url(&first), first.address());
    let mut camera = Camera::start(&["--server", &url], state.path());
    camera.wait_for(&["joined"]);
    let code = code(state.path());
    let mut viewer = Viewer::watch(&url, &code).await;
    viewer.pictures(10).await;

    stop(first).await;
    // Nothing for an operator to act on, and no reason to come back later than after any other loss.
    let line = camera.wait_for(&["WARN", "signaling", "SHUTTING_DOWN"]);
    let delay = line.split_once("again_in=\"").and_then(|(_, rest)| rest.split_once(" s\"")).unwrap().0;
    assert!(delay.parse::<f64>().unwrap() <= 1.0, "{line}");
    // No server anywhere: five seconds of pictures all the same.
    viewer.pictures(150).await;

    let second = Server::spawn(Config { listen, ..Config::default() }).await.unwrap();
    camera.wait_for(&["joined"]);
    viewer.pictures(10).await;
    Viewer::watch(&url, &code).await.pictures(10).await;
    drop(camera);
    stop(second).await;
}
