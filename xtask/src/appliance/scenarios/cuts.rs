//! Power cuts in the first boot: whenever they come, the card boots again, and who it is stays who it is.
//!
//! QEMU is killed: what the guest has not written is lost, as on a board; what it has is there.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::people::{identity_file, secrets};
use crate::appliance::ground::{BOOT, Ground};
use crate::appliance::machine::Plugs;

/// How often in each of the two scenarios.
const CUTS: u32 = 10;
/// What the log says once there is an identity.
const MADE: &[&str] = &["identity was made"];
/// How often the card is asked what was written to it.
const GLANCE: Duration = Duration::from_millis(2);

/// Spread evenly over the boot, to a while after the identity was made.
pub(super) fn spread(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let (made, _) = reference(ground)?;
    campaign(ground, "spread over the first boot", |cut| When::Passed(made * (3 + cut) / CUTS))
}

/// One after each of the writes that the making of the identity takes, as nearly as can be.
pub(super) fn at_writes(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let (_, writes) = reference(ground)?;
    campaign(ground, "between the writes of the first boot", |cut| {
        When::Written((1 + u64::from(cut) * writes / u64::from(CUTS)).min(writes))
    })
}

/// When the identity is made in a boot without a cut, and with how many writes to the card.
fn reference(ground: &Ground<'_>) -> Result<(Duration, u64)> {
    let name = format!("cut-reference-{}", ground.lane.0);
    let card = ground.card(&name)?;
    let mut machine = ground.boot_with(&card, plugs(ground), &name)?;
    machine.console.wait_for(MADE, BOOT)?;
    let seen = (machine.begun.elapsed(), machine.writes()?);
    machine.cut()?;
    Ok(seen)
}

/// The moment of a cut.
enum When {
    /// So long after power-on.
    Passed(Duration),
    /// So many writes after power-on: nothing but the data partition is written to.
    Written(u64),
}

fn plugs(ground: &Ground<'_>) -> Plugs {
    Plugs::all(ground.lane, ground.cores)
}

fn campaign(ground: &Ground<'_>, name: &str, when: impl Fn(u32) -> When) -> Result<()> {
    let mut found = 0;
    let mut problems = Vec::new();
    for cut in 0..CUTS {
        match survives(ground, cut, &when(cut)) {
            Ok(there) => found += u32::from(there),
            Err(problem) => problems.push(format!("cut {cut}: {problem:#}")),
        }
    }
    ground.checks.check(&format!("cuts: {CUTS} {name}"), {
        if problems.is_empty() {
            Ok(format!("{found} of them left an identity"))
        } else {
            Err(anyhow::anyhow!(problems.join("\n    ")))
        }
    });
    Ok(())
}

/// Whether there was an identity after the cut.
fn survives(ground: &Ground<'_>, cut: u32, when: &When) -> Result<bool> {
    let name = format!("cut-{}", ground.lane.0);
    let card = ground.card(&name)?;
    let mut machine = ground.boot_with(&card, plugs(ground), &name)?;
    match *when {
        When::Passed(moment) => thread::sleep(moment.saturating_sub(machine.begun.elapsed())),
        When::Written(writes) => {
            while machine.writes()? < writes {
                ensure!(machine.begun.elapsed() < BOOT, "there are not {writes} writes to the card");
                thread::sleep(GLANCE);
            }
        }
    }
    machine.cut()?;
    let before = identity_file(&card)?.map(|text| secrets(&text)).transpose()?;

    let machine = ground.boot_with(&card, plugs(ground), &format!("{name}-after-{cut}"))?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    // Another cut, which must not cost anything either.
    machine.cut()?;
    let after = identity_file(&card)?.context("it has no identity after it has started")?;
    let after = secrets(&after)?;
    if let Some(before) = &before {
        ensure!(*before == after, "it has another identity than before the cut");
    }
    Ok(before.is_some())
}
