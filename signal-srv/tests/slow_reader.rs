//! A client that does not read is closed; the others of its room, and of other rooms, go on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Client, PATIENCE, room, server_with, stop, talk, talk_in_roles, unhurried, within};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signal_srv::Limits;
use tokio_tungstenite::tungstenite::Message;

/// Sends signals of nearly the largest size until the addressee's `LEAVE` comes back; how many is the answer.
async fn flood_until_leave(flooder: &mut Client, to: &str) -> u32 {
    let signal = json!({"type": "SIGNAL", "to": to, "data": "x".repeat(60 * 1024)}).to_string();
    let (mut sink, mut stream) = (&mut flooder.socket).split();
    let flood = async {
        let mut sent = 0;
        loop {
            sink.send(Message::binary(signal.clone())).await.unwrap();
            sent += 1;
            let Some(message) = futures_util::FutureExt::now_or_never(stream.next()) else { continue };
            let Message::Binary(bytes) = message.unwrap().unwrap() else { continue };
            let event: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(event["data"], json!({"type": "LEAVE", "data": {"peer": to}}), "nothing else is heard");
            return sent;
        }
    };
    within(flood).await
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_closed_and_the_others_go_on() {
    // It may take its time to read the reason, so that the test needs no luck.
    let server = server_with(Limits { farewell: PATIENCE, ..unhurried() }).await;
    let (mut camera, _) = Client::role(&server, &room(1), "camera").await;
    let (mut slow, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": slow.id, "role": "viewer"})).await;
    let (mut good, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": good.id, "role": "viewer"})).await;
    let mut elsewhere = Client::pair(&server, &room(2)).await;
    let mut partner = Client::pair(&server, &room(2)).await;
    elsewhere.expect_room("JOIN", json!({"peer": partner.id})).await;

    let others = async {
        for _ in 0..100 {
            talk(&mut elsewhere, &mut partner).await;
        }
    };
    let id = slow.id.clone();
    let (sent, ()) = tokio::join!(flood_until_leave(&mut camera, &id), others);
    assert!(sent > 4, "an outbox and the socket's buffers take a few messages");
    talk_in_roles(&mut camera, &mut good).await;

    // When it reads at last, it finds what was on the way, and then the reason.
    let error = loop {
        let message = slow.next().await;
        if message["type"] != "ROOM" {
            break message;
        }
    };
    assert_eq!(error["code"], "SLOW_READER", "{error}");
    assert_eq!(slow.next_or_close().await, Err(Some(1008)));
    drop((camera, slow, good, elsewhere, partner));
    stop(server).await;
}

#[tokio::test]
async fn a_write_that_takes_too_long_ends_the_client_too() {
    // The outbox never overflows here: what ends the client is the write itself.
    let limits = Limits {
        write: std::time::Duration::from_millis(200),
        farewell: std::time::Duration::from_millis(200),
        outbox_messages: 100_000,
        outbox_bytes: usize::MAX / 2,
        ..unhurried()
    };
    let server = server_with(limits).await;
    let (mut camera, _) = Client::role(&server, &room(1), "camera").await;
    let (slow, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": slow.id, "role": "viewer"})).await;
    flood_until_leave(&mut camera, &slow.id).await;
    drop((camera, slow));
    stop(server).await;
}

#[tokio::test]
async fn a_burst_does_not_close_a_client_that_reads() {
    let server = server_with(unhurried()).await;
    let mut first = Client::pair(&server, &room(1)).await;
    let mut second = Client::pair(&server, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    // Far more at once than an outbox holds, and small enough to arrive in a few reads.
    let burst = 1000;
    for number in 0..burst {
        let signal = json!({"type": "SIGNAL", "data": number}).to_string();
        within(first.socket.feed(Message::binary(signal))).await.unwrap();
    }
    within(first.socket.flush()).await.unwrap();
    for number in 0..burst {
        second.expect_signal(&first.id, json!(number)).await;
    }
    talk(&mut first, &mut second).await;
    drop((first, second));
    stop(server).await;
}
