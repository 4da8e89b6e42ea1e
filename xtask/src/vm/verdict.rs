//! What the guest's report must say. Speed is not judged: an emulated machine is as fast as its host has time for it.

use std::collections::BTreeMap;

use super::stumbles;

/// The formats that the camera must be able to use, each with the bytes that are copied of a picture of 720x480 to make
/// what the encoder reads: nothing, the colours, or everything.
const FORMATS: [(&str, u32); 6] = [
    ("YU12", 0),
    ("YV12", 0),
    ("NV12", 720 * 480 / 2),
    ("NV21", 720 * 480 / 2),
    ("YUYV", 720 * 480 * 3 / 2),
    ("UYVY", 720 * 480 * 3 / 2),
];

/// Those with planes in memories of their own.
const SEPARATE: [(&str, u32); 4] = [("YM12", 0), ("YM21", 0), ("NM12", 720 * 480 / 2), ("NM21", 720 * 480 / 2)];

/// What the guest reported, by section.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sections: BTreeMap<String, Section>,
}

/// What one command printed, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) text: String,
    pub(super) status: Option<i32>,
}

impl Report {
    /// Takes apart what stands between `::begin NAME` and `::end NAME STATUS`.
    pub(crate) fn read(text: &str) -> Self {
        let mut report = Self::default();
        let mut open: Option<(&str, Section)> = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("::begin ") {
                open = Some((name, Section::default()));
            } else if let Some(end) = line.strip_prefix("::end ") {
                if let Some((name, mut section)) = open.take() {
                    section.status = end.rsplit(' ').next().and_then(|status| status.parse().ok());
                    report.sections.insert(name.to_owned(), section);
                }
            } else if let Some((_, section)) = &mut open {
                section.text += line;
                section.text.push('\n');
            }
        }
        report
    }
}

/// One check's name, and its figures or what is wrong.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) result: Result<String, String>,
}

/// Name, section, what must be true of it.
pub(super) type Check = (&'static str, &'static str, fn(&Section) -> Result<String, String>);

const CHECKS: &[Check] = &[
    ("the cameras are listed, and only the cameras", "devices", listed),
    ("every format is captured, converted and encoded", "formats", |section| captured(section, &FORMATS)),
    ("so are those of a multi-planar camera", "planes", |section| captured(section, &[FORMATS[0], FORMATS[4]])),
    ("so is every format with planes in memories of their own", "planes", |section| captured(section, &SEPARATE)),
    ("the formats have the same mean colour", "formats", same_colour),
    ("pictures are the same in every format, together and apart, with padded lines", "pictures", same_pictures),
    ("a full range becomes the limited one", "ranges", same_range),
    ("controls are set by name, within their limits", "controls", controls),
    ("input and standard are chosen", "inputs", inputs),
    ("a camera changes its format from one opening to the next", "changes", changes),
    ("the rate asked for is set and kept", "rates", rates),
    ("single fields are refused", "fields", |section| refused(section, "single fields (alternate")),
    ("a missing permission is said so", "permission", |section| refused(section, "group video")),
    ("an output is no camera", "no-camera", |section| refused(section, "/dev/video1 is no camera: it is an output")),
    ("a missing device is said so", "no-device", |section| refused(section, "there is no device /dev/video7")),
    ("a camera in use is busy", "busy", busy),
    ("a failed request for buffers leaves nothing behind", "reqbufs", |section| recovered(section, "map its buffers")),
    ("a buffer that cannot be queued leaves nothing behind", "qbuf", |section| recovered(section, "queue a buffer")),
    ("a stream that cannot start leaves nothing behind", "streamon", |section| recovered(section, "start streaming")),
    ("dropped frames are counted and survived", "dropped", dropped),
    ("a camera that falls silent is noticed", "stalled", |section| refused(section, "delivered no frame for 5 s")),
    ("damaged frames are skipped", "damaged", damaged),
    ("a stream that breaks ends with its reason", "fatal", |section| refused(section, "failed to deliver a frame")),
    ("the agent opens the camera and stops in order", "agent", agent),
    ("the LED is taken over, and the privacy switch closes the camera", "board", board),
    ("libcamera's cameras are listed and deliver", "libcamera", libcamera),
    ("a camera that is unplugged ends the capture", "disconnect", |section| refused(section, "went away")),
];

/// Every check with its outcome.
pub(crate) fn judge(report: &Report) -> Vec<Outcome> {
    let outcome = |&(name, section, judge): &Check| {
        let result = match report.sections.get(section) {
            None => Err(format!("    the guest reported nothing on `{section}`")),
            Some(section) => judge(section).map_err(|problem| {
                let printed: Vec<_> = section.text.lines().map(|line| format!("    | {line}")).collect();
                format!("    {problem}; it printed (status {:?}):\n{}", section.status, printed.join("\n"))
            }),
        };
        Outcome { name, result }
    };
    CHECKS.iter().chain(stumbles::CHECKS).map(outcome).collect()
}

pub(super) fn ensure(true_: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if true_ { Ok(()) } else { Err(otherwise.into()) }
}

impl Section {
    fn succeeded(&self) -> Result<(), String> {
        ensure(self.status == Some(0), "it failed")
    }

    /// The lines of the tool `capture`.
    fn captures(&self) -> impl Iterator<Item = Capture<'_>> {
        self.text.lines().filter(|line| line.starts_with("format=")).map(Capture)
    }

    /// That many of them.
    fn captures_of<const N: usize>(&self) -> Result<[Capture<'_>; N], String> {
        let found: Vec<_> = self.captures().collect();
        <[Capture<'_>; N]>::try_from(found).map_err(|found| format!("there are {} captures and not {N}", found.len()))
    }

    pub(super) fn says(&self, text: &str) -> Result<(), String> {
        ensure(self.text.contains(text), format!("it did not say `{text}`"))
    }

    fn capture(&self, format: &str) -> Result<Capture<'_>, String> {
        let found = self.captures().find(|capture| capture.word("format") == Ok(format));
        found.ok_or_else(|| format!("{format} was not captured"))
    }
}

/// A line of `key=value` words.
#[derive(Debug, Clone, Copy)]
struct Capture<'a>(&'a str);

impl<'a> Capture<'a> {
    fn word(self, key: &str) -> Result<&'a str, String> {
        let mut words = self.0.split(' ').filter_map(|word| word.split_once('='));
        words.find(|(name, _)| *name == key).map(|(_, value)| value).ok_or_else(|| format!("there is no {key}"))
    }

    fn number(self, key: &str) -> Result<f64, String> {
        let value = self.word(key)?;
        value.parse().map_err(|_| format!("{key} is {value}, which is no number"))
    }

    fn must_be(self, key: &str, expected: &str) -> Result<(), String> {
        let value = self.word(key)?;
        ensure(value == expected, format!("{key} is {value} and not {expected}"))
    }

    fn must_be_within(self, key: &str, least: f64, most: f64) -> Result<(), String> {
        let value = self.number(key)?;
        ensure((least..=most).contains(&value), format!("{key} is {value}, which is not in {least} to {most}"))
    }
}

fn listed(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    section.says("/dev/video0")?;
    section.says("/dev/video3")?;
    section.says("vivid")?;
    for (format, _) in FORMATS.iter().chain(&SEPARATE) {
        section.says(format)?;
    }
    section.says("used as: YU12 720x480 at 29.97 fps, which the encoder reads as it is")?;
    section.says("auto takes /dev/video")?;
    // An output, and what stands beside pictures.
    ensure(!section.text.contains("/dev/video1"), "it lists the output")?;
    ensure(!section.text.contains("/dev/video2"), "it lists the metadata")?;
    Ok(String::new())
}

fn captured(section: &Section, formats: &[(&str, u32)]) -> Result<String, String> {
    section.succeeded()?;
    let mut figures = Vec::new();
    for (format, copied) in formats {
        let capture = section.capture(format)?;
        let outcome = captured_one(capture, if matches!(*format, "YUYV" | "UYVY") { "1440" } else { "720" }, *copied);
        figures.push(outcome.map_err(|problem| format!("{format}: {problem}"))?);
    }
    Ok(figures.join(", "))
}

fn captured_one(capture: Capture<'_>, stride: &str, copied: u32) -> Result<String, String> {
    capture.must_be("size", "720x480")?;
    capture.must_be("stride", stride)?;
    capture.must_be("rate", "29.97")?;
    capture.must_be("frames", "30")?;
    capture.must_be("damaged", "0")?;
    capture.must_be("backwards", "0")?;
    capture.must_be("copied", &copied.to_string())?;
    capture.must_be("keys", "1")?;
    capture.must_be_within("fps", 1.0, 40.0)?;
    capture.must_be_within("age_ms", 0.0, 2000.0)?;
    capture.must_be_within("bytes", 1000.0, 1e6)?;
    Ok(format!("{} {} fps", capture.word("format")?, capture.word("fps")?))
}

fn same_colour(section: &Section) -> Result<String, String> {
    let captures = FORMATS.map(|(format, _)| section.capture(format));
    let captures = captures.into_iter().collect::<Result<Vec<_>, _>>()?;
    // Black would agree with black. The mean of the bars is known: greyish, and a little yellow.
    same_means(&captures, 2.0, 90.0..125.0)
}

fn same_means(captures: &[Capture<'_>], apart: f64, among: std::ops::Range<f64>) -> Result<String, String> {
    let mut figures = Vec::new();
    for key in ["mean_y", "mean_u", "mean_v"] {
        let means = captures.iter().map(|capture| capture.number(key)).collect::<Result<Vec<_>, _>>()?;
        let most = means.iter().copied().fold(f64::MIN, f64::max);
        let least = means.iter().copied().fold(f64::MAX, f64::min);
        ensure(most - least <= apart, format!("{key} is {least} to {most}"))?;
        ensure(among.contains(&least), format!("{key} is {least}, which colour bars do not have"))?;
        figures.push(format!("{key} {least} to {most}"));
    }
    Ok(figures.join(", "))
}

/// In the order of the script: six formats, plain and padded; then those of the other camera.
fn same_pictures(section: &Section) -> Result<String, String> {
    let captures: [Capture<'_>; 20] = section.captures_of()?;
    for (pair, (format, _)) in captures.chunks(2).zip(FORMATS) {
        let plain = if matches!(format, "YUYV" | "UYVY") { "1440" } else { "720" };
        for (capture, stride) in pair.iter().zip([plain, "2048"]) {
            capture.must_be("format", format)?;
            capture.must_be("stride", stride).map_err(|problem| format!("{format}: {problem}"))?;
        }
    }
    captures[19].must_be("stride", "2048")?;
    let sums: Vec<_> = section.text.lines().filter_map(|line| line.split_once("  ./")).collect();
    ensure(sums.len() == captures.len(), format!("there are {} pictures and not {}", sums.len(), captures.len()))?;
    let other: Vec<_> = sums.iter().filter(|(sum, _)| *sum != sums[0].0).map(|(_, name)| *name).collect();
    ensure(other.is_empty(), format!("{} differ from {}", other.join(", "), sums[0].1))?;
    Ok(format!("{} of {} byte for byte", sums.len(), captures.len()))
}

fn same_range(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    let captures: [Capture<'_>; 6] = section.captures_of()?;
    captures[0].must_be("copied", "0")?;
    for capture in &captures[1..] {
        // Exactly one pass, also where the encoder could read the format.
        capture.must_be("copied", &(720 * 480 * 3 / 2).to_string())?;
    }
    same_means(&captures, 2.0, 90.0..125.0)
}

fn controls(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    let captures: [Capture<'_>; 3] = section.captures_of()?;
    let [before, bright, limited] = captures.map(|capture| capture.number("mean_y"));
    let (before, bright, limited) = (before?, bright?, limited?);
    ensure(bright > before + 10.0, format!("mean_y went from {before} to {bright} with more brightness"))?;
    ensure(limited > bright, format!("mean_y went from {bright} to {limited} with all brightness"))?;
    section.says("brightness: 200")?;
    section.says("horizontal_flip: 1")?;
    section.says("brightness = 9999 becomes 255: it takes 0 to 255")?;
    section.says("brightness: 255")?;
    section.says("the camera has not a control focus; it has brightness,")?;
    section.says("vertical_flip does not take maybe; it takes on or off")?;
    Ok(format!("mean_y {before} → {bright} → {limited}"))
}

fn inputs(section: &Section) -> Result<String, String> {
    let captures: [Capture<'_>; 6] = section.captures_of()?;
    let expected =
        [("720x576", "25.00"), ("720x480", "29.97"), ("640x360", "30.00"), ("720x480", "29.97"), ("720x480", "29.97")];
    for (capture, (size, rate)) in captures.iter().zip(expected) {
        capture.must_be("size", size)?;
        capture.must_be("rate", rate)?;
    }
    section.says("has no television standards at its input")?;
    section.says("error: /dev/video0 has no input SCART; it has 0 (")?;
    section.says("    no signal at its input")?;
    section.says("error: /dev/video0 has no signal at its input S-Video")?;
    // The last capture: noise, with a warning.
    section.says("no signal: is the other end switched on and connected?")?;
    Ok(String::new())
}

fn changes(section: &Section) -> Result<String, String> {
    let captures: [Capture<'_>; 4] = section.captures_of()?;
    for (capture, expected) in captures.iter().zip(["NV12 640x360", "YUYV 320x180", "YU12 1280x720", "NV12 640x360"]) {
        let is = format!("{} {}", capture.word("format")?, capture.word("size")?);
        ensure(is == expected, format!("it is {is} and not {expected}"))?;
        capture.must_be("frames", "3")?;
    }
    Ok(String::new())
}

fn rates(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    let captures: Vec<_> = section.captures().collect();
    let [fast, slow] = captures[..] else { return Err("it is not two captures".into()) };
    fast.must_be("rate", "30.00")?;
    slow.must_be("rate", "10.00")?;
    slow.must_be("size", "320x180")?;
    slow.must_be_within("fps", 5.0, 15.0)?;
    Ok(format!("30 → {} fps, 10 → {} fps", fast.word("fps")?, slow.word("fps")?))
}

/// It failed, said why, and did not panic.
fn refused(section: &Section, reason: &str) -> Result<String, String> {
    ensure(section.status == Some(1), "it did not fail with status 1")?;
    let line = section.text.lines().find(|line| line.starts_with("error: ") && line.contains(reason));
    line.map(|_| String::new()).ok_or_else(|| format!("it did not say `{reason}`"))
}

fn busy(section: &Section) -> Result<String, String> {
    let said = section.text.lines().any(|line| line.starts_with("error: /dev/video0 is busy"));
    ensure(said, "it did not say that the camera is busy")?;
    ensure(section.text.lines().any(|line| line == "second=1"), "it did not fail with status 1")?;
    Ok(String::new())
}

fn recovered(section: &Section, action: &str) -> Result<String, String> {
    let reason = format!("error: /dev/video0 failed to {action}");
    ensure(section.text.lines().any(|line| line.starts_with(&reason)), format!("it did not say `{reason}`"))?;
    section.succeeded()?;
    ensure(section.captures().count() == 1, "it is not one capture")?;
    section.capture("YU12")?.must_be("frames", "5")?;
    Ok(String::new())
}

fn dropped(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    let capture = section.capture("YU12")?;
    capture.must_be("frames", "60")?;
    capture.must_be("backwards", "0")?;
    capture.must_be_within("gaps", 5.0, 1e4)?;
    Ok(format!("{} gaps", capture.word("gaps")?))
}

fn damaged(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    let capture = section.capture("YU12")?;
    capture.must_be_within("damaged", 1.0, 3.0)?;
    capture.must_be("frames", "60")?;
    capture.must_be("backwards", "0")?;
    Ok(format!("{} of 3 met a frame", capture.word("damaged")?))
}

fn agent(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    section.says("source opened source=/dev/video0")?;
    section.says("which the encoder reads as it is")?;
    Ok(String::new())
}

fn board(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    section.says("led=0")?;
    section.says("paused: the camera is closed")?;
    section.says("no longer paused")?;
    Ok(String::new())
}

fn libcamera(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    section.says("libcamera:Bars")?;
    section.says("camera started camera=libcamera:Bars format=NV12 size=720x480")?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "format=YU12 size=720x480 stride=720 rate=29.97 fps=25.00 frames=60 gaps=6 damaged=0 backwards=0 age_ms=5 \
                        copied=0 mean_y=107.90 mean_u=110.86 mean_v=106.30 keys=1 bytes=20523";

    fn section(text: &str, status: i32) -> Section {
        Section { text: text.to_owned(), status: Some(status) }
    }

    fn as_format(format: &str, copied: u32) -> String {
        let copied = format!("copied={copied}");
        let line = LINE.replace("YU12", format).replace("copied=0", &copied).replace("frames=60", "frames=30");
        if matches!(format, "YUYV" | "UYVY") { line.replace("stride=720", "stride=1440") } else { line }
    }

    fn formats(last: &str) -> Section {
        let mut lines = FORMATS.map(|(format, copied)| as_format(format, copied));
        lines[5] = lines[5].replace("mean_u=110.86", last);
        section(&lines.join("\n"), 0)
    }

    #[test]
    fn a_report_is_taken_apart() {
        let report = Report::read("noise\n::begin a\none\ntwo\n::end a 1\nnoise\n::begin b\n");
        assert_eq!(report.sections["a"].text, "one\ntwo\n");
        assert_eq!(report.sections["a"].status, Some(1));
        assert!(!report.sections.contains_key("b"), "what was not ended does not count");
    }

    #[test]
    fn a_silent_guest_fails_every_check() {
        let outcomes = judge(&Report::default());
        assert_eq!(outcomes.len(), CHECKS.len() + stumbles::CHECKS.len());
        assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
    }

    #[test]
    fn good_captures_pass_and_each_fault_of_one_does_not() {
        let all = formats("mean_u=110.86").text;
        assert!(captured(&section(&all, 0), &FORMATS).is_ok());
        assert!(captured(&section(&all, 1), &FORMATS).is_err());
        assert!(captured(&section(&all, 0), &SEPARATE).is_err());
        for (good, bad) in [
            ("size=720x480", "size=640x480"),
            ("stride=720", "stride=768"),
            ("fps=25.00", "fps=0.50"),
            ("frames=30", "frames=29"),
            ("damaged=0", "damaged=1"),
            ("backwards=0", "backwards=1"),
            ("copied=0", "copied=518400"),
            ("keys=1", "keys=0"),
            ("bytes=20523", "bytes=0"),
            ("bytes=20523", "bytes=?"),
        ] {
            assert!(captured(&section(&all.replacen(good, bad, 1), 0), &FORMATS).is_err(), "{bad}");
        }
    }

    #[test]
    fn colours_must_agree_and_be_those_of_the_bars() {
        assert!(same_colour(&formats("mean_u=110.45")).is_ok());
        assert!(same_colour(&formats("mean_u=106.30")).is_err());
        assert!(same_colour(&section(&formats("mean_u=110.86").text.replace("=107.90", "=16.00"), 0)).is_err());
    }

    #[test]
    fn pictures_must_be_padded_and_the_same() {
        let mut text = String::new();
        for (format, _) in FORMATS {
            let plain = if matches!(format, "YUYV" | "UYVY") { 1440 } else { 720 };
            text += &format!("format={format} stride={plain}\nformat={format} stride=2048\n");
            text += &format!("00ff  ./{format}\n00ff  ./{format}-padded\n");
        }
        for format in ["YU12", "NV12", "YUYV", "YM12", "YM21", "NM12", "NM21"] {
            text += &format!("format={format} stride=720\n00ff  ./{format}-planes\n");
        }
        text += "format=NM12 stride=2048\n00ff  ./NM12-planes-padded\n";
        assert!(same_pictures(&section(&text, 0)).is_ok());
        let differs = same_pictures(&section(&text.replace("00ff  ./YUYV-p", "00fe  ./YUYV-p"), 0)).unwrap_err();
        assert!(differs.starts_with("YUYV-padded, YUYV-planes differ"), "{differs}");
        assert!(same_pictures(&section(&text.replace("YUYV stride=2048", "YUYV stride=1440"), 0)).is_err());
        assert!(same_pictures(&section(&text.replace("00ff  ./YM21-planes\n", ""), 0)).is_err());
    }

    #[test]
    fn a_refusal_needs_its_reason_and_is_no_panic() {
        let said = "error: /dev/video0 went away while it was streaming";
        assert!(refused(&section(said, 1), "went away").is_ok());
        assert!(refused(&section(said, 101), "went away").is_err());
        assert!(refused(&section("thread 'main' panicked: went away", 1), "went away").is_err());
        assert!(refused(&section(said, 1), "is busy").is_err());
    }

    #[test]
    fn damage_must_be_seen_and_survived() {
        assert!(damaged(&section(&LINE.replace("damaged=0", "damaged=2"), 0)).is_ok());
        assert!(damaged(&section(LINE, 0)).is_err());
        assert!(damaged(&section(&LINE.replace("damaged=0", "damaged=2"), 1)).is_err());
    }

    #[test]
    fn brightness_must_be_seen() {
        let line = |mean: &str| LINE.replace("mean_y=107.90", &format!("mean_y={mean}"));
        let said = "brightness: 200\nhorizontal_flip: 1\nbrightness = 9999 becomes 255: it takes 0 to 255\nbrightness: 255\n\
                    the camera has not a control focus; it has brightness, contrast\n\
                    vertical_flip does not take maybe; it takes on or off\n";
        let report = |means: [&str; 3]| section(&format!("{}\n{said}", means.map(line).join("\n")), 0);
        assert!(controls(&report(["100.0", "150.0", "170.0"])).is_ok());
        assert!(controls(&report(["100.0", "100.0", "170.0"])).is_err());
        assert!(
            controls(&section(&report(["100.0", "150.0", "170.0"]).text.replace("flip: 1", "flip: 0"), 0)).is_err()
        );
    }
}
