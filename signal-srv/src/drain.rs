//! Who is dismissed when, once the server stops.
//!
//! All at once would come back all at once, to this server's successor or to the other servers behind a load balancer, each with
//! a TLS handshake. So clients are dismissed over a while that grows with their number, each at an instant of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::metrics::Metrics;
use crate::settings::InEffect;

/// Connections share a token in so many groups: no timer and no allocation for any of them, and few meet at one lock.
const GROUPS: usize = 256;

/// A connection that was dismissed and has had its time for a farewell ends within this.
pub(crate) const STOP: Duration = Duration::from_secs(3);

/// Every connection's turn.
#[derive(Debug)]
pub(crate) struct Drain {
    groups: Vec<CancellationToken>,
    handed_out: AtomicUsize,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self { groups: (0..GROUPS).map(|_| CancellationToken::new()).collect(), handed_out: AtomicUsize::new(0) }
    }

    /// What tells a new connection that its turn has come.
    pub(crate) fn turn(&self) -> CancellationToken {
        self.groups[group(self.handed_out.fetch_add(1, Ordering::Relaxed))].clone()
    }

    /// Dismisses everybody, one group after the other, within this time.
    async fn run(&self, window: Duration) {
        let begun = Instant::now();
        for (turn, group) in (0..).zip(&self.groups) {
            sleep_until(begun + window * turn / GROUPS as u32).await;
            group.cancel();
        }
    }
}

/// How long it takes to dismiss so many connections: a thousand a second, which a successor on one core lets in with ease, or
/// faster if there are more than fit into the longest that it may take.
fn window(connections: usize, longest: Duration) -> Duration {
    longest.min(Duration::from_millis(connections as u64))
}

/// Neighbours in time far apart, all groups of one size (Fibonacci hashing).
const fn group(number: usize) -> usize {
    ((number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - GROUPS.ilog2())) as usize
}

/// The end of a server, from the shutdown on.
pub(crate) struct Stopping {
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain: Arc<Drain>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<InEffect>,
    pub(crate) tasks: TaskTracker,
    /// What is served to the last ends, too.
    pub(crate) drained: CancellationToken,
}

impl Stopping {
    /// Gives the number of tasks that did not end in time.
    pub(crate) async fn run(self) -> usize {
        self.shutdown.cancelled().await;
        self.tasks.close();
        let limits = &self.settings.now().limits;
        let connections = usize::try_from(self.metrics.websockets.get()).unwrap_or(0);
        let window = window(connections, limits.drain);
        info!(connections, within = %format_args!("{:.1} s", window.as_secs_f64()), "dismissing clients");
        self.drain.run(window).await;
        let ended = timeout(limits.farewell + STOP, self.tasks.wait()).await;
        self.drained.cancel();
        if ended.is_ok() { 0 } else { self.tasks.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_one_size_and_neighbours_far_apart() {
        let mut sizes = [0_u32; GROUPS];
        for number in 0..10 * GROUPS {
            sizes[group(number)] += 1;
            assert!(group(number).abs_diff(group(number + 1)) > GROUPS / 4);
        }
        assert!(sizes.iter().all(|size| (8..=12).contains(size)), "{sizes:?}");
    }

    #[test]
    fn few_are_dismissed_at_once_and_many_over_the_longest_time() {
        let longest = Duration::from_secs(10);
        assert_eq!(window(0, longest), Duration::ZERO);
        assert_eq!(window(20, longest), Duration::from_millis(20));
        assert_eq!(window(5_000, longest), Duration::from_secs(5));
        assert_eq!(window(1_000_000, longest), longest);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_dismissed_within_the_window_and_nobody_in_a_crowd() {
        let drain = Drain::new();
        let turns: Vec<_> = (0..GROUPS * 4).map(|_| drain.turn()).collect();
        let begun = Instant::now();
        let instants: Vec<_> = turns
            .into_iter()
            .map(|turn| async move {
                turn.cancelled().await;
                begun.elapsed().as_millis() / 100
            })
            .collect();
        let (instants, ()) = tokio::join!(futures_util::future::join_all(instants), drain.run(Duration::from_secs(10)));
        for tenth in 0..100 {
            let crowd = instants.iter().filter(|instant| **instant == tenth).count();
            assert!((4..=20).contains(&crowd), "{crowd} of {} in the {tenth}th tenth of a second", instants.len());
        }
    }
}
