//! Behind nginx and Caddy, the real ones, with the configurations that docs/operations.md shows.
//!
//! `cargo xtask test` fetches them and says where they are (`ROOMCAM_NGINX`, `ROOMCAM_CADDY`); else they are looked for on the
//! system.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{Client, Program, room, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const DOCUMENTATION: &str = include_str!("../../docs/operations.md");

/// A program that is stopped by being dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    trusting: TlsConnector,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx ends its workers on SIGTERM, not if it is killed.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// The block of the documentation in this language, as somebody copies it.
fn documented(language: &str) -> String {
    let (_, rest) = DOCUMENTATION.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Says aloud that nothing was tested: what is printed by the usual means is not shown of a test that passes.
fn program(variable: &str, places: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.or_else(|| places.iter().map(PathBuf::from).find(|place| place.exists()));
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}, and no {variable}", places[0]);
    }
    found
}

fn replace(text: &str, what: &str, with: &str) -> String {
    assert!(text.contains(what), "the documentation has no {what:?} any more:\n{text}");
    text.replace(what, with)
}

/// Starts what `configure` makes of its folder, server, port and certificate, and waits until it lets somebody in.
async fn proxy(
    dir: &Path,
    server: &str,
    configure: impl FnOnce(&Path, &str, SocketAddr, [&str; 2]) -> Command,
) -> Proxy {
    let made = rcgen::generate_simple_self_signed(vec!["cam.example.org".into()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let placeholder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = placeholder.local_addr().unwrap();
    drop(placeholder);
    let server = server.strip_prefix("http://").unwrap();
    let mut command = configure(dir, server, address, [&cert, &key].map(|path| path.to_str().unwrap()));
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut proxy = Proxy { child, address, trusting: TlsConnector::from(Arc::new(config)) };
    within(async {
        while TcpStream::connect(address).await.is_err() {
            let ended = proxy.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", std::fs::read_to_string(dir.join("log")).unwrap());
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy
}

fn nginx(program: &Path, dir: &Path, server: &str, address: SocketAddr, [cert, key]: [&str; 2]) -> Command {
    let site = documented("nginx");
    let site = replace(&site, "127.0.0.1:8192", server);
    let site = replace(&site, "listen 443 ssl;", &format!("listen {address} ssl;"));
    let site = replace(&site, "listen [::]:443 ssl;", "");
    let site = replace(&site, "/etc/letsencrypt/live/cam.example.org/fullchain.pem", cert);
    let site = replace(&site, "/etc/letsencrypt/live/cam.example.org/privkey.pem", key);
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", dir.display()))
        .concat();
    let around = format!(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{site}}}\n",
        dir.display()
    );
    std::fs::write(dir.join("nginx.conf"), around).unwrap();
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf"));
    command
}

fn caddy(program: &Path, dir: &Path, server: &str, address: SocketAddr, [cert, key]: [&str; 2]) -> Command {
    let site = documented("caddyfile");
    let site = replace(&site, "127.0.0.1:8192", server);
    // The name is whose certificate it would fetch.
    let begin = format!("https://cam.example.org:{} {{\n    bind 127.0.0.1\n    tls {cert} {key}\n", address.port());
    let site = replace(&site, "cam.example.org {\n", &begin);
    std::fs::write(dir.join("Caddyfile"), format!("{{\n    admin off\n    auto_https off\n}}\n{site}")).unwrap();
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(dir.join("Caddyfile"));
    command.env_clear().env("HOME", dir);
    command
}

impl Proxy {
    /// A connection that comes from 127.0.0.`from`.
    async fn connect(&self, from: u8) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
        let stream = within(socket.connect(self.address)).await.unwrap();
        within(self.trusting.connect(ServerName::try_from("cam.example.org").unwrap(), stream)).await.unwrap()
    }

    /// A WebSocket, with these headers besides; or the status of the refusal.
    async fn websocket(&self, from: u8, headers: &[(&'static str, &str)]) -> Result<Client<TlsStream<TcpStream>>, u16> {
        let stream = self.connect(from).await;
        let mut request = format!("wss://cam.example.org:{}/ws", self.address.port()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match within(client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Client::greeted(socket).await),
            Err(SocketError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a client gets to know of the proxy: nothing.
async fn assert_serves(mut server: Program, proxy: &Proxy) {
    let mut stream = proxy.connect(4).await;
    let request = "GET / HTTP/1.1\r\nHost: cam.example.org\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    within(stream.read_to_string(&mut page)).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>Roomcam</title>"), "{page}");

    let mut camera = proxy.websocket(2, &[]).await.unwrap();
    camera.join(json!({"room": room(1), "role": "camera"})).await;
    // The page's own origin, as the browser says it, and another.
    let own = format!("https://cam.example.org:{}", proxy.address.port());
    let mut viewer = proxy.websocket(3, &[("origin", &own)]).await.unwrap();
    assert_eq!(proxy.websocket(3, &[("origin", "https://example.net")]).await.unwrap_err(), 403);
    viewer.join(json!({"room": room(1), "role": "viewer"})).await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let signal = json!({"noise": "A".repeat(40_000)});
    viewer.send(&json!({"type": "SIGNAL", "to": camera.id, "data": signal})).await;
    camera.expect_signal(&viewer.id, signal).await;

    // Each client has its own share, and cannot take another's by what it says of itself.
    let second = proxy.websocket(2, &[]).await.unwrap();
    for forged in ["203.0.113.9", "127.0.0.1", "203.0.113.9, 127.0.0.1"] {
        assert_eq!(proxy.websocket(2, &[("x-forwarded-for", forged)]).await.unwrap_err(), 429, "{forged}");
    }
    second.close().await;
    let again = within(async {
        loop {
            // The server hears of the close in its own time.
            match proxy.websocket(2, &[("x-forwarded-for", "127.0.0.3")]).await {
                Ok(client) => return client,
                Err(status) => assert_eq!(status, 429),
            }
        }
    })
    .await;
    again.close().await;

    // A stop reaches everybody, with its reason.
    server.signal(Signal::SIGTERM);
    camera.expect_refusal("SHUTTING_DOWN", 1001).await;
    viewer.expect_refusal("SHUTTING_DOWN", 1001).await;
    server.wait_for("stopped");
}

fn server() -> Program {
    let mut command = Program::command(["--listen", "127.0.0.1:0", "--tls", "off", "--behind-proxy"]);
    // Of this machine's addresses the others are clients here.
    command.env("SIGNAL_SRV_TRUSTED_PROXIES", "[\"127.0.0.1\"]").env("SIGNAL_SRV_LIMITS_CONNECTIONS_PER_ADDRESS", "2");
    Program::spawn(command)
}

#[tokio::test]
async fn behind_nginx() {
    let Some(program) = program("ROOMCAM_NGINX", &["/usr/sbin/nginx", "/usr/local/sbin/nginx"]) else { return };
    let (dir, mut server) = (tempfile::tempdir().unwrap(), server());
    let url = server.url();
    let started = proxy(dir.path(), &url, |dir, server, address, files| nginx(&program, dir, server, address, files));
    assert_serves(server, &started.await).await;
}

#[tokio::test]
async fn behind_caddy() {
    let Some(program) = program("ROOMCAM_CADDY", &["/usr/bin/caddy", "/usr/local/bin/caddy"]) else { return };
    let (dir, mut server) = (tempfile::tempdir().unwrap(), server());
    let url = server.url();
    let started = proxy(dir.path(), &url, |dir, server, address, files| caddy(&program, dir, server, address, files));
    assert_serves(server, &started.await).await;
}
