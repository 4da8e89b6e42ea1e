//! What was done and how long it took, of everybody together.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts by name, and times.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: BTreeMap<&'static str, u64>,
    joins: Times,
    relays: Times,
}

/// Times in steps of a tenth of a power of two: enough for percentiles, and of constant size.
#[derive(Debug, Default, Clone)]
pub(super) struct Times {
    steps: BTreeMap<u32, u64>,
    longest: Duration,
}

impl Tally {
    pub(super) fn count(&self, what: &'static str) {
        *self.lock().done.entry(what).or_default() += 1;
    }

    /// From the first packet to `JOINED`.
    pub(super) fn joined(&self, took: Duration) {
        self.lock().joins.add(took);
    }

    /// From one client to the other.
    pub(super) fn relayed(&self, took: Duration) {
        self.lock().relays.add(took);
    }

    pub(super) fn done(&self) -> Vec<(&'static str, u64)> {
        self.lock().done.iter().map(|(name, count)| (*name, *count)).collect()
    }

    pub(super) fn joins(&self) -> Times {
        self.lock().joins.clone()
    }

    pub(super) fn relays(&self) -> Times {
        self.lock().relays.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    const STEPS_TO_DOUBLE: f64 = 10.0;

    fn add(&mut self, took: Duration) {
        let step = ((took.as_micros().max(1) as f64).log2() * Self::STEPS_TO_DOUBLE).ceil();
        *self.steps.entry(step as u32).or_default() += 1;
        self.longest = self.longest.max(took);
    }

    pub(super) fn count(&self) -> u64 {
        self.steps.values().sum()
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// So many in a hundred took no longer than this, a fourteenth at most more or less.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        for (step, count) in &self.steps {
            seen += count;
            if seen >= wanted {
                let microseconds = (f64::from(*step) / Self::STEPS_TO_DOUBLE).exp2();
                return Duration::from_secs_f64(microseconds / 1e6).min(self.longest);
            }
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_near_what_they_are_of() {
        let mut times = Times::default();
        for milliseconds in 1..=100 {
            times.add(Duration::from_millis(milliseconds));
        }
        for percent in [50_u32, 90, 99] {
            let exact = Duration::from_millis(u64::from(percent));
            let found = times.percentile(percent.into());
            assert!(found >= exact && found <= exact.mul_f64(1.08), "{percent}: {found:?}");
        }
        assert_eq!(times.percentile(100), Duration::from_millis(100));
        assert_eq!(Times::default().percentile(50), Duration::ZERO);
    }
}
