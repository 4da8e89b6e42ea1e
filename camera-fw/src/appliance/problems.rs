//! What is wrong, for people: a line each, in the log, on the boot partition and on the screen.

use std::fs;
use std::io;
use std::path::Path;

use super::files;

/// In the run folder.
const FILE: &str = "problems.txt";

/// What was found wrong.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// Adds one, and logs it. It says what to do, and holds no secret.
    pub(super) fn add(&mut self, problem: impl Into<String>) {
        // One problem, one line.
        let problem = problem.into().split_whitespace().collect::<Vec<_>>().join(" ");
        tracing::warn!("{problem}");
        self.0.push(problem);
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.0
    }

    /// Hands them to [`Problems::load`] of a later process.
    pub(super) fn store(&self, run: &Path) -> io::Result<()> {
        files::put(&run.join(FILE), &self.0.iter().map(|line| format!("{line}\n")).collect::<String>(), 0o644, None)
    }

    /// What was stored. They were logged already.
    pub(super) fn load(run: &Path) -> Self {
        Self(fs::read_to_string(run.join(FILE)).unwrap_or_default().lines().map(str::to_owned).collect())
    }
}
