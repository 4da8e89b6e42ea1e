//! `cargo xtask bench boot`: from power-on to a picture, stage by stage, on the card of `cargo xtask image` in the emulated
//! machine of `cargo xtask test image`.
//!
//! Under emulation a figure says as much of the host and of what else it does as of the card.

use anyhow::Result;

use crate::appliance;
use crate::bench::report::{Figure, Goal};

/// Of the figures that have one.
const GOALS: [(&str, Goal); 6] = [
    ("root file system", Goal::AtMost(80.0)),
    ("image, compressed", Goal::AtMost(150.0)),
    ("build: all that was not there", Goal::AtMost(360.0)),
    ("kernel's start to first frame encoded", Goal::AtMost(14.0)),
    ("frames decoded by the viewer, 720x480", Goal::AtLeast(25.0)),
    ("memory in use with one viewer", Goal::AtMost(120.0)),
];

/// Builds the card if need be, and boots it.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let measured = appliance::measure()?;
    Ok(measured
        .into_iter()
        .map(|measured| {
            let goal = GOALS.iter().find(|(name, _)| *name == measured.name).map(|(_, goal)| *goal);
            let figure = Figure::new(measured.name, measured.value, unit(&measured.unit));
            match goal {
                Some(goal) => figure.with_goal(goal),
                None => figure,
            }
        })
        .collect())
}

fn unit(name: &str) -> &'static str {
    match name {
        "s" => "s",
        "fps" => "fps",
        "MB" => "MB",
        _ => "",
    }
}
