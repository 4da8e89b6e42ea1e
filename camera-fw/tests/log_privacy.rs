//! Nothing that lets anybody watch, or shows where anybody is, reaches the log: not even at TRACE.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::viewer::Viewer;
use common::{Camera, output, server, stop, websocket_url};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_at_trace_holds_no_code_no_sdp_and_no_address() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url, "--log", "trace"], state.path());
    camera.wait_for(&["joined"]);
    let text =
        |arguments: &[&str]| String::from_utf8(output(arguments, state.path()).stdout).unwrap().trim().to_owned();
    let (hex, link) = (text(&["code", "--hex"]), text(&["code", "--link"]));
    let mut viewer = Viewer::watch(&url, hex.parse().unwrap()).await;
    viewer.pictures(30).await;
    viewer.send_pli().await;
    camera.wait_for(&["asks for a key frame"]);
    viewer.leave().await;
    camera.wait_for(&["viewer gone"]);
    let (_, _, log) = camera.stop();
    let log = log.join("\n").to_lowercase();
    assert!(log.contains("trace") || log.contains("debug"), "the log was on");

    let base64 = link.split('#').nth(1).unwrap().to_lowercase();
    for secret in [&hex[..16], &base64[..12], "candidate:", "a=ice", "ice-ufrag", "fingerprint:", "v=0", "typ host"] {
        assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
    // The server's own address is a setting of this machine; any other one is somebody's.
    let foreign = nix::ifaddrs::getifaddrs().unwrap().filter_map(|interface| interface.address);
    for address in foreign.filter_map(|address| address.as_sockaddr_in().map(|address| address.ip())) {
        assert!(address.is_loopback() || !log.contains(&address.to_string()), "{address} is in the log:\n{log}");
    }
    stop(server).await;
}
