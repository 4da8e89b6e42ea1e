//! The hardware's random numbers, which a device that was never switched on before should not do without.
//!
//! The kernel gives no random bits before it has enough of its own. On a board without a clock and without a disk these
//! come from the jitter of its processor alone, unless the hardware's generator has its driver by then.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

/// A driver takes so long at most.
const WAIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of it.
const SEED: usize = 64;

/// Waits for the generator, and stirs what it gives into the kernel's. Without one the kernel's own bits are good enough.
pub(super) fn gather(root: &Path) {
    let began = Instant::now();
    let current = root.join("sys/class/misc/hw_random/rng_current");
    let name = loop {
        match fs::read_to_string(&current).as_deref().map(str::trim) {
            Ok(name) if !name.is_empty() && name != "none" => break name.to_owned(),
            _ if began.elapsed() >= WAIT => {
                tracing::warn!("this device has no random number generator in hardware; the kernel's own has to do");
                return;
            }
            _ => std::thread::sleep(LOOK),
        }
    };
    match stir(root, began) {
        Ok(()) => tracing::info!(generator = name, "random numbers of the hardware are there"),
        Err(error) => tracing::warn!(%error, generator = name, "the random number generator does not answer"),
    }
}

fn stir(root: &Path, began: Instant) -> io::Result<()> {
    let mut generator =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(root.join("dev/hwrng"))?;
    let mut seed = [0; SEED];
    let mut filled = 0;
    while filled < SEED {
        match generator.read(&mut seed[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && began.elapsed() < WAIT => {
                std::thread::sleep(LOOK);
            }
            Err(error) => return Err(error),
        }
    }
    OpenOptions::new().write(true).open(root.join("dev/urandom"))?.write_all(&seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_hardware_gives_reaches_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        let misc = root.path().join("sys/class/misc/hw_random");
        fs::create_dir_all(&misc).unwrap();
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/hwrng"), [7; 100]).unwrap();
        fs::write(root.path().join("dev/urandom"), "").unwrap();
        // Its driver comes a little later.
        fs::write(misc.join("rng_current"), "none\n").unwrap();
        let late = std::thread::spawn({
            let file = misc.join("rng_current");
            move || {
                std::thread::sleep(3 * LOOK);
                fs::write(file, "3f104000.rng\n").unwrap();
            }
        });
        gather(root.path());
        late.join().unwrap();
        assert_eq!(fs::read(root.path().join("dev/urandom")).unwrap(), [7; SEED]);
    }
}
