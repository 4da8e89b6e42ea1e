//! The LED: lit while somebody watches, blinking slowly while the server is out of reach. It is a folder of
//! `/sys/class/leds` (<https://docs.kernel.org/leds/leds-class.html>).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The activity light of a Raspberry Pi.
pub(crate) const OWN: &str = "/sys/class/leds/ACT";

/// Shorter interruptions are nobody's concern.
const OUT_OF_REACH: Duration = Duration::from_secs(10);
/// A second on, a second off.
const BLINK: Duration = Duration::from_secs(1);

/// An LED of the device. Off when it is dropped.
#[derive(Debug)]
pub struct Led {
    folder: PathBuf,
    full: String,
    is_lit: bool,
}

/// It is not there, or not ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the LED {}: {source}; `ls /sys/class/leds` lists them, and writing to one needs root or a udev rule", folder.display())]
pub struct LedError {
    folder: PathBuf,
    source: io::Error,
}

impl Led {
    /// Takes the LED over from whatever drove it, and switches it off.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn open(folder: &Path) -> Result<Self, LedError> {
        let failed = |source| LedError { folder: folder.into(), source };
        let full = fs::read_to_string(folder.join("max_brightness")).map_err(failed)?.trim().to_owned();
        if folder.join("trigger").exists() {
            write(&folder.join("trigger"), "none").map_err(failed)?;
        }
        write(&folder.join("brightness"), "0").map_err(failed)?;
        Ok(Self { folder: folder.into(), full, is_lit: false })
    }

    /// The board's own activity light, which an appliance takes where no other is set. It is nobody's wish, so one that
    /// cannot be used is no error.
    pub fn own() -> Option<Self> {
        if !cfg!(feature = "appliance") || !Path::new(OWN).exists() {
            return None;
        }
        Self::open(Path::new(OWN)).inspect_err(|error| tracing::warn!("{error}")).ok()
    }

    /// Switches it on or off.
    pub fn light(&mut self, on: bool) {
        if self.is_lit == on {
            return;
        }
        match write(&self.folder.join("brightness"), if on { &self.full } else { "0" }) {
            Ok(()) => self.is_lit = on,
            // It is told again at the next change.
            Err(error) => tracing::warn!(led = %self.folder.display(), %error, "the LED does not obey"),
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        self.light(false);
    }
}

/// What the LED tells.
#[derive(Debug)]
pub struct Indicator {
    led: Led,
    /// Streams go on without the server.
    is_watched: bool,
    /// Since when the server is out of reach.
    lost: Option<Instant>,
}

impl Indicator {
    /// Nobody watches, and the server was not reached yet.
    pub fn new(led: Led) -> Self {
        Self { led, is_watched: false, lost: Some(Instant::now()) }
    }

    /// Shows what is known now.
    pub fn show(&mut self, is_watched: bool, is_reached: bool) {
        let now = Instant::now();
        self.is_watched = is_watched;
        self.lost = if is_reached { None } else { self.lost.or(Some(now)) };
        let blinks = |lost: Instant| {
            let waited = now.duration_since(lost).checked_sub(OUT_OF_REACH);
            waited.is_some_and(|waited| waited.as_secs().is_multiple_of(2))
        };
        self.led.light(is_watched || self.lost.is_some_and(blinks));
    }

    /// When it looks different although nothing has happened.
    fn next(&self) -> Option<Instant> {
        let begins = self.lost.filter(|_| !self.is_watched)? + OUT_OF_REACH;
        let Some(blinking) = Instant::now().checked_duration_since(begins) else { return Some(begins) };
        Some(begins + BLINK * (blinking.as_secs() as u32 + 1))
    }
}

/// Waits until the LED has to be shown anew; for ever where there is none. Safe to cancel.
pub async fn beat(indicator: Option<&Indicator>) {
    match indicator.and_then(Indicator::next) {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Not `fs::write`, which would create a file where there is none.
fn write(file: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).truncate(true).open(file)?, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(folder: &Path) -> Led {
        for (file, value) in [("max_brightness", "255\n"), ("brightness", "7\n"), ("trigger", "[mmc0] none\n")] {
            fs::write(folder.join(file), value).unwrap();
        }
        Led::open(folder).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_blinks_slowly_while_the_server_is_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let mut indicator = Indicator::new(led(folder.path()));
        let is_lit = || fs::read_to_string(folder.path().join("brightness")).unwrap() == "255";
        let began = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..4 {
            beat(Some(&indicator)).await;
            indicator.show(false, false);
            seen.push((began.elapsed().as_secs(), is_lit()));
        }
        assert_eq!(seen, [(10, true), (11, false), (12, true), (13, false)]);
        // Somebody who watches is told of first.
        indicator.show(true, false);
        assert!(is_lit() && indicator.next().is_none());
        indicator.show(false, true);
        assert!(!is_lit() && indicator.next().is_none());
        // Lost again: it begins anew.
        indicator.show(false, false);
        let lost = Instant::now();
        beat(Some(&indicator)).await;
        assert_eq!(lost.elapsed(), OUT_OF_REACH);
    }

    #[test]
    fn it_is_taken_over_lit_and_left_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut led = led(folder.path());
        let value = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!((value("trigger").as_str(), value("brightness").as_str()), ("none", "0"));
        led.light(true);
        assert_eq!(value("brightness"), "255");
        drop(led);
        assert_eq!(value("brightness"), "0");
    }

    #[test]
    fn one_that_is_not_there_is_said_so() {
        let refused = Led::open(Path::new("/sys/class/leds/no-such-led")).unwrap_err().to_string();
        assert!(refused.contains("no-such-led") && refused.contains("ls /sys/class/leds"), "{refused}");
    }
}
