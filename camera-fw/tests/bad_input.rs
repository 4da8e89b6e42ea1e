//! What a person can get wrong on the command line: each a clear message and exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{output, program};

struct Case<'a> {
    arguments: &'a [&'a str],
    exit: i32,
    words: &'a [&'a str],
}

fn check(cases: &[Case<'_>]) {
    let state = tempfile::tempdir().unwrap();
    for case in cases {
        let output = output(case.arguments, state.path());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(case.exit), "{:?}\n{message}", case.arguments);
        for word in case.words {
            assert!(message.contains(word), "{:?} should say {word:?}:\n{message}", case.arguments);
        }
    }
}

#[test]
fn settings_that_are_not_possible() {
    check(&[
        Case { arguments: &["--server", "https://host"], exit: 2, words: &["server", "https://host", "wss://"] },
        Case { arguments: &["--server", "ws://192.0.2.1:8192"], exit: 2, words: &["without TLS", "wss://"] },
        Case { arguments: &["--server", "wss://host:port"], exit: 2, words: &["wss://host:8192"] },
        Case { arguments: &["--source", "film.mp4"], exit: 2, words: &["film.mp4", "pattern", ".y4m", "/dev/video0"] },
        Case { arguments: &["--sauce", "pattern"], exit: 2, words: &["--sauce", "--source"] },
        Case { arguments: &["--config", "/no/such.toml"], exit: 2, words: &["/no/such.toml", "No such file"] },
        Case { arguments: &["--log", "a=b=c"], exit: 2, words: &["--log", "a=b=c"] },
    ]);
}

#[test]
fn a_configuration_file_with_a_fault_is_named_with_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("camera.toml");
    let refusal = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = output(&["--config", path.to_str().unwrap()], dir.path());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = refusal("fps = 25\nresolution = \"big\"\n");
    assert!(
        unknown.contains("camera.toml") && unknown.contains("line 2") && unknown.contains("resolution"),
        "{unknown}"
    );
    let broken = refusal("fps = \n");
    assert!(broken.contains("line 1"), "{broken}");
    let range = refusal("fps = 1000\n");
    assert!(range.contains("fps") && range.contains("1 to 120"), "{range}");
}

#[test]
fn sources_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let picture = file("photo.y4m", b"\x89PNG\r\n\x1a\n");
    let cut = file("cut.y4m", b"YUV4MPEG2 W64 H64 F30:1 C420\nFRAME\nabc");
    check(&[
        Case { arguments: &["--source", "/no/such.y4m"], exit: 1, words: &["/no/such.y4m", "No such file"] },
        Case { arguments: &["--source", &picture], exit: 1, words: &["photo.y4m", "YUV4MPEG2", "ffmpeg"] },
        Case { arguments: &["--source", &cut], exit: 1, words: &["cut.y4m", "frame 0", "cut short"] },
        Case { arguments: &["--source", "libcamera:"], exit: 2, words: &["libcamera:ID", "auto"] },
        Case { arguments: &["--source", "/dev/null"], exit: 1, words: &["/dev/null", "is no camera"] },
    ]);
}

#[test]
fn files_that_cannot_be_used() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    check(&[
        Case { arguments: &["--ca", "/no/ca.pem"], exit: 1, words: &["/no/ca.pem"] },
        Case { arguments: &["--ca", path], exit: 1, words: &[path, "PEM"] },
    ]);
    let output = output(&["code"], &file.path().join("state"));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("--state-dir"), "{message}");
}

#[test]
fn the_code_is_the_same_every_time_and_the_environment_is_heard() {
    let state = tempfile::tempdir().unwrap();
    let text = |arguments: &[&str]| String::from_utf8(output(arguments, state.path()).stdout).unwrap();
    let hex = text(&["code", "--hex"]);
    assert_eq!((hex.len(), &text(&["code", "--hex"])), (65, &hex));
    let link = text(&["code", "--link", "--server", "wss://cam.example.org"]);
    assert!(link.starts_with("https://cam.example.org:8192/#"), "{link}");
    let full = text(&["code"]);
    assert!(full.contains(&hex[..4]) && full.contains('█'), "{full}");

    let printed = program()
        .args(["--print-config", "--source", "a.y4m"])
        .env("CAMERA_FW_FPS", "12")
        .env("CAMERA_FW_SOURCE", "pattern")
        .env("STATE_DIRECTORY", "/var/lib/camera-fw")
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    for line in ["fps = 12", "source = \"a.y4m\"", "state_dir = \"/var/lib/camera-fw\"", "protocol = \"role\""] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    let wrong = program().arg("--print-config").env("CAMERA_FW_FPS", "fast").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("CAMERA_FW_FPS"));
}

#[test]
fn a_machine_without_a_camera_says_so() {
    let devices = program().arg("devices").output().unwrap();
    assert!(devices.status.success());
    let text = String::from_utf8(devices.stdout).unwrap();
    let any = Path::new("/dev/video0").exists();
    assert!(any || text.contains("--source pattern"), "{text}");
}
