//! Who says nothing, stops answering, or is one too many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Client, room, server_with, stop, talk, within};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use signal_srv::{Config, Limits, Origins, Proxies, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

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

/// A WebSocket's opening handshake with these headers besides: its connection, and the head of the answer.
async fn held(server: &Server, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: cam.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while !answer.contains("\r\n\r\n") {
        let length = within(stream.read(&mut buffer)).await.unwrap();
        assert!(length > 0, "{answer}");
        answer += &String::from_utf8_lossy(&buffer[..length]);
    }
    (stream, answer)
}

/// Its status, and all of it.
async fn knock(server: &Server, headers: &str) -> (u16, String) {
    let (_, answer) = held(server, headers).await;
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back() {
    let server = server_with(Limits { connections: 2, ..Limits::default() }).await;
    let first = Client::pair(&server, &room(1)).await;
    let second = Client::pair(&server, &room(2)).await;
    let (status, answer) = knock(&server, "").await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
    second.close().await;
    // The page was served all the while, and there is a place again as soon as the one before is gone.
    let third = loop {
        if let Ok(Ok((socket, _))) =
            tokio::time::timeout(common::PATIENCE, tokio_tungstenite::connect_async(ws(&server))).await
        {
            break Client::greeted(socket).await;
        }
    };
    first.close().await;
    third.close().await;
    stop(server).await;
}

fn ws(server: &Server) -> String {
    server.url().replacen("http", "ws", 1)
}

#[tokio::test]
async fn one_address_has_its_share_whatever_it_says_of_itself() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let server = server_with(limits).await;
    let (first, second) = (Client::connect(&server).await, Client::connect(&server).await);
    for claim in
        ["", "X-Forwarded-For: 198.51.100.7\r\n", "Forwarded: for=198.51.100.8\r\n", "X-Real-IP: 198.51.100.9\r\n"]
    {
        let (status, answer) = knock(&server, claim).await;
        assert_eq!(status, 429, "{claim}: {answer}");
    }
    first.close().await;
    second.close().await;
    stop(server).await;
}

#[tokio::test]
async fn behind_a_proxy_everybody_has_a_share() {
    let limits = Limits { connections_per_address: 1, join: common::PATIENCE, ..Limits::default() };
    let trusted_proxies = Proxies::try_from(vec!["127.0.0.0/8".to_owned()]).unwrap();
    let server = Server::spawn(Config { limits, trusted_proxies, ..Config::default() }).await.unwrap();
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let mut open = Vec::new();
    for address in ["198.51.100.7", "198.51.100.8", "203.0.113.1, 198.51.100.9", "2001:db8:0:1::1"] {
        let stream = held(&server, &from(address)).await;
        assert!(stream.1.starts_with("HTTP/1.1 101"), "{address}: {}", stream.1);
        open.push(stream);
    }
    // The second of an address, of a /64, and of one that puts somebody else before itself.
    for address in ["198.51.100.7", "2001:db8:0:1:ffff::2", "203.0.113.2, 198.51.100.9", "::ffff:198.51.100.8"] {
        assert_eq!(knock(&server, &from(address)).await.0, 429, "{address}");
    }
    drop(open);
    stop(server).await;
}

#[tokio::test]
async fn silent_tcp_connections_of_one_address_are_bounded() {
    let limits = Limits { connections_per_address: 4, http_head: common::PATIENCE, ..Limits::default() };
    let server = server_with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    // They are let in in the order in which they came. The rest is closed without a word.
    for stream in silent.split_off(4 + 32) {
        assert!(closed(stream).await.is_empty());
    }
    for mut stream in silent {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(closed(stream).await.starts_with(b"HTTP/1.1 200"));
    }
    stop(server).await;
}

#[tokio::test]
async fn rooms_of_one_address_are_bounded_and_those_that_are_there_can_be_entered() {
    let server = server_with(Limits { rooms_per_address: 2, ..Limits::default() }).await;
    let mut first = Client::pair(&server, &room(1)).await;
    let second = Client::pair(&server, &room(2)).await;
    let mut third = Client::connect(&server).await;
    third.send(&json!({"type": "JOIN_OR_CREATE", "data": room(3)})).await;
    third.expect_refusal("TOO_MANY_ROOMS", 1008).await;
    let mut fourth = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": fourth.id})).await;
    talk(&mut first, &mut fourth).await;
    second.close().await;
    drop((first, fourth));
    stop(server).await;
}

#[tokio::test]
async fn haste_is_slowed_down_and_floods_are_refused() {
    let limits =
        Limits { messages_per_second: 50, message_burst: 10, haste: Duration::from_secs(1), ..Limits::default() };
    let server = server_with(limits).await;
    let mut fast = Client::pair(&server, &room(1)).await;
    let mut other = Client::pair(&server, &room(1)).await;
    fast.expect_room("JOIN", json!({"peer": other.id})).await;
    // Three times the burst: all of it arrives, in order, and later than it was sent.
    let begun = tokio::time::Instant::now();
    for number in 0..30 {
        fast.send(&json!({"type": "SIGNAL", "data": number})).await;
    }
    for number in 0..30 {
        other.expect_signal(&fast.id, json!(number)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    // Who does not stop is refused; the other one hears that it has left.
    let message = json!({"type": "SIGNAL", "data": 0}).to_string();
    for _ in 0..300 {
        within(fast.socket.feed(Message::binary(message.clone()))).await.unwrap();
    }
    within(fast.socket.flush()).await.unwrap();
    let error = fast.next().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("ERROR"), &json!("RATE_LIMITED")), "{error}");
    assert_eq!(fast.next_or_close().await, Err(Some(1008)));
    while other.next().await["data"]["type"] != "LEAVE" {}
    drop((fast, other));
    stop(server).await;
}

#[tokio::test]
async fn pages_of_foreign_origins_are_turned_away() {
    let origins = Origins::try_from(vec!["https://view.example.org".to_owned()]).unwrap();
    let server = Server::spawn(Config { origins, ..Config::default() }).await.unwrap();
    for good in ["https://cam.example.org", "https://view.example.org", "http://localhost:5173"] {
        assert_eq!(knock(&server, &format!("Origin: {good}\r\n")).await.0, 101, "{good}");
    }
    for foreign in
        ["null", "https://evil.example", "https://cam.example.org.evil.example", "https://view.example.org:8443"]
    {
        let (status, answer) = knock(&server, &format!("Origin: {foreign}\r\n")).await;
        assert_eq!(status, 403, "{foreign}: {answer}");
    }
    stop(server).await;
}
