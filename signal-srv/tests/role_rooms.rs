//! Role mode: cameras and viewers, who sees whom, whom a signal reaches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Client, room, server, stop, talk_in_roles};
use serde_json::json;
use signal_proto::IceServer;
use signal_srv::{Config, Server};

#[tokio::test]
async fn cameras_see_everybody_and_viewers_see_cameras() {
    let server = server().await;
    let (mut early, joined) = Client::role(&server, &room(1), "viewer").await;
    assert_eq!(joined, json!({"peers": [], "ice_servers": []}));
    let (mut camera, joined) = Client::role(&server, &room(1), "camera").await;
    assert_eq!(joined["peers"], json!([{"peer": early.id, "role": "viewer"}]));
    early.expect_room("JOIN", json!({"peer": camera.id, "role": "camera"})).await;

    let (mut late, joined) = Client::role(&server, &room(1), "viewer").await;
    assert_eq!(joined["peers"], json!([{"peer": camera.id, "role": "camera"}]));
    camera.expect_room("JOIN", json!({"peer": late.id, "role": "viewer"})).await;

    // Had the viewers heard of each other, that would be the next message of one of them.
    talk_in_roles(&mut camera, &mut early).await;
    talk_in_roles(&mut late, &mut camera).await;

    let left = late.id.clone();
    late.close().await;
    camera.expect_room("LEAVE", json!({"peer": left})).await;
    talk_in_roles(&mut camera, &mut early).await;

    let left = camera.id.clone();
    camera.close().await;
    early.expect_room("LEAVE", json!({"peer": left})).await;
    stop(server).await;
}

#[tokio::test]
async fn a_signal_to_somebody_who_is_not_there_is_dropped_in_silence() {
    let server = server().await;
    let (mut camera, _) = Client::role(&server, &room(1), "camera").await;
    let (mut viewer, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let (mut other_viewer, _) = Client::role(&server, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": other_viewer.id, "role": "viewer"})).await;
    let (mut stranger, _) = Client::role(&server, &room(2), "camera").await;

    let nobody = "00000000-0000-0000-0000-000000000000";
    for to in [nobody.to_owned(), other_viewer.id.clone(), viewer.id.clone(), stranger.id.clone()] {
        viewer.send(&json!({"type": "SIGNAL", "to": to, "data": {"type": "bye", "reason": "left"}})).await;
    }
    talk_in_roles(&mut viewer, &mut camera).await;
    talk_in_roles(&mut other_viewer, &mut camera).await;
    let (mut witness, _) = Client::role(&server, &room(2), "viewer").await;
    stranger.expect_room("JOIN", json!({"peer": witness.id, "role": "viewer"})).await;
    talk_in_roles(&mut witness, &mut stranger).await;
    assert_eq!(server.stats().dropped_signals, 4);
    stop(server).await;
}

#[tokio::test]
async fn four_cameras_and_as_many_viewers_as_configured() {
    let server = Server::spawn(Config { max_viewers: 2, ..Config::default() }).await.unwrap();
    let mut inside = Vec::new();
    for role in ["camera", "camera", "camera", "camera", "viewer", "viewer"] {
        inside.push(Client::role(&server, &room(1), role).await);
    }
    for role in ["camera", "viewer"] {
        let mut refused = Client::connect(&server).await;
        refused.send(&json!({"type": "JOIN_OR_CREATE", "data": {"room": room(1), "role": role}})).await;
        refused.expect_refusal("ROOM_FULL", 1008).await;
    }
    // A place that is given up can be taken again: the server has counted the leave once a camera heard of it.
    let (viewer, _) = inside.pop().unwrap();
    let left = viewer.id.clone();
    viewer.close().await;
    let (camera, _) = &mut inside[3];
    let mut heard = camera.next().await;
    while heard["data"]["type"] != "LEAVE" {
        heard = camera.next().await;
    }
    assert_eq!(heard["data"]["data"]["peer"], json!(left));
    Client::role(&server, &room(1), "viewer").await;
    stop(server).await;
}

#[tokio::test]
async fn ice_servers_come_with_joined() {
    let turn = IceServer {
        urls: vec!["turn:turn.example.org".into()],
        username: Some("name".into()),
        credential: Some("secret".into()),
    };
    let server = Server::spawn(Config { ice_servers: vec![turn], ..Config::default() }).await.unwrap();
    let (_camera, joined) = Client::role(&server, &room(1), "camera").await;
    assert_eq!(
        joined["ice_servers"],
        json!([{"urls": ["turn:turn.example.org"], "username": "name", "credential": "secret"}])
    );
    stop(server).await;
}
