//! Data partitions that cannot be used: the camera streams all the same.

use anyhow::{Result, ensure};

use crate::appliance::card::Card;
use crate::appliance::ground::{BOOT, Ground, JOINED, link};

/// A card that was used, until its data partition had no room for another byte.
pub(super) fn full(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("full")?;
    let mut machine = ground.boot(&card, "full-before")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let before = link(&mut machine)?;
    machine.shell("cat /dev/zero >/var/lib/roomcam/filler 2>/dev/null; sync; ! echo x >/var/lib/roomcam/more")?;
    machine.power_off()?;
    survives(ground, &card, "full", Some(&before))
}

/// A card whose file system says that it must not be written to: what it has counts.
pub(super) fn read_only(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("read-only")?;
    let mut machine = ground.boot(&card, "read-only-before")?;
    machine.console.wait_for(&["agent started"], BOOT)?;
    let before = link(&mut machine)?;
    machine.power_off()?;
    card.make_data_read_only()?;
    survives(ground, &card, "read-only", Some(&before))
}

/// A card whose file system cannot be mounted.
pub(super) fn damaged(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("damaged")?;
    card.damage_data()?;
    survives(ground, &card, "damaged", None)
}

/// A card without that partition.
pub(super) fn missing(ground: &mut Ground<'_>) -> Result<()> {
    let _router = ground.router()?;
    let card = ground.card("missing")?;
    card.remove_data_partition()?;
    survives(ground, &card, "missing", None)
}

/// It joins, is seen, and is who it was if that can be known.
fn survives(ground: &mut Ground<'_>, card: &Card, name: &str, identity: Option<&str>) -> Result<()> {
    let mut machine = ground.boot(card, name)?;
    machine.console.wait_for(JOINED, BOOT)?;
    let link = link(&mut machine)?;
    let seen = ground.sees(&link);
    ground.checks.check(&format!("data: {name}: the camera streams"), seen);
    ground.checks.check(&format!("data: {name}: the identity is sound"), {
        let mut check = || {
            if let Some(identity) = identity {
                ensure!(link == identity, "it was {identity} and is {link}");
            }
            let failed = machine.shell("systemctl --failed --no-legend --plain --no-pager")?;
            ensure!(!failed.contains("camera-fw.service"), "the agent has failed: {failed}");
            Ok(if identity.is_some() { "the old one" } else { "one in memory" }.to_owned())
        };
        check()
    });
    machine.cut()
}
