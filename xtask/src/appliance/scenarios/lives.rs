//! One card over several lives; and an agent that dies, or hangs, within one.

use anyhow::{Result, ensure};

use crate::appliance::ground::{BOOT, Ground, JOINED, SOON, link, wait_in};
use crate::appliance::machine::Machine;

pub(super) fn run(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("lives")?;
    let mut machine = ground.boot(&card, "first-life")?;
    machine.console.wait_for(JOINED, BOOT)?;
    let first = ground.label(&mut machine, &card)?;
    machine.power_off()?;
    let (label, before) = (card.read("roomcam-label.svg")?, card.boot_digest()?);

    let mut machine = ground.boot(&card, "second-life")?;
    machine.console.wait_for(JOINED, BOOT)?;
    let checks = ground.checks;
    let second = link(&mut machine)?;
    checks.check("lives: the second boot has the identity of the first", {
        if first == second { Ok(String::new()) } else { Err(anyhow::anyhow!("it was {first} and is {second}")) }
    });
    checks.check("lives: killed with SIGKILL, the agent comes back", comes_back(&mut machine, "KILL"));
    checks.check("lives: stopped with SIGSTOP, the agent comes back", comes_back(&mut machine, "STOP"));
    checks.check("lives: there is a picture after all that", ground.sees(&first));
    machine.power_off()?;
    ground.checks.check("lives: nothing was written on the boot partition", {
        let same = card.boot_digest()? == before && card.read("roomcam-label.svg")? == label;
        if same { Ok(String::new()) } else { Err(anyhow::anyhow!("it differs from what the first boot left")) }
    });

    let other = ground.card("other")?;
    let mut machine = ground.boot(&other, "other-card")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let other = link(&mut machine)?;
    machine.cut()?;
    ground.checks.check("lives: another card has another identity", {
        if other == first { Err(anyhow::anyhow!("both have {first}")) } else { Ok(String::new()) }
    });
    Ok(())
}

/// systemd starts it anew, and it joins its room again.
fn comes_back(machine: &mut Machine, signal: &str) -> Result<String> {
    let pid = |machine: &mut Machine| machine.shell("systemctl show -p MainPID --value camera-fw.service");
    let before = pid(machine)?;
    let said = machine.console.length();
    machine.shell(&format!("kill -{signal} {before}"))?;
    machine.console.wait_after(said, JOINED, SOON)?;
    let after = pid(machine)?;
    ensure!(before != after, "it is still process {before}");
    wait_in(machine, "systemctl is-active --quiet camera-fw.service", SOON)?;
    Ok(String::new())
}
