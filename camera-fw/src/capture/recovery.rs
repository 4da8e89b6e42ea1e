//! What follows when a camera is not there, refuses, falls silent or breaks: pure, `now` is an argument.
//!
//! ```text
//!              absent                      refused, faulty
//!  ┌─────────┐ ◀────── ┌──────┐ ──────────────────────────▶ ┌───────┐
//!  │ awaited │         │ open │                             │ again │ ── too often, too long ──▶ given up
//!  └─────────┘ ──────▶ └──────┘ ◀────────────────────────── └───────┘
//!            plugged in    │ ▲            after a pause
//!                   frames ▼ │ unplugged, silent for 2 s, failed
//!                      ┌───────────┐
//!                      │ streaming │
//!                      └───────────┘
//! ```
//!
//! A camera that is away may stay away for ever: that is a camera unplugged, or one that comes late at boot. A camera
//! that is there and does not work is opened anew three times; then whoever supervises the program may try.

use std::time::{Duration, Instant};

/// No frame for so long: the camera hangs.
const STALL: Duration = Duration::from_secs(2);

/// The first frame may take longer: a sensor that finds its exposure, a grabber that finds its signal.
const FIRST: Duration = Duration::from_secs(5);

/// Openings in a row that bring no lasting stream.
const TRIES: u32 = 3;

/// Frames for so long: what was wrong is over.
const LASTING: Duration = Duration::from_secs(10);

/// A new device node belongs to root until udev has set its group.
const SETTLING: Duration = Duration::from_secs(3);

/// A camera that streamed and is refused now: its last frame may still be in the encoder, or it is being probed.
const RELEASE: Duration = Duration::from_secs(10);

/// Between two openings.
const PAUSE: Duration = Duration::from_millis(250);

/// Kinds of failure, by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such camera: waiting for it.
    Absent,
    /// It may not be opened yet: a moment.
    Denied,
    /// Others use it, or it is not what was asked for: a moment, if it has worked before.
    Refused,
    /// It fell silent or failed: opening it anew.
    Faulty,
    /// Nothing.
    Hopeless,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Open it after this pause.
    Retry(Duration),
    /// Open it when a device has been plugged in.
    Await,
    /// End, with the error.
    GiveUp,
}

/// The history that decides.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// There was a frame since the program started.
    has_streamed: bool,
    /// Faults in a row.
    faults: u32,
    /// Since when it has been refused without a break.
    refused_since: Option<Instant>,
    /// When the present stream began to flow.
    flowing_since: Option<Instant>,
    /// When it was opened, or gave its last frame.
    heard: Option<Instant>,
}

impl Recovery {
    /// The camera was opened.
    pub(super) fn opened(&mut self, now: Instant) {
        self.refused_since = None;
        self.flowing_since = None;
        self.heard = Some(now);
    }

    /// A frame came.
    pub(super) fn frame(&mut self, now: Instant) {
        self.has_streamed = true;
        self.heard = Some(now);
        let since = *self.flowing_since.get_or_insert(now);
        if self.faults > 0 && now.saturating_duration_since(since) >= LASTING {
            self.faults = 0;
        }
    }

    /// How long there has been no frame, if that is too long.
    pub(super) fn stalled(&self, now: Instant) -> Option<Duration> {
        let silent = now.saturating_duration_since(self.heard?);
        let patience = if self.flowing_since.is_some() { STALL } else { FIRST };
        (silent >= patience).then_some(silent)
    }

    /// Opening it failed, or its stream ended.
    pub(super) fn failed(&mut self, trouble: Trouble, now: Instant) -> Next {
        let patience = match trouble {
            Trouble::Absent => {
                self.refused_since = None;
                // It comes back as new.
                self.faults = 0;
                return Next::Await;
            }
            Trouble::Hopeless => return Next::GiveUp,
            Trouble::Faulty => {
                self.faults += 1;
                return if self.faults > TRIES { Next::GiveUp } else { Next::Retry(PAUSE) };
            }
            Trouble::Denied | Trouble::Refused if self.has_streamed => RELEASE,
            Trouble::Denied => SETTLING,
            Trouble::Refused => return Next::GiveUp,
        };
        let since = *self.refused_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= patience { Next::GiveUp } else { Next::Retry(PAUSE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn streaming(recovery: &mut Recovery, from: Instant, seconds: u32) -> Instant {
        recovery.opened(from);
        (0..=seconds * 30).for_each(|frame| recovery.frame(from + frame * SECOND / 30));
        from + seconds * SECOND
    }

    #[test]
    fn a_camera_that_is_away_is_awaited_for_ever() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        for hour in 0..100 {
            assert_eq!(recovery.failed(Trouble::Absent, start + hour * 3_600 * SECOND), Next::Await);
        }
    }

    #[test]
    fn silence_is_noticed_after_two_seconds() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        assert_eq!(recovery.stalled(start), None, "not open yet");
        recovery.opened(start);
        assert_eq!(recovery.stalled(start + SECOND), None);
        assert_eq!(recovery.stalled(start + 5 * SECOND), Some(5 * SECOND), "the first frame has a little longer");
        recovery.frame(start + 2 * SECOND);
        assert_eq!(recovery.stalled(start + 3 * SECOND), None);
        assert_eq!(recovery.stalled(start + 4 * SECOND), Some(2 * SECOND));
    }

    #[test]
    fn three_openings_in_vain_are_enough() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        let mut now = streaming(&mut recovery, start, 60);
        for _ in 0..3 {
            now += 2 * SECOND;
            assert_eq!(recovery.failed(Trouble::Faulty, now), Next::Retry(PAUSE));
            recovery.opened(now);
        }
        assert_eq!(recovery.failed(Trouble::Faulty, now + 2 * SECOND), Next::GiveUp);
    }

    #[test]
    fn a_few_frames_are_no_success_and_ten_seconds_are() {
        let (mut recovery, mut now) = (Recovery::default(), Instant::now());
        for _ in 0..3 {
            now = streaming(&mut recovery, now, 1);
            assert_eq!(recovery.failed(Trouble::Faulty, now), Next::Retry(PAUSE));
        }
        let mut lasting = Recovery::default();
        for _ in 0..100 {
            now = streaming(&mut lasting, now, 10);
            assert_eq!(lasting.failed(Trouble::Faulty, now), Next::Retry(PAUSE));
        }
        now = streaming(&mut recovery, now, 1);
        assert_eq!(recovery.failed(Trouble::Faulty, now), Next::GiveUp);
    }

    #[test]
    fn a_new_device_may_take_a_moment_to_be_ours() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        assert_eq!(recovery.failed(Trouble::Denied, start), Next::Retry(PAUSE));
        assert_eq!(recovery.failed(Trouble::Denied, start + 2 * SECOND), Next::Retry(PAUSE));
        assert_eq!(recovery.failed(Trouble::Denied, start + 3 * SECOND), Next::GiveUp);
    }

    #[test]
    fn a_camera_in_use_is_an_error_at_once_unless_it_was_ours() {
        let (mut recovery, start) = (Recovery::default(), Instant::now());
        assert_eq!(recovery.failed(Trouble::Refused, start), Next::GiveUp);
        let now = streaming(&mut recovery, start, 1);
        assert_eq!(recovery.failed(Trouble::Absent, now), Next::Await);
        assert_eq!(recovery.failed(Trouble::Refused, now + SECOND), Next::Retry(PAUSE));
        assert_eq!(recovery.failed(Trouble::Refused, now + 10 * SECOND), Next::Retry(PAUSE));
        assert_eq!(recovery.failed(Trouble::Refused, now + 11 * SECOND), Next::GiveUp);
    }

    #[test]
    fn a_file_that_cannot_be_played_does_not_get_better() {
        assert_eq!(Recovery::default().failed(Trouble::Hopeless, Instant::now()), Next::GiveUp);
    }
}
