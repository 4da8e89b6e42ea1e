//! The operator sees what goes on, and nothing of who or where.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;

use common::{Client, room, stop, within};
use serde_json::json;
use signal_srv::{Config, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn value(metrics: &str, name: &str) -> i64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("signal_srv_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

/// Until the server has got as far as that.
async fn until(address: SocketAddr, name: &str, wanted: i64) -> String {
    within(async {
        loop {
            let metrics = ask(address, "/metrics").await;
            if value(&metrics, name) == wanted {
                return metrics;
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_happens_is_counted_and_nobody_is_named() {
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let limits = Limits { connections_per_address: 4, ..Limits::default() };
    let server = Server::spawn(Config { metrics, limits, ..Config::default() }).await.unwrap();
    let address = server.metrics_address().unwrap();
    assert_eq!(value(&ask(address, "/metrics").await, "websockets"), 0);

    let (mut camera, _) = Client::role(&server, &room(1), "camera").await;
    let (mut viewer, _) = Client::role(&server, &room(1), "viewer").await;
    let mut pair = Client::pair(&server, &room(2)).await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    viewer.send(&json!({"type": "SIGNAL", "to": camera.id, "data": "hello"})).await;
    camera.expect_signal(&viewer.id, json!("hello")).await;
    pair.send(&json!({"type": "SIGNAL", "data": "to nobody"})).await;
    let mut wrong = Client::connect(&server).await;
    wrong.send(&json!({"type": "JOIN_OR_CREATE", "data": room(1)})).await;
    wrong.expect_refusal("ROOM_MODE", 1008).await;

    let text = until(address, "signals_dropped_total", 1).await;
    for (name, expected) in [
        ("rooms", 2),
        ("joins_total{kind=\"camera\"}", 1),
        ("joins_total{kind=\"viewer\"}", 1),
        ("joins_total{kind=\"pair\"}", 1),
        ("leaves_total", 0),
        ("signals_relayed_total", 1),
        ("refusals_total{reason=\"ROOM_MODE\"}", 1),
    ] {
        assert_eq!(value(&text, name), expected, "{name} in\n{text}");
    }
    assert!(value(&text, "received_bytes_total") > 200 && value(&text, "sent_bytes_total") > 200, "{text}");
    for secret in [&room(1), &room(2), &camera.id, &viewer.id, &pair.id, "127.0.0.1", "hello"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }

    drop((camera, viewer, pair));
    let text = until(address, "websockets", 0).await;
    assert_eq!((value(&text, "rooms"), value(&text, "leaves_total")), (0, 3), "{text}");
    until(address, "streams", 0).await;
    stop(server).await;
}

#[tokio::test]
async fn they_are_on_their_own_address_alone() {
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::spawn(Config { metrics, ..Config::default() }).await.unwrap();
    let operators = server.metrics_address().unwrap();
    assert!(ask(server.address(), "/metrics").await.starts_with("HTTP/1.1 404"));
    assert!(ask(operators, "/").await.starts_with("HTTP/1.1 404"));
    for address in [server.address(), operators] {
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    }
    stop(server).await;
    let quiet = common::server().await;
    assert_eq!(quiet.metrics_address(), None);
    stop(quiet).await;
}
