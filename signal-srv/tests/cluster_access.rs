//! The way to Redis: encrypted, as a user who may do no more than is needed, and nothing of it in the log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::cluster::{Redis, config, get, until_ready, write};
use common::{Client, Program, room, stop, talk};
use serde_json::json;
use signal_srv::config::Cluster;
use signal_srv::{Config, Server};
use tempfile::TempDir;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// A Redis with TLS, where the user is the one of the documentation and nobody else may do anything.
struct Guarded {
    redis: Redis,
    dir: TempDir,
    port: u16,
}

fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    write(&cert, &made.cert.pem());
    write(&key, &made.signing_key.serialize_pem());
    (cert, key)
}

impl Guarded {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let (cert, key) = certificate(dir.path(), "redis");
        let line = OPERATIONS.lines().find_map(|line| line.strip_prefix("ACL SETUSER ")).unwrap();
        let users = dir.path().join("users.acl");
        write(&users, &format!("user {line}\nuser default off\n"));
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let (cert, key, users) = (path(&cert), path(&key), path(&users));
        let mut log = String::new();
        // It takes a port, and not any. Below those that clients are given, so that the next one is likely to be free.
        let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        for port in (first..).step_by(7).take(100) {
            let (port_text, tls) =
                (port.to_string(), ["--bind", "127.0.0.1", "--tls-auth-clients", "no", "--tls-port"]);
            let files =
                ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert, "--aclfile", &users];
            match Redis::try_start_with(&[&tls[..], &[&port_text], &files].concat()) {
                Ok(redis) => return Self { redis, dir, port },
                Err(said) => log = said,
            }
        }
        panic!("Redis does not start:\n{log}");
    }

    fn url(&self, password: &str) -> String {
        format!("rediss://roomcam:{password}@localhost:{}", self.port)
    }

    fn config(&self, authority: PathBuf) -> Config {
        let url = self.url("password");
        let cluster = Some(Cluster { address: url.parse().unwrap(), authority: Some(authority) });
        Config { cluster, ..config(&url) }
    }
}

#[tokio::test]
async fn tls_and_a_user_with_the_documented_rights_are_enough() {
    let guarded = Guarded::start();
    let authority = guarded.dir.path().join("redis.pem");
    let [a, b] = [
        Server::spawn(guarded.config(authority.clone())).await.unwrap(),
        Server::spawn(guarded.config(authority)).await.unwrap(),
    ];
    let stranger = certificate(guarded.dir.path(), "stranger").0;
    let misled = Server::spawn(guarded.config(stranger)).await.unwrap();
    until_ready(&a, true).await;
    until_ready(&b, true).await;
    let mut first = Client::pair(&a, &room(1)).await;
    let mut second = Client::pair(&b, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    // Longer than a beat, so that every command has been used but the burial of a dead node.
    let dead = Server::spawn(guarded.config(guarded.dir.path().join("redis.pem"))).await.unwrap();
    until_ready(&dead, true).await;
    let viewer = Client::role(&dead, &room(2), "viewer").await.0;
    let mut camera = Client::role(&a, &room(2), "camera").await.0;
    let left = viewer.id.clone();
    stop(dead).await;
    camera.expect_room("LEAVE", json!({"peer": left})).await;
    assert!(get(&misled.address().to_string(), "/readyz").await.starts_with("HTTP/1.1 503"));
    drop(guarded.redis);
    for server in [a, b, misled] {
        stop(server).await;
    }
}

#[test]
fn a_wrong_password_is_said_and_no_password_is() {
    let guarded = Guarded::start();
    let authority = guarded.dir.path().join("redis.pem");
    let mut command = Program::command(["--listen", "127.0.0.1:0", "--tls", "off", "--log", "trace", "--cluster-ca"]);
    command.arg(&authority).env("SIGNAL_SRV_CLUSTER", guarded.url("opensesame"));
    let mut program = Program::spawn(command);
    let line = program.wait_for("Redis is out of reach");
    assert!(line.contains("WRONGPASS"), "{line}");
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, log) = program.finish();
    assert!(status.success(), "{log}");
    assert!(!log.contains("opensesame") && !log.contains("localhost"), "{log}");
}
