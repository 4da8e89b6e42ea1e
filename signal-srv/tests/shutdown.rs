//! The server stops in order: everybody is told, everything ends, in time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{Client, PATIENCE, Program, room, server, server_with, within};
use futures_util::SinkExt;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;
use signal_srv::{Config, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const ASK_EVERY: Duration = Duration::from_millis(50);
const SHUTTING_DOWN: &str = "The server is stopping; connect again after a random delay.";

#[tokio::test]
async fn every_client_is_told_and_every_task_ends() {
    let server = server().await;
    let mut first = Client::pair(&server, &room(1)).await;
    let second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    let (viewer, _) = Client::role(&server, &room(2), "viewer").await;
    let outside = Client::connect(&server).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let address = server.address();

    server.shutdown();
    // Nobody hears that another has left: with a server that restarts, streams go on.
    let clients = async {
        for client in [first, second, viewer, outside] {
            client.expect_refusal("SHUTTING_DOWN", 1001).await;
        }
    };
    let ((), stats) = tokio::join!(clients, within(server.join()));
    let stats = stats.unwrap();
    assert_eq!((stats.joins, stats.leaves), (3, 3));
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = within(stream.read_to_end(&mut rest)).await;
    }
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// A thousand a second: too few to make anybody wait, and no storm.
#[tokio::test]
async fn many_clients_are_dismissed_one_after_the_other() {
    const CLIENTS: usize = 400;
    let limits = Limits { connections_per_address: CLIENTS, ..Limits::default() };
    let server = server_with(limits).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = Client::connect(&server).await;
        // Some are in no room yet: nobody enters one now.
        if number % 4 > 0 {
            client.join(json!({"room": room((number / 16) as u8), "role": "viewer"})).await;
        }
        clients.push(client);
    }
    let begin = Instant::now();
    server.shutdown();
    let instants = clients.into_iter().map(|mut client| async move {
        client.expect(json!({"type": "ERROR", "data": SHUTTING_DOWN, "code": "SHUTTING_DOWN"})).await;
        let dismissed = begin.elapsed();
        assert_eq!(client.next_or_close().await, Err(Some(1001)));
        dismissed
    });
    let (instants, stats) = tokio::join!(join_all(instants), within(server.join()));
    let stats = stats.unwrap();
    assert_eq!((stats.joins, stats.leaves), (300, 300));
    // The window is 400 ms, and a timer never fires early.
    let within = |time: u64| instants.iter().filter(|instant| **instant < Duration::from_millis(time)).count();
    assert!(within(100) < CLIENTS / 2 && within(200) < CLIENTS * 3 / 4 && within(380) < CLIENTS, "{instants:?}");
}

#[tokio::test]
async fn nobody_enters_a_room_of_a_server_that_stops() {
    let server = server().await;
    let mut late = Client::connect(&server).await;
    server.shutdown();
    // Its turn may come before its message.
    let _ = late.socket.send(Message::binary(json!({"type": "JOIN_OR_CREATE", "data": room(1)}).to_string())).await;
    late.expect_refusal("SHUTTING_DOWN", 1001).await;
    assert_eq!(within(server.join()).await.unwrap().joins, 0);
}

#[tokio::test]
async fn it_says_to_the_last_that_it_is_not_ready() {
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::spawn(Config { metrics, ..Config::default() }).await.unwrap();
    let (address, operators) = (server.address(), server.metrics_address().unwrap());
    assert!(ask(operators, "/readyz").await.unwrap().contains("200 OK"));
    // It does not answer, so there is time for questions.
    let deaf = Client::pair(&server, &room(1)).await;
    server.shutdown();
    let questions = async {
        assert!(ask(operators, "/readyz").await.unwrap().contains("503 Service Unavailable"));
        assert!(ask(operators, "/metrics").await.unwrap().contains("signal_srv_websockets 1"));
        while TcpStream::connect(address).await.is_ok() {}
        // Whoever looks in the end finds nobody.
        while ask(operators, "/readyz").await.is_ok() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let ((), stats) = within(async { tokio::join!(questions, server.join()) }).await;
    assert_eq!(stats.unwrap().leaves, 1);
    drop(deaf);
}

/// An answer of the server, or nothing if it is not there any more.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

#[tokio::test]
async fn clients_that_do_not_answer_do_not_delay_it_beyond_five_seconds() {
    let server = server_with(Limits::default()).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        deaf.push(Client::pair(&server, &room(1 + (deaf.len() / 2) as u8)).await);
    }
    let begin = Instant::now();
    server.shutdown();
    within(server.join()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn dropping_the_server_ends_it() {
    let server = server().await;
    let client = Client::connect(&server).await;
    drop(server);
    client.expect_refusal("SHUTTING_DOWN", 1001).await;
}

/// Stops the program by `signal`, with a client inside.
async fn stopped_by(signal: Signal) {
    let mut program = Program::start(["--listen", "127.0.0.1:0", "--tls", "off"]);
    let url = program.url().replacen("http", "ws", 1);
    let mut client = Client::connect_to(&url).await;
    client.join(json!(room(1))).await;
    program.signal(signal);
    client.expect_refusal("SHUTTING_DOWN", 1001).await;
    let (status, log) = program.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[tokio::test]
async fn sigterm_and_sigint_stop_the_program() {
    stopped_by(Signal::SIGTERM).await;
    stopped_by(Signal::SIGINT).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let mut program = Program::start(["--listen", "127.0.0.1:0", "--tls", "off"]);
    let url = program.url().replacen("http", "ws", 1);
    // It does not answer, so the first signal alone would take as long as a farewell does.
    let client = Client::connect_to(&url).await;
    program.signal(Signal::SIGTERM);
    program.wait_for("stopping");
    program.signal(Signal::SIGINT);
    let begin = Instant::now();
    let (status, log) = program.finish();
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped at once"), "{log}");
    drop(client);
}

#[tokio::test]
async fn sighup_puts_the_file_into_effect_and_a_mistake_in_it_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signal-srv.toml");
    let write =
        |content: &str| std::fs::write(&file, format!("tls = \"off\"\nlisten = \"127.0.0.1:0\"\n{content}")).unwrap();
    write("max_viewers = 1\n");
    let mut program = Program::start(["--config", file.to_str().unwrap()]);
    let url = program.url().replacen("http", "ws", 1);
    let enter = async |role: &str| {
        let mut client = Client::connect_to(&url).await;
        client.send(&json!({"type": "JOIN_OR_CREATE", "data": {"room": room(1), "role": role}})).await;
        let answer = client.next().await;
        (client, answer)
    };
    let (mut camera, _) = enter("camera").await;
    let (_first, joined) = enter("viewer").await;
    assert_eq!(joined["type"], "JOINED");
    assert_eq!(enter("viewer").await.1["code"], "ROOM_FULL");

    write("max_viewers = many\n");
    program.signal(Signal::SIGHUP);
    let line = program.wait_for("the configuration is not reloaded");
    assert!(line.contains("signal-srv.toml") && line.contains("line 3"), "{line}");
    assert_eq!(enter("viewer").await.1["code"], "ROOM_FULL");

    write("max_viewers = 2\n[[ice_servers]]\nurls = [\"stun:stun.example.org\"]\n");
    program.signal(Signal::SIGHUP);
    program.wait_for("configuration and certificate reloaded");
    let (_second, joined) = enter("viewer").await;
    assert_eq!(joined["data"]["ice_servers"][0]["urls"][0], "stun:stun.example.org", "{joined}");
    // Whoever was there has noticed nothing but the viewers.
    for _ in 0..2 {
        assert_eq!(camera.next().await["data"]["type"], "JOIN");
    }
    program.signal(Signal::SIGTERM);
    let (status, _) = program.finish();
    assert!(status.success());
}
