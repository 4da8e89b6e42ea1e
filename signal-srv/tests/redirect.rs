//! Plain HTTP is sent on to HTTPS, to names of this server alone, and holds nothing up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{stop, within};
use signal_srv::{Config, Limits, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn server(limits: Limits) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["cam.example.org".into(), "*.view.example.org".into()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let redirect = Some("127.0.0.1:0".parse().unwrap());
    let config = Config { tls: Tls::Files { cert, key }, redirect, limits, ..Config::default() };
    (dir, Server::spawn(config).await.unwrap())
}

/// What the connection has to say until its end.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    // A reset is an end too.
    let _ = within(stream.read_to_string(&mut answer)).await;
    answer.to_lowercase()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(stream).await
}

#[tokio::test]
async fn everything_is_sent_on_to_the_same_over_tls() {
    let (_dir, server) = server(Limits::default()).await;
    let (address, port) = (server.redirect_address().unwrap(), server.address().port());
    for path in ["/", "/healthz", "/readyz", "/metrics", "/ws", "/a?b=c", "//evil.example/"] {
        for method in ["GET", "HEAD", "POST"] {
            let answer = ask(address, &format!("{method} {path} HTTP/1.1\r\nHost: cam.example.org\r\n\r\n")).await;
            assert!(answer.starts_with("http/1.1 308 "), "{method} {path}: {answer}");
            let location = format!("\r\nlocation: https://cam.example.org:{port}{path}\r\n");
            assert!(answer.contains(&location), "{method} {path}: {answer}");
            // It would forbid what it was just about to make unnecessary, and is ignored here (RFC 6797 §7.2).
            assert!(!answer.contains("strict-transport-security"), "{answer}");
        }
    }
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a.view.example.org:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = ask(address, upgrade).await;
    assert!(answer.contains(&format!("\r\nlocation: https://a.view.example.org:{port}/ws\r\n")), "{answer}");
    stop(server).await;
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let (_dir, server) = server(Limits::default()).await;
    let address = server.redirect_address().unwrap();
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: cam.example.org.evil.example\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", "421"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: cam.example.org\r\n", "421"),
        ("GET / HTTP/1.1\r\nHost: cam.example.org\r\nHost: evil.example\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: cam.example.org@evil.example\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: cam.example.org/\r\n", "400"),
        ("GET / HTTP/1.1\r\n", "400"),
        ("GET / HTTP/1.0\r\n", "400"),
        ("OPTIONS * HTTP/1.1\r\nHost: cam.example.org\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: cam.example.org\r\nX-Forwarded-Host: evil.example\r\n", "308"),
    ] {
        let answer = ask(address, &format!("{head}\r\n")).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        assert_eq!(answer.contains("\r\nlocation: "), status == "308", "{head}: {answer}");
        assert!(!answer.contains("evil"), "{head}: {answer}");
    }
    stop(server).await;
}

#[tokio::test]
async fn it_has_the_limits_of_the_rest() {
    let limits = Limits { http_head: Duration::from_millis(300), ..Limits::default() };
    let (_dir, server) = server(limits).await;
    let address = server.redirect_address().unwrap();
    // Who says nothing, or not enough, or too much, is not waited for.
    assert_eq!(rest(TcpStream::connect(address).await.unwrap()).await, "");
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: cam").await.unwrap();
    assert!(!rest(half).await.contains("location"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: cam.example.org\r\n\r\n", "a".repeat(20_000));
    let answer = ask(address, &long).await;
    assert!(!answer.contains("location"), "{answer}");
    stop(server).await;
}

#[tokio::test]
async fn one_address_has_one_share_of_both_ports() {
    let (http_head, tls_handshake) = (common::PATIENCE, common::PATIENCE);
    let limits = Limits { connections_per_address: 4, http_head, tls_handshake, ..Limits::default() };
    let (_dir, server) = server(limits).await;
    let address = server.redirect_address().unwrap();
    let request = "GET / HTTP/1.1\r\nHost: cam.example.org\r\n\r\n";
    assert!(ask(address, request).await.contains("\r\nlocation: "));
    // As many as it may have, as tests/limits.rs knows them; those of the two ports are accepted independently.
    let mut silent = Vec::new();
    for _ in 0..4 + 32 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    within(async { while !ask(address, request).await.is_empty() {} }).await;
    drop(silent);
    within(async { while ask(address, request).await.is_empty() {} }).await;
    stop(server).await;
}

#[tokio::test]
async fn it_is_there_when_asked_for_alone() {
    let server = common::server().await;
    assert_eq!(server.redirect_address(), None);
    stop(server).await;
}
