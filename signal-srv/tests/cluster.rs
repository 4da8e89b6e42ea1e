//! Several servers are one: the rules of rooms hold over all of them, and what their clients say arrives in order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::cluster::{Redis, as_role, config, node, nodes, refused, try_join, until_ready};
use common::{Client, room, stop, talk, talk_in_roles};
use futures_util::future::join_all;
use redis::Value;
use serde_json::json;
use signal_srv::{Limits, Server};

#[tokio::test]
async fn clients_of_three_nodes_meet_in_one_room() {
    let redis = Redis::start();
    let [a, b, c] = nodes(&redis.url()).await;
    let (mut early, joined) = Client::role(&a, &room(1), "viewer").await;
    assert_eq!(joined, json!({"peers": [], "ice_servers": []}));
    let (mut camera, joined) = Client::role(&b, &room(1), "camera").await;
    assert_eq!(joined["peers"], json!([{"peer": early.id, "role": "viewer"}]));
    early.expect_room("JOIN", json!({"peer": camera.id, "role": "camera"})).await;
    let (mut late, joined) = Client::role(&c, &room(1), "viewer").await;
    assert_eq!(joined["peers"], json!([{"peer": camera.id, "role": "camera"}]));
    camera.expect_room("JOIN", json!({"peer": late.id, "role": "viewer"})).await;
    let (mut near, _) = Client::role(&b, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": near.id, "role": "viewer"})).await;

    // Had the viewers heard of each other, that would be the next message of one of them.
    talk_in_roles(&mut camera, &mut early).await;
    talk_in_roles(&mut late, &mut camera).await;
    talk_in_roles(&mut near, &mut camera).await;
    let nobody = "00000000-0000-0000-0000-000000000000".to_owned();
    for to in [nobody, early.id.clone(), late.id.clone()] {
        late.send(&json!({"type": "SIGNAL", "to": to, "data": 1})).await;
    }
    talk_in_roles(&mut late, &mut camera).await;
    talk_in_roles(&mut early, &mut camera).await;
    assert_eq!(c.stats().dropped_signals, 3);

    let left = late.id.clone();
    late.close().await;
    camera.expect_room("LEAVE", json!({"peer": left})).await;
    let left = camera.id.clone();
    camera.close().await;
    early.expect_room("LEAVE", json!({"peer": left})).await;
    near.expect_room("LEAVE", json!({"peer": left})).await;
    for server in [a, b, c] {
        stop(server).await;
    }
}

#[tokio::test]
async fn a_pair_meets_across_nodes_and_nobody_joins_twice() {
    let redis = Redis::start();
    let [a, b] = nodes(&redis.url()).await;
    let mut first = Client::pair(&a, &room(1)).await;
    let mut second = Client::pair(&b, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    refused(&a, json!(room(1)), "ROOM_FULL", 1008).await;
    refused(&b, as_role(&room(1), "viewer"), "ROOM_MODE", 1008).await;
    second.send(&json!({"type": "JOIN_OR_CREATE", "data": room(2)})).await;
    let left = second.id.clone();
    second.expect_refusal("ALREADY_JOINED", 1008).await;
    first.expect_room("LEAVE", json!({"peer": left})).await;
    // The place is free, and so is the room's kind once nobody is in it.
    let second = Client::pair(&b, &room(1)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    let left = first.id.clone();
    first.close().await;
    let mut second = second;
    second.expect_room("LEAVE", json!({"peer": left})).await;
    second.close().await;
    until_gone(&redis).await;
    Client::role(&a, &room(1), "camera").await;
    for server in [a, b] {
        stop(server).await;
    }
}

/// Until Redis knows of no room.
async fn until_gone(redis: &Redis) {
    common::within(async {
        while redis.ask(&["KEYS", "roomcam:room:*"]) != Value::Array(Vec::new()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Everybody joins at once; how many got in, and how often each code was the answer.
async fn race(servers: &[Server], joins: &[serde_json::Value]) -> (usize, Vec<String>) {
    let answers =
        join_all(joins.iter().zip(servers.iter().cycle()).map(|(join, server)| try_join(server, join.clone())));
    let (mut inside, mut codes) = (0, Vec::new());
    let answers = answers.await;
    for (_, answer) in &answers {
        match answer["code"].as_str() {
            None => inside += 1,
            Some(code) => codes.push(code.to_owned()),
        }
    }
    (inside, codes)
}

#[tokio::test]
async fn the_rules_hold_when_three_nodes_race() {
    let redis = Redis::start();
    let nodes: [Server; 3] = nodes(&redis.url()).await;
    for number in 1..=5 {
        let (inside, codes) = race(&nodes, &vec![json!(room(number)); 18]).await;
        assert_eq!((inside, codes), (2, vec!["ROOM_FULL".to_owned(); 16]));
    }
    for number in 11..=15 {
        let (inside, codes) = race(&nodes, &vec![as_role(&room(number), "camera"); 15]).await;
        assert_eq!((inside, codes), (4, vec!["ROOM_FULL".to_owned(); 11]));
        let (inside, codes) = race(&nodes, &vec![as_role(&room(number + 10), "viewer"); 21]).await;
        assert_eq!((inside, codes), (16, vec!["ROOM_FULL".to_owned(); 5]));
    }
    for number in 31..=40 {
        let pairs = vec![json!(room(number)); 6];
        let cameras = vec![as_role(&room(number), "camera"); 6];
        let joins: Vec<serde_json::Value> =
            pairs.into_iter().zip(cameras).flat_map(|(pair, camera)| [pair, camera]).collect();
        let (inside, codes) = race(&nodes, &joins).await;
        let mode = codes.iter().filter(|code| *code == "ROOM_MODE").count();
        let full = codes.iter().filter(|code| *code == "ROOM_FULL").count();
        assert!([(2, 6, 4), (4, 6, 2)].contains(&(inside, mode, full)), "{inside} are in, {codes:?}");
    }
    for server in nodes {
        stop(server).await;
    }
}

#[tokio::test]
async fn signals_arrive_in_order_and_after_the_join() {
    const SIGNALS: usize = 400;
    let redis = Redis::start();
    let limits = Limits { outbox_messages: 4 * SIGNALS, outbox_bytes: 1 << 30, ..config(&redis.url()).limits };
    let patient = async || {
        let server =
            Server::spawn(signal_srv::Config { limits: limits.clone(), ..config(&redis.url()) }).await.unwrap();
        until_ready(&server, true).await;
        server
    };
    let (a, b, c) = (patient().await, patient().await, patient().await);
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let to = camera.id.clone();
    let send = async |server: &Server| {
        let (mut viewer, _) = Client::role(server, &room(1), "viewer").await;
        for number in 0..SIGNALS {
            let signal = json!({"number": number, "filler": "x".repeat(number * 7 % 3000)});
            viewer.send(&json!({"type": "SIGNAL", "to": to, "data": signal})).await;
        }
        viewer
    };
    let hear = async {
        let mut next = std::collections::HashMap::<String, usize>::new();
        while next.len() < 2 || next.values().any(|next| *next < SIGNALS) {
            let heard = camera.next().await;
            let (kind, data) = (&heard["data"]["type"], &heard["data"]["data"]);
            let peer = data["peer"].as_str().unwrap().to_owned();
            if kind == "JOIN" {
                assert!(next.insert(peer, 0).is_none(), "a JOIN was announced twice");
                continue;
            }
            let next = next.get_mut(&peer).expect("a signal of somebody who has not come yet");
            assert_eq!(data["signal"]["number"], json!(*next));
            *next += 1;
        }
    };
    let (one, two, ()) = tokio::join!(send(&b), send(&c), hear);
    // And back, to both of them by turns.
    let mut viewers = [one, two];
    for number in 0..SIGNALS {
        for viewer in &viewers {
            camera.send(&json!({"type": "SIGNAL", "to": viewer.id, "data": number})).await;
        }
    }
    for viewer in &mut viewers {
        for number in 0..SIGNALS {
            viewer.expect_signal(&camera.id, json!(number)).await;
        }
    }
    for server in [a, b, c] {
        stop(server).await;
    }
}

#[tokio::test]
async fn an_address_makes_so_many_rooms_on_a_node_and_enters_those_of_others() {
    let redis = Redis::start();
    let limits = Limits { rooms_per_address: 2, ..config(&redis.url()).limits };
    let few = Server::spawn(signal_srv::Config { limits, ..config(&redis.url()) }).await.unwrap();
    until_ready(&few, true).await;
    let other = node(&redis.url()).await;
    let _elsewhere = Client::role(&other, &room(9), "camera").await;
    let (first, _) = Client::role(&few, &room(1), "camera").await;
    let _second = Client::pair(&few, &room(2)).await;
    refused(&few, as_role(&room(3), "camera"), "TOO_MANY_ROOMS", 1008).await;
    // Rooms that are there already, here or elsewhere.
    let (mut viewer, _) = Client::role(&few, &room(9), "viewer").await;
    let (_another, _) = Client::role(&few, &room(1), "viewer").await;
    refused(&few, as_role(&room(3), "camera"), "TOO_MANY_ROOMS", 1008).await;
    viewer.send(&json!({"type": "SIGNAL", "data": 1})).await;
    viewer.expect_refusal("BAD_MESSAGE", 1008).await;
    drop(first);
    for server in [few, other] {
        stop(server).await;
    }
}

#[tokio::test]
async fn redis_learns_no_room_id_and_keeps_nothing_of_who_has_gone() {
    let redis = Redis::start();
    let [a, b] = nodes(&redis.url()).await;
    let (camera, _) = Client::role(&a, &room(0x5a), "camera").await;
    let (viewer, _) = Client::role(&b, &room(0x5a), "viewer").await;
    let pair = Client::pair(&b, &room(0xa5)).await;
    let Value::Array(keys) = redis.ask(&["KEYS", "*"]) else { panic!("KEYS gives no array") };
    let mut seen = Vec::new();
    for key in keys {
        let Value::BulkString(key) = key else { panic!("a key is no string") };
        for bytes in flat(redis.ask_bytes(&[b"HGETALL", &key])) {
            seen.extend(bytes);
        }
        seen.extend(key);
    }
    let has = |what: &[u8]| seen.windows(what.len()).any(|window| window == what);
    assert!(has(b"roomcam:room:") && has(b"roomcam:clients:"));
    for byte in [0x5a, 0xa5] {
        assert!(!has(&[byte; 8]) && !has(room(byte).as_bytes()), "Redis knows a room's id");
    }
    for client in [camera, viewer, pair] {
        client.close().await;
    }
    until_gone(&redis).await;
    assert_eq!(redis.ask(&["KEYS", "roomcam:clients:*"]), Value::Array(Vec::new()));
    for server in [a, b] {
        stop(server).await;
    }
}

/// The strings of an answer, none of an error.
fn flat(value: Value) -> Vec<Vec<u8>> {
    match value {
        Value::Array(values) => values.into_iter().flat_map(flat).collect(),
        Value::BulkString(bytes) => vec![bytes],
        _ => Vec::new(),
    }
}
