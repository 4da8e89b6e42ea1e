//! Pair mode: two equal clients, as existing systems speak it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Client, room, server, stop, talk};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn two_clients_meet_talk_and_part() {
    let server = server().await;
    let mut first = Client::pair(&server, &room(1)).await;
    let mut second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    let left = second.id.clone();
    second.close().await;
    first.expect_room("LEAVE", json!({"peer": left})).await;

    let mut third = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": third.id})).await;
    talk(&mut third, &mut first).await;
    stop(server).await;
}

#[tokio::test]
async fn joined_is_bare_and_ids_differ() {
    let server = server().await;
    let mut first = Client::connect(&server).await;
    let second = Client::connect(&server).await;
    assert_ne!(first.id, second.id);
    let form: Vec<usize> = first.id.split('-').map(str::len).collect();
    assert_eq!(form, [8, 4, 4, 4, 12]);
    first.send(&json!({"type": "JOIN_OR_CREATE", "data": room(1)})).await;
    first.expect(json!({"type": "JOINED"})).await;
    stop(server).await;
}

#[tokio::test]
async fn the_websocket_is_at_both_paths_and_the_order_of_members_is_free() {
    let server = server().await;
    let root = server.url().replacen("http", "ws", 1);
    let mut first = Client::connect_to(&root).await;
    let text = format!(r#" {{"data" : "{}", "type":"JOIN_OR_CREATE"}} "#, room(0xab).to_uppercase());
    first.send_message(Message::binary(text)).await;
    first.expect(json!({"type": "JOINED"})).await;
    let mut second = Client::pair(&server, &room(0xab)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    stop(server).await;
}

#[tokio::test]
async fn a_signal_is_relayed_byte_for_byte() {
    let server = server().await;
    let mut first = Client::pair(&server, &room(1)).await;
    let mut second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    // Whatever JSON it is: spaces, escapes, a number that no float holds, a member twice.
    for signal in [r#"{"b":1,  "a":"\u00e4\/", "b":12345678901234567890.10}"#, "null", "[1, 2 ]", r#""text""#] {
        first.send_message(Message::binary(format!(r#"{{"type":"SIGNAL","data":{signal}}}"#))).await;
        let message = common::within(futures_util::StreamExt::next(&mut second.socket)).await.unwrap().unwrap();
        let expected = format!(
            r#"{{"type":"ROOM","data":{{"type":"SIGNAL","data":{{"peer":"{}","signal":{signal}}}}}}}"#,
            first.id
        );
        assert_eq!(message, Message::binary(expected));
    }
    stop(server).await;
}

#[tokio::test]
async fn a_signal_of_the_largest_size_arrives_also_in_fragments() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = server().await;
    let mut first = Client::pair(&server, &room(1)).await;
    let mut second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    let envelope = json!({"type": "SIGNAL", "data": ""}).to_string();
    let signal = "x".repeat(64 * 1024 - envelope.len());
    let message = json!({"type": "SIGNAL", "data": signal}).to_string();
    assert_eq!(message.len(), 64 * 1024);
    first.send_message(Message::binary(message.clone())).await;
    second.expect_signal(&first.id, json!(signal)).await;

    let (head, tail) = message.split_at(40_000);
    let fragment =
        |part: &str, opcode, last| Message::Frame(Frame::message(part.to_owned(), OpCode::Data(opcode), last));
    first.send_message(fragment(head, Data::Binary, false)).await;
    first.send_message(fragment(tail, Data::Continue, true)).await;
    second.expect_signal(&first.id, json!(signal)).await;
    stop(server).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_leave() {
    let server = server().await;
    let mut first = Client::pair(&server, &room(1)).await;
    let second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    let left = second.id.clone();
    drop(second);
    first.expect_room("LEAVE", json!({"peer": left})).await;
    stop(server).await;
}
