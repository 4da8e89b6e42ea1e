//! Nothing that lets anybody watch, or shows where anybody is, reaches the log, not even at TRACE; and the server learns
//! no more than that somebody talks to somebody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../signal-srv/proto/tests/changes/mod.rs"]
mod changes;
mod common;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use changes::bytes;
use common::evil_server::EvilServer;
use common::room::Guest;
use common::viewer::Viewer;
use common::{Camera, code, output, server, stop};
use ring::hkdf::{HKDF_SHA256, Salt};
use signal_proto::seal::{Code, DeviceKey, ViewerHandshake};
use signal_proto::{PeerId, Role, Signal};

/// What session descriptions, candidates and signals consist of; none of it can be in base64url by chance.
const NEGOTIATION: [&str; 18] = [
    "v=0\r\n",
    "v=0\\r\\n",
    "m=video",
    "a=ice",
    "ice-ufrag:",
    "ice-pwd:",
    "fingerprint",
    "sha-256 ",
    "a=setup",
    "candidate:",
    "typ host",
    " raddr ",
    ".local",
    "\"sdp\"",
    "\"start\"",
    "\"offer\"",
    "\"answer\"",
    "\"bye\"",
];

/// 32 bytes in every form in which they could be found: as they are, in hex and in base64, each without its end, which
/// may depend on what follows.
fn forms(secret: &[u8; 32]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret[..12].to_vec(), secret[20..].to_vec(), format!("{:?}", &secret[..8]).into_bytes()];
    forms[2].pop();
    for text in [
        hex.clone(),
        hex.to_uppercase(),
        hex.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap()).collect::<Vec<_>>().join(" "),
    ] {
        forms.push(text.as_bytes()[..20].to_vec());
        forms.push(text.as_bytes()[text.len() - 20..].to_vec());
    }
    for text in [URL_SAFE_NO_PAD.encode(secret), STANDARD.encode(secret)] {
        forms.push(text.as_bytes()[..16].to_vec());
    }
    forms
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn derived(code: &Code, info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let material = Salt::new(HKDF_SHA256, b"roomcam/1").extract(code.as_bytes());
    material.expand(&[info], HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

/// The secrets of the camera with this state directory. The room is none to the server, which must know it.
fn secrets(state_dir: &Path) -> Vec<(&'static str, [u8; 32])> {
    let code = code(state_dir);
    let file = std::fs::read_to_string(state_dir.join("identity")).unwrap();
    let part = |name: &str| -> [u8; 32] {
        let line = file.lines().find(|line| line.starts_with(name)).unwrap();
        *line.split('"').nth(1).unwrap().parse::<Code>().unwrap().as_bytes()
    };
    assert_eq!(derived(&code, b"room"), *code.room().as_bytes());
    let (private_key, nonce) = (part("private_key"), part("nonce"));
    assert!(DeviceKey::from_parts(private_key, nonce).unwrap().code() == code);
    vec![("code", *code.as_bytes()), ("psk", derived(&code, b"psk")), ("private key", private_key), ("nonce", nonce)]
}

/// The addresses of this machine by which somebody could be found.
fn addresses() -> Vec<String> {
    let interfaces = nix::ifaddrs::getifaddrs().unwrap().filter_map(|interface| interface.address);
    let ips = interfaces.filter_map(|address| {
        let four = address.as_sockaddr_in().map(|four| std::net::IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| six.ip().into()))
    });
    ips.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()).collect()
}

/// A whole run: strangers, a viewer who asks for key frames and leaves, one of whom the server tampers with.
async fn run(evil: &EvilServer, camera: &mut Camera, code: &Code) {
    let mut stranger = Guest::join(evil.url(), code.room()).await;
    let claimant = stranger.cameras[0];
    let (_, first) = ViewerHandshake::begin(&DeviceKey::random().code(), stranger.id, claimant).unwrap();
    stranger.signal(claimant, &first).await;
    stranger.signal(claimant, &Signal::Start.encode()).await;
    camera.wait_for(&["a signal was dropped"]);
    let mut viewer = Viewer::watch(evil.url(), code).await;
    viewer.pictures(30).await;
    viewer.send_pli().await;
    camera.wait_for(&["asks for a key frame"]);
    viewer.leave().await;
    camera.wait_for(&["viewer gone"]);
    let mut wronged = Viewer::watch(evil.url(), code).await;
    wronged.pictures(5).await;
    let from = *evil.members(Role::Viewer, 1).await.last().unwrap();
    evil.signal(claimant, from, &first);
    wronged.peering.bye().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_at_trace_holds_no_code_no_key_no_sdp_and_no_address() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let evil = EvilServer::before(&server).await;
    let mut camera = Camera::start(&["--server", evil.url(), "--log", "trace"], state.path());
    camera.wait_for(&["joined"]);
    let old = code(state.path());
    let mut secrets = secrets_and_room(state.path());
    run(&evil, &mut camera, &old).await;
    // The same with another identity, of which the running camera hears.
    assert!(output(&["rekey", "--yes"], state.path()).status.success());
    camera.wait_for(&["identity was replaced"]);
    camera.wait_for(&["joined"]);
    secrets.extend(secrets_and_room(state.path()));
    run(&evil, &mut camera, &code(state.path())).await;
    let (_, _, log) = camera.stop();
    let log = log.join("\n");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log was on");

    for (name, secret) in &secrets {
        assert!(!forms(secret).iter().any(|form| holds(log.as_bytes(), form)), "the {name} is in the log:\n{log}");
    }
    // Names of signals are logged, what is in them is not.
    let log = log.to_lowercase();
    for part in
        ["candidate:", "v=0", "m=video", "a=ice", "ice-ufrag", "fingerprint:", "typ host", ".local", "noise", "raddr"]
    {
        assert!(!log.contains(part), "{part:?} is in the log:\n{log}");
    }
    // The server's own address is a setting of this machine; any other one is somebody's.
    for address in addresses() {
        assert!(!log.contains(&address), "{address} is in the log:\n{log}");
    }
    stop(server).await;
}

fn secrets_and_room(state_dir: &Path) -> Vec<(&'static str, [u8; 32])> {
    let mut secrets = secrets(state_dir);
    secrets.push(("room", *code(state_dir).room().as_bytes()));
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_sees_ids_lengths_and_times_and_nothing_else() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let evil = EvilServer::before(&server).await;
    let mut camera = Camera::start(&["--server", evil.url(), "--log", "debug"], state.path());
    camera.wait_for(&["joined"]);
    let code = code(state.path());
    for _ in 0..2 {
        let mut viewer = Viewer::watch(evil.url(), &code).await;
        viewer.pictures(10).await;
        // This is what was said, and what must not be found.
        assert!(viewer.peering.offer.contains("a=fingerprint:sha-256") && viewer.peering.answer.contains("a=ice-pwd"));
        viewer.leave().await;
    }
    drop(camera);

    let mut recording = evil.recording();
    assert!(holds(&recording, code.room().to_hex().as_bytes()), "the server knows the room");
    let seen = evil.seen();
    assert!(seen.len() > 12, "{}", seen.len());
    for signal in &seen {
        let length = bytes(&signal.signal).len();
        let padded = length > 1000 && length % 1024 == 16;
        assert!(padded || [48, 128].contains(&length), "{length} bytes");
        // Base64 hides from a search what it holds: search that too.
        recording.extend(bytes(&signal.signal));
    }
    for (name, secret) in secrets(state.path()) {
        assert!(!forms(&secret).iter().any(|form| holds(&recording, form)), "the server sees the {name}");
    }
    let text = recording.to_ascii_lowercase();
    for part in NEGOTIATION.iter().map(|part| (*part).to_owned()).chain(addresses()) {
        assert!(!holds(&text, part.as_bytes()), "the server sees {part:?}");
    }
    stop(server).await;
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let secret = *PeerId::random().as_bytes();
    let secret: [u8; 32] = [secret, secret].concat().try_into().unwrap();
    let code = Code::from_bytes(secret);
    for text in [code.to_hex(), code.to_hex().to_uppercase(), code.to_base64url(), format!("{secret:?}")] {
        let log = format!("before {text} after");
        assert!(forms(&secret).iter().any(|form| holds(log.as_bytes(), form)), "{text}");
    }
}
