//! Many at once: a storm of reconnects, and clients that are processes of their own and are killed.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_proto::{ClientMessage, Join, RawValue, Role, RoomId, encode_client};
use tokio::time::{sleep, timeout};

use super::ground::{Ground, fresh_room, pause};
use crate::client::{Client, Door, PATIENCE};

/// Clients of one address in a storm.
const EACH: usize = 20;

/// All at once, into rooms of two; one says something to the other, and all go. Nobody is refused.
pub(super) async fn storm(ground: &Ground, mut rng: Rng, clients: usize) -> Result<()> {
    ground.tally.count("reconnect storm");
    let begun = Instant::now();
    let rooms = clients.div_ceil(2);
    let mut from = ground.address();
    let pairs = (0..rooms).map(|number| {
        if (number * 2) % EACH == 0 {
            from = ground.address();
        }
        pair(ground, from, fresh_room(&mut rng), rng.fork())
    });
    try_join_all(pairs).await.context("in a reconnect storm")?;
    ensure!(begun.elapsed() < PATIENCE * 2, "a storm of {clients} took {:?}", begun.elapsed());
    Ok(())
}

async fn pair(ground: &Ground, from: Ipv4Addr, room: RoomId, mut rng: Rng) -> Result<()> {
    let enter = async || -> Result<Client> {
        let mut client = ground.client(from).await?;
        client.join(Join::Pair { room }).await?.map_err(|code| anyhow!("not let in: {code}"))?;
        ground.tally.count("join");
        Ok(client)
    };
    let (one, other) = tokio::join!(enter(), enter());
    let (mut one, mut other) = (one?, other?);
    let signal = encode_client(&ClientMessage::Signal { to: None, signal: RawValue::TRUE });
    one.send(signal).await?;
    let heard = async {
        while let Some(Ok(message)) = other.socket.next().await {
            if message.into_data().ends_with(br#""signal":true}}}"#) {
                return true;
            }
        }
        false
    };
    ensure!(timeout(PATIENCE, heard).await.context("a signal does not arrive")?, "closed before a signal arrived");
    if rng.bool() {
        one.close().await?;
        other.close().await?;
    }
    Ok(())
}

/// A process with clients in it that is killed, or stopped so that it answers nothing and then killed.
pub(super) async fn doomed(ground: &Ground, mut rng: Rng, program: &Path) -> Result<()> {
    let stops = rng.bool();
    ground.tally.count(if stops { "stopped process" } else { "killed process" });
    let child = Command::new(program)
        .arg("crowd")
        .arg("--address")
        .arg(ground.door.address.to_string())
        .arg("--roots")
        .arg(ground.files.roots())
        .arg("--from")
        .arg(ground.address().to_string())
        .stdin(Stdio::null())
        .spawn();
    let mut child = Ended(child.with_context(|| format!("cannot start {}", program.display()))?);
    pause(&mut rng, 300..3000).await;
    ensure!(child.0.try_wait().context("cannot ask after the crowd")?.is_none(), "the crowd ended by itself");
    if stops {
        let pid = Pid::from_raw(i32::try_from(child.0.id()).context("process id out of range")?);
        kill(pid, Signal::SIGSTOP).context("cannot stop the crowd")?;
        // Longer than the server waits for somebody who answers no pings, or not.
        pause(&mut rng, 2000..15_000).await;
    }
    // Dropping it is SIGKILL.
    Ok(())
}

/// A child that does not outlive us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Pairs and a room of roles, chattering until somebody ends the process.
///
/// # Errors
/// If somebody is not let in.
pub async fn chatter(door: Door, from: Ipv4Addr) -> Result<()> {
    let mut rng = Rng::new();
    let (pair, roles) = (fresh_room(&mut rng), fresh_room(&mut rng));
    let as_role = |role| Join::Role { room: roles, role };
    let joins = [
        Join::Pair { room: pair },
        Join::Pair { room: pair },
        as_role(Role::Camera),
        as_role(Role::Viewer),
        as_role(Role::Viewer),
    ];
    let mut clients = Vec::new();
    for join in joins {
        let mut client = Client::connect(&door, from).await?;
        client.join(join).await?.map_err(|code| anyhow!("not let in: {code}"))?;
        clients.push(client);
    }
    let camera = clients[2].peer;
    let each = clients.into_iter().zip(joins).map(|(mut client, join)| async move {
        let to = matches!(join, Join::Role { role: Role::Viewer, .. }).then_some(camera);
        let signal = encode_client(&ClientMessage::Signal { to, signal: RawValue::TRUE });
        loop {
            // A camera would have to know whom it talks to.
            if !matches!(join, Join::Role { role: Role::Camera, .. }) {
                client.send(signal.clone()).await?;
            }
            let until = sleep(Duration::from_millis(200));
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    message = client.socket.next() => {
                        message.context("closed")?.context("broken")?;
                    }
                }
            }
        }
        #[allow(unreachable_code, reason = "says what the type of the error is")]
        Ok::<(), anyhow::Error>(())
    });
    try_join_all(each).await.map(drop)
}
