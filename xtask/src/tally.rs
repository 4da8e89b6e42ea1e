//! How many tests passed and failed, read from the summary lines of the test runners.

use std::fmt;
use std::ops::AddAssign;

/// Counted tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// Takes in one line of a runner's output; lines that are no summary change nothing.
    ///
    /// Cargo: `test result: ok. 5 passed; 0 failed; …`. Node: `ℹ pass 5` or `# pass 5`.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colour(line);
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            let counts = counts.split_once(". ").map_or("", |(_, counts)| counts);
            for part in counts.split("; ") {
                match part.split_once(' ').map(|(count, what)| (count.parse::<usize>(), what)) {
                    Some((Ok(count), "passed")) => self.passed += count,
                    Some((Ok(count), "failed")) => self.failed += count,
                    _ => {}
                }
            }
        } else if let Some(count) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) {
            match count.split_once(' ').map(|(what, count)| (what, count.parse::<usize>())) {
                Some(("pass", Ok(count))) => self.passed += count,
                // A cancelled test did not pass: its time was up, or its parent failed.
                Some(("fail" | "cancelled", Ok(count))) => self.failed += count,
                _ => {}
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The text without ANSI escape sequences.
fn without_colour(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn cargo_summaries_add_up() {
        let output = "running 3 tests\ntest a ... ok\n\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             test result: \x1b[31mFAILED\x1b[0m. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(tally(output), Tally { passed: 7, failed: 2 });
    }

    #[test]
    fn node_summaries_of_both_reporters_add_up() {
        assert_eq!(
            tally("\x1b[34mℹ tests 5\x1b[39m\n\x1b[34mℹ pass 4\x1b[39m\nℹ fail 1\nℹ cancelled 1"),
            Tally { passed: 4, failed: 2 }
        );
        assert_eq!(tally("# tests 2\n# pass 2\n# fail 0"), Tally { passed: 2, failed: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(tally("5 passed\n# Subtest: pass 3 things\n✔ pass 4\nℹ pass the salt"), Tally::default());
    }

    #[test]
    fn the_sum_reads_naturally() {
        assert_eq!(Tally { passed: 12, failed: 0 }.to_string(), "12 passed, 0 failed");
    }
}
