//! What was checked, shown as it comes and counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};

use crate::progress::strong;

/// The checks of a run, of all lanes.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    passed: AtomicUsize,
    failed: AtomicUsize,
}

impl Checks {
    /// One check by its name; what it found, or why it failed, is shown beside it.
    pub(crate) fn check(&self, name: &str, outcome: Result<String>) {
        match outcome {
            Ok(figures) => {
                println!("  ✓ {name}  {figures}");
                self.passed.fetch_add(1, Ordering::Relaxed);
            }
            Err(problem) => {
                println!("  ✗ {}\n    {problem:#}", strong(name));
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// As cargo sums its tests up, for [`crate::tally::Tally`] to read.
    pub(crate) fn sum(&self) -> String {
        let (passed, failed) = (self.passed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        format!("test result: {}. {passed} passed; {failed} failed", if failed == 0 { "ok" } else { "FAILED" })
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == 0
    }
}

/// A figure that must not be more.
pub(crate) fn at_most(value: f64, limit: f64, unit: &str) -> Result<String> {
    ensure!(value <= limit, "it is {value:.1} {unit}, and not at most {limit} {unit}");
    Ok(format!("{value:.1} {unit}"))
}

/// A figure that must not be less.
pub(crate) fn at_least(value: f64, limit: f64, unit: &str) -> Result<String> {
    ensure!(value >= limit, "it is {value:.1} {unit}, and not at least {limit} {unit}");
    Ok(format!("{value:.1} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    #[test]
    fn the_sum_is_what_the_tally_reads() {
        let checks = Checks::default();
        checks.check("one", at_least(15.0, 15.0, "fps"));
        checks.check("two", at_most(120.1, 120.0, "MB"));
        let mut tally = Tally::default();
        tally.read(&checks.sum());
        assert_eq!(tally, Tally { passed: 1, failed: 1 });
        assert!(!checks.all_passed());
    }
}
