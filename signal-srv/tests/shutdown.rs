//! The server stops in order: everybody is told, everything ends, in time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{Client, PATIENCE, Program, room, server, server_with, within};
use nix::sys::signal::Signal;
use serde_json::json;
use signal_srv::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
