//! The way of every card: switched on, scanned, watched; and meanwhile looked at from all sides.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, Result, ensure};

use crate::appliance::checks::{at_least, at_most};
use crate::appliance::ground::{BOOT, Ground, JOINED, SOON, boot_ms, link, picture};
use crate::appliance::machine::{Machine, Plugs};
use crate::appliance::network::Lane;
use crate::appliance::{qr, scan};

/// What the agent says of itself, in this order.
pub(crate) const MARKS: [&str; 5] =
    ["agent started", "camera opened", "first frame captured", "room joined", "first frame encoded"];

pub(super) fn run(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("stream")?;
    let plugs = Plugs { display: true, ..Plugs::all(ground.lane, ground.cores) };
    let mut machine = ground.boot_with(&card, plugs, "stream")?;
    machine.console.wait_for(JOINED, BOOT)?;
    let label = ground.label(&mut machine, &card)?;
    ground
        .checks
        .check("stream: the label on the boot partition has the card's link", same(&label, &link(&mut machine)?));

    watched(ground, &mut machine, &label)?;

    let checks = ground.checks;
    checks.check("stream: HDMI shows the link as a QR code", shown(ground, &mut machine, &label));
    checks.check("stream: marks of the boot", marks(&machine));
    let v4 = ground.lane.card().into();
    checks.check("stream: no TCP port is open (IPv4)", closed(v4, ground.lane));
    checks.check("stream: no TCP port is open (IPv6)", link_local(&mut machine).and_then(|v6| closed(v6, ground.lane)));
    checks.check("stream: nobody listens within", machine.shell(LISTENING).and_then(|text| nobody_listens(&text)));
    checks.check("stream: no unit has failed", machine.shell(FAILED).and_then(|text| nothing(&text)));
    checks.check("stream: exposure of camera-fw.service", exposure(&mut machine));
    checks.check("stream: the hardware watchdog is fed", watchdog(&mut machine));
    checks.check("stream: the root is read-only, what is written stays in memory", mounts(&mut machine));
    machine.cut()
}

fn same(one: &str, other: &str) -> Result<String> {
    ensure!(one == other, "the one says {one}, the other {other}");
    Ok(String::new())
}

fn watched(ground: &mut Ground<'_>, machine: &mut Machine, link: &str) -> Result<()> {
    let picture = picture(ground.folder, "page.png");
    let browser = ground.browser()?;
    browser.open(link)?;
    browser.wait_for_frames(60, SOON)?;
    let seen = browser.watch(15)?;
    browser.photograph(&picture)?;
    let memory = machine.shell(MEMORY).and_then(|text| memory_in_use(&text));
    ground.browser()?.leave()?;
    let rate = at_least(seen.frames_per_second, 15.0, "fps");
    let size = (seen.width, seen.height);
    ground.checks.check(
        "stream: the page that the label leads to shows 720x480",
        rate.and_then(|rate| {
            ensure!(size == (720, 480), "it shows {}x{}", size.0, size.1);
            Ok(rate)
        }),
    );
    ground.checks.check("stream: memory in use with a viewer", memory.and_then(|used| at_most(used, 120.0, "MB")));
    Ok(())
}

fn shown(ground: &Ground<'_>, machine: &mut Machine, link: &str) -> Result<String> {
    let screen = picture(ground.folder, "hdmi.ppm");
    machine.photograph(&screen, false)?;
    // For docs; a QEMU without PNG has none.
    let _ = machine.photograph(&picture(ground.folder, "hdmi.png"), true);
    let text = qr::read(&screen)?;
    ensure!(text == link, "it says {text}");
    Ok(screen.display().to_string())
}

fn marks(machine: &Machine) -> Result<String> {
    let mut figures = Vec::new();
    for mark in MARKS {
        let line = machine.console.wait_for(&[mark, "boot_ms="], SOON)?;
        let at = boot_ms(&line).with_context(|| format!("the mark has no time: {line}"))?;
        figures.push(format!("{mark} {:.1} s", at / 1000.0));
    }
    Ok(figures.join(", "))
}

fn closed(address: IpAddr, lane: Lane) -> Result<String> {
    let scope = fs::read_to_string(format!("/sys/class/net/{}/ifindex", lane.tap())).ok();
    let scope = scope.and_then(|index| index.trim().parse().ok()).or_else(|| index_of(&lane.tap()));
    let scanned = scan::every_port(address, scope.context("the tap has no index")?)?;
    ensure!(scanned.open.is_empty(), "these are open: {:?}", scanned.open);
    Ok(format!("{} refused, {} silent", scanned.refused, scanned.silent))
}

/// The interface's number: /sys shows those of another namespace.
fn index_of(interface: &str) -> Option<u32> {
    let index = nix::net::if_::if_nametoindex(interface).ok()?;
    Some(index)
}

/// The card's own, from `fe80…` lines like `fe80000000000000505400fffe770000 02 40 20 80 eth0`.
fn link_local(machine: &mut Machine) -> Result<IpAddr> {
    let text = machine.shell("grep '^fe80' /proc/net/if_inet6")?;
    let digits = text.split_whitespace().next().context("it has no link-local address")?;
    let bits = u128::from_str_radix(digits, 16).with_context(|| format!("{digits} is no address"))?;
    Ok(Ipv6Addr::from(bits).into())
}

const LISTENING: &str = "for p in tcp tcp6 udp udp6; do sed \"1d;s/^/$p /\" /proc/net/$p; done";

/// Ports that something that asks the network for its address has open for the answer.
const ASKERS: [u16; 2] = [68, 546];
/// From here on the kernel gives ports to who asked for none in particular.
const EPHEMERAL: u16 = 32768;

/// Of lines `tcp  0: 00000000:0016 00000000:0000 0A …` none may listen; of UDP only who asked somebody something.
fn nobody_listens(text: &str) -> Result<String> {
    let mut sockets = 0;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [protocol, _, local, _, state, ..] = words[..] else { continue };
        let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        let port = port.with_context(|| format!("no port in {line}"))?;
        let loopback = local.starts_with("0100007F:") || local.starts_with("00000000000000000000000001000000:");
        sockets += 1;
        if protocol.starts_with("tcp") {
            ensure!(
                state != "0A",
                "something listens on TCP port {port}{}",
                if loopback { " of loopback" } else { "" }
            );
        } else {
            ensure!(loopback || port >= EPHEMERAL || ASKERS.contains(&port), "something has UDP port {port} open");
        }
    }
    Ok(format!("{sockets} sockets"))
}

const FAILED: &str = "systemctl --failed --no-legend --plain --no-pager";

fn nothing(text: &str) -> Result<String> {
    ensure!(text.trim().is_empty(), "there is: {text}");
    Ok(String::new())
}

/// Of a line like `→ Overall exposure level for camera-fw.service: 1.4 OK :-)`.
fn exposure(machine: &mut Machine) -> Result<String> {
    let text = machine.shell("systemd-analyze security --no-pager camera-fw.service | tail -n 1")?;
    let value = text.split("camera-fw.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    let value = value.and_then(|value| value.parse().ok()).with_context(|| format!("no figure in {text}"))?;
    at_most(value, 2.0, "of 10")
}

fn watchdog(machine: &mut Machine) -> Result<String> {
    let text = machine.shell("systemctl show -p RuntimeWatchdogUSec --value")?;
    ensure!(!matches!(text.trim(), "" | "0" | "infinity"), "systemd does not feed it: {text}");
    let state = machine.shell("cat /sys/class/watchdog/watchdog0/state 2>/dev/null || echo none")?;
    ensure!(state.trim() != "inactive", "nobody has it open");
    Ok(format!("every {} at least; device: {}", text.trim(), state.trim()))
}

fn mounts(machine: &mut Machine) -> Result<String> {
    let mounts = machine.shell("cat /proc/mounts")?;
    let of = |point: &str| mounts.lines().find(|line| line.split(' ').nth(1) == Some(point)).map(str::to_owned);
    let root = of("/").context("there is no root")?;
    ensure!(root.contains(" overlay "), "the root is {root}");
    let boot = of("/boot/firmware").context("the boot partition is not mounted")?;
    ensure!(boot.contains(" vfat ro"), "the boot partition is {boot}");
    let data = of("/var/lib/roomcam").context("the data partition is not mounted")?;
    ensure!(data.contains(" ext4 rw"), "the data partition is {data}");
    let journal = machine.shell("ls -d /var/log/journal/* 2>/dev/null | wc -l")?;
    ensure!(journal.trim() == "0", "the journal is kept under /var/log");
    Ok(String::new())
}

const MEMORY: &str = "cat /proc/meminfo";

/// Megabytes.
pub(crate) fn memory_in_use(meminfo: &str) -> Result<f64> {
    let of = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
        let value = line.and_then(|line| line.split_whitespace().next()).and_then(|value| value.parse::<f64>().ok());
        value.with_context(|| format!("no {key} in /proc/meminfo"))
    };
    Ok((of("MemTotal:")? - of("MemAvailable:")?) * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_wherever_they_listen() {
        let idle = "tcp  0: 0A4DA8C0:8CA2 014DA8C0:2000 01 0 0\nudp 10: 0A4DA8C0:0044 00000000:0000 07 0\n\
                    udp 11: 00000000:9C40 00000000:0000 07 0\n";
        assert_eq!(nobody_listens(idle).unwrap(), "3 sockets");
        for listener in [
            "tcp 1: 00000000:0016 00000000:0000 0A",
            "tcp 1: 0100007F:1F90 00000000:0000 0A",
            "udp 1: 00000000:14E9 00000000:0000 07",
        ] {
            assert!(nobody_listens(&format!("{idle}{listener}\n")).is_err(), "{listener}");
        }
    }

    #[test]
    fn memory_in_use_is_what_nobody_else_can_have() {
        let text = "MemTotal:        1000000 kB\nMemFree:   100 kB\nMemAvailable:     900000 kB\n";
        assert!((memory_in_use(text).unwrap() - 102.4).abs() < 0.01);
        assert!(memory_in_use("MemTotal: 1 kB\n").is_err());
    }
}
