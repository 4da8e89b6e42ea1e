//! What is wrong is said with where and what to do; 2 for the operator's mistakes, 1 for anything else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use common::Program;

/// Runs the program to its end and gives its exit code and what it wrote to stderr.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Program::command(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn assert_fails(arguments: &[&str], code: i32, says: &[&str]) {
    let (actual, text) = run(arguments);
    assert_eq!(actual, code, "{arguments:?}: {text}");
    for part in says {
        assert!(text.contains(part), "{arguments:?} does not say {part:?}: {text}");
    }
}

fn write(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn port_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_fails(&["--tls", "off", "--listen", &address], 1, &[&address, "in use", "--listen"]);
}

#[test]
fn address_of_another_machine() {
    assert_fails(&["--tls", "off", "--behind-proxy", "--listen", "192.0.2.77:1"], 1, &["192.0.2.77:1", "--listen"]);
}

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().unwrap();
    let not_toml = write(dir.path(), "a.toml", "listen = \"127.0.0.1:0\"\ntls = = \"off\"\n");
    assert_fails(&["--config", &not_toml], 2, &["a.toml", "line 2"]);
    let unknown = write(dir.path(), "b.toml", "\nlistn = \"127.0.0.1:0\"\n");
    assert_fails(&["--config", &unknown], 2, &["b.toml", "line 2", "listn", "listen"]);
    let format = write(dir.path(), "d.toml", "\n\nlog_format = \"xml\"\n");
    assert_fails(&["--config", &format], 2, &["d.toml", "line 3", "log_format", "json"]);
    let wrong = write(dir.path(), "c.toml", "listen = \"here\"\n");
    assert_fails(&["--config", &wrong], 2, &["c.toml", "line 1", "listen"]);
    assert_fails(&["--config", "/does/not/exist.toml"], 2, &["/does/not/exist.toml"]);
}

#[test]
fn clusters_without_repeating_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = "redis://:secret@cache/nodb";
    let file =
        write(dir.path(), "a.toml", &format!("tls = \"off\"\nlisten = \"127.0.0.1:0\"\ncluster = \"{wrong}\"\n"));
    let here = ["--tls", "off", "--listen", "127.0.0.1:0"];
    let with = |more: &[&'static str]| [&here[..], more].concat();
    let outputs = [
        Program::command(with(&["--cluster", wrong])).output().unwrap(),
        Program::command(["--config", &file]).output().unwrap(),
        Program::command(with(&["--cluster", "http://:secret@cache"])).output().unwrap(),
        Program::command(here).env("SIGNAL_SRV_CLUSTER", "rediss://:secret@cache/#insecure").output().unwrap(),
    ];
    for output in outputs {
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--cluster") && text.contains("address of Redis") && !text.contains("secret"), "{text}");
    }
    assert_fails(&with(&["--cluster-ca", "/x.pem"]), 2, &["--cluster-ca", "rediss://"]);
    let none = with(&["--cluster", "rediss://cache", "--cluster-ca", "/does/not/exist.pem"]);
    assert_fails(&none, 2, &["--cluster-ca", "/does/not/exist.pem"]);
    assert_fails(
        &with(&["--cluster", "redis://127.0.0.1", "--cluster-ca", "/dev/null"]),
        2,
        &["/dev/null", "rediss://"],
    );
    assert_fails(&with(&["--cluster", "rediss://cache", "--cluster-ca", "/dev/null"]), 2, &["/dev/null"]);
    let short = write(
        dir.path(),
        "b.toml",
        "tls = \"off\"\nlisten = \"127.0.0.1:0\"\ncluster = \"redis://cache\"\n[limits]\ncluster_lease_s = 3\n",
    );
    assert_fails(&["--config", &short], 2, &["cluster_lease_s", "cluster_timeout_s"]);

    let printed =
        Program::command(with(&["--cluster", "rediss://me:secret@cache:7/1", "--print-config"])).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("cluster = \"rediss://me:redacted@cache:7/1\""), "{printed}");
}

#[test]
fn arguments() {
    assert_fails(&["--listen", "nowhere"], 2, &["--listen", "nowhere"]);
    assert_fails(&["--tls", "maybe"], 2, &["--tls", "self-signed"]);
    assert_fails(&["--port", "1"], 2, &["--port"]);
    assert_fails(&["--log-format", "xml"], 2, &["--log-format", "xml", "json", "text"]);
    assert_fails(&["--tls", "off", "--listen", "127.0.0.1:0", "--log", "a=b=c"], 2, &["--log", "a=b=c"]);
}

#[test]
fn plain_text_where_others_can_listen_in() {
    assert_fails(&["--tls", "off"], 2, &["0.0.0.0:8192", "loopback", "--behind-proxy"]);
    assert_fails(&["--tls", "off", "--listen", "[::]:0"], 2, &["[::]:0", "--behind-proxy"]);
}

#[test]
fn certificate_files() {
    let dir = tempfile::tempdir().unwrap();
    let one = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let cert = write(dir.path(), "cert.pem", &one.cert.pem());
    let key = write(dir.path(), "key.pem", &one.signing_key.serialize_pem());
    let wrong_key = write(dir.path(), "wrong.pem", &other.signing_key.serialize_pem());
    let empty = write(dir.path(), "empty.pem", "");
    let files = |cert: &str, key: &str, says: &[&str]| {
        assert_fails(&["--listen", "127.0.0.1:0", "--tls", "files", "--cert", cert, "--key", key], 2, says);
    };
    files("/no/cert.pem", &key, &["/no/cert.pem", "certificate"]);
    files(&cert, "/no/key.pem", &["/no/key.pem", "key"]);
    files(&cert, &wrong_key, &["cert.pem", "wrong.pem", "--cert and --key"]);
    files(&empty, &key, &["empty.pem", "certificate"]);
    files(&cert, &cert, &["cert.pem", "private key"]);
    files(&key, &key, &["key.pem", "certificate"]);
    assert_fails(&["--listen", "127.0.0.1:0", "--tls", "files", "--cert", &cert], 2, &["--key"]);
    assert_fails(&["--listen", "127.0.0.1:0", "--cert", &cert, "--key", &key], 2, &["--tls files"]);
}

#[test]
fn state_directories() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "file", "");
    let inside_a_file = format!("{file}/state");
    let arguments = ["--listen", "127.0.0.1:0", "--state-dir"];
    let (code, text) = run(&[&arguments[..], &[&inside_a_file]].concat());
    assert_ne!(code, 0);
    assert!(text.contains(&inside_a_file), "{text}");

    let damaged = dir.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    write(&damaged, "cert.pem", "damaged");
    write(&damaged, "key.pem", "damaged");
    let damaged = damaged.to_str().unwrap();
    assert_fails(&[&arguments[..], &[damaged]].concat(), 2, &["key.pem", "remove"]);
    // Without a home there is nowhere to keep a certificate, and the program says so.
    assert_fails(&["--listen", "127.0.0.1:0"], 2, &["--state-dir"]);
}

#[test]
fn what_was_kept_of_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let ca = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let ca = write(dir.path(), "ca.pem", &ca.cert.pem());
    let kept = dir.path().join("acme/ca.example.org_dir");
    fs::create_dir_all(&kept).unwrap();
    let directory = "https://ca.example.org/dir";
    let acme = |ca: &str, code: i32, says: &[&str]| {
        let order = ["--tls", "acme", "--domain", "cam.example.org", "--acme-directory", directory, "--acme-ca", ca];
        let here = ["--listen", "127.0.0.1:0", "--state-dir", state];
        assert_fails(&[&order[..], &here].concat(), code, says);
    };
    let empty = write(dir.path(), "empty.pem", "");
    acme("/no/ca.pem", 2, &["/no/ca.pem", "certificate"]);
    acme(&empty, 2, &["empty.pem", "--acme-ca"]);
    let file = write(&kept, "account.der", "damaged");
    acme(&ca, 2, &[&file, "remove it"]);
    fs::remove_file(&file).unwrap();
    let file = write(&kept, "certificate.pem", "damaged");
    acme(&ca, 2, &[&file, "remove it"]);
    // Half of it.
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    write(&kept, "certificate.pem", &key);
    acme(&ca, 2, &[&file, "certificate", "remove it"]);
    let other = rcgen::generate_simple_self_signed(vec!["cam.example.org".into()]).unwrap();
    write(&kept, "certificate.pem", &(key + &other.cert.pem()));
    acme(&ca, 2, &[&file, "remove it"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_what_asked_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let here = ["--listen", "127.0.0.1:0", "--state-dir", dir.path().to_str().unwrap()];
    for option in ["--metrics", "--redirect"] {
        assert_fails(&[&here[..], &[option, &address]].concat(), 1, &[&address, "in use", option]);
    }
}

#[test]
fn print_config_shows_what_is_in_effect_without_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(
        dir.path(),
        "c.toml",
        "max_viewers = 5\ntls = \"off\"\n[[ice_servers]]\nurls = [\"turn:t.example.org\"]\nusername = \"u\"\n\
         credential = \"very secret\"\n",
    );
    let output = Program::command(["--config", &config, "--listen", "127.0.0.1:7", "--print-config"])
        .env("SIGNAL_SRV_LOG", "debug")
        .env("SIGNAL_SRV_LOG_FORMAT", "json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "listen = \"127.0.0.1:7\"",
        "tls = \"off\"",
        "max_viewers = 5",
        "log = \"debug\"",
        "log_format = \"json\"",
        "redacted",
        "drain_s = 10",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    assert!(!printed.contains("very secret"));
    let printed: toml::Table = toml::from_str(&printed).unwrap();
    assert_eq!(printed["max_viewers"].as_integer(), Some(5));
}
