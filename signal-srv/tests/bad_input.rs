//! Whatever a client does wrong ends that client, with a reason, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Client, PATIENCE, room, server, server_with, stop, talk, talk_in_roles, within};
use futures_util::SinkExt;
use serde_json::json;
use signal_srv::{Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Clients that must not notice anything: in a room of their own, and in the culprit's.
struct Bystanders {
    pair: (Client, Client),
    partner: Client,
    camera: Client,
    viewer: Client,
}

impl Bystanders {
    async fn new(server: &Server) -> Self {
        let mut first = Client::pair(server, &room(0xa0)).await;
        let second = Client::pair(server, &room(0xa0)).await;
        first.expect_room("JOIN", json!({"peer": second.id})).await;
        let (mut camera, _) = Client::role(server, &room(0xa2), "camera").await;
        let (viewer, _) = Client::role(server, &room(0xa2), "viewer").await;
        camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
        Self { pair: (first, second), partner: Client::pair(server, &room(0xa1)).await, camera, viewer }
    }

    /// The next thing that any of them hears is what they say to each other.
    async fn noticed_nothing(&mut self) {
        talk(&mut self.pair.0, &mut self.pair.1).await;
        talk_in_roles(&mut self.camera, &mut self.viewer).await;
    }

    /// Besides that, whoever shared a room with the culprit hears that it came and left, nothing more.
    async fn noticed_it_leave(&mut self, culprit: &str) {
        self.partner.expect_room("JOIN", json!({"peer": culprit})).await;
        self.partner.expect_room("LEAVE", json!({"peer": culprit})).await;
        self.noticed_nothing().await;
    }
}

/// A client that has not joined sends `message` and is refused.
async fn refused_before_joining(message: Message, code: &str, close: u16) {
    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut culprit = Client::connect(&server).await;
    culprit.send_message(message).await;
    culprit.expect_refusal(code, close).await;
    bystanders.noticed_nothing().await;
    drop(bystanders);
    stop(server).await;
}

/// A client that shares a pair room with a bystander sends `message` and is refused.
async fn refused_after_joining(message: Message, code: &str, close: u16) {
    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut culprit = Client::pair(&server, &room(0xa1)).await;
    let id = culprit.id.clone();
    culprit.send_message(message).await;
    culprit.expect_refusal(code, close).await;
    bystanders.noticed_it_leave(&id).await;
    drop(bystanders);
    stop(server).await;
}

fn binary(text: &str) -> Message {
    Message::binary(text.to_owned())
}

fn join_data(data: &str) -> Message {
    binary(&format!(r#"{{"type":"JOIN_OR_CREATE","data":{data}}}"#))
}

#[tokio::test]
async fn text_message() {
    let join = json!({"type": "JOIN_OR_CREATE", "data": room(1)}).to_string();
    refused_before_joining(Message::text(join), "TEXT_MESSAGE", 1003).await;
    refused_after_joining(Message::text(r#"{"type":"SIGNAL","data":1}"#), "TEXT_MESSAGE", 1003).await;
}

#[tokio::test]
async fn text_message_that_is_not_utf8() {
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    refused_after_joining(Message::Frame(frame), "TEXT_MESSAGE", 1003).await;
}

#[tokio::test]
async fn message_of_one_byte_too_many() {
    let signal = "x".repeat(64 * 1024 + 1 - json!({"type": "SIGNAL", "data": ""}).to_string().len());
    let message = json!({"type": "SIGNAL", "data": signal}).to_string();
    assert_eq!(message.len(), 64 * 1024 + 1);
    refused_after_joining(Message::binary(message), "MESSAGE_TOO_LARGE", 1009).await;
}

#[tokio::test]
async fn message_too_large_in_small_fragments() {
    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut culprit = Client::pair(&server, &room(0xa1)).await;
    let id = culprit.id.clone();
    let fragment = |opcode| Message::Frame(Frame::message(vec![b' '; 1024], OpCode::Data(opcode), false));
    within(culprit.socket.feed(fragment(Data::Binary))).await.unwrap();
    for _ in 0..64 {
        within(culprit.socket.feed(fragment(Data::Continue))).await.unwrap();
    }
    within(culprit.socket.flush()).await.unwrap();
    culprit.expect_refusal("MESSAGE_TOO_LARGE", 1009).await;
    bystanders.noticed_it_leave(&id).await;
    drop(bystanders);
    stop(server).await;
}

/// The reason arrives although the client is in the middle of 16 MiB that nobody will take.
#[tokio::test]
async fn message_of_sixteen_mebibytes() {
    let server = server_with(Limits { farewell: PATIENCE, ..Limits::default() }).await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut culprit = Client::pair(&server, &room(0xa1)).await;
    let id = culprit.id.clone();
    let sent = within(culprit.socket.send(Message::binary(vec![b' '; 16 << 20]))).await;
    // Whether the last byte went out before the server closed does not matter; that the reason came does.
    drop(sent);
    let error = culprit.next().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("ERROR"), &json!("MESSAGE_TOO_LARGE")));
    assert_eq!(culprit.next_or_close().await, Err(Some(1009)));
    drop(culprit);
    bystanders.noticed_it_leave(&id).await;
    drop(bystanders);
    stop(server).await;
}

/// The announcement alone is enough: nothing is reserved and nothing waited for.
#[tokio::test]
async fn frame_that_announces_an_exbibyte() {
    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    let mut culprit = Client::pair(&server, &room(0xa1)).await;
    let id = culprit.id.clone();
    let MaybeTlsStream::Plain(stream) = culprit.socket.get_mut() else { unreachable!() };
    let head = [0x82, 0xff, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    within(stream.write_all(&head)).await.unwrap();
    culprit.expect_refusal("MESSAGE_TOO_LARGE", 1009).await;
    bystanders.noticed_it_leave(&id).await;
    drop(bystanders);
    stop(server).await;
}

#[tokio::test]
async fn signal_before_joined() {
    refused_before_joining(binary(r#"{"type":"SIGNAL","data":{}}"#), "NOT_JOINED", 1008).await;
}

#[tokio::test]
async fn second_join() {
    refused_after_joining(join_data(&json!(room(1)).to_string()), "ALREADY_JOINED", 1008).await;
    refused_after_joining(join_data(&json!(room(0xa1)).to_string()), "ALREADY_JOINED", 1008).await;
}

#[tokio::test]
async fn unknown_type() {
    refused_before_joining(binary(r#"{"type":"JOIN","data":"x"}"#), "UNKNOWN_TYPE", 1008).await;
    refused_after_joining(binary(r#"{"type":"HELLO","data":"x"}"#), "UNKNOWN_TYPE", 1008).await;
}

#[tokio::test]
async fn bad_room_ids() {
    for id in [String::new(), "ab".into(), room(1) + "0", room(1)[1..].into(), "g".repeat(64), "ä".repeat(32)] {
        refused_before_joining(join_data(&json!(id).to_string()), "BAD_ROOM_ID", 1008).await;
        let role = json!({"room": id, "role": "viewer"});
        refused_before_joining(join_data(&role.to_string()), "BAD_ROOM_ID", 1008).await;
    }
}

#[tokio::test]
async fn malformed_messages() {
    for text in [
        "",
        "{",
        "not json",
        "[]",
        "null",
        "{}",
        r#"{"type":"JOIN_OR_CREATE"}"#,
        r#"{"type":"JOIN_OR_CREATE","data":null}"#,
        r#"{"type":"JOIN_OR_CREATE","data":{"room":"x"}}"#,
        r#"{"type":"JOIN_OR_CREATE","data":{"room":"x","role":"admin"}}"#,
        r#"{"type":"SIGNAL"}"#,
        r#"{"type":"SIGNAL","data":{},"extra":1}"#,
        r#"{"type":"SIGNAL","data":{},"to":"not an id"}"#,
        r#"{"type":"SIGNAL","data":{}} trailing"#,
    ] {
        refused_before_joining(binary(text), "BAD_MESSAGE", 1008).await;
    }
    refused_before_joining(Message::binary(vec![0xff, 0x00]), "BAD_MESSAGE", 1008).await;
}

#[tokio::test]
async fn an_addressee_in_a_pair_room_or_none_in_a_role_room() {
    let to = "00000000-0000-0000-0000-000000000000";
    let signal = json!({"type": "SIGNAL", "to": to, "data": {}}).to_string();
    refused_after_joining(binary(&signal), "BAD_MESSAGE", 1008).await;

    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    let (mut culprit, _) = Client::role(&server, &room(0xa2), "viewer").await;
    let id = culprit.id.clone();
    culprit.send(&json!({"type": "SIGNAL", "data": {}})).await;
    culprit.expect_refusal("BAD_MESSAGE", 1008).await;
    bystanders.camera.expect_room("JOIN", json!({"peer": id, "role": "viewer"})).await;
    bystanders.camera.expect_room("LEAVE", json!({"peer": id})).await;
    bystanders.noticed_nothing().await;
    drop(bystanders);
    stop(server).await;
}

#[tokio::test]
async fn third_client_in_a_pair_room() {
    refused_before_joining(join_data(&json!(room(0xa0)).to_string()), "ROOM_FULL", 1008).await;
}

#[tokio::test]
async fn wrong_kind_of_room() {
    refused_before_joining(join_data(&json!(room(0xa2)).to_string()), "ROOM_MODE", 1008).await;
    for number in [0xa0, 0xa1] {
        for role in ["camera", "viewer"] {
            let data = json!({"room": room(number), "role": role}).to_string();
            refused_before_joining(join_data(&data), "ROOM_MODE", 1008).await;
        }
    }
}

/// Not masked, as RFC 6455 §5.1 demands of clients; reserved bits (§5.2); a control frame too long (§5.5).
#[tokio::test]
async fn broken_framing() {
    for bytes in [&[0x82_u8, 0x01, 0x7b][..], &[0xf2, 0x81, 1, 2, 3, 4, 5], &[0x89, 0xfe, 0x00, 0x7e, 1, 2, 3, 4]] {
        let server = server().await;
        let mut bystanders = Bystanders::new(&server).await;
        let mut culprit = Client::pair(&server, &room(0xa1)).await;
        let id = culprit.id.clone();
        let MaybeTlsStream::Plain(stream) = culprit.socket.get_mut() else { unreachable!() };
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len() + 126, 0);
        within(stream.write_all(&bytes)).await.unwrap();
        culprit.expect_refusal("BAD_MESSAGE", 1002).await;
        bystanders.noticed_it_leave(&id).await;
        drop(bystanders);
        stop(server).await;
    }
}

#[tokio::test]
async fn garbage_instead_of_http() {
    let server = server().await;
    let mut bystanders = Bystanders::new(&server).await;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET / HTTP/9.9\r\n\r\n", &[0; 100_000], &[b'a'; 100_000]] {
        let mut stream = within(tokio::net::TcpStream::connect(server.address())).await.unwrap();
        // The server may close before it has taken all of it.
        let _ = within(stream.write_all(garbage)).await;
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    bystanders.noticed_nothing().await;
    drop(bystanders);
    stop(server).await;
}
