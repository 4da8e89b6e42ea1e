//! The log of a whole exchange, at the lowest level there is, names no room, no signal and no address.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Client, Program};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ROOM: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
const SDP: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 198.51.100.23\r\na=ice-ufrag:tellnobody\r\n";

async fn exchange(url: &str) {
    let mut camera = Client::connect_to(url).await;
    camera.join(json!({"room": ROOM, "role": "camera"})).await;
    let mut viewer = Client::connect_to(url).await;
    viewer.join(json!({"room": ROOM, "role": "viewer"})).await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let offer = json!({"type": "offer", "sdp": SDP});
    camera.send(&json!({"type": "SIGNAL", "to": viewer.id, "data": offer})).await;
    viewer.expect_signal(&camera.id, offer).await;

    // What is refused must not be quoted either.
    for data in
        [json!(ROOM), json!({"room": ROOM, "role": ROOM}), json!({"room": ROOM, ROOM: SDP}), json!(ROOM.repeat(2))]
    {
        let mut refused = Client::connect_to(url).await;
        refused.send(&json!({"type": "JOIN_OR_CREATE", "data": data})).await;
        assert_eq!(refused.next().await["type"], "ERROR");
        assert!(refused.next_or_close().await.is_err());
    }
    let mut refused = Client::connect_to(url).await;
    refused.send(&json!({"type": ROOM, "data": SDP})).await;
    assert_eq!(refused.next().await["code"], "UNKNOWN_TYPE");
    viewer.close().await;
    camera.close().await;
}

async fn log_of_an_exchange(filter: &str, format: &str) -> String {
    let mut program =
        Program::start(["--listen", "127.0.0.1:0", "--tls", "off", "--log", filter, "--log-format", format]);
    let url = program.url().replacen("http", "ws", 1);
    exchange(&url).await;
    // Somebody takes the code for a path.
    let path = format!("{url}/{ROOM}");
    assert!(tokio_tungstenite::connect_async(path).await.is_err());
    program.signal(Signal::SIGTERM);
    let (status, log) = program.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    log
}

#[tokio::test]
async fn nothing_private_is_logged_at_any_level() {
    for filter in ["trace", "off,tungstenite=trace,hyper=trace,signal_srv=trace,tokio_tungstenite=trace,mio=trace"] {
        assert_tells_nothing_private(&log_of_an_exchange(filter, "text").await);
    }
}

fn assert_tells_nothing_private(log: &str) {
    for line in ["listening", "client joined", "SIGNAL", "client refused", "client left", "stopped"] {
        assert!(log.contains(line), "the log lacks {line:?}: {log}");
    }
    // The line that says where it listens has an address of the server's own.
    let rest: String = log.lines().filter(|line| !line.contains("listening")).collect::<Vec<_>>().join("\n");
    for private in [&ROOM[..8], "4611731400430051336", "198.51.100.23", "tellnobody", "v=0", "sdp", "127.0.0.1"] {
        assert!(!rest.contains(private), "{private:?} is in the log: {rest}");
    }
}

#[tokio::test]
async fn the_log_for_programs_is_one_object_a_line() {
    let log = log_of_an_exchange("trace", "json").await;
    assert_tells_nothing_private(&log);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    assert_eq!(line("client joined")["kind"], "camera");
    assert!(line("client joined")["span"]["id"].is_u64());
    let refused = line("client refused");
    assert_eq!((&refused["level"], &refused["target"]), (&json!("WARN"), &json!("signal_srv::connection")));
    assert!(refused["timestamp"].as_str().unwrap().ends_with('Z') && refused["code"].is_string(), "{refused}");
    assert!(line("listening")["url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}
