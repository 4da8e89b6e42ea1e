//! What a running card says on its serial console: the kernel, and with it the journal.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::progress::Shown;

/// How many of the last lines are shown where something was waited for in vain.
const LAST: usize = 25;

/// The lines so far, and the file that keeps them.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    said: Arc<(Mutex<Said>, Condvar)>,
    pub(crate) log: PathBuf,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Console {
    /// Takes in everything from `output` until it ends.
    pub(crate) fn follow(output: impl Read + Send + 'static, log: &Path) -> Result<Self> {
        let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let console = Self { said: Arc::default(), log: log.to_owned() };
        let said = Arc::clone(&console.said);
        let begun = Instant::now();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = plain(&String::from_utf8_lossy(&line));
                // A full disk shows elsewhere.
                let _ = writeln!(file, "{:8.3} {line}", begun.elapsed().as_secs_f64());
                said.0.lock().unwrap_or_else(PoisonError::into_inner).lines.push(line);
                said.1.notify_all();
            }
            said.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            said.1.notify_all();
        });
        Ok(console)
    }

    /// Waits for a line with all these words in it, and gives it. A line that was there before counts.
    pub(crate) fn wait_for(&self, words: &[&str], within: Duration) -> Result<String> {
        self.wait_after(0, words, within)
    }

    /// The same, among the lines from the number `first` on.
    pub(crate) fn wait_after(&self, first: usize, words: &[&str], within: Duration) -> Result<String> {
        let until = Instant::now() + within;
        let mut said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looked_at = first;
        loop {
            let news = said.lines.iter().skip(looked_at);
            if let Some(line) = news.clone().find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.clone());
            }
            looked_at = said.lines.len().max(first);
            let left = until.saturating_duration_since(Instant::now());
            if said.ended || left.is_zero() {
                let how = if said.ended { "before it ended".to_owned() } else { format!("within {}", Shown(within)) };
                drop(said);
                bail!("the card did not say `{}` {how}; {}", words.join("` and `"), self.last_lines());
            }
            said = match self.said.1.wait_timeout(said, left) {
                Ok((said, _)) => said,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Whether it has said so.
    pub(crate) fn has(&self, words: &[&str]) -> bool {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines.iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// How many lines there are.
    pub(crate) fn length(&self) -> usize {
        self.said.0.lock().unwrap_or_else(PoisonError::into_inner).lines.len()
    }

    /// For who has to find out what went wrong.
    pub(crate) fn last_lines(&self) -> String {
        let said = self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = said.lines.iter().rev().take(LAST).map(|line| format!("      {line}"));
        let last: Vec<_> = last.collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        format!("all that it said is in {}, the last lines are:\n{}", self.log.display(), last.join("\n"))
    }
}

/// Without colours, and without the line ends of terminals.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.trim_end().chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(|letter| letter.is_ascii_alphabetic() || *letter == '\\');
        } else if letter != '\r' {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_missed() {
        let log = std::env::temp_dir().join(format!("roomcam-console-{}", std::process::id()));
        let console = Console::follow(&b"one\r\n\x1b[32mtwo\x1b[0m three\n"[..], &log).unwrap();
        let long = Duration::from_secs(10);
        assert_eq!(console.wait_for(&["two", "three"], long).unwrap(), "two three");
        let missed = console.wait_after(1, &["one"], long).unwrap_err().to_string();
        assert!(missed.contains("before it ended") && missed.contains("two three"), "{missed}");
        assert!(console.has(&["one"]));
        std::fs::remove_file(log).unwrap();
    }
}
