//! The LED that is lit while somebody watches: a folder of `/sys/class/leds`
//! (<https://docs.kernel.org/leds/leds-class.html>).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Not `fs::write`, which would create a file where there is none.
fn write(file: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).truncate(true).open(file)?, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_over_lit_and_left_off() {
        let folder = tempfile::tempdir().unwrap();
        for (file, value) in [("max_brightness", "255\n"), ("brightness", "7\n"), ("trigger", "[mmc0] none\n")] {
            fs::write(folder.path().join(file), value).unwrap();
        }
        let value = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        let mut led = Led::open(folder.path()).unwrap();
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
