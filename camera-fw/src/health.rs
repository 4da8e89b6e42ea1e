//! One line a second about the frame path, at level debug.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::pipeline::Counters;

/// What the counters showed a second ago, and the beat at which they are looked at.
#[derive(Debug)]
pub struct Health {
    counters: Arc<Counters>,
    beat: tokio::time::Interval,
    last: [u64; 5],
}

impl Health {
    /// Starts to observe.
    pub fn new(counters: Arc<Counters>) -> Self {
        let mut beat = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { counters, beat, last: [0; 5] }
    }

    /// Waits for the next second. Safe to cancel.
    pub async fn tick(&mut self) {
        self.beat.tick().await;
    }

    /// Writes the line.
    pub fn report(&mut self, viewers: usize) {
        let Counters { captured, superseded, encoded, keyframes, bytes, speed_steps: _ } = &*self.counters;
        let now = [captured, superseded, encoded, keyframes, bytes].map(|counter| counter.load(Ordering::Relaxed));
        let [captured, superseded, encoded, keyframes, bytes] =
            std::array::from_fn(|index| now[index] - self.last[index]);
        self.last = now;
        tracing::debug!(viewers, captured, superseded, encoded, keyframes, kbps = bytes * 8 / 1_000, "last second");
    }
}
