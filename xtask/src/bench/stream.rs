//! `cargo xtask bench stream`: the whole path, test pattern to page, as a viewer meets it.
//!
//! Every figure is measured with one viewer, and where it says so with four in the same run: what that
//! costs is what fanning out one encode is worth.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::process::{self, Holdings};
use crate::bench::report::{Figure, Goal, median};
use crate::bench::rig::{self, Rig};
use crate::bench::viewers::{Joined, Viewers, Watched};
use crate::progress::Step;

const PAGE_LOADS: usize = 10;
const WATCHED_SECONDS: u64 = 60;
const MANY: usize = 4;
/// Joins and leaves after which memory is looked at, twice.
const ROUND: usize = 100;
const ENCODER_THREAD: &str = "encode";
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Builds, runs and measures.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    rig::build(&[])?;
    let mut rig = Rig::start("pattern")?;
    let camera = rig.camera();
    let mut figures = Vec::new();
    let step = Step::begin(format!("Time to the first frame, {PAGE_LOADS} page loads"));
    figures.extend(join_figures(&rig.viewers.join(PAGE_LOADS)?)?);
    step.done();
    let one = watch(&mut rig.viewers, camera, 1)?;
    let many = watch(&mut rig.viewers, camera, MANY)?;
    figures.extend(stream_figures(&one, &many)?);
    figures.extend(churn(&mut rig.viewers, camera)?);
    rig.stop()?;
    Ok(figures)
}

/// The first frame, and the part of the way to it that the handshake takes: what sealing costs whoever joins.
fn join_figures(joined: &Joined) -> Result<Vec<Figure>> {
    let first_frame = median(&joined.first_frames).context("no page load was measured")?;
    let loads = joined.first_frames.len();
    Ok(vec![
        Figure::new(format!("WebSocket open to first decoded frame, median of {loads}"), first_frame, "ms")
            .with_goal(Goal::AtMost(300.0)),
        Figure::new("of it the handshake: camera greeted to camera proven, median", joined.handshake, "ms")
            .with_goal(Goal::AtMost(20.0)),
        Figure::new("the handshake's share of the first frame", 100.0 * joined.handshake / first_frame, "%"),
    ])
}

/// What was measured while `viewers` watched.
struct Watch {
    viewers: usize,
    seen: Watched,
    /// CPU seconds of the camera while they did.
    whole: f64,
    encoder: f64,
}

impl Watch {
    /// CPU seconds for a viewer-minute, the encoder left out: it encodes once for all.
    fn cost(&self) -> f64 {
        (self.whole - self.encoder) * 60.0 / self.seen.seconds / self.viewers as f64
    }

    fn encoder_per_minute(&self) -> f64 {
        self.encoder * 60.0 / self.seen.seconds
    }

    fn slowest(&self) -> f64 {
        self.seen.frames_per_second.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn watch(viewers: &mut Viewers, camera: u32, count: usize) -> Result<Watch> {
    let step = Step::begin(format!("{count} viewer(s) watch for {WATCHED_SECONDS} s"));
    let (mut before, mut after) = (None, None);
    let seen = viewers.watch(
        count,
        WATCHED_SECONDS,
        || process::usage(camera).map(|usage| before = Some(usage)),
        || process::usage(camera).map(|usage| after = Some(usage)),
    )?;
    step.done();
    let (before, after) = before.zip(after).context("the camera's time was not measured")?;
    let used = after.since(&before);
    Ok(Watch { viewers: count, seen, whole: used.whole, encoder: used.of(ENCODER_THREAD) })
}

fn stream_figures(one: &Watch, many: &Watch) -> Result<Vec<Figure>> {
    let latency = |watch: &Watch| median(&watch.seen.latencies).context("the time in the picture could not be read");
    let with_many = |name: &str| format!("{name}, {} viewers", many.viewers);
    let rate = "frames decoded a second, 720x480";
    let delay = "capture to rendered frame, median";
    let cost = "camera CPU without encoder, per viewer-minute";
    let encoder = "camera CPU of the encoder, per minute";
    // 30 frames a second, as far as one can count frames at the edges of a minute.
    Ok(vec![
        Figure::new(rate, one.slowest(), "fps").with_goal(Goal::AtLeast(29.5)),
        Figure::new(with_many(rate) + " (slowest)", many.slowest(), "fps"),
        Figure::new(delay, latency(one)?, "ms").with_goal(Goal::AtMost(40.0)),
        Figure::new(with_many(delay), latency(many)?, "ms"),
        Figure::new(cost, one.cost(), "s").with_goal(Goal::AtMost(0.5)),
        Figure::new(with_many(cost), many.cost(), "s"),
        Figure::new(encoder, one.encoder_per_minute(), "s"),
        Figure::new(with_many(encoder), many.encoder_per_minute(), "s"),
    ])
}

fn churn(viewers: &mut Viewers, camera: u32) -> Result<Vec<Figure>> {
    let idle = settled(camera)?;
    let mut rounds = Vec::new();
    for round in 1..=2 {
        let step = Step::begin(format!("Joins and leaves, {} to {}", (round - 1) * ROUND + 1, round * ROUND));
        viewers.join(ROUND)?;
        rounds.push(settled(camera)?);
        step.done();
    }
    let (first, second) = (rounds[0], rounds[1]);
    let more = |after: usize, before: usize| after as f64 - before as f64;
    Ok(vec![
        Figure::new("memory of the camera before the joins and leaves", idle.memory, "MB"),
        Figure::new(format!("memory after {ROUND} joins and leaves"), first.memory, "MB"),
        Figure::new(format!("growth from {ROUND} to {} of them", 2 * ROUND), second.memory - first.memory, "MB")
            .with_goal(Goal::AtMost(1.0)),
        Figure::new("descriptors more after them", more(second.descriptors, idle.descriptors), "")
            .with_goal(Goal::AtMost(0.0)),
        Figure::new("threads more after them", more(second.threads, idle.threads), "").with_goal(Goal::AtMost(0.0)),
    ])
}

/// What the camera holds once the last viewer's connection is closed: when it stops giving things back.
fn settled(camera: u32) -> Result<Holdings> {
    let until = Instant::now() + SETTLED_WITHIN;
    let mut last = process::holdings(camera)?;
    let mut unchanged = 0;
    while unchanged < 6 && Instant::now() < until {
        thread::sleep(Duration::from_millis(500));
        let now = process::holdings(camera)?;
        unchanged = if (now.descriptors, now.threads) == (last.descriptors, last.threads) { unchanged + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_shown_beside_the_first_frame() {
        let joined = r#"{"joined":[190.0,200.0,300.0],"handshake_ms":12.5}"#;
        let figures = join_figures(&serde_json::from_str(joined).expect("an answer of the script")).expect("figures");
        let values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [200.0, 12.5, 6.25]);
        assert!(figures.iter().all(Figure::is_met) && figures[1].goal == Some(Goal::AtMost(20.0)));
    }
}
