//! Under systemd: what it hears of the server, and the sockets that it passes. No systemd is needed, a socket and a parent play it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use common::{Client, PATIENCE, Program, room};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const PLAIN: [&str; 4] = ["--listen", "127.0.0.1:0", "--tls", "off"];

/// What listens where `NOTIFY_SOCKET` says.
struct Systemd {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, dir }
    }

    fn start(&self, arguments: &[&str], watchdog_usec: Option<u64>) -> Program {
        let mut command = Program::command(arguments);
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        command.envs(watchdog_usec.map(|time| ("WATCHDOG_USEC", time.to_string())));
        Program::spawn(command)
    }

    /// The next message, variable by variable.
    fn hear(&self) -> BTreeMap<String, String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("systemd hears nothing");
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// The next message with this variable.
    fn wait_for(&self, variable: &str) -> BTreeMap<String, String> {
        loop {
            let heard = self.hear();
            if heard.contains_key(variable) {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn systemd_hears_of_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signal-srv.toml");
    std::fs::write(&file, "max_viewers = 1\n").unwrap();
    let systemd = Systemd::new();
    let arguments = [&PLAIN[..], &["--config", file.to_str().unwrap()]].concat();
    let mut program = systemd.start(&arguments, None);
    let ready = systemd.hear();
    assert_eq!((ready["READY"].as_str(), ready["STATUS"].as_str()), ("1", "0 clients in 0 rooms"));
    let url = program.url().replacen("http", "ws", 1);

    let mut client = Client::connect_to(&url).await;
    client.join(json!(room(1))).await;
    let microseconds = || {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1_000
    };
    let before = microseconds();
    // A mistake is no reason to be killed: the server goes on as it was, and says so.
    for content in ["max_viewers = 2\n", "max_viewers = many\n"] {
        std::fs::write(&file, content).unwrap();
        program.signal(Signal::SIGHUP);
        let reloading = systemd.wait_for("RELOADING");
        let since: i128 = reloading["MONOTONIC_USEC"].parse().unwrap();
        assert!((before..=microseconds()).contains(&since));
        assert_eq!(systemd.wait_for("READY")["STATUS"], "1 clients in 1 rooms");
    }

    program.signal(Signal::SIGTERM);
    let stopping = systemd.wait_for("STOPPING");
    // One client is dismissed within a millisecond, so it may be out of its room already.
    assert!(stopping["STATUS"].starts_with("stopping, "), "{stopping:?}");
    // Long enough for drain_s and farewell_s as they are.
    assert!(stopping["EXTEND_TIMEOUT_USEC"].parse::<u64>().unwrap() > 12_000_000);
    client.expect_refusal("SHUTTING_DOWN", 1001).await;
    let (status, log) = program.finish();
    assert!(status.success(), "{log}");
}

#[test]
fn systemd_hears_why_it_cannot_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let systemd = Systemd::new();
    let program = systemd.start(&["--listen", &address, "--tls", "off"], None);
    let heard = systemd.hear();
    assert!(heard["STATUS"].contains("in use") && !heard.contains_key("READY"), "{heard:?}");
    assert_eq!(program.finish().0.code(), Some(1));
}

#[test]
fn the_watchdog_is_told_as_long_as_the_server_lives() {
    let systemd = Systemd::new();
    let mut program = systemd.start(&PLAIN, Some(300_000));
    for _ in 0..5 {
        assert_eq!(systemd.wait_for("WATCHDOG")["WATCHDOG"], "1");
    }
    // A program that does not run tells nothing.
    program.signal(Signal::SIGSTOP);
    systemd.socket.set_nonblocking(true).unwrap();
    let stopped = || std::fs::read_to_string(format!("/proc/{}/stat", program.child.id())).unwrap().contains(") T ");
    while !stopped() {
        std::thread::yield_now();
    }
    while systemd.socket.recv(&mut [0; 4096]).is_ok() {}
    systemd.socket.set_nonblocking(false).unwrap();
    systemd.socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    assert!(systemd.socket.recv(&mut [0; 4096]).is_err());
    program.signal(Signal::SIGCONT);
    systemd.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    systemd.wait_for("WATCHDOG");
    program.signal(Signal::SIGTERM);
    program.wait_for("stopped");
}

/// The program with sockets from descriptor 3 on, as systemd starts it.
fn activated(names: &str, sockets: Vec<OwnedFd>, arguments: &[&str]) -> Command {
    // A shell can be what no safe call is: a process that knows its id before it becomes the program.
    let script = match sockets.len() {
        1 => "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$@\"",
        _ => "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ exec \"$@\"",
    };
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_signal-srv")]).args(arguments);
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().unwrap());
    command.stdout(sockets.next().unwrap_or_else(Stdio::null));
    command
}

#[tokio::test]
async fn it_takes_the_sockets_that_systemd_passes() {
    let [clients, operators] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [client_address, operator_address] = [&clients, &operators].map(|socket| socket.local_addr().unwrap());
    // Who comes before there is a server waits for it.
    let early = tokio::spawn(async move { Client::connect_to(&format!("ws://{client_address}/ws")).await });
    let sockets = vec![operators.into(), clients.try_clone().unwrap().into()];
    // The addresses of the configuration do not count then.
    let arguments = ["--listen", "192.0.2.77:1", "--behind-proxy", "--tls", "off"];
    let mut program = Program::spawn(activated("metrics:signal-srv.socket", sockets, &arguments));
    assert_eq!(program.url(), format!("http://{client_address}"));
    let mut client = early.await.unwrap();
    client.join(json!(room(1))).await;
    let ready = tokio::task::spawn_blocking(move || ask(operator_address)).await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");

    // Its successor gets the same sockets: nobody is ever refused.
    program.signal(Signal::SIGTERM);
    client.expect_refusal("SHUTTING_DOWN", 1001).await;
    assert!(program.finish().0.success());
    let between = tokio::spawn(async move { Client::connect_to(&format!("ws://{client_address}/ws")).await });
    let sockets = vec![clients.into()];
    let program = Program::spawn(activated("signal-srv.socket", sockets, &arguments));
    between.await.unwrap().join(json!(room(1))).await;
    program.signal(Signal::SIGTERM);
    assert!(program.finish().0.success());
}

fn ask(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn sockets_that_are_of_no_use_are_named() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let fails = |names: &str, sockets: Vec<OwnedFd>, arguments: &[&str], says: &[&str]| {
        let output = activated(names, sockets, arguments).stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in says {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    };
    fails("a:b", vec![listener(), listener()], &PLAIN, &["\"b\"", "FileDescriptorName=metrics"]);
    let datagrams = OwnedFd::from(UnixDatagram::unbound().unwrap());
    fails("signal-srv.socket", vec![datagrams], &PLAIN, &["signal-srv.socket", "ListenStream="]);
    let connection = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = OwnedFd::from(TcpStream::connect(connection.local_addr().unwrap()).unwrap());
    fails("signal-srv.socket", vec![connection], &PLAIN, &["does not listen", "Accept=no"]);
    // Plain text is for loopback alone, whoever has made the socket.
    let anywhere = OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    fails("signal-srv.socket", vec![anywhere], &PLAIN, &["0.0.0.0", "LISTEN_FDS", "--behind-proxy"]);
}
