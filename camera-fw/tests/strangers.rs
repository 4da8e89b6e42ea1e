//! Somebody who has no part in a session and knows the camera's UDP port cannot disturb it: what comes from elsewhere than
//! the viewer does not reach the DTLS handshake (RFC 8827 leaves this to ICE, which only guards STUN).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::room::Session;
use common::viewer::{Manners, Peering};
use common::{Camera, code, server, stop, websocket_url};
use rtc::peer_connection::transport::RTCDtlsRole;
use tokio::net::UdpSocket;

/// A ClientHello (RFC 6347 §4.2) that offers these cipher suites, and SRTP.
fn client_hello(suites: &[u16]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    // supported_groups x25519 and secp256r1, signature_algorithms ecdsa_secp256r1_sha256, use_srtp, extended_master_secret
    let extensions = [
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 14, 0, 5, 0, 2, 0, 1, 0],
        &[0, 23, 0, 0],
    ]
    .concat();
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let body =
        [&[0xfe, 0xfd][..], &[7; 32], &[0, 0], &length(&suites), &suites, &[1, 0], &length(&extensions), &extensions]
            .concat();
    let handshake = [&[1, 0][..], &length(&body), &[0, 0, 0, 0, 0, 0], &length(&body), &body].concat();
    [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0][..], &length(&handshake), &handshake].concat()
}

/// Alerts in the clear (RFC 5246 §7.2): handshake_failure, fatal; close_notify.
const FATAL: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
const CLOSE: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];

/// A connectivity check without the session's password (RFC 8445 §7.2.2, RFC 8489 §9.1.3): USE-CANDIDATE, a user name,
/// and a MESSAGE-INTEGRITY of somebody's own.
fn forged_check() -> Vec<u8> {
    let attributes = [&[0, 0x25, 0, 0][..], &[0, 6, 0, 4], b"ab:c", &[0, 8, 0, 20], &[7; 20]].concat();
    let length = (attributes.len() as u16).to_be_bytes();
    [&[0, 1][..], &length, &[0x21, 0x12, 0xa4, 0x42], &[9; 12], &attributes].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_handshakes_and_alerts_disturb_nobody() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url, "--log", "debug"], state.path());
    camera.wait_for(&["joined"]);
    let code = code(state.path());
    let hellos = [client_hello(&[0]), client_hello(&[0xc02b, 0xc00a]), FATAL.to_vec(), CLOSE.to_vec(), forged_check()];
    for round in 0..20 {
        let role = if round % 2 == 0 { RTCDtlsRole::Client } else { RTCDtlsRole::Server };
        let mut peering =
            Peering::open(Session::start(&url, &code).await, Manners { role, ..Manners::default() }).await;
        let camera = loop {
            match peering.addresses.recv().await.expect("the camera has an address") {
                SocketAddr::V4(camera) => break camera,
                SocketAddr::V6(_) => {}
            }
        };
        // Somebody else, from another port, from before the connection is up until well after pictures come.
        let hellos = hellos.clone();
        let flood = tokio::spawn(async move {
            let stranger = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            loop {
                for hello in &hellos {
                    let _ = stranger.send_to(hello, camera).await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut viewer = peering.watch().await;
        viewer.pictures(15).await;
        flood.abort();
        viewer.leave().await;
    }
    drop(camera);
    stop(server).await;
}
