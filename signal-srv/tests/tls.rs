//! TLS: who trusts the server's own certificate gets in, nobody else does; files are used as they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::path::Path;
use std::time::Duration;

use common::tls::{handshake, kinds_of_two_handshakes};
use common::{Client, room, within};
use serde_json::json;
use signal_srv::{Config, Limits, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;

async fn self_signed(state_dir: &Path) -> Server {
    let tls = Tls::SelfSigned { state_dir: state_dir.to_owned() };
    Server::spawn(Config { tls, ..Config::default() }).await.unwrap()
}

async fn client(server: &Server, name: &str) -> Client<TlsStream<TcpStream>> {
    let stream = handshake(server.address(), name, server.certificate().unwrap()).await.unwrap();
    let (socket, _) = within(client_async("wss://localhost/ws", stream)).await.unwrap();
    Client::greeted(socket).await
}

#[tokio::test]
async fn who_trusts_the_certificate_gets_in_by_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = self_signed(dir.path()).await;
    assert!(server.url().starts_with("https://127.0.0.1:"));
    assert_eq!(server.certificate().unwrap(), dir.path().join("cert.pem"));
    let mut first = client(&server, "localhost").await;
    first.join(json!(room(1))).await;
    let mut second = client(&server, "127.0.0.1").await;
    second.join(json!(room(1))).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    second.send(&json!({"type": "SIGNAL", "data": {"candidate": ""}})).await;
    first.expect_signal(&second.id, json!({"candidate": ""})).await;
    let third = client(&server, "::1").await;
    third.close().await;
    drop((first, second));
    common::stop(server).await;
}

#[tokio::test]
async fn who_does_not_trust_it_does_not_get_in() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = self_signed(dir.path()).await;
    let other = self_signed(other_dir.path()).await;
    let error = handshake(server.address(), "localhost", other.certificate().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    let error = handshake(server.address(), "example.org", server.certificate().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // Those who trust it are still served.
    client(&server, "localhost").await.close().await;
    common::stop(server).await;
    common::stop(other).await;
}

#[tokio::test]
async fn a_restart_keeps_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let server = self_signed(dir.path()).await;
    let before = std::fs::read(server.certificate().unwrap()).unwrap();
    common::stop(server).await;
    let server = self_signed(dir.path()).await;
    assert_eq!(std::fs::read(server.certificate().unwrap()).unwrap(), before);
    common::stop(server).await;
}

#[tokio::test]
async fn files_of_the_operator_are_served_and_browsers_told_to_insist() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["cam.example.org".into()]).unwrap();
    let (cert, key) = (dir.path().join("chain.pem"), dir.path().join("private.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = Tls::Files { cert: cert.clone(), key };
    let server = Server::spawn(Config { tls, ..Config::default() }).await.unwrap();
    client(&server, "cam.example.org").await.close().await;

    let head = |stream| async move {
        let mut stream: TlsStream<TcpStream> = stream;
        let request = b"GET /healthz HTTP/1.1\r\nHost: cam.example.org\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer.to_lowercase()
    };
    let stream = handshake(server.address(), "cam.example.org", &cert).await.unwrap();
    assert!(head(stream).await.contains("strict-transport-security: max-age="));

    let self_signed_dir = tempfile::tempdir().unwrap();
    let other = self_signed(self_signed_dir.path()).await;
    let stream = handshake(other.address(), "localhost", other.certificate().unwrap()).await.unwrap();
    assert!(!head(stream).await.contains("strict-transport-security"));
    common::stop(server).await;
    common::stop(other).await;
}

/// Writes a certificate for this name and its key, the certificate last, and gives the certificate as a client trusts it.
fn renew(dir: &Path, name: &str) -> std::path::PathBuf {
    let made = rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    let trusted = dir.join(format!("{name}.pem"));
    std::fs::write(&trusted, made.cert.pem()).unwrap();
    trusted
}

#[tokio::test]
async fn a_certificate_that_changes_is_served_and_nobody_is_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let first = renew(dir.path(), "one.example.org");
    let mut server = Server::spawn(config_of(&dir)).await.unwrap();
    let stream = handshake(server.address(), "one.example.org", &first).await.unwrap();
    let (socket, _) = within(client_async("wss://localhost/ws", stream)).await.unwrap();
    let mut old = Client::greeted(socket).await;
    old.join(json!(room(1))).await;

    // A key that does not belong to the certificate: half of a renewal, or a mistake. What was there stays.
    std::fs::write(dir.path().join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = server.reload(config_of(&dir)).unwrap_err().to_string();
    assert!(error.contains("cert.pem") && error.contains("key.pem"), "{error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    handshake(server.address(), "one.example.org", &first).await.unwrap();

    let second = renew(dir.path(), "two.example.org");
    within(async { while handshake(server.address(), "two.example.org", &second).await.is_err() {} }).await;
    assert!(handshake(server.address(), "one.example.org", &first).await.is_err());
    // Who was there before is still there.
    let stream = handshake(server.address(), "two.example.org", &second).await.unwrap();
    let (socket, _) = within(client_async("wss://localhost/ws", stream)).await.unwrap();
    let mut new = Client::greeted(socket).await;
    new.join(json!(room(1))).await;
    old.expect_room("JOIN", json!({"peer": new.id})).await;
    drop((old, new));
    common::stop(server).await;
}

fn config_of(dir: &tempfile::TempDir) -> Config {
    let tls = Tls::Files { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    let limits = Limits { certificate_check: Duration::from_millis(20), ..Limits::default() };
    Config { tls, limits, ..Config::default() }
}

#[tokio::test]
async fn who_comes_back_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let server = self_signed(dir.path()).await;
    let kinds = kinds_of_two_handshakes(server.address(), "localhost", server.certificate().unwrap()).await;
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    common::stop(server).await;
}

#[tokio::test]
async fn plain_http_on_the_tls_port_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = self_signed(dir.path()).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "never a fallback to plain text");
    client(&server, "localhost").await.close().await;
    common::stop(server).await;
}
