//! Who says nothing, stops answering, or is one too many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Client, room, server_with, stop, talk, within};
use futures_util::StreamExt;
use serde_json::json;
use signal_srv::{Config, Limits, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_millis(100);

/// Reads until the server closes.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    // A reset is an end too.
    let _ = within(stream.read_to_end(&mut received)).await;
    received
}

#[tokio::test]
async fn who_does_not_join_is_refused() {
    let server = server_with(Limits { join: SOON, ..Limits::default() }).await;
    Client::connect(&server).await.expect_refusal("JOIN_TIMEOUT", 1008).await;
    // Whoever has joined may stay.
    let mut first = Client::pair(&server, &room(1)).await;
    Client::connect(&server).await.expect_refusal("JOIN_TIMEOUT", 1008).await;
    let mut second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    drop((first, second));
    stop(server).await;
}

#[tokio::test]
async fn silent_and_half_requests_are_closed() {
    let server = server_with(Limits { http_head: SOON, ..Limits::default() }).await;
    for beginning in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        closed(stream).await;
    }
    stop(server).await;
}

#[tokio::test]
async fn a_connection_kept_alive_and_unused_is_closed() {
    let server = server_with(Limits { http_head: SOON, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let received = closed(stream).await;
    assert!(received.starts_with(b"HTTP/1.1 200 OK"));
    stop(server).await;
}

#[tokio::test]
async fn a_connection_that_is_always_in_use_ends_too() {
    let limits = Limits { http_total: SOON, ..Limits::default() };
    let server = server_with(limits).await;
    let (mut reading, mut writing) = TcpStream::connect(server.address()).await.unwrap().into_split();
    let asking = async {
        while writing.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let answers = async {
        let mut buffer = [0; 4096];
        while reading.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    };
    within(async { tokio::join!(asking, answers) }).await;
    stop(server).await;
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_come_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::SelfSigned { state_dir: dir.path().to_owned() };
    let limits = Limits { tls_handshake: SOON, ..Limits::default() };
    let server = Server::spawn(Config { tls, limits, ..Config::default() }).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(&[0x16, 0x03]).await.unwrap();
    assert!(closed(stream).await.is_empty());
    stop(server).await;
}

#[tokio::test]
async fn who_answers_no_pings_leaves_and_who_does_stays() {
    let limits = Limits { ping: SOON, farewell: SOON, ..Limits::default() };
    let server = server_with(limits).await;
    let mut awake = Client::pair(&server, &room(1)).await;
    let asleep = Client::pair(&server, &room(1)).await;
    awake.expect_room("JOIN", json!({"peer": asleep.id})).await;
    // A WebSocket library answers pings while it is read from, and only then.
    awake.expect_room("LEAVE", json!({"peer": asleep.id})).await;
    for _ in 0..10 {
        let message = within(awake.socket.next()).await.unwrap().unwrap();
        assert!(message.is_ping(), "{message:?}");
    }
    let mut third = Client::pair(&server, &room(1)).await;
    assert_eq!(awake.next().await["data"]["type"], "JOIN");
    talk(&mut awake, &mut third).await;
    drop((awake, asleep, third));
    stop(server).await;
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let server = server_with(Limits { connections: 2, ..Limits::default() }).await;
    let first = Client::pair(&server, &room(1)).await;
    let second = Client::pair(&server, &room(2)).await;
    let url = server.url().replacen("http", "ws", 1);
    let third = tokio::spawn(async move { Client::connect_to(&url).await });
    assert!(!third.is_finished());
    second.close().await;
    let third = within(third).await.unwrap();
    first.close().await;
    third.close().await;
    stop(server).await;
}
