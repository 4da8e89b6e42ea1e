//! Who wants the camera closed: a person by signal (`SIGUSR1` pauses, `SIGUSR2` ends it), or a switch on a GPIO line.
//!
//! The switch has the last word: while it is on, no signal opens the camera. A switch that cannot be read counts as on.
//! A pause outlives the program: a camera that was paused by signal is paused after a restart and after a power cut, until
//! a signal ends it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::chip::Chip;
use gpiocdev::line::{Bias, EdgeDetection, Value};
use gpiocdev::tokio::AsyncRequest;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::private_file;

/// Contacts of a switch bounce for some milliseconds.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A GPIO line, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchLine {
    chip: String,
    line: String,
    active_low: bool,
}

impl FromStr for SwitchLine {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a switch is written like gpiochip0:17 (chip and number or name of the line), with :active-low \
                            behind it if it connects the line to ground";
        let mut parts = text.split(':').map(str::trim);
        let (Some(chip), Some(line)) = (parts.next(), parts.next()) else { return Err(FORM) };
        let active_low = match (parts.next(), parts.next()) {
            (None, None) => false,
            (Some("active-low"), None) => true,
            _ => return Err(FORM),
        };
        if chip.is_empty() || line.is_empty() {
            return Err(FORM);
        }
        Ok(Self { chip: chip.into(), line: line.into(), active_low })
    }
}

impl fmt::Display for SwitchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.chip, self.line, if self.active_low { ":active-low" } else { "" })
    }
}

impl SwitchLine {
    /// The device of its chip.
    pub(crate) fn chip(&self) -> PathBuf {
        if self.chip.starts_with('/') { (&self.chip).into() } else { PathBuf::from("/dev").join(&self.chip) }
    }
}

/// What keeps the camera from obeying a switch or a signal.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// The system gives no signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[from] io::Error),
    /// The line is not there, in use, or not ours.
    #[error(
        "cannot use the privacy switch on {line}: {source}; `gpioinfo` lists the lines, the group gpio may use them"
    )]
    Line {
        /// The line.
        line: SwitchLine,
        /// Why.
        source: gpiocdev::Error,
    },
    /// There is no line of that name.
    #[error("cannot use the privacy switch on {line}: there is no such line; `gpioinfo` lists them")]
    NoLine {
        /// The line.
        line: SwitchLine,
    },
}

/// Merges the wishes.
#[derive(Debug)]
pub struct Privacy {
    pause: Signal,
    resume: Signal,
    switch: Option<Switch>,
    by_hand: bool,
    /// A file that is there while it is paused by hand.
    note: PathBuf,
}

impl Privacy {
    /// Listens to signals and to the switch, if there is one; `paused` is how it begins, unless it was paused when it
    /// ended. That is noted in `state_dir`.
    ///
    /// # Errors
    /// If the switch cannot be used: a camera whose switch does nothing must not run.
    pub fn new(line: Option<&SwitchLine>, paused: bool, state_dir: &Path) -> Result<Self, PrivacyError> {
        let note = state_dir.join("paused");
        Ok(Self {
            pause: signal(SignalKind::user_defined1())?,
            resume: signal(SignalKind::user_defined2())?,
            switch: line.map(Switch::open).transpose()?,
            // What cannot be told counts as paused.
            by_hand: paused || note.try_exists().unwrap_or(true),
            note,
        })
    }

    /// Whether the camera has to be closed now.
    pub fn is_paused(&self) -> bool {
        self.by_hand || self.switch.as_ref().is_some_and(|switch| switch.is_on)
    }

    /// Waits until somebody wants something. Safe to cancel.
    pub async fn changed(&mut self) {
        tokio::select! {
            // Of two signals at once the pause is heard last, and so is the one that counts.
            biased;
            _ = self.resume.recv() => {
                self.by_hand = false;
                self.remember();
                if self.is_paused() {
                    tracing::info!("still paused: the privacy switch is on");
                }
            }
            _ = self.pause.recv() => {
                self.by_hand = true;
                self.remember();
            }
            () = turned(self.switch.as_mut()) => {}
        }
    }

    fn remember(&self) {
        let noted = match fs::remove_file(&self.note) {
            _ if self.by_hand => private_file::create(&self.note, b""),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(note = %self.note.display(), %error, "whether it is paused will not be known after a restart");
        }
    }
}

async fn turned(switch: Option<&mut Switch>) {
    match switch {
        Some(switch) => switch.turned().await,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
struct Switch {
    line: SwitchLine,
    request: AsyncRequest,
    offset: u32,
    is_on: bool,
    is_broken: bool,
}

impl Switch {
    fn open(line: &SwitchLine) -> Result<Self, PrivacyError> {
        let failed = |source| PrivacyError::Line { line: line.clone(), source };
        let chip = line.chip();
        let offset = match line.line.parse() {
            Ok(offset) => offset,
            Err(_) => {
                let found = Chip::from_path(&chip).map_err(failed)?.find_line_info(&line.line);
                found.ok_or_else(|| PrivacyError::NoLine { line: line.clone() })?.offset
            }
        };
        let mut builder = Request::builder();
        builder.on_chip(chip);
        builder.with_consumer("camera-fw privacy").with_line(offset).as_input();
        builder.with_edge_detection(EdgeDetection::BothEdges).with_debounce_period(DEBOUNCE);
        if line.active_low {
            // A switch to ground leaves the line open when it is off.
            builder.as_active_low().with_bias(Bias::PullUp);
        }
        let request = builder.request().map_err(failed)?;
        let is_on = request.value(offset).map_err(failed)? == Value::Active;
        Ok(Self { line: line.clone(), request: AsyncRequest::new(request), offset, is_on, is_broken: false })
    }

    async fn turned(&mut self) {
        if self.is_broken {
            return std::future::pending().await;
        }
        let read = self.request.read_edge_event().await;
        // What counts is how it stands now, not which way it went: events may be lost.
        let value = read.and_then(|_| self.request.as_ref().value(self.offset));
        self.is_on = value.as_ref().map_or(true, |value| *value == Value::Active);
        if let Err(error) = value {
            tracing::error!(line = %self.line, %error, "the privacy switch cannot be read any more: the camera stays paused");
            self.is_broken = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_by_chip_and_number_or_name() {
        let line: SwitchLine = "gpiochip0:17".parse().unwrap();
        assert_eq!((line.chip(), line.active_low), ("/dev/gpiochip0".into(), false));
        let line: SwitchLine = "/dev/gpiochip4:PRIVACY:active-low".parse().unwrap();
        assert_eq!((line.chip(), line.line.as_str(), line.active_low), ("/dev/gpiochip4".into(), "PRIVACY", true));
        assert_eq!(line.to_string(), "/dev/gpiochip4:PRIVACY:active-low");
        for wrong in ["", "17", "gpiochip0:", ":17", "gpiochip0:17:low", "gpiochip0:17:active-low:x"] {
            assert!(wrong.parse::<SwitchLine>().unwrap_err().contains("gpiochip0:17"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_switch_that_is_not_there_is_an_error() {
        let line: SwitchLine = "no-such-chip:3".parse().unwrap();
        let refused = Privacy::new(Some(&line), false, Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(refused.contains("no-such-chip:3") && refused.contains("gpioinfo"), "{refused}");
    }

    #[tokio::test]
    async fn it_begins_as_the_configuration_says() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |paused| Privacy::new(None, paused, dir.path()).unwrap();
        assert!(!begin(false).is_paused());
        assert!(begin(true).is_paused());
        let mut paused = begin(false);
        paused.by_hand = true;
        paused.remember();
        paused.remember();
        assert!(begin(false).is_paused(), "as it was left");
        paused.by_hand = false;
        paused.remember();
        paused.remember();
        assert!(!begin(false).is_paused());
    }
}
