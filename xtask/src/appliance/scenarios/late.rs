//! What comes late: the time, the network card, names, the camera.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::appliance::ground::{BOOT, Ground, JOINED, SOON, link, wait_in};
use crate::appliance::machine::Plugs;

/// How long the card has to do without.
const WITHOUT: Duration = Duration::from_secs(5);

/// A board without a clock, in a network that tells the time only after a while.
pub(super) fn clock(ground: &mut Ground<'_>) -> Result<()> {
    let _dns = ground.lane.dns(ground.folder)?;
    let time = ground.lane.time(false)?;
    let card = ground.card("clock")?;
    let plugs = Plugs { without_clock: true, ..Plugs::all(ground.lane, ground.cores) };
    let mut machine = ground.boot_with(&card, plugs, "clock")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let year = machine.shell("date +%Y")?;
    let floor = year.trim().parse::<u32>().is_ok_and(|year| year >= 2025);
    ground.checks.check("clock: without the time, the clock is not before the build", {
        if floor { Ok(format!("it is {}", year.trim())) } else { Err(anyhow::anyhow!("it is {year}")) }
    });
    thread::sleep(WITHOUT);
    time.answer();
    let joined = machine.console.wait_for(JOINED, BOOT);
    let link = link(&mut machine)?;
    ground.checks.check("clock: once the time is known, the camera streams", joined.and_then(|_| ground.sees(&link)));
    machine.cut()
}

/// Nothing is there at first; then one thing after the other.
pub(super) fn run(ground: &mut Ground<'_>) -> Result<()> {
    let card = ground.card("late")?;
    let plugs = Plugs { network: false, camera: false, ..Plugs::all(ground.lane, ground.cores) };
    let mut machine = ground.boot_with(&card, plugs, "late")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let link = link(&mut machine)?;
    thread::sleep(WITHOUT);
    ensure!(!machine.console.has(JOINED), "it joined without a network card");

    let _time = ground.lane.time(true)?;
    machine.plug_network(ground.lane)?;
    let address = ground.lane.card().to_string();
    let addressed = wait_in(&mut machine, &format!("grep -q '{address}$' /proc/net/fib_trie"), SOON);
    let addressed =
        addressed.or_else(|_| wait_in(&mut machine, &format!("grep -q '{address}' /proc/net/fib_trie"), SOON));
    ground.checks.check("late: a network card that is plugged in later gets its address", addressed.map(|()| address));
    thread::sleep(WITHOUT);

    let _dns = ground.lane.dns(ground.folder)?;
    let joined = machine.console.wait_for(JOINED, SOON);
    ground.checks.check("late: names that can be resolved only later", joined.map(|_| String::new()));
    thread::sleep(WITHOUT);

    machine.plug_camera()?;
    let opened = machine.console.wait_for(&["camera opened"], SOON);
    ground.checks.check("late: a camera that is plugged in later", opened.and_then(|_| ground.sees(&link)));
    machine.cut()
}
