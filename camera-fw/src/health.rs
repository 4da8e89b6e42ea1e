//! Whether the frame path lives: one line a second at level debug, and the watchdog of systemd
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::pipeline::Counters;

/// What the counters showed a second ago, and the beat at which they are looked at.
#[derive(Debug)]
pub struct Health {
    counters: Arc<Counters>,
    beat: tokio::time::Interval,
    last: [u64; 7],
}

impl Health {
    /// Starts to observe.
    pub fn new(counters: Arc<Counters>) -> Self {
        let mut beat = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { counters, beat, last: [0; 7] }
    }

    /// Waits for the next second. Safe to cancel.
    pub async fn tick(&mut self) {
        self.beat.tick().await;
    }

    /// Writes the line.
    pub fn report(&mut self, viewers: usize) {
        let Counters { captured, missed, damaged, superseded, encoded, keyframes, bytes, .. } = &*self.counters;
        let now = [captured, missed, damaged, superseded, encoded, keyframes, bytes];
        let now = now.map(|counter| counter.load(Ordering::Relaxed));
        let [captured, missed, damaged, superseded, encoded, keyframes, bytes] =
            std::array::from_fn(|index| now[index] - self.last[index]);
        self.last = now;
        let kbps = bytes * 8 / 1_000;
        tracing::debug!(viewers, captured, missed, damaged, superseded, encoded, keyframes, kbps, "last second");
    }
}

/// A thread of the frame path that does nothing for so long hangs in a driver. To open a camera with all its controls can
/// take half of it.
const HANG: Duration = Duration::from_secs(30);

/// Tells systemd that the program lives, as long as the threads of the frame path do; returns the name of one that has
/// not moved for half a minute.
pub async fn watch(beats: impl Fn() -> [u64; 2]) -> &'static str {
    let systemd = sd_notify::watchdog_enabled();
    let beat = systemd.map_or(HANG / 5, |limit| limit / 3).clamp(Duration::from_millis(100), HANG / 5);
    let mut rhythm = interval(beat);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moved = beats().map(|beat| (beat, Instant::now()));
    loop {
        rhythm.tick().await;
        for (index, beat) in beats().into_iter().enumerate() {
            if moved[index].0 != beat {
                moved[index] = (beat, Instant::now());
            } else if moved[index].1.elapsed() >= HANG {
                return ["capture", "encode"][index];
            }
        }
        if systemd.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Tells systemd, if it has started us.
pub fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd does not listen");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_hangs_is_named() {
        let (begun, beat) = (Instant::now(), AtomicU64::new(0));
        let hanging = watch(|| [beat.fetch_add(1, Ordering::Relaxed), 7]).await;
        assert_eq!(hanging, "encode");
        assert!((HANG..2 * HANG).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
