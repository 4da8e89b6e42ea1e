//! What an operator does meanwhile: other certificates, other limits, and mistakes in both.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use nix::sys::signal::Signal;

use super::ground::{Ground, LIMITS, pause};
use crate::client::{Door, PATIENCE};

/// The errors that the server logs for the mistakes that are made here.
pub(super) const EXPECTED_ERRORS: &[&str] =
    &["the configuration is not reloaded", "the certificate is the one before", "the new certificate cannot be used"];

/// Until it is time to leave; everything once at least. What it leaves behind is right.
pub(super) async fn run(ground: &Ground, mut rng: Rng) -> Result<()> {
    loop {
        for _ in 0..4 {
            new_certificate(ground, &mut rng).await.context("a new certificate")?;
            mistake(ground, &mut rng).await.context("a mistake of the operator")?;
            other_limits(ground, &mut rng).await.context("other limits")?;
            if ground.is_over() {
                break;
            }
        }
        ground.files.configure(&format!("[limits]\n{LIMITS}"))?;
        ground.server.signal(Signal::SIGHUP)?;
        if ground.is_over() {
            return Ok(());
        }
    }
}

/// It is used from the next handshakes on: found by the server itself, or on SIGHUP.
async fn new_certificate(ground: &Ground, rng: &mut Rng) -> Result<()> {
    ground.tally.count("new certificate");
    ground.files.renew()?;
    if rng.bool() {
        ground.server.signal(Signal::SIGHUP)?;
    }
    let new = ground.files.certificate()?;
    let begun = Instant::now();
    loop {
        // Who comes for the first time does not resume a session that was made with the old one.
        let door = Door::new(ground.door.address, &ground.files.roots())?;
        let stream = door.secured(ground.address()).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if shown.is_some_and(|shown| *shown == new) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "it is not used");
        pause(rng, 50..150).await;
    }
}

/// Costs nothing: what was there before goes on.
async fn mistake(ground: &Ground, rng: &mut Rng) -> Result<()> {
    ground.tally.count("operator's mistake");
    let certificate = rng.bool();
    if certificate {
        ground.files.spoil()?;
    } else {
        ground.files.configure("max_viewers = \"many\"\n")?;
    }
    ground.server.signal(Signal::SIGHUP)?;
    pause(rng, 100..600).await;
    let stream = ground.door.secured(ground.address()).await.context("nobody is let in any more")?;
    drop(stream);
    if certificate {
        ground.files.renew()?;
    } else {
        ground.files.configure(&format!("[limits]\n{LIMITS}"))?;
    }
    ground.server.signal(Signal::SIGHUP)
}

/// Everybody who is there goes on under those that were in effect when they came.
async fn other_limits(ground: &Ground, rng: &mut Rng) -> Result<()> {
    ground.tally.count("other limits");
    let (viewers, check) = (rng.u8(8..64), rng.u8(1..9));
    let limits = LIMITS.replace("certificate_check_s = 0.5", &format!("certificate_check_s = 0.{check}"));
    ground.files.configure(&format!("max_viewers = {viewers}\n[limits]\n{limits}"))?;
    ground.server.signal(Signal::SIGHUP)?;
    pause(rng, 100..600).await;
    Ok(())
}
