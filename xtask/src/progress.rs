//! Every long step shows its name when it begins and its time when it ends.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

/// A step under way.
#[derive(Debug)]
pub(crate) struct Step {
    name: String,
    begun: Instant,
}

impl Step {
    /// Announces the step.
    pub(crate) fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        println!("{}", strong(&format!("▶ {name}")));
        flush();
        Self { name, begun: Instant::now() }
    }

    /// Announces the step's good end; gives how long it took.
    pub(crate) fn done(self) -> Duration {
        self.end("✓")
    }

    /// Announces the step's bad end; gives how long it took.
    pub(crate) fn failed(self) -> Duration {
        self.end("✗")
    }

    fn end(self, sign: &str) -> Duration {
        let took = self.begun.elapsed();
        println!("{}", strong(&format!("{sign} {}  {}", self.name, Shown(took))));
        flush();
        took
    }
}

/// A duration as people read it: `0.4 s`, `12.3 s`, `3 min 05 s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 99.95 {
            let text = format!("{seconds:.1} s");
            f.pad(&text)
        } else {
            let whole = self.0.as_secs();
            let text = format!("{} min {:02} s", whole / 60, whole % 60);
            f.pad(&text)
        }
    }
}

/// Bold where a person reads it, plain in a file.
pub(crate) fn strong(text: &str) -> String {
    if stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

fn flush() {
    // Nothing to do about a terminal that went away.
    let _ = stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(Shown(Duration::from_millis(420)).to_string(), "0.4 s");
        assert_eq!(Shown(Duration::from_secs_f64(12.34)).to_string(), "12.3 s");
        assert_eq!(Shown(Duration::from_secs(185)).to_string(), "3 min 05 s");
        assert_eq!(format!("{:>8}", Shown(Duration::from_secs(1))), "   1.0 s");
    }
}
