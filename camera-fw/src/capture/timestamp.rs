//! Time and number of a picture as its driver tells them.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::frame::Sequence;

/// The moment at which the monotonic clock (`CLOCK_MONOTONIC`) showed `captured`; now, if that is yet to come.
pub fn at(captured: Duration) -> Instant {
    let now = Instant::now();
    let Ok(clock) = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from) else { return now };
    now.checked_sub(clock.saturating_sub(captured)).unwrap_or(now)
}

/// Continues a driver's 32-bit frame numbers, which wrap around, and which some drivers repeat or leave at zero.
#[derive(Debug, Default)]
pub struct FrameCounter {
    last: Option<(u32, u64)>,
}

impl FrameCounter {
    /// The place of the frame to which the driver gave this number. A number that goes back counts as the next one.
    pub fn next(&mut self, number: u32) -> Sequence {
        let sequence = match self.last {
            None => Sequence { number: 0, missed: 0 },
            Some((last, continued)) => {
                // More than half the range ahead is behind.
                let step = match number.wrapping_sub(last) {
                    step @ 1..0x8000_0000 => u64::from(step),
                    _ => 1,
                };
                Sequence { number: continued + step, missed: step - 1 }
            }
        };
        self.last = Some((number, sequence.number));
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_s_time_is_kept() {
        let clock = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let age = at(clock() - Duration::from_millis(40)).elapsed();
        assert!((40..5_000).contains(&age.as_millis()), "{age:?}");
        assert!(at(clock() + Duration::from_secs(60)) <= Instant::now(), "no frame comes from the future");
        // Before the machine was switched on: as old as an Instant can be, or now.
        assert!(at(Duration::ZERO) <= Instant::now());
    }

    #[test]
    fn gaps_are_counted_and_numbers_never_go_back() {
        let mut counter = FrameCounter::default();
        let mut places = [7, 8, 11, 11, 3, 4].map(|number| counter.next(number)).into_iter();
        let mut place = || places.next().map(|place| (place.number, place.missed)).unwrap();
        assert_eq!(place(), (0, 0), "what was before the first is not known");
        assert_eq!(place(), (1, 0));
        assert_eq!(place(), (4, 2), "two are missing");
        assert_eq!(place(), (5, 0), "repeated");
        assert_eq!(place(), (6, 0), "begun anew");
        assert_eq!(place(), (7, 0));
    }

    #[test]
    fn the_end_of_32_bits_is_no_gap() {
        let mut counter = FrameCounter::default();
        counter.next(u32::MAX - 1);
        assert_eq!(counter.next(0), Sequence { number: 2, missed: 1 });
    }
}
