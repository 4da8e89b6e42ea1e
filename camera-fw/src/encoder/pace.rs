//! How fast the encoder has to be: keeps encoding within its share of the frame time. Reads no clock.
//!
//! ```text
//!                  a second above BUSY                       a second above BUSY
//!   preset's speed ──────────────────▶ faster, by one or two ──────────────────▶ … ──▶ FASTEST: frames are dropped
//!         ▲                                   │
//!         └───── patience below EASY ─────────┘  one back, on trial
//! ```
//!
//! A board that gets too warm is slowed down, a machine may have other work: then a coarser picture in time is better
//! than a fine one too late. Time is that of the frames, a second at a time, so that one large frame changes nothing.
//!
//! A step back that has to be undone while it is on trial doubles the patience before the next, up to [`LONGEST`]: where
//! one speed is too slow and the next one is more than fast enough, the picture must not change every few seconds. When
//! that step passes its trial one day, the patience is halved again.

use std::time::Duration;

/// libvpx knows no faster speed.
pub const FASTEST: u8 = 16;

/// The share of the frame time that encoding may take: above it frames begin to be late.
const BUSY: f64 = 0.75;

/// Below this share there is time to spare. A step back takes 1.4 times the time at most (measured down to
/// speed 4), so that after it the share is still below [`BUSY`].
const EASY: f64 = 0.5;

/// The same for speeds above 8, of which a step back takes 1.1 times the time (measured).
const EASY_WHEN_FAST: f64 = 0.65;

/// Above this share one step is not enough.
const FAR_TOO_BUSY: f64 = 1.0;

/// What is judged at once: so much time, and so many frames.
const SPAN: Duration = Duration::from_secs(1);
const SPAN_FRAMES: u32 = 5;

/// Time to spare for so long, before a step back, to begin with.
const PATIENCE: Duration = Duration::from_secs(10);

/// And at most.
const LONGEST: Duration = Duration::from_secs(640);

/// A step back is on trial for so long.
const TRIAL: Duration = Duration::from_secs(30);

/// What the encode thread should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Encode at this greater speed.
    Faster(u8),
    /// Encode at this lower speed again.
    Slower(u8),
    /// Nothing is left to do: frames will be dropped. Said once, until there is time to spare again.
    Exhausted,
}

/// The controller of one encoder's speed.
#[derive(Debug, Clone)]
pub struct Pace {
    preset: u8,
    speed: u8,
    busy: Duration,
    span: Duration,
    frames: u32,
    /// How long there has been time to spare without a break.
    spare: Duration,
    patience: Duration,
    /// What is left of the trial of the last step back.
    trial: Option<Duration>,
    /// The speed that did not pass its trial.
    failed: Option<u8>,
    exhausted: bool,
}

impl Pace {
    /// A controller that begins at the preset's speed and never goes below it.
    pub fn new(preset: u8) -> Self {
        let preset = preset.min(FASTEST);
        Self {
            preset,
            speed: preset,
            busy: Duration::ZERO,
            span: Duration::ZERO,
            frames: 0,
            spare: Duration::ZERO,
            patience: PATIENCE,
            trial: None,
            failed: None,
            exhausted: false,
        }
    }

    /// The speed that the encoder should have now.
    pub fn speed(&self) -> u8 {
        self.speed
    }

    /// The preset's speed.
    pub fn preset(&self) -> u8 {
        self.preset
    }

    /// A frame took so long, and the source gives one every `interval`; a pause of the source counts as a second.
    pub fn encoded(&mut self, took: Duration, interval: Duration) -> Option<Step> {
        self.busy += took;
        self.span += interval.min(SPAN);
        self.frames += 1;
        if self.span < SPAN || self.frames < SPAN_FRAMES {
            return None;
        }
        let (share, span) = (self.busy.as_secs_f64() / self.span.as_secs_f64(), self.span);
        (self.busy, self.span, self.frames) = (Duration::ZERO, Duration::ZERO, 0);
        self.judge(share, span)
    }

    fn judge(&mut self, share: f64, span: Duration) -> Option<Step> {
        if share > BUSY {
            self.spare = Duration::ZERO;
            return self.faster(share);
        }
        let easy = if self.speed > 8 { EASY_WHEN_FAST } else { EASY };
        self.exhausted &= share >= EASY;
        if let Some(left) = self.trial {
            self.trial = left.checked_sub(span).filter(|left| !left.is_zero());
            // Passed. At a greater speed than the one that failed it would prove nothing.
            if self.trial.is_none() && self.failed.is_some_and(|failed| self.speed <= failed) {
                self.patience = (self.patience / 2).max(PATIENCE);
            }
        }
        self.spare = if share < easy { self.spare + span } else { Duration::ZERO };
        (self.speed > self.preset && self.spare >= self.patience).then(|| self.slower())
    }

    fn faster(&mut self, share: f64) -> Option<Step> {
        if self.trial.take().is_some() {
            self.patience = (self.patience * 2).min(LONGEST);
            self.failed = Some(self.speed);
        }
        if self.speed == FASTEST {
            return (!std::mem::replace(&mut self.exhausted, true)).then_some(Step::Exhausted);
        }
        self.speed = (self.speed + if share > FAR_TOO_BUSY { 2 } else { 1 }).min(FASTEST);
        Some(Step::Faster(self.speed))
    }

    fn slower(&mut self) -> Step {
        self.speed -= 1;
        self.spare = Duration::ZERO;
        self.trial = Some(TRIAL);
        Step::Slower(self.speed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: Duration = Duration::from_millis(33);

    /// Lets a machine that takes `share(speed)` of the frame time encode for so many seconds.
    fn drive(pace: &mut Pace, seconds: u64, share: impl Fn(u8) -> f64) -> Vec<Step> {
        let frames = seconds * 1_000 / FRAME.as_millis() as u64;
        (0..frames).filter_map(|_| pace.encoded(FRAME.mul_f64(share(pace.speed())), FRAME)).collect()
    }

    #[test]
    fn a_slow_machine_is_noticed_within_seconds_and_a_fast_one_trusted_slowly() {
        let mut pace = Pace::new(8);
        assert_eq!(drive(&mut pace, 5, |_| 0.6), []);
        assert_eq!(
            drive(&mut pace, 3, |speed| if speed < 10 { 0.9 } else { 0.7 }),
            [Step::Faster(9), Step::Faster(10)]
        );
        assert_eq!(drive(&mut pace, 9, |_| 0.3), [], "not yet");
        assert_eq!(drive(&mut pace, 30, |_| 0.3), [Step::Slower(9), Step::Slower(8)]);
        assert_eq!(drive(&mut pace, 60, |_| 0.3), [], "the preset's speed is the end");
    }

    #[test]
    fn a_preset_that_leaves_little_is_come_back_to() {
        // As a Pi 4 has it: 0.57 of the frame time at the preset's speed.
        let cool = |speed: u8| 0.572 - 0.009 * f64::from(speed.saturating_sub(12));
        let mut pace = Pace::new(12);
        assert_eq!(drive(&mut pace, 60, cool), []);
        drive(&mut pace, 60, |speed| cool(speed) * 1.5);
        assert!(pace.speed() > 12, "warm");
        drive(&mut pace, 300, cool);
        assert_eq!(pace.speed(), 12, "and cool again");
    }

    #[test]
    fn one_slow_frame_changes_nothing() {
        let mut pace = Pace::new(8);
        for frame in 0..3_000 {
            let took = if frame % 60 == 0 { FRAME * 4 } else { FRAME / 2 };
            assert_eq!(pace.encoded(took, FRAME), None);
        }
    }

    #[test]
    fn what_cannot_be_mended_is_said_once() {
        let mut pace = Pace::new(15);
        assert_eq!(drive(&mut pace, 600, |_| 3.0), [Step::Faster(16), Step::Exhausted]);
        assert_eq!(drive(&mut pace, 5, |_| 0.6), []);
        assert_eq!(drive(&mut pace, 5, |_| 3.0), [], "it never got better");
        assert_eq!(drive(&mut pace, 5, |_| 0.2), []);
        assert_eq!(drive(&mut pace, 5, |_| 3.0), [Step::Exhausted]);
    }

    #[test]
    fn a_pause_of_the_source_is_no_time_to_spare() {
        let mut pace = Pace::new(8);
        drive(&mut pace, 3, |_| 0.9);
        let speed = pace.speed();
        assert!(speed > 8);
        for _ in 0..8 {
            assert_eq!(pace.encoded(FRAME, Duration::from_secs(3_600)), None);
        }
        assert_eq!(pace.speed(), speed);
    }

    proptest! {
        #[test]
        fn it_stays_between_the_preset_and_the_fastest(
            preset in 0..=20_u8,
            frames in proptest::collection::vec((0..200_u64, 0..2_000_u64), 0..2_000),
        ) {
            let mut pace = Pace::new(preset);
            let mut speed = preset.min(FASTEST);
            for (took, interval) in frames {
                match pace.encoded(Duration::from_millis(took), Duration::from_millis(interval)) {
                    Some(Step::Faster(faster)) => prop_assert!(faster > speed),
                    Some(Step::Slower(slower)) => prop_assert!(slower < speed),
                    Some(Step::Exhausted) => prop_assert_eq!(speed, FASTEST),
                    None => prop_assert_eq!(pace.speed(), speed),
                }
                speed = pace.speed();
                prop_assert!((preset.min(FASTEST)..=FASTEST).contains(&speed));
            }
        }

        /// Whatever the speeds cost: it settles, and tries again more and more rarely.
        #[test]
        fn it_does_not_swing(preset in 4..=FASTEST, mut costs in proptest::collection::vec(0.05..3.0_f64, 17)) {
            costs.sort_by(|a, b| b.total_cmp(a));
            let mut pace = Pace::new(preset);
            let share = |speed: u8| costs[usize::from(speed)];
            let settling = drive(&mut pace, 1_800, share).len();
            prop_assert!(settling <= 12 + 2 + 2 * 7 + 12, "{settling} steps in the first half hour");
            let later = drive(&mut pace, 3_600, share).len();
            prop_assert!(later <= 2 * 3_600 / LONGEST.as_secs() as usize + 4, "{later} steps in the next hour");
        }

        #[test]
        fn it_comes_back_from_wherever_it_was(
            preset in 0..=FASTEST,
            past in proptest::collection::vec((1..60_u64, 0.0..3.0_f64), 0..12),
        ) {
            let mut pace = Pace::new(preset);
            for (seconds, share) in past {
                drive(&mut pace, seconds, |_| share);
            }
            drive(&mut pace, 17 * (LONGEST.as_secs() + 2), |_| 0.3);
            prop_assert_eq!(pace.speed(), preset);
        }
    }
}
