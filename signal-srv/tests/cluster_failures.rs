//! Nodes die and are cut off, Redis hangs, goes and comes back: who is in a room stays there, and hears of everything once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::cluster::{
    Gate, LEASE, Redis, Way, as_role, get, node, nodes, refused, try_join, until_ready, until_ready_at,
};
use common::{Client, Program, room, stop, talk, talk_in_roles, within};
use nix::sys::signal::Signal;
use serde_json::json;
use signal_srv::{Config, Limits, Server};
use tokio::time::sleep;

/// A process of its own, which can be killed.
async fn process(redis: &Redis) -> (Program, String) {
    let url = redis.url();
    let mut command = Program::command(["--listen", "127.0.0.1:0", "--tls", "off", "--cluster", url.as_str()]);
    command.env("SIGNAL_SRV_LIMITS_CLUSTER_LEASE_S", LEASE.as_secs().to_string());
    command.env("SIGNAL_SRV_LIMITS_CLUSTER_TIMEOUT_S", "1");
    let mut program = Program::spawn(command);
    let url = program.url();
    until_ready_at(url.strip_prefix("http://").unwrap(), true).await;
    (program, url.replacen("http", "ws", 1))
}

/// A node that may be silent for so long.
async fn node_with(lease: Duration, url: &str) -> Server {
    let config = common::cluster::config(url);
    let limits = Limits { cluster_lease: lease, ..config.limits.clone() };
    let server = Server::spawn(Config { limits, ..config }).await.unwrap();
    until_ready(&server, true).await;
    server
}

#[tokio::test]
async fn the_clients_of_a_node_that_was_killed_have_left_once() {
    let redis = Redis::start();
    let [a, b] = nodes(&redis.url()).await;
    let (program, url) = process(&redis).await;
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let (mut stays, _) = Client::role(&b, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": stays.id, "role": "viewer"})).await;
    let mut goes = Client::connect_to(&url).await;
    goes.join(as_role(&room(1), "viewer")).await;
    camera.expect_room("JOIN", json!({"peer": goes.id, "role": "viewer"})).await;
    let mut other = Client::connect_to(&url).await;
    other.join(as_role(&room(1), "camera")).await;
    for client in [&mut camera, &mut stays] {
        client.expect_room("JOIN", json!({"peer": other.id, "role": "camera"})).await;
    }
    goes.expect_room("JOIN", json!({"peer": other.id, "role": "camera"})).await;
    let mut pair = Client::connect_to(&url).await;
    pair.join(json!(room(2))).await;
    let mut alone = Client::pair(&a, &room(2)).await;
    pair.expect_room("JOIN", json!({"peer": alone.id})).await;
    talk_in_roles(&mut camera, &mut goes).await;
    talk(&mut alone, &mut pair).await;

    program.signal(Signal::SIGKILL);
    let begin = Instant::now();
    stays.expect_room("LEAVE", json!({"peer": other.id})).await;
    alone.expect_room("LEAVE", json!({"peer": pair.id})).await;
    // In whatever order, each once.
    let mut left = [camera.next().await, camera.next().await].map(|message| message["data"].to_string());
    let mut expected = [&goes.id, &other.id].map(|peer| json!({"type": "LEAVE", "data": {"peer": peer}}).to_string());
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    // One lease, and the beat at which somebody notices; 12.5 s as servers are by default.
    assert!(begin.elapsed() < LEASE * 5, "{:?}", begin.elapsed());
    // The others are where they were, and the places are free. What was left twice would be heard now.
    talk_in_roles(&mut camera, &mut stays).await;
    let mut back = Client::pair(&b, &room(2)).await;
    alone.expect_room("JOIN", json!({"peer": back.id})).await;
    talk(&mut alone, &mut back).await;
    for server in [a, b] {
        stop(server).await;
    }
}

#[tokio::test]
async fn rooms_of_one_node_go_on_without_redis_and_all_is_well_when_it_is_back() {
    without_redis(Redis::start()).await;
}

#[tokio::test]
async fn nor_does_it_matter_that_redis_has_kept_what_it_knew() {
    without_redis(Redis::start_with_memory()).await;
}

async fn without_redis(mut redis: Redis) {
    let [a, b] = nodes(&redis.url()).await;
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let (mut near, _) = Client::role(&a, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": near.id, "role": "viewer"})).await;
    let mut first = Client::pair(&a, &room(2)).await;
    let mut second = Client::pair(&b, &room(2)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    let (mut cross, _) = Client::role(&a, &room(3), "camera").await;
    let (leaves, _) = Client::role(&b, &room(3), "viewer").await;
    cross.expect_room("JOIN", json!({"peer": leaves.id, "role": "viewer"})).await;

    redis.kill();
    until_ready(&a, false).await;
    until_ready(&b, false).await;
    talk_in_roles(&mut camera, &mut near).await;
    // A room that is here alone can be entered; whether another has a place nobody knows.
    let (mut newcomer, joined) = Client::role(&a, &room(1), "viewer").await;
    assert_eq!(joined["peers"], json!([{"peer": camera.id, "role": "camera"}]));
    camera.expect_room("JOIN", json!({"peer": newcomer.id, "role": "viewer"})).await;
    talk_in_roles(&mut newcomer, &mut camera).await;
    refused(&b, as_role(&room(1), "viewer"), "CLUSTER_UNAVAILABLE", 1013).await;
    refused(&a, as_role(&room(9), "camera"), "CLUSTER_UNAVAILABLE", 1013).await;
    refused(&a, as_role(&room(3), "viewer"), "CLUSTER_UNAVAILABLE", 1013).await;
    // To the other node nothing gets through, and nobody is closed for it.
    first.send(&json!({"type": "SIGNAL", "data": "lost"})).await;
    let left = leaves.id.clone();
    leaves.close().await;

    redis.restart();
    until_ready(&a, true).await;
    until_ready(&b, true).await;
    // Who left meanwhile is announced now; nobody else has come or gone.
    cross.expect_room("LEAVE", json!({"peer": left})).await;
    talk(&mut first, &mut second).await;
    refused(&b, json!(room(2)), "ROOM_FULL", 1008).await;
    let (mut far, joined) = Client::role(&b, &room(1), "viewer").await;
    assert_eq!(joined["peers"], json!([{"peer": camera.id, "role": "camera"}]));
    camera.expect_room("JOIN", json!({"peer": far.id, "role": "viewer"})).await;
    for viewer in [&mut far, &mut near, &mut newcomer] {
        talk_in_roles(viewer, &mut camera).await;
    }
    for server in [a, b] {
        stop(server).await;
    }
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_nobody_who_does_not_need_it() {
    let redis = Redis::start();
    let [a, b] = nodes(&redis.url()).await;
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let (mut viewer, _) = Client::role(&a, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let mut first = Client::pair(&a, &room(2)).await;
    let mut second = Client::pair(&b, &room(2)).await;
    first.expect_room("JOIN", json!({"peer": second.id})).await;

    redis.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    // Asked while nobody knows yet that there will be no answer.
    let waiting = refused(&b, json!(room(3)), "CLUSTER_UNAVAILABLE", 1013);
    let (mut gone, talking) = (Client::connect(&a).await, talk_in_roles(&mut camera, &mut viewer));
    gone.send(&json!({"type": "JOIN_OR_CREATE", "data": room(2)})).await;
    drop(gone);
    tokio::join!(waiting, talking);
    assert!(begin.elapsed() < Duration::from_secs(15), "a join waited for {:?}", begin.elapsed());
    until_ready(&a, false).await;

    redis.signal(Signal::SIGCONT);
    until_ready(&a, true).await;
    until_ready(&b, true).await;
    talk(&mut first, &mut second).await;
    // What hung in Redis has let nobody in who has gone.
    let third = Client::pair(&b, &room(3)).await;
    let (mut late, joined) = Client::role(&b, &room(1), "viewer").await;
    assert_eq!(joined["peers"], json!([{"peer": camera.id, "role": "camera"}]));
    camera.expect_room("JOIN", json!({"peer": late.id, "role": "viewer"})).await;
    talk_in_roles(&mut late, &mut camera).await;
    third.close().await;
    for server in [a, b] {
        stop(server).await;
    }
}

#[tokio::test]
async fn a_server_stops_in_time_while_redis_hangs() {
    let redis = Redis::start();
    let server = node(&redis.url()).await;
    let inside = Client::pair(&server, &room(1)).await;
    redis.signal(Signal::SIGSTOP);
    let mut waiting = Client::connect(&server).await;
    waiting.send(&json!({"type": "JOIN_OR_CREATE", "data": room(2)})).await;
    server.shutdown();
    inside.expect_refusal("SHUTTING_DOWN", 1001).await;
    waiting.expect_refusal("SHUTTING_DOWN", 1001).await;
    stop(server).await;
}

#[tokio::test]
async fn what_a_node_missed_for_a_moment_is_announced_when_it_is_back() {
    let redis = Redis::start();
    let gate = Gate::to(&redis);
    // A moment, on a busy machine too.
    let (a, b) = (node_with(LEASE * 3, &gate.url()).await, node(&redis.url()).await);
    // A room each: of the first the other node may hear later that it is empty.
    for (way, room) in [(Way::Cut, room(1)), (Way::Silent, room(2))] {
        let (mut camera, _) = Client::role(&a, &room, "camera").await;
        let (goes, _) = Client::role(&b, &room, "viewer").await;
        camera.expect_room("JOIN", json!({"peer": goes.id, "role": "viewer"})).await;
        let (mut stays, _) = Client::role(&b, &room, "viewer").await;
        camera.expect_room("JOIN", json!({"peer": stays.id, "role": "viewer"})).await;

        gate.set(way);
        let (left, heard_of) = (goes.id.clone(), camera.id.clone());
        goes.close().await;
        let (mut comes, joined) = Client::role(&b, &room, "viewer").await;
        assert_eq!(joined["peers"], json!([{"peer": heard_of, "role": "camera"}]));
        if way == Way::Silent {
            // It notices by itself, and tries in vain.
            until_ready(&a, false).await;
        }
        gate.set(Way::Open);

        camera.expect_room("LEAVE", json!({"peer": left})).await;
        camera.expect_room("JOIN", json!({"peer": comes.id, "role": "viewer"})).await;
        until_ready(&a, true).await;
        talk_in_roles(&mut camera, &mut comes).await;
        talk_in_roles(&mut camera, &mut stays).await;
        camera.close().await;
        for viewer in [stays, comes] {
            viewer.close().await;
        }
    }
    for server in [a, b] {
        stop(server).await;
    }
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_comes_back_to_what_is_there_then() {
    let redis = Redis::start();
    let gate = Gate::to(&redis);
    let (a, b) = (node(&gate.url()).await, node(&redis.url()).await);
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let (mut viewer, _) = Client::role(&b, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let displaced = Client::pair(&a, &room(2)).await;
    let kept = Client::pair(&a, &room(3)).await;

    gate.set(Way::Cut);
    viewer.expect_room("LEAVE", json!({"peer": camera.id})).await;
    // Its places are free, and are taken.
    let mut takers = [Client::pair(&b, &room(2)).await, Client::pair(&b, &room(2)).await];
    let [one, two] = &mut takers;
    one.expect_room("JOIN", json!({"peer": two.id})).await;
    let mut one_place = Client::pair(&b, &room(3)).await;
    gate.set(Way::Open);

    // Who is there stays, who comes back takes what is left.
    displaced.expect_refusal("ROOM_FULL", 1008).await;
    let mut kept = kept;
    kept.expect_room("JOIN", json!({"peer": one_place.id})).await;
    one_place.expect_room("JOIN", json!({"peer": kept.id})).await;
    talk(&mut kept, &mut one_place).await;
    talk(one, two).await;
    // Both heard that the other left, and that it is there again: they begin anew.
    viewer.expect_room("JOIN", json!({"peer": camera.id, "role": "camera"})).await;
    camera.expect_room("LEAVE", json!({"peer": viewer.id})).await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    talk_in_roles(&mut camera, &mut viewer).await;
    until_ready(&a, true).await;
    for server in [a, b] {
        stop(server).await;
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_its_lease_comes_back() {
    let redis = Redis::start();
    let a = node(&redis.url()).await;
    let (program, url) = process(&redis).await;
    let mut viewer = Client::connect_to(&url).await;
    viewer.join(as_role(&room(1), "viewer")).await;
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    viewer.expect_room("JOIN", json!({"peer": camera.id, "role": "camera"})).await;
    program.signal(Signal::SIGSTOP);
    camera.expect_room("LEAVE", json!({"peer": viewer.id})).await;
    program.signal(Signal::SIGCONT);
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    viewer.expect_room("LEAVE", json!({"peer": camera.id})).await;
    viewer.expect_room("JOIN", json!({"peer": camera.id, "role": "camera"})).await;
    talk_in_roles(&mut viewer, &mut camera).await;
    stop(a).await;
}

#[tokio::test]
async fn from_a_node_that_stops_cameras_and_viewers_have_not_left_yet() {
    let redis = Redis::start();
    let a = node(&redis.url()).await;
    // Time enough to come back on a busy machine.
    let lease = LEASE * 2;
    let b = node_with(lease, &redis.url()).await;
    let (mut camera, _) = Client::role(&a, &room(1), "camera").await;
    let (viewer, _) = Client::role(&b, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    let mut pair = Client::pair(&a, &room(2)).await;
    let other = Client::pair(&b, &room(2)).await;
    pair.expect_room("JOIN", json!({"peer": other.id})).await;
    let (old, gone) = (viewer.id.clone(), other.id.clone());
    let begin = Instant::now();
    b.shutdown();
    viewer.expect_refusal("SHUTTING_DOWN", 1001).await;
    other.expect_refusal("SHUTTING_DOWN", 1001).await;
    // A pair's place is there for whoever comes back.
    pair.expect_room("LEAVE", json!({"peer": gone})).await;
    let mut again = Client::pair(&a, &room(2)).await;
    pair.expect_room("JOIN", json!({"peer": again.id})).await;
    talk(&mut pair, &mut again).await;
    // The viewer comes back as somebody else before it has left, so that its stream goes on meanwhile.
    let (mut viewer, _) = Client::role(&a, &room(1), "viewer").await;
    camera.expect_room("JOIN", json!({"peer": viewer.id, "role": "viewer"})).await;
    talk_in_roles(&mut camera, &mut viewer).await;
    camera.expect_room("LEAVE", json!({"peer": old})).await;
    assert!(begin.elapsed() > lease / 2, "{:?}", begin.elapsed());
    let stats = within(b.join()).await.unwrap();
    assert_eq!((stats.joins, stats.leaves), (2, 2));
    stop(a).await;
}

#[tokio::test]
async fn a_server_begins_without_redis_and_joins_when_it_comes() {
    let mut redis = Redis::start();
    redis.kill();
    let server = Server::spawn(common::cluster::config(&redis.url())).await.unwrap();
    assert!(get(&server.address().to_string(), "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(&server.address().to_string(), "/healthz").await.starts_with("HTTP/1.1 200"));
    refused(&server, json!(room(1)), "CLUSTER_UNAVAILABLE", 1013).await;
    redis.restart();
    until_ready(&server, true).await;
    let first = Client::pair(&server, &room(1)).await;
    // Data that vanishes while Redis runs is found out by the next beat.
    redis.ask(&["FLUSHALL"]);
    let mut second = within(async {
        loop {
            let (client, answer) = try_join(&server, json!(room(1))).await;
            if answer["type"] == "JOINED" {
                break client;
            }
            assert_eq!(answer["code"], "CLUSTER_UNAVAILABLE");
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut first = first;
    first.expect_room("JOIN", json!({"peer": second.id})).await;
    talk(&mut first, &mut second).await;
    stop(server).await;
}
