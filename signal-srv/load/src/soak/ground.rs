//! What everybody who takes part needs: the way in, the clock, the books, and where to say what is wrong.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use signal_proto::{PeerId, RoomId};
use tokio::time::sleep;

use super::tally::Tally;
use crate::client::{Client, Door};
use crate::server::{Files, Server};

/// How the server is configured for the soak: as it comes, but for what would take long to see. The rate of bytes is
/// such that a client can be sent more than two kernels hold for it.
pub(super) const LIMITS: &str = "certificate_check_s = 0.5\nping_s = 4\nmissed_pings = 2\nhaste_s = 2\nwrite_s = 3\nfarewell_s = 1\n\
     http_s = 10\nbytes_per_second = 2000000\nbyte_burst = 8000000\nconnections = 4096\nconnections_per_address = 40\nrooms_per_address = 12\n";

/// Of those: what one address may have.
pub(super) const CONNECTIONS_PER_ADDRESS: usize = 40;
pub(super) const ROOMS_PER_ADDRESS: usize = 12;

/// One part of the soak, with everything in it.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) door: Door,
    pub(super) files: Arc<Files>,
    pub(super) server: Arc<Server>,
    pub(super) tally: Arc<Tally>,
    /// When it is time to leave.
    pub(super) until: Instant,
    /// Whether packets can be dropped.
    pub(super) firewall: Option<Firewall>,
    stop: AtomicBool,
    next_address: AtomicU32,
    /// Ids of clients that are or were somewhere: for signals that must not arrive.
    ids: Mutex<Vec<PeerId>>,
}

/// How many ids of others are remembered.
const IDS: usize = 64;

impl Ground {
    pub(super) fn new(
        door: Door,
        files: &Arc<Files>,
        server: &Arc<Server>,
        tally: &Arc<Tally>,
        lasts: Duration,
    ) -> Self {
        Self {
            door,
            files: Arc::clone(files),
            server: Arc::clone(server),
            tally: Arc::clone(tally),
            until: Instant::now() + lasts,
            firewall: None,
            stop: AtomicBool::new(false),
            next_address: AtomicU32::new(0),
            ids: Mutex::default(),
        }
    }

    /// Whether it is time to leave, or something went wrong elsewhere.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    /// Everybody is to leave.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// An address that nobody else has lately: 127.1.0.1 and on.
    pub(super) fn address(&self) -> Ipv4Addr {
        let number = self.next_address.fetch_add(1, Ordering::Relaxed) % 0xf0_0000;
        Ipv4Addr::from(0x7f01_0001 + number)
    }

    /// A client that was greeted.
    pub(super) async fn client(&self, from: Ipv4Addr) -> Result<Client> {
        let client =
            Client::connect(&self.door, from).await.context("a client that does nothing wrong is not let in")?;
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() == IDS {
            ids.remove(0);
        }
        ids.push(client.peer);
        Ok(client)
    }

    /// Somebody's id.
    pub(super) fn any_id(&self, rng: &mut Rng) -> Option<PeerId> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        rng.choice(ids.iter()).copied()
    }
}

/// Drops packets, in a network that is ours alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Firewall;

impl Firewall {
    /// The rules; nobody is cut off yet.
    pub(super) fn new() -> Result<Self> {
        nft("add table ip soak")?;
        nft("add set ip soak gone { type ipv4_addr; }")?;
        for (hook, side) in [("input", "saddr"), ("output", "daddr")] {
            nft(&format!("add chain ip soak {hook} {{ type filter hook {hook} priority 0; }}"))?;
            nft(&format!("add rule ip soak {hook} ip {side} @gone drop"))?;
        }
        Ok(Self)
    }

    /// From now on no packet goes to this address, or comes from it.
    pub(super) fn cut_off(self, address: Ipv4Addr) -> Result<()> {
        nft(&format!("add element ip soak gone {{ {address} }}"))
    }

    /// Nobody is cut off any more.
    pub(super) fn heal(self) -> Result<()> {
        nft("flush set ip soak gone")
    }
}

fn nft(rule: &str) -> Result<()> {
    let output = Command::new("nft").arg(rule).output().context("cannot start nft (package nftables)")?;
    ensure!(output.status.success(), "nft {rule}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A room that nobody else knows.
pub(super) fn fresh_room(rng: &mut Rng) -> RoomId {
    let mut bits = [0; 32];
    rng.fill(&mut bits);
    RoomId::from_bytes(bits)
}

/// Life goes on at a bounded pace.
pub(super) async fn pause(rng: &mut Rng, milliseconds: std::ops::Range<u64>) {
    sleep(Duration::from_millis(rng.u64(milliseconds))).await;
}
