//! Who a camera is: made at the first start, kept through everything that happens to a disk, replaced on demand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Output, Stdio};

use common::room::{Guest, Heard};
use common::viewer::Viewer;
use common::{Camera, code, output, program, server, stop, websocket_url};
use nix::pty::openpty;
use signal_proto::ByeReason;
use signal_proto::seal::Code;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_thousand_first_starts_make_a_thousand_codes() {
    let state = tempfile::tempdir().unwrap();
    let make = |numbers: std::ops::Range<usize>| -> Vec<(String, String)> {
        let one = |number: usize| {
            let dir = state.path().join(number.to_string());
            let printed = output(&["code", "--hex"], &dir);
            assert!(printed.status.success(), "{}", text(&printed));
            let file = dir.join("identity");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o7777, 0o700);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else");
            let kept = fs::read_to_string(file).unwrap();
            let part = |name: &str| kept.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            (String::from_utf8(printed.stdout).unwrap(), part("private_key") + &part("nonce"))
        };
        numbers.map(one).collect()
    };
    let made: Vec<(String, String)> = std::thread::scope(|scope| {
        let halves = [0..500, 500..1000].map(|half| scope.spawn(|| make(half)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let codes: HashSet<&str> = made.iter().map(|(code, _)| code.trim()).collect();
    assert_eq!(codes.len(), 1000);
    assert!(codes.iter().all(|code| code.len() == 64 && code.parse::<Code>().is_ok()));
    let keys: HashSet<&str> = made.iter().map(|(_, kept)| kept.as_str()).collect();
    assert_eq!(keys.len(), 1000);
}

#[test]
fn two_first_starts_at_once_agree() {
    for _ in 0..20 {
        let state = tempfile::tempdir().unwrap();
        let codes: Vec<Output> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| output(&["code", "--hex"], state.path()))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(codes.iter().all(|output| output.status.success() && output.stdout == codes[0].stdout));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_code_is_printed_in_every_form_that_a_person_needs() {
    let state = tempfile::tempdir().unwrap();
    let code = code(state.path());
    let printed = |arguments: &[&str]| String::from_utf8(output(arguments, state.path()).stdout).unwrap();
    let link = printed(&["code", "--link", "--server", "wss://cam.example.org"]);
    assert_eq!(link.trim(), format!("https://cam.example.org:8192/#{}", code.to_base64url()));
    let full = printed(&["code"]);
    // As a person copies it, with the check digits at its end.
    let digits: String = full.lines().skip_while(|line| !line.starts_with("Code")).skip(1).take(4).collect();
    let digits: String = digits.split_whitespace().collect();
    assert!(digits.parse() == Ok(code), "{full}");
    assert!(full.contains(&code.check_digits()) && full.contains('█'), "{full}");
    let checked = digits + &code.check_digits();
    assert!(checked.parse() == Ok(code));
}

#[test]
fn what_a_power_cut_leaves_behind_does_no_harm() {
    let state = tempfile::tempdir().unwrap();
    // Cut before the identity had its name: temporary files of other processes, whole, half and empty.
    let other = tempfile::tempdir().unwrap();
    let forgotten = code(other.path());
    let whole = fs::read(other.path().join("identity")).unwrap();
    for (process, content) in [(1, &whole[..]), (2, &whole[..60]), (3, b"")] {
        fs::write(state.path().join(format!(".identity.{process}")), content).unwrap();
    }
    let made = code(state.path());
    assert!(made != forgotten);
    // Cut between the new name and the removal of the old one: two names, one file.
    fs::hard_link(state.path().join("identity"), state.path().join(".identity.4")).unwrap();
    assert!(code(state.path()) == made);
    assert!(output(&["rekey", "--yes"], state.path()).status.success());
    let new = code(state.path());
    assert!(new != made && new != forgotten);
    // Cut while the identity was replaced: the present one holds.
    fs::write(state.path().join(".identity.5"), &whole).unwrap();
    assert!(code(state.path()) == new);
}

#[test]
fn a_damaged_identity_is_explained_kept_and_never_shown() {
    let state = tempfile::tempdir().unwrap();
    let before = code(state.path());
    let path = state.path().join("identity");
    let good = fs::read(&path).unwrap();
    let key = String::from_utf8_lossy(&good).split('"').nth(1).unwrap().to_owned();
    let mut flipped = good.clone();
    *flipped.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap() = b'x';
    for damaged in [&good[..good.len() / 2], &good[..20], b"", &[0; 512], &[b'0'; 9000], &flipped] {
        fs::write(&path, damaged).unwrap();
        for arguments in [&["code"][..], &["code", "--hex"], &["code", "--link"], &["run"]] {
            let output = output(arguments, state.path());
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("identity is damaged") && said.contains("rekey"), "{said}");
            assert!(!said.contains(&key[..8]) && !said.contains(&before.to_hex()[..8]), "{said}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "it is kept");
        }
    }
    fs::write(&path, &good).unwrap();
    assert!(code(state.path()) == before, "restored");
    fs::write(&path, b"").unwrap();
    assert!(output(&["rekey", "--yes"], state.path()).status.success());
    assert!(code(state.path()) != before);
}

#[test]
fn where_there_is_no_identity_there_is_none_to_replace() {
    let state = tempfile::tempdir().unwrap();
    for folder in [state.path().to_owned(), state.path().join("none")] {
        let refused = output(&["rekey", "--yes"], &folder);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains("--state-dir"), "{}", text(&refused));
    }
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "nothing is made");
}

/// `rekey` on a terminal at which somebody types this.
fn rekey(state_dir: &Path, typed: &str) -> Output {
    let terminal = openpty(None, None).unwrap();
    let mut person = fs::File::from(terminal.master);
    let mut command = program();
    command.arg("rekey").arg("--state-dir").arg(state_dir).stdin(terminal.slave);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The terminal belongs to the program alone.
    drop(command);
    person.write_all(typed.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn another_identity_is_made_only_by_one_who_means_it() {
    let state = tempfile::tempdir().unwrap();
    let before = code(state.path());
    let unasked = output(&["rekey"], state.path());
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked).contains("--yes"), "{}", text(&unasked));
    for answer in ["\n", "y\n", "no\n", "YES please\n", "\u{4}"] {
        let refused = rekey(state.path(), answer);
        assert_eq!(refused.status.code(), Some(1), "{answer:?}: {}", text(&refused));
        assert!(text(&refused).contains("nothing was changed"), "{}", text(&refused));
    }
    assert!(code(state.path()) == before);
    let inode = fs::metadata(state.path().join("identity")).unwrap().ino();
    let done = rekey(state.path(), "yes\n");
    assert!(done.status.success(), "{}", text(&done));
    let after = code(state.path());
    assert!(after != before && text(&done).contains(&after.to_base64url()));
    let metadata = fs::metadata(state.path().join("identity")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_ne!(metadata.ino(), inode, "replaced as a whole, not rewritten");
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "nothing of the old one is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_code_is_dead_at_once_also_for_a_camera_that_runs() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url], state.path());
    camera.wait_for(&["joined"]);
    let old = code(state.path());
    let mut watching = Viewer::watch(&url, &old).await;
    watching.pictures(5).await;

    assert!(output(&["rekey", "--yes"], state.path()).status.success());
    assert_eq!(watching.peering.bye().await, ByeReason::Stopping, "whoever watches is sent away");
    camera.wait_for(&["identity was replaced"]);
    camera.wait_for(&["joined"]);
    let new = code(state.path());
    assert!(new != old);
    Viewer::watch(&url, &new).await.pictures(5).await;

    let late = Guest::join(&url, old.room()).await;
    assert_eq!(late.cameras, [], "nobody is in the old room");
    drop(camera);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_runs_stays_who_it_is_when_its_file_is_damaged_or_gone() {
    let (server, state) = (server().await, tempfile::tempdir().unwrap());
    let url = websocket_url(&server);
    let mut camera = Camera::start(&["--server", &url], state.path());
    camera.wait_for(&["joined"]);
    let (code, path) = (code(state.path()), state.path().join("identity"));
    let good = fs::read(&path).unwrap();
    fs::write(&path, b"version = 1\n").unwrap();
    camera.wait_for(&["ERROR", "identity", "damaged", "stays who it is"]);
    Viewer::watch(&url, &code).await.pictures(3).await;
    fs::remove_file(&path).unwrap();
    Viewer::watch(&url, &code).await.pictures(40).await;
    // Put back: nothing new.
    fs::write(&path, good).unwrap();
    let mut viewer = Viewer::watch(&url, &code).await;
    viewer.pictures(60).await;
    let mut guest = Guest::join(&url, code.room()).await;
    assert_eq!(guest.cameras.len(), 1);
    let (handshake, first) = signal_proto::seal::ViewerHandshake::begin(&code, guest.id, guest.cameras[0]).unwrap();
    guest.signal(guest.cameras[0], &first).await;
    let Heard::Signal(_, reply) = guest.hear().await else { panic!("no signal") };
    handshake.finish(&reply).unwrap();
    drop(camera);
    stop(server).await;
}
