//! docs/protocol.md says what the code does: its examples decode, its tables are complete.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use signal_proto::{ErrorCode, decode_client, decode_server, encode_client, encode_server};
use signal_srv::Limits;

const PROTOCOL: &str = include_str!("../../docs/protocol.md");

/// The lines of the JSON blocks in the section with this heading.
fn examples(heading: &str) -> Vec<&'static str> {
    let section = PROTOCOL.split_once(&format!("\n### {heading}\n")).unwrap().1;
    let section = section.split("\n##").next().unwrap();
    let mut examples = Vec::new();
    for block in section.split("```json\n").skip(1) {
        examples.extend(block.split("\n```").next().unwrap().lines());
    }
    examples
}

#[test]
fn examples_are_what_the_codec_writes() {
    let (from_server, from_client) = (examples("From the server"), examples("From a client"));
    assert_eq!((from_server.len(), from_client.len()), (8, 4));
    for example in from_server {
        assert_eq!(encode_server(&decode_server(example.as_bytes()).unwrap()), example);
    }
    for example in from_client {
        assert_eq!(encode_client(&decode_client(example.as_bytes()).unwrap()), example);
    }
}

#[test]
fn every_error_code_is_in_the_table_and_no_other() {
    let table = PROTOCOL.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | 10"));
    let mut documented: Vec<&str> = table.map(|(code, _)| code).collect();
    documented.dedup();
    let known: Vec<&str> = ErrorCode::all().map(ErrorCode::as_str).collect();
    assert_eq!(documented, known);
}

#[test]
fn limits_are_those_of_the_server() {
    let limits = Limits::default();
    let seconds = |duration: std::time::Duration| format!("{} s |", duration.as_secs());
    for (row, value) in [
        ("TLS handshake", seconds(limits.tls_handshake)),
        ("each HTTP request head", seconds(limits.http_head).replace(" |", ",")),
        ("from `HELLO` to `JOIN_OR_CREATE`", seconds(limits.join)),
        ("pings of the server", format!("every {}", seconds(limits.ping))),
        ("one message to be taken", seconds(limits.write)),
        ("`ERROR` and close frame", seconds(limits.farewell)),
        ("what waits for a client", format!("{} messages and 262,144 bytes", limits.outbox_messages)),
    ] {
        let line = PROTOCOL.lines().find(|line| line.starts_with(&format!("| {row}"))).unwrap();
        assert!(line.contains(&value), "{line} does not say {value}");
    }
    assert_eq!((limits.outbox_bytes, limits.missed_pings), (262_144, 2));
    for (row, value) in [
        ("WebSockets at once", "16,384 |".to_owned()),
        ("WebSockets of one", format!("{} |", limits.connections_per_address)),
        ("rooms that clients", format!("{} |", limits.rooms_per_address)),
        (
            "messages of one client",
            format!("{} a second, {} at once", limits.messages_per_second, limits.message_burst),
        ),
        ("bytes of them", "65,536 a second, 262,144 at once".to_owned()),
    ] {
        let line = PROTOCOL.lines().find(|line| line.starts_with(&format!("| {row}"))).unwrap();
        assert!(line.contains(&value), "{line} does not say {value}");
    }
    assert_eq!((limits.connections, limits.bytes_per_second, limits.byte_burst), (16_384, 65_536, 262_144));
}
