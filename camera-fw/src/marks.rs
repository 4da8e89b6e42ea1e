//! The way from power-on to the first picture, stage by stage: each of them is logged once, with the time since the
//! kernel started.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A stage that was reached for the first time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    AgentStarted,
    CameraOpened,
    FrameCaptured,
    RoomJoined,
    FrameEncoded,
}

/// Those that were reached, a bit each.
static REACHED: AtomicU8 = AtomicU8::new(0);

impl Mark {
    /// Says so, if it is the first time. Cheap enough for every frame.
    pub(crate) fn reach(self) {
        let bit = 1 << self as u8;
        if REACHED.load(Ordering::Relaxed) & bit != 0 || REACHED.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        // A time that the machine slept counts too.
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        tracing::info!(boot_ms = since_boot.as_millis() as u64, "{}", self.text());
    }

    const fn text(self) -> &'static str {
        match self {
            Self::AgentStarted => "agent started",
            Self::CameraOpened => "camera opened",
            Self::FrameCaptured => "first frame captured",
            Self::RoomJoined => "room joined",
            Self::FrameEncoded => "first frame encoded",
        }
    }
}
