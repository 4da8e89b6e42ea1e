//! Which of a camera's modes is taken: pure rules.
//!
//! Every mode is measured by how far it misses what is wanted: by the factors in width, in height and in rate. A rate that
//! is too low counts twice, as a picture that moves tells more than a larger one; three hundredths do not count. The mode
//! that misses least is taken, and of several the one that is cheapest to encode: the encoder's own format, then one
//! conversion, then a decoded JPEG. What has fewer than 15 frames a second comes last, unless no more are wanted.

use super::formats::{READABLE, Readable, readable};
use super::ioctl::FourCc;
use crate::capture::inventory::{Mode, Sizes};
use crate::capture::settings::Wanted;
use crate::frame::{PixelFormat, Size};

/// Rates that differ by so little are the same: 29.97 is 30.
const SAME_RATE: f64 = 0.03;

/// Below it, a picture stutters.
const FLUENT: f64 = 15.0;

/// A mode that could be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) readable: &'static Readable,
    pub(super) size: Size,
    /// Frames a second, if the driver tells them.
    pub(super) rate: Option<f64>,
    /// How far it is from what is wanted, in hundredths.
    miss: u32,
}

/// All that could be taken, best first; with a wish, of that format alone.
pub(super) fn ranked(modes: &[Mode], wanted: Wanted, wish: Option<FourCc>) -> Vec<Choice> {
    let mut choices = Vec::new();
    for mode in modes {
        let Some(readable) = readable(&mode.format) else { continue };
        if wish.is_none_or(|wish| wish == readable.fourcc) {
            choices.extend(sizes(&mode.sizes, wanted).into_iter().map(|(size, rate)| {
                let miss = (distance(size, wanted.size) + lateness(rate, f64::from(wanted.fps))) * 100.0;
                Choice { readable, size, rate, miss: miss.round() as u32 }
            }));
        }
    }
    let fluent = FLUENT.min(f64::from(wanted.fps)) * (1.0 - SAME_RATE);
    choices.sort_by_key(|choice| {
        let stutters = choice.rate.is_some_and(|rate| rate < fluent);
        let size = (distance(choice.size, wanted.size) * 100.0).round() as u32;
        (stutters, choice.miss, cost(choice.readable), size)
    });
    choices
}

/// Why the first of these is taken, in a sentence; nothing if there is none.
pub(super) fn reason(ranked: &[Choice], wanted: Wanted) -> Option<String> {
    let taken = ranked.first()?;
    let effort = match taken.readable.format {
        PixelFormat::I420 => "which the encoder reads as it is",
        PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Yuyv | PixelFormat::Uyvy => "which takes one conversion",
        PixelFormat::Mjpeg => "which must be decoded",
    };
    let wish = format!("{} at {} fps", wanted.size, wanted.fps);
    let fit = if taken.miss == 0 { format!("has the wanted {wish}") } else { format!("comes nearest to {wish}") };
    let group = |choice: &Choice| PixelFormat::ALL.iter().position(|format| *format == choice.readable.format);
    let cheaper = ranked.iter().find(|choice| group(choice) < group(taken));
    let cheaper = cheaper.map(|cheaper| format!("; {} gives at best {}", cheaper.readable.fourcc, cheaper.extent()));
    Some(format!("{} {}, {effort}, {fit}{}", taken.readable.fourcc, taken.extent(), cheaper.unwrap_or_default()))
}

impl Choice {
    fn extent(&self) -> String {
        match self.rate {
            Some(rate) => format!("{} at {} fps", self.size, (rate * 100.0).round() / 100.0),
            None => self.size.to_string(),
        }
    }
}

fn cost(readable: &Readable) -> Option<usize> {
    READABLE.iter().position(|other| other == readable)
}

/// The sizes that come into question, each with the rate that it would have.
fn sizes(sizes: &Sizes, wanted: Wanted) -> Vec<(Size, Option<f64>)> {
    match sizes {
        // A driver that tells none takes what it is asked for, or the nearest.
        Sizes::Discrete(sizes) if sizes.is_empty() => vec![(wanted.size, None)],
        Sizes::Discrete(sizes) => {
            sizes.iter().map(|(size, rates)| (*size, nearest_rate(rates, f64::from(wanted.fps)))).collect()
        }
        Sizes::Range { min, max, step, fastest } => {
            let size = Size {
                width: within(wanted.size.width, min.width, max.width, step.0),
                height: within(wanted.size.height, min.height, max.height, step.1),
            };
            vec![(size, fastest.map(|fastest| fastest.min(f64::from(wanted.fps))))]
        }
    }
}

/// The value nearest to the wanted one that is in the range and on a step from its beginning.
fn within(wanted: u32, min: u32, max: u32, step: u32) -> u32 {
    let steps = |value: u32| (value.saturating_sub(min) + step / 2) / step.max(1);
    let last = max.saturating_sub(min) / step.max(1);
    min + steps(wanted).min(last) * step
}

/// The lowest that is enough; else the highest.
fn nearest_rate(rates: &[f64], wanted: f64) -> Option<f64> {
    let enough = rates.iter().copied().filter(|rate| *rate >= wanted * (1.0 - SAME_RATE));
    enough.min_by(f64::total_cmp).or_else(|| rates.iter().copied().max_by(f64::total_cmp))
}

/// Logarithm of the factor between two numbers, whichever is larger.
fn factor(a: f64, b: f64) -> f64 {
    (a / b).ln().abs()
}

fn distance(size: Size, wanted: Size) -> f64 {
    let factor = |a: u32, b: u32| factor(f64::from(a.max(1)), f64::from(b.max(1)));
    factor(size.width, wanted.width) + factor(size.height, wanted.height)
}

/// What a rate misses; a driver that tells none is believed to have the wanted one.
fn lateness(rate: Option<f64>, wanted: f64) -> f64 {
    let Some(rate) = rate.map(|rate| rate.max(0.01)) else { return 0.0 };
    let missed = factor(rate, wanted);
    match missed {
        _ if missed <= SAME_RATE => 0.0,
        _ if rate < wanted => 2.0 * missed,
        _ => missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMCAM: Wanted = Wanted { size: Size { width: 720, height: 480 }, fps: 30 };
    const HD: Wanted = Wanted { size: Size { width: 1280, height: 720 }, fps: 30 };

    fn discrete(format: &str, sizes: &[(u32, u32, &[f64])]) -> Mode {
        let sizes =
            sizes.iter().map(|(width, height, rates)| (Size { width: *width, height: *height }, rates.to_vec()));
        Mode { format: format.into(), usable: readable(format).is_some(), sizes: Sizes::Discrete(sizes.collect()) }
    }

    fn range(format: &str, min: (u32, u32), max: (u32, u32), step: (u32, u32), fastest: Option<f64>) -> Mode {
        let size = |(width, height)| Size { width, height };
        let sizes = Sizes::Range { min: size(min), max: size(max), step, fastest };
        Mode { format: format.into(), usable: readable(format).is_some(), sizes }
    }

    /// Logitech HD Pro Webcam C920.
    fn c920() -> Vec<Mode> {
        const ALL: &[f64] = &[30.0, 24.0, 20.0, 15.0, 10.0, 7.5, 5.0];
        let small = [(160, 90), (320, 240), (432, 240), (640, 360), (640, 480), (800, 448)];
        let raw_large: [(u32, u32, &[f64]); 5] = [
            (864, 480, &[24.0, 20.0, 15.0, 10.0, 7.5, 5.0]),
            (960, 720, &[15.0, 10.0, 7.5, 5.0]),
            (1280, 720, &[10.0, 7.5, 5.0]),
            (1920, 1080, &[5.0]),
            (2304, 1536, &[2.0]),
        ];
        let small = small.map(|(width, height)| (width, height, ALL));
        let large = [(864, 480), (960, 720), (1280, 720), (1920, 1080)].map(|(width, height)| (width, height, ALL));
        vec![
            discrete("YUYV", &[&small[..], &raw_large].concat()),
            discrete("H264", &[&small[..], &large].concat()),
            discrete("MJPG", &[&small[..], &large].concat()),
        ]
    }

    /// A cheap one on USB 2: fast only as JPEG.
    fn cheap() -> Vec<Mode> {
        vec![
            discrete("MJPG", &[(1280, 720, &[30.0]), (640, 480, &[30.0]), (320, 240, &[30.0])]),
            discrete("YUYV", &[(1280, 720, &[9.0]), (640, 480, &[15.0]), (320, 240, &[30.0])]),
        ]
    }

    fn vivid() -> Vec<Mode> {
        let every = |format| range(format, (320, 180), (3840, 2160), (2, 1), Some(60.0));
        ["YUYV", "UYVY", "RGB3", "NV12", "YV12", "YU12", "NM12", "YM12"].map(every).to_vec()
    }

    fn taken(modes: &[Mode], wanted: Wanted) -> (String, String) {
        let ranked = ranked(modes, wanted, None);
        let choice = ranked[0];
        let mode = format!("{} {}@{:?}", choice.readable.fourcc, choice.size, choice.rate.unwrap_or_default());
        (mode, reason(&ranked, wanted).unwrap())
    }

    #[test]
    fn a_good_webcam_gives_small_pictures_raw_and_large_ones_as_jpeg() {
        let (mode, reason) = taken(&c920(), ROOMCAM);
        assert_eq!(mode, "YUYV 640x480@30.0");
        assert_eq!(reason, "YUYV 640x480 at 30 fps, which takes one conversion, comes nearest to 720x480 at 30 fps");
        let (mode, reason) = taken(&c920(), HD);
        assert_eq!(mode, "MJPG 1280x720@30.0");
        assert_eq!(
            reason,
            "MJPG 1280x720 at 30 fps, which must be decoded, has the wanted 1280x720 at 30 fps; \
             YUYV gives at best 800x448 at 30 fps"
        );
    }

    #[test]
    fn a_cheap_webcam_is_read_as_jpeg_because_of_its_rate() {
        assert_eq!(taken(&cheap(), ROOMCAM).0, "MJPG 640x480@30.0");
        assert_eq!(taken(&cheap(), HD).0, "MJPG 1280x720@30.0");
        let slow = Wanted { fps: 15, ..ROOMCAM };
        assert_eq!(taken(&cheap(), slow).0, "YUYV 640x480@15.0", "15 it reaches without a JPEG");
        let raw = &cheap()[1..];
        assert_eq!(taken(raw, HD).0, "YUYV 640x480@15.0", "neither the largest nor the fastest");
    }

    #[test]
    fn a_grabber_gives_the_standard_s_size() {
        // em28xx: UYVY and its kin in steps, no rates; easycap: one size for each standard.
        let em28xx =
            [range("UYVY", (48, 32), (720, 480), (1, 1), None), range("YUYV", (48, 32), (720, 480), (1, 1), None)];
        assert_eq!(taken(&em28xx, ROOMCAM).0, "YUYV 720x480@0.0");
        assert_eq!(taken(&em28xx, HD).0, "YUYV 720x480@0.0");
        let easycap = [discrete("UYVY", &[(720, 576, &[25.0]), (640, 480, &[25.0]), (320, 240, &[25.0])])];
        assert_eq!(taken(&easycap, Wanted { fps: 25, ..ROOMCAM }).0, "UYVY 640x480@25.0");
        let silent = [discrete("YUYV", &[])];
        let (mode, reason) = taken(&silent, ROOMCAM);
        assert_eq!(mode, "YUYV 720x480@0.0", "who tells nothing is asked for what is wanted");
        assert!(reason.starts_with("YUYV 720x480, which"), "{reason}");
    }

    #[test]
    fn a_sensor_alone_gives_nothing_readable() {
        let unicam = [range("pBAA", (16, 16), (16376, 16376), (1, 1), None), discrete("RG10", &[(1920, 1080, &[])])];
        assert_eq!(ranked(&unicam, ROOMCAM, None), []);
        assert_eq!(reason(&[], ROOMCAM), None);
    }

    #[test]
    fn the_laboratory_s_camera_gives_what_the_encoder_reads() {
        let (mode, reason) = taken(&vivid(), ROOMCAM);
        assert_eq!(mode, "YU12 720x480@30.0");
        assert_eq!(
            reason,
            "YU12 720x480 at 30 fps, which the encoder reads as it is, has the wanted 720x480 at 30 fps"
        );
        let names: Vec<_> =
            ranked(&vivid(), ROOMCAM, None).iter().map(|choice| choice.readable.fourcc.to_string()).collect();
        assert_eq!(names, ["YU12", "YM12", "YV12", "NV12", "NM12", "YUYV", "UYVY"], "the cheapest first");
        let wish = ranked(&vivid(), ROOMCAM, Some(FourCc(*b"NM12")));
        assert_eq!(wish.len(), 1);
        assert_eq!(wish[0].readable.fourcc, FourCc(*b"NM12"));
    }

    #[test]
    fn ntsc_s_rate_is_thirty() {
        let modes = [discrete("YUYV", &[(720, 480, &[30000.0 / 1001.0])]), discrete("MJPG", &[(720, 480, &[30.0])])];
        assert_eq!(taken(&modes, ROOMCAM).0, format!("YUYV 720x480@{:?}", 30000.0 / 1001.0));
    }

    #[test]
    fn a_size_is_moved_onto_the_camera_s_steps() {
        assert_eq!(within(720, 48, 720, 16), 720);
        assert_eq!(within(725, 16, 1920, 16), 720);
        assert_eq!(within(10, 48, 720, 16), 48);
        assert_eq!(within(4000, 48, 730, 16), 720, "the last step inside");
        assert_eq!(within(100, 64, 64, 0), 64);
    }
}
