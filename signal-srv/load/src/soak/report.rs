//! What the soak has seen, in words.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::tally::{Tally, Times};
use crate::server::{Metrics, Server};

/// What there was.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    begun: Instant,
    cpu_before: Duration,
    pub(super) lulls: Vec<Lull>,
    pub(super) stop: Option<Duration>,
    done: Vec<(&'static str, u64)>,
    joins: Times,
    relays: Times,
    metrics: Metrics,
    lasted: Duration,
    cpu: Duration,
}

/// The server while nobody is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lull {
    pub(super) at: Duration,
    pub(super) joins: i64,
    /// Memory, in bytes.
    pub(super) resident: u64,
}

impl Report {
    pub(super) fn new(seed: u64, server: &Server) -> Result<Self> {
        Ok(Self {
            seed,
            begun: Instant::now(),
            cpu_before: server.cpu()?,
            lulls: Vec::new(),
            stop: None,
            done: Vec::new(),
            joins: Times::default(),
            relays: Times::default(),
            metrics: Metrics::default(),
            lasted: Duration::ZERO,
            cpu: Duration::ZERO,
        })
    }

    pub(super) async fn finish(&mut self, server: &Server, tally: &Tally) -> Result<()> {
        self.done = tally.done();
        (self.joins, self.relays) = (tally.joins(), tally.relays());
        self.metrics = server.metrics().await?;
        self.lasted = self.begun.elapsed();
        self.cpu = server.cpu()?.saturating_sub(self.cpu_before);
        Ok(())
    }

    /// Memory in the last lulls less that in the first, in bytes. Of a few the least: what was left for good is in all of them.
    pub(super) fn growth(&self) -> u64 {
        let first = self.lulls.first().map_or(0, |lull| lull.resident);
        let last = self.lulls.iter().skip(1).rev().take(3).map(|lull| lull.resident).min();
        last.unwrap_or(first).saturating_sub(first)
    }

    /// The last lull, in a line.
    pub(super) fn progress(&self, tally: &Tally) -> String {
        let Some(lull) = self.lulls.last() else { return String::new() };
        let relayed = tally.relays().count();
        format!(
            "{:>5.0} s: {} joins, as many leaves; {relayed} signals heard; nothing left open; {:.1} MB",
            lull.at.as_secs_f64(),
            lull.joins,
            lull.resident as f64 / 1e6
        )
    }

    /// How often something of this name was done.
    pub fn count(&self, name: &str) -> u64 {
        self.done.iter().find(|(done, _)| *done == name).map_or(0, |(_, count)| *count)
    }

    /// Names of everything that was done.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.done.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs_f64();
        writeln!(f, "seed {}, {seconds:.0} s", self.seed)?;
        for (name, count) in &self.done {
            writeln!(f, "  {count:>8}  {name}")?;
        }
        let times = |times: &Times| {
            let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
            let [half, most, longest] = [times.percentile(50), times.percentile(99), times.longest()].map(milliseconds);
            format!("p50 {half:.1} ms, p99 {most:.1} ms, longest {longest:.1} ms, of {}", times.count())
        };
        writeln!(f, "joins, from the first packet: {}", times(&self.joins))?;
        writeln!(f, "relays, from client to client: {}", times(&self.relays))?;
        let refusals = self.metrics.refusals();
        let refusals: Vec<_> = refusals.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(f, "refused: {}", refusals.join(", "))?;
        let (joins, leaves) = (self.metrics.sum("joins_total"), self.metrics.sum("leaves_total"));
        writeln!(
            f,
            "server: {joins} joins, {leaves} leaves, CPU {:.1} % of a core",
            self.cpu.as_secs_f64() / seconds * 100.0
        )?;
        let memory: Vec<_> = self.lulls.iter().map(|lull| format!("{:.1}", lull.resident as f64 / 1e6)).collect();
        write!(f, "memory in the lulls, MB: {}", memory.join(" "))?;
        match self.stop {
            Some(took) => write!(f, "\nstopped in order after {:.1} s", took.as_secs_f64()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(memory: &[u64]) -> Report {
        Report {
            seed: 1,
            begun: Instant::now(),
            cpu_before: Duration::ZERO,
            lulls: memory.iter().map(|resident| Lull { at: Duration::ZERO, joins: 0, resident: *resident }).collect(),
            stop: None,
            done: vec![("join", 3)],
            joins: Times::default(),
            relays: Times::default(),
            metrics: Metrics::default(),
            lasted: Duration::from_secs(1),
            cpu: Duration::ZERO,
        }
    }

    #[test]
    fn growth_is_what_is_left_for_good() {
        assert_eq!(report(&[]).growth(), 0);
        assert_eq!(report(&[10]).growth(), 0);
        assert_eq!(report(&[10, 99, 12, 13, 90]).growth(), 2);
        assert_eq!(report(&[10, 9]).growth(), 0);
    }

    #[test]
    fn what_was_done_is_counted_by_name() {
        let report = report(&[]);
        assert_eq!((report.count("join"), report.count("leave")), (3, 0));
        assert!(report.to_string().contains("       3  join\n"), "{report}");
    }
}
