//! Clients whose network is gone without a word: nothing that they send arrives any more, and nothing that is sent to them.
//!
//! The firewall (nftables) plays that in a network namespace of the test's own: this program starts itself in one. Who may not
//! make one, or has no `nft`, is told that nothing was tested.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, PATIENCE, room, talk_in_roles, within};
use serde_json::json;
use signal_srv::{Config, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;

const INSIDE: &str = "ROOMCAM_IN_NAMESPACE";
const PING: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(50);

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").status().is_ok_and(|status| status.success())
}

/// How a program is started in a network of its own, if that is possible here.
fn namespace() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    ways.into_iter().find(|way| succeeds("unshare", &[*way, &["nft", "list", "ruleset"]].concat()))
}

/// Runs this one test in a network of its own; true where it is that already.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(way) = namespace() else {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: it takes root (or user namespaces) and nft");
        return false;
    };
    let mut command = Command::new("unshare");
    command.args(way).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn nft(rules: &str) {
    let mut child = Command::new("nft")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{rules}");
}

/// From now on nothing goes from or to this client.
fn cut(stream: &TcpStream) {
    nft(&format!("add element inet test gone {{ {} }}", stream.local_addr().unwrap().port()));
}

fn stream(client: &Client) -> &TcpStream {
    let MaybeTlsStream::Plain(stream) = client.socket.get_ref() else { panic!("no TLS here") };
    stream
}

async fn metric(server: &Server, name: &str) -> i64 {
    let mut stream = within(TcpStream::connect(server.metrics_address().unwrap())).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("signal_srv_{name} ")));
    line.unwrap().parse().unwrap()
}

async fn until(server: &Server, name: &str, wanted: i64) {
    within(async {
        while metric(server, name).await != wanted {
            // Each question takes a port of this network's.
            tokio::time::sleep(ASK_EVERY).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_network_is_gone_is_let_go() {
    if !inside("a_client_whose_network_is_gone_is_let_go") {
        return;
    }
    assert!(succeeds("ip", &["link", "set", "lo", "up"]));
    nft("table inet test { set gone { type inet_service; }\n\
         chain input { type filter hook input priority 0;\n tcp sport @gone drop\n tcp dport @gone drop\n}\n}\n");
    // A fifteenth of what it is.
    let limits = Limits { ping: PING, ..Limits::default() };
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::spawn(Config { limits, metrics, ..Config::default() }).await.unwrap();

    let (mut camera, _) = Client::role(&server, &room(1), "camera").await;
    let (gone, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": gone.id, "role": "viewer"})).await;
    let outside = Client::connect(&server).await;
    let silent = TcpStream::connect(server.address()).await.unwrap();
    // The server has taken it, too.
    until(&server, "streams", 4).await;

    let begun = Instant::now();
    for stream in [stream(&gone), stream(&outside), &silent] {
        cut(stream);
    }
    // What is on the way to it changes nothing.
    for _ in 0..20 {
        camera.send(&json!({"type": "SIGNAL", "to": gone.id, "data": "x".repeat(10_000)})).await;
    }
    camera.expect_room("LEAVE", json!({"peer": gone.id})).await;
    let left = begun.elapsed();
    // Two pings without an answer, and the third finds that out: 45 s at the defaults.
    assert!((2 * PING..3 * PING + Duration::from_secs(3)).contains(&left), "{left:?}");
    let all_gone = async {
        until(&server, "websockets", 1).await;
        until(&server, "streams", 1).await;
    };
    // The camera answers its pings meanwhile, and hears of nobody else.
    tokio::select! {
        () = all_gone => {}
        message = camera.next() => panic!("{message}"),
    }
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(metric(&server, "rooms").await, 1);

    let (mut viewer, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    talk_in_roles(&mut camera, &mut viewer).await;
    // They hold their ends to the last: it was not they who closed.
    drop((gone, outside, silent, camera, viewer));
    common::stop(server).await;
}
