//! How fast one connection may send. Pure: time is an argument.
//!
//! Haste is not refused but slowed down: while a connection has sent too much nothing more is read of it, and TCP makes its
//! sender wait. Only who does not stop is refused.

use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// A vessel that what is sent fills, and that empties at a steady rate.
#[derive(Debug, Clone, Copy)]
struct Vessel {
    per_second: f64,
    holds: f64,
    level: f64,
}

impl Vessel {
    fn new(per_second: usize, holds: usize) -> Self {
        Self { per_second: per_second as f64, holds: holds as f64, level: 0.0 }
    }

    /// Empties for a while.
    fn drain(&mut self, passed: Duration) {
        self.level = (self.level - passed.as_secs_f64() * self.per_second).max(0.0);
    }

    fn is_half_empty(&self) -> bool {
        self.level <= self.holds / 2.0
    }

    /// Takes it in whatever the level, and says how long it takes until there is room again.
    fn fill(&mut self, amount: usize) -> Duration {
        self.level += amount as f64;
        Duration::from_secs_f64((self.level - self.holds).max(0.0) / self.per_second)
    }
}

/// What one connection has sent lately.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    messages: Vessel,
    bytes: Vessel,
    haste: Duration,
    last: Instant,
    /// Since when it sends faster than it is read.
    hasty: Option<Instant>,
}

/// It did not stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

impl Pace {
    pub(crate) fn new(limits: &Limits, shares: usize, now: Instant) -> Self {
        let shared = |limit: usize| limit.saturating_mul(shares);
        Self {
            messages: Vessel::new(shared(limits.messages_per_second), shared(limits.message_burst)),
            bytes: Vessel::new(shared(limits.bytes_per_second), shared(limits.byte_burst)),
            haste: limits.haste,
            last: now,
            hasty: None,
        }
    }

    /// Counts a message, and says until when nothing more is to be read, if it was one too many.
    pub(crate) fn count(&mut self, bytes: usize, now: Instant) -> Result<Option<Instant>, Flood> {
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        self.messages.drain(passed);
        self.bytes.drain(passed);
        // Only who has paused is not hasty any more. That we were late to read, because the machine is busy, is no pause.
        if self.messages.is_half_empty() && self.bytes.is_half_empty() {
            self.hasty = None;
        }
        let wait = self.messages.fill(1).max(self.bytes.fill(bytes));
        if wait.is_zero() {
            return Ok(None);
        }
        let since = *self.hasty.get_or_insert(now);
        if now.saturating_duration_since(since) > self.haste { Err(Flood) } else { Ok(Some(now + wait)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            messages_per_second: 10,
            message_burst: 5,
            bytes_per_second: 1000,
            byte_burst: 2000,
            haste: Duration::from_secs(3),
            ..Limits::default()
        }
    }

    #[test]
    fn a_burst_is_free_and_what_follows_comes_at_the_rate() {
        let begun = Instant::now();
        let mut pace = Pace::new(&limits(), 1, begun);
        for _ in 0..5 {
            assert_eq!(pace.count(1, begun), Ok(None));
        }
        let mut now = begun;
        for number in 1..=20_u32 {
            let until = pace.count(1, now).unwrap().unwrap();
            let expected = begun + Duration::from_millis(100) * number;
            assert!(until.duration_since(now) <= Duration::from_millis(101), "{number}");
            assert!(
                until + Duration::from_millis(1) > expected && until < expected + Duration::from_millis(1),
                "{number}"
            );
            now = until;
        }
    }

    #[test]
    fn who_pauses_has_the_whole_burst_again() {
        let mut now = Instant::now();
        let mut pace = Pace::new(&limits(), 1, now);
        for _ in 0..10 {
            for _ in 0..5 {
                assert_eq!(pace.count(1, now), Ok(None));
            }
            assert!(pace.count(1, now).unwrap().is_some());
            now += Duration::from_secs(1);
        }
    }

    #[test]
    fn a_server_that_is_late_does_not_take_a_flood_for_a_pause() {
        let mut now = Instant::now();
        let mut pace = Pace::new(&limits(), 1, now);
        let begun = now;
        // Always read 120 ms late, when there is room for one more.
        while let Ok(until) = pace.count(1, now) {
            now = until.map_or(now, |until| until + Duration::from_millis(120));
            assert!(now < begun + Duration::from_secs(5));
        }
    }

    #[test]
    fn large_messages_count_as_what_they_are() {
        let now = Instant::now();
        let mut pace = Pace::new(&limits(), 1, now);
        assert_eq!(pace.count(2000, now), Ok(None));
        assert_eq!(pace.count(500, now), Ok(Some(now + Duration::from_millis(500))));
    }

    #[test]
    fn who_does_not_stop_is_refused_and_who_has_more_shares_may_send_more() {
        for (shares, refused_after) in [(1, 5 + 31..5 + 33), (4, 20 + 121..20 + 123)] {
            let mut now = Instant::now();
            let mut pace = Pace::new(&limits(), shares, now);
            let mut sent = 0;
            while let Ok(until) = pace.count(1, now) {
                now = until.unwrap_or(now);
                sent += 1;
            }
            assert!(refused_after.contains(&sent), "{sent} with {shares}");
        }
    }
}
