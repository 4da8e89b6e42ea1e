//! A camera that is paused or missing: who watches is told, the session stays, the LED says whether somebody watches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::room::Session;
use common::viewer::Viewer;
use common::{Camera, PATIENCE, code, server, stop, websocket_url};
use nix::sys::signal::Signal::{SIGUSR1, SIGUSR2};
use signal_proto::{PictureState, Signal};

/// What the camera says of its picture next.
async fn state(session: &mut Session) -> PictureState {
    loop {
        match session.receive().await.expect("the session stays") {
            Signal::Picture(state) => return state,
            Signal::Offer(_) | Signal::Candidate(_) => {}
            other => panic!("{}", other.name()),
        }
    }
}

fn led(folder: &Path) {
    for (file, value) in [("max_brightness", "1\n"), ("brightness", "0\n"), ("trigger", "none\n")] {
        fs::write(folder.join(file), value).unwrap();
    }
}

async fn until_led_is(folder: &Path, value: &str) {
    let begun = Instant::now();
    while fs::read_to_string(folder.join("brightness")).unwrap().trim() != value {
        assert!(begun.elapsed() < PATIENCE, "the LED does not become {value}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_and_ends_and_the_led_follows() {
    let (server, state_dir, leds) = (server().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    led(leds.path());
    let config = state_dir.path().join("camera.toml");
    fs::write(&config, format!("led = {:?}\n", leds.path())).unwrap();
    let mut camera = Camera::start(&["--server", &url, "--config", config.to_str().unwrap()], state_dir.path());
    camera.wait_for(&["joined"]);
    let code = code(state_dir.path());

    let mut viewer = Viewer::watch(&url, &code).await;
    viewer.pictures(5).await;
    until_led_is(leds.path(), "1").await;
    let mut other = Session::start(&url, &code).await;

    camera.signal(SIGUSR1);
    assert_eq!(state(&mut other).await, PictureState::Paused);
    camera.wait_for(&["paused: the camera is closed"]);
    until_led_is(leds.path(), "0").await;
    let mut late = Session::start(&url, &code).await;
    assert_eq!(state(&mut late).await, PictureState::Paused, "who comes during a pause hears of it too");

    camera.signal(SIGUSR2);
    assert_eq!(state(&mut other).await, PictureState::Live);
    assert_eq!(state(&mut late).await, PictureState::Live);
    viewer.pictures(30).await;
    until_led_is(leds.path(), "1").await;
    viewer.leave().await;
    until_led_is(leds.path(), "0").await;
    let (status, ..) = tokio::task::spawn_blocking(move || camera.stop()).await.unwrap();
    assert!(status.success());
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_outlives_the_program() {
    let (server, state_dir) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url], state_dir.path());
    camera.wait_for(&["joined"]);
    camera.signal(SIGUSR1);
    camera.wait_for(&["paused: the camera is closed"]);
    camera.signal(nix::sys::signal::Signal::SIGKILL);
    let mut camera = Camera::start(&["--server", &url], state_dir.path());
    camera.wait_for(&["paused: the camera is closed"]);
    assert!(!camera.log().iter().any(|line| line.contains("source opened")));
    camera.signal(SIGUSR2);
    camera.wait_for(&["source opened"]);
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_begins_paused_is_not_opened() {
    let (server, state_dir) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let config = state_dir.path().join("camera.toml");
    fs::write(&config, "paused = true\n").unwrap();
    let mut camera = Camera::start(&["--server", &url, "--config", config.to_str().unwrap()], state_dir.path());
    camera.wait_for(&["joined"]);
    assert!(!camera.log().iter().any(|line| line.contains("source opened")));
    let mut session = Session::start(&url, &code(state_dir.path())).await;
    assert_eq!(state(&mut session).await, PictureState::Paused);
    camera.signal(SIGUSR2);
    assert_eq!(state(&mut session).await, PictureState::Live);
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_not_there_yet_is_waited_for_and_viewers_hear_so() {
    let (server, state_dir) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url, "--source", "/dev/video77"], state_dir.path());
    let said = camera.wait_for(&["waiting for a camera"]);
    assert!(said.contains("/dev/video77") && said.contains("camera-fw devices"), "{said}");
    camera.wait_for(&["joined"]);
    let mut session = Session::start(&url, &code(state_dir.path())).await;
    assert_eq!(state(&mut session).await, PictureState::Lost);
    let (status, took, _) = tokio::task::spawn_blocking(move || camera.stop()).await.unwrap();
    assert!(status.success() && took.as_secs() < 6, "{status} {took:?}");
    stop(server).await;
}

#[test]
fn what_cannot_be_switched_or_lit_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("camera.toml");
    for (line, words) in [
        ("privacy_switch = \"gpiochip77:3\"", ["gpiochip77:3", "gpioinfo"]),
        ("led = \"/sys/class/leds/no-such-led\"", ["no-such-led", "ls /sys/class/leds"]),
    ] {
        fs::write(&config, line).unwrap();
        let output = common::output(&["--source", "pattern", "--config", config.to_str().unwrap()], dir.path());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}
