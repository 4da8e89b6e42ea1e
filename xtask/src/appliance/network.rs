//! The network of a card under test: one cable, with what a home's router gives at its other end.
//!
//! ```text
//!   card ── tap ── DHCP, DNS (dnsmasq), time (ours) ── signal-srv, Chromium
//! ```
//!
//! It lives in a network namespace of its own, so that nothing of it can be seen, or get into the way, outside. A lane is
//! one such cable; cards on different lanes run at the same time.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use crate::system;
use crate::workspace;

/// What the server is called on every lane. Nobody outside has a name that ends so (RFC 6761).
pub(crate) const SERVER: &str = "signal.test";
pub(crate) const PORT: u16 = 8192;

/// How long a program of ours may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// One cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane(pub(crate) u8);

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self(0), Self(1)];

    pub(crate) fn tap(self) -> String {
        format!("tap{}", self.0)
    }

    /// Our end.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77 + self.0, 1)
    }

    /// The card's end, whichever card it is.
    pub(crate) fn card(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77 + self.0, 10)
    }

    /// Of the card's network interface.
    pub(crate) fn mac(self) -> String {
        format!("52:54:00:77:00:{:02x}", self.0)
    }

    /// Makes our end. The address is there before anybody asks for it.
    fn lay(self) -> Result<()> {
        let tap = self.tap();
        ip(&["tuntap", "add", "dev", &tap, "mode", "tap"])?;
        ip(&["address", "add", &format!("{}/24", self.gateway()), "dev", &tap])?;
        ip(&["link", "set", &tap, "up"])
    }

    /// Gives addresses, and says where names and the time are to be had.
    pub(crate) fn dhcp(self, folder: &Path) -> Result<Daemon> {
        let mut command = dnsmasq()?;
        let (card, gateway) = (self.card(), self.gateway());
        command.args(["--port=0", "--dhcp-authoritative", "--leasefile-ro", "--no-ping"]);
        command.arg(format!("--interface={}", self.tap()));
        command.arg(format!("--dhcp-range={card},{card},255.255.255.0,1h"));
        // A card is known by its plug: each has another client identifier at each of its lives.
        command.arg("--dhcp-ignore-clid").arg(format!("--dhcp-host={},{card}", self.mac()));
        for option in ["router", "dns-server", "ntp-server"] {
            command.arg(format!("--dhcp-option=option:{option},{gateway}"));
        }
        Daemon::start("dnsmasq (DHCP)", &command, &folder.join(format!("dhcp-{}.log", self.0)))
    }

    /// Answers with the server's address.
    pub(crate) fn dns(self, folder: &Path) -> Result<Daemon> {
        let mut command = dnsmasq()?;
        command.arg(format!("--listen-address={}", self.gateway()));
        command.arg(format!("--address=/{SERVER}/{}", self.gateway()));
        Daemon::start("dnsmasq (DNS)", &command, &folder.join(format!("dns-{}.log", self.0)))
    }

    /// Answers with the time, from now on or once it is told so.
    pub(crate) fn time(self, answering: bool) -> Result<Clock> {
        Clock::start(self.gateway(), answering)
    }
}

/// To be called once in a fresh namespace: what all lanes share.
pub(crate) fn set_up() -> Result<()> {
    // The server certifies what the machine is called.
    nix::unistd::sethostname(SERVER).context("cannot name this machine within its namespace")?;
    ip(&["link", "set", "lo", "up"])?;
    Lane::ALL.into_iter().try_for_each(Lane::lay)
}

fn ip(arguments: &[&str]) -> Result<()> {
    let program = system::administration("ip").context("ip is missing (package iproute2)")?;
    run::to_the_end_silently(Command::new(program).args(arguments))
        .with_context(|| format!("ip {} failed", arguments.join(" ")))
}

fn dnsmasq() -> Result<Command> {
    let program = system::administration("dnsmasq").context("dnsmasq is missing (package dnsmasq-base)")?;
    let mut command = Command::new(program);
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-"]);
    // It is root of this namespace alone, and may know no other user in it.
    command.args(["--user=root", "--group=root"]);
    command.args(["--bind-interfaces", "--except-interface=lo", "--no-resolv", "--no-hosts", "--no-poll"]);
    Ok(command)
}

/// A program that serves the cards until this is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(name: &'static str, command: &Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let child = run::ending_with_us(command)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// The server that cards and viewers meet at.
    pub(crate) fn server(folder: &Path) -> Result<Self> {
        let mut command = Command::new(workspace::target().join("debug/signal-srv"));
        command.args(["--tls", "self-signed", "--listen", &format!("0.0.0.0:{PORT}"), "--state-dir"]);
        command.arg(folder.join("server"));
        let mut server = Self::start("signal-srv", &command, &folder.join("signal-srv.log"))?;
        server.wait_for("listening")?;
        Ok(server)
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            if said.contains(text) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().with_context(|| format!("cannot ask after {}", self.name))? {
                bail!("{} ended ({status}); it said:\n{said}", self.name);
            }
            ensure!(Instant::now() < until, "{} did not say `{text}`; it said:\n{said}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An SNTP server (RFC 4330) that says what this machine's clock says; until it is dropped.
#[derive(Debug)]
pub(crate) struct Clock {
    answering: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(address: Ipv4Addr, answering: bool) -> Result<Self> {
        let socket = UdpSocket::bind((address, 123)).context("cannot serve the time")?;
        socket.set_read_timeout(Some(Duration::from_millis(200))).context("cannot serve the time")?;
        let (answering, ended) = (Arc::new(AtomicBool::new(answering)), Arc::new(AtomicBool::new(false)));
        let mut clock = Self { answering: Arc::clone(&answering), ended: Arc::clone(&ended), thread: None };
        clock.thread = Some(thread::spawn(move || {
            let mut question = [0; 128];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                if answering.load(Ordering::Relaxed)
                    && let Some(answer) = answer(&question[..length], SystemTime::now())
                {
                    // Who does not get it asks again.
                    let _ = socket.send_to(&answer, from);
                }
            }
        }));
        Ok(clock)
    }

    /// From now on it answers.
    pub(crate) fn answer(&self) {
        self.answering.store(true, Ordering::Relaxed);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The port is free when it has ended.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the SNTP server has panicked");
        }
    }
}

/// From 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// The packet that answers a client's.
fn answer(question: &[u8], now: SystemTime) -> Option<[u8; 48]> {
    const CLIENT: u8 = 3;
    const SERVER: u8 = 4;
    if question.len() < 48 || question[0] & 7 != CLIENT {
        return None;
    }
    let since = now.duration_since(UNIX_EPOCH).ok()?;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let stamp = ((since.as_secs() + NTP_EPOCH) << 32 | fraction).to_be_bytes();
    let mut packet = [0; 48];
    // No leap second, the client's version; a primary clock, whose name is LOCL.
    packet[0] = question[0] & 0x38 | SERVER;
    packet[1] = 1;
    packet[2] = question[2];
    packet[3] = 0xec;
    packet[12..16].copy_from_slice(b"LOCL");
    packet[16..24].copy_from_slice(&stamp);
    packet[24..32].copy_from_slice(&question[40..48]);
    packet[32..40].copy_from_slice(&stamp);
    packet[40..48].copy_from_slice(&stamp);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_as_ntp_has_it() {
        let mut question = [0; 48];
        question[0] = 0x23;
        question[40..48].copy_from_slice(b"whenever");
        let now = UNIX_EPOCH + Duration::from_millis(1_500);
        let packet = answer(&question, now).unwrap();
        assert_eq!(packet[0], 0x24);
        assert_eq!(packet[24..32], *b"whenever");
        assert_eq!(packet[40..48], ((2_208_988_801_u64 << 32) | 1 << 31).to_be_bytes());
        assert_eq!(answer(&packet, now), None, "servers are not answered");
        assert_eq!(answer(&question[..20], now), None);
    }

    #[test]
    fn lanes_have_nothing_in_common() {
        let [one, other] = Lane::ALL;
        assert_ne!(one.gateway(), other.gateway());
        assert_ne!(one.card(), other.card());
        assert_ne!(one.mac(), other.mac());
        assert_ne!(one.tap(), other.tap());
    }
}
