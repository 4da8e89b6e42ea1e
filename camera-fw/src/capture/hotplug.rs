//! Waiting for a camera to be plugged in: inotify on `/dev`, where udev or devtmpfs put its node.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Tells when devices of cameras come, go, or change their owner.
#[derive(Debug)]
pub(super) struct Hotplug {
    /// `None` where the system has no more watches to give: then it is only waited.
    inotify: Option<Inotify>,
}

impl Hotplug {
    /// Watches from now on.
    pub(super) fn new() -> Self {
        Self::on("/dev")
    }

    fn on(folder: &str) -> Self {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE;
            inotify.add_watch(folder, changes | AddWatchFlags::IN_MOVED_TO)?;
            nix::Result::Ok(inotify)
        };
        let inotify = watch()
            .inspect_err(|error| tracing::debug!(%error, "/dev cannot be watched, so cameras are looked for in turns"))
            .ok();
        Self { inotify }
    }

    /// Whether something changed since the last call, waiting `wait` for it at most.
    pub(super) fn changed(&self, wait: Duration) -> bool {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(wait);
            return false;
        };
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(1..) => {}
                Ok(_) => return false,
                // A signal: shorter than asked for, which whoever asks in turns does not mind.
                Err(_) => return false,
            }
            // Fails when another thread was faster, which does not exist, or when there is nothing after all.
            let events = inotify.read_events().unwrap_or_default();
            if events.iter().any(|event| event.name.as_deref().is_some_and(is_camera)) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }
}

fn is_camera(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"video") || name.starts_with(b"media")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_new_node_is_noticed_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let hotplug = Hotplug::on(folder.path().to_str().unwrap());
        assert!(!hotplug.changed(Duration::ZERO));
        fs::write(folder.path().join("tty7"), "").unwrap();
        assert!(!hotplug.changed(Duration::from_millis(10)));
        fs::write(folder.path().join("video7"), "").unwrap();
        assert!(hotplug.changed(SOON));
        assert!(!hotplug.changed(Duration::ZERO), "told once");
        fs::remove_file(folder.path().join("video7")).unwrap();
        assert!(hotplug.changed(SOON));
    }

    #[test]
    fn without_watches_it_waits() {
        let hotplug = Hotplug::on("/no/such/folder");
        let begun = Instant::now();
        assert!(!hotplug.changed(Duration::from_millis(20)));
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }
}
