//! Certificates of an authority: ordered, proven on the server's own port, kept, renewed, and said when there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::authority::Site;
use common::tls::{config, connect, handshake, kinds_of_two_handshakes};
use common::{Client, Program, room, stop, within};
use nix::sys::signal::Signal;
use rustls::HandshakeKind;
use serde_json::json;
use signal_srv::{Acme, Config, Limits, Server, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;

const HOUR: Duration = Duration::from_secs(3600);
const NAME: &str = "cam.example.org";
const OTHER_NAME: &str = "view.example.org";

fn ordering(dir: &Path, site: &Site) -> Config {
    let acme = Acme {
        domains: vec![NAME.to_owned(), OTHER_NAME.to_owned()],
        contact: Some("ops@example.org".to_owned()),
        directory: site.directory(),
        ca: Some(site.ca.clone()),
        state_dir: dir.join("state"),
    };
    let limits = Limits {
        certificate_check: Duration::from_millis(50),
        acme_retry: Duration::from_millis(100),
        ..Limits::default()
    };
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    Config { tls: Tls::Acme(acme), metrics, limits, ..Config::default() }
}

async fn status_of_readyz(server: &Server) -> u16 {
    let mut stream = TcpStream::connect(server.metrics_address().unwrap()).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn until_ready(server: &Server) {
    within(async {
        while status_of_readyz(server).await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The certificate that is served under this name.
async fn served(address: SocketAddr, name: &str, root: &Path) -> Vec<u8> {
    let stream = handshake(address, name, root).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_certificate_is_ordered_proven_kept_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let server = Server::spawn(ordering(dir.path(), &site)).await.unwrap();
    let address = server.address();
    // There is none, and nothing instead of one.
    assert_eq!(status_of_readyz(&server).await, 503);
    let error = handshake(address, NAME, &site.ca).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "it is told, not just cut off: {error}");

    let authority = site.open(address.port(), HOUR).await;
    until_ready(&server).await;
    let root = authority.root().await;
    let first = served(address, NAME, &root).await;
    assert_eq!(served(address, OTHER_NAME, &root).await, first, "one certificate for all names");
    let stream = handshake(address, NAME, &root).await.unwrap();
    let (socket, _) = within(client_async("wss://cam.example.org/ws", stream)).await.unwrap();
    let mut client = Client::greeted(socket).await;
    client.join(json!(room(1))).await;
    assert_eq!(kinds_of_two_handshakes(address, NAME, &root).await, [HandshakeKind::Full, HandshakeKind::Resumed]);

    let mut stream = handshake(address, NAME, &root).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: cam.example.org\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");

    // Nobody but its owner reads what is kept.
    let state = dir.path().join("state");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let files = files_below(&state);
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    assert_eq!((mode(&state), mode(&state.join("acme"))), (0o700, 0o700));

    // The next start needs no authority.
    drop((client, authority));
    stop(server).await;
    let server = Server::spawn(ordering(dir.path(), &site)).await.unwrap();
    assert_eq!(status_of_readyz(&server).await, 200);
    assert_eq!(served(server.address(), NAME, &root).await, first);
    stop(server).await;
}

#[tokio::test]
async fn the_authoritys_way_of_asking_is_of_no_use_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let server = Server::spawn(ordering(dir.path(), &site)).await.unwrap();
    let authority = site.open(server.address().port(), HOUR).await;
    until_ready(&server).await;
    let root = authority.root().await;
    let with_protocols = async |protocols: &[&str]| {
        let mut config = config(&root);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(server.address()).await.unwrap();
        connect(&TlsConnector::from(Arc::new(config)), NAME, stream).await
    };
    // Nothing is to be proven any more.
    assert!(with_protocols(&["acme-tls/1"]).await.is_err());
    assert!(with_protocols(&["h2"]).await.is_err());
    // Who can speak both is somebody who wants in.
    let stream = with_protocols(&["acme-tls/1", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    drop(stream);
    stop(server).await;
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keeps a certificate for these names, `age` old and good for as long as `left`, where the server will find it. It is its
/// own root.
fn keep_certificate(dir: &Path, site: &Site, names: &[&str], age: Duration, left: Option<Duration>) -> PathBuf {
    let mut params = rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let now = SystemTime::now();
    params.not_before = (now - age).into();
    params.not_after = left.map_or(now - DAY, |left| now + left).into();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let folder = site.directory().replace("https://", "").replace([':', '/'], "_");
    let folder = dir.join("state/acme").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("certificate.pem"), key.serialize_pem() + &certificate).unwrap();
    let root = dir.join("kept.pem");
    std::fs::write(&root, certificate).unwrap();
    root
}

#[tokio::test]
async fn it_is_renewed_in_time_and_nobody_is_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let old_root = keep_certificate(dir.path(), &site, &[NAME, OTHER_NAME], 61 * DAY, Some(29 * DAY));
    let server = Server::spawn(ordering(dir.path(), &site)).await.unwrap();
    // It is time for another, and as long as there is none this one is good.
    assert_eq!(status_of_readyz(&server).await, 200);
    let connect = async |root: &Path| {
        let stream = handshake(server.address(), NAME, root).await.unwrap();
        let (socket, _) = within(client_async("wss://cam.example.org/ws", stream)).await.unwrap();
        let mut client = Client::greeted(socket).await;
        client.join(json!(room(1))).await;
        client
    };
    let mut old = connect(&old_root).await;

    let authority = site.open(server.address().port(), HOUR).await;
    let root = authority.root().await;
    within(async {
        while handshake(server.address(), NAME, &root).await.is_err() {
            assert_eq!(status_of_readyz(&server).await, 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let new = connect(&root).await;
    old.expect_room("JOIN", json!({"peer": new.id})).await;
    drop((old, new));
    stop(server).await;
}

#[tokio::test]
async fn one_that_has_expired_or_lacks_a_name_is_replaced() {
    for (names, left, status) in [([NAME, OTHER_NAME], None, 503), ([NAME, NAME], Some(80 * DAY), 200)] {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path());
        keep_certificate(dir.path(), &site, &names, 10 * DAY, left);
        let server = Server::spawn(ordering(dir.path(), &site)).await.unwrap();
        assert_eq!(status_of_readyz(&server).await, status);
        let authority = site.open(server.address().port(), HOUR).await;
        let root = authority.root().await;
        within(async {
            while handshake(server.address(), OTHER_NAME, &root).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(status_of_readyz(&server).await, 200);
        stop(server).await;
    }
}

#[tokio::test]
async fn one_that_is_good_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let root = keep_certificate(dir.path(), &site, &[NAME, "another.example.org"], 10 * DAY, Some(80 * DAY));
    let mut server = program(dir.path(), &site, "limits.certificate_check_s = 0.01");
    let address = server.url().strip_prefix("https://").unwrap().parse().unwrap();
    for _ in 0..3 {
        handshake(address, NAME, &root).await.unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("configuration and certificate reloaded");
    }
    server.signal(Signal::SIGTERM);
    let (status, log) = server.finish();
    assert!(status.success() && !log.contains("ordering"), "{log}");
}

/// The program, as an operator would start it.
fn program(dir: &Path, site: &Site, more: &str) -> Program {
    let config = format!(
        "listen = \"127.0.0.1:0\"\ntls = \"acme\"\ndomains = [\"{NAME}\"]\nacme_directory = \"{}\"\nacme_ca = {:?}\n\
         state_dir = {:?}\n{more}\n",
        site.directory(),
        site.ca,
        dir.join("state"),
    );
    let file = dir.join("signal-srv.toml");
    std::fs::write(&file, config).unwrap();
    Program::start(["--config", file.to_str().unwrap()])
}

#[tokio::test]
async fn what_keeps_it_from_coming_is_said_and_it_comes_when_that_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut server = program(dir.path(), &site, "limits.acme_retry_s = 3600");
    let url = server.url();
    let address: SocketAddr = url.strip_prefix("https://").unwrap().parse().unwrap();
    let line = server.wait_for("there is no certificate");
    for part in ["cannot be reached", "--acme-directory", "--acme-ca", "again_in_s=3600"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    // The authority looks where nobody is: wrong address, wrong port, a firewall.
    let nowhere = common::authority::free_port();
    let authority = site.open(nowhere, HOUR).await;
    server.signal(Signal::SIGHUP);
    let line = server.wait_for("there is no certificate");
    for part in [NAME, "DNS must lead", "443"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    drop(authority);
    // Now it is right, and the operator need not wait for the hour to end.
    let authority = site.open(address.port(), HOUR).await;
    server.signal(Signal::SIGHUP);
    server.wait_for("a certificate was issued and is in use");
    handshake(address, NAME, &authority.root().await).await.unwrap();
    server.signal(Signal::SIGTERM);
    let (status, log) = server.finish();
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn an_authority_that_does_not_answer_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let silent = TcpListener::bind(site.directory().split('/').nth(2).unwrap()).await.unwrap();
    let mut server = program(dir.path(), &site, "limits.acme_order_s = 0.5\nlimits.acme_retry_s = 0.1");
    // Twice: it goes on trying.
    for _ in 0..2 {
        let line = server.wait_for("there is no certificate");
        assert!(line.contains("within 500ms"), "{line}");
    }
    server.signal(Signal::SIGTERM);
    let (status, log) = server.finish();
    assert!(status.success(), "{log}");
    drop(silent);
}

#[tokio::test]
async fn an_authority_that_nobody_vouches_for_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _authority = site.open(common::authority::free_port(), HOUR).await;
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&site.ca, other.cert.pem()).unwrap();
    let mut server = program(dir.path(), &site, "");
    let line = server.wait_for("there is no certificate");
    assert!(line.contains("BadSignature") || line.contains("UnknownIssuer"), "{line}");
    assert!(line.contains("--acme-ca"), "{line}");
}
