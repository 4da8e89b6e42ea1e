//! What the guest's report must say. Speed is not judged: an emulated machine is as fast as its host has time for it.

use std::collections::BTreeMap;

/// The formats that the camera must be able to use.
const FORMATS: [&str; 3] = ["YU12", "NV12", "YUYV"];

/// What the guest reported, by section.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sections: BTreeMap<String, Section>,
}

/// What one command printed, and how it ended.
#[derive(Debug, Default)]
struct Section {
    text: String,
    status: Option<i32>,
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

type Judge = fn(&Section) -> Result<String, String>;

/// Name, section, what must be true of it.
const CHECKS: &[(&str, &str, Judge)] = &[
    ("the camera is listed, and only the camera", "devices", listed),
    ("YU12 is captured, converted and encoded", "formats", |section| captured(section, "YU12")),
    ("NV12 is captured, converted and encoded", "formats", |section| captured(section, "NV12")),
    ("YUYV is captured, converted and encoded", "formats", |section| captured(section, "YUYV")),
    ("the formats have the same mean colour", "formats", same_colour),
    ("pictures are the same in every format and with padded lines", "pictures", same_pictures),
    ("the rate asked for is set and kept", "rates", rates),
    ("single fields are refused", "fields", |section| refused(section, "single fields (alternate")),
    ("a missing permission is said so", "permission", |section| refused(section, "group video")),
    ("a multi-planar device is no camera", "multi-planar", |section| refused(section, "/dev/video1 is no camera")),
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
    ("a camera that is unplugged ends the capture", "disconnect", |section| refused(section, "went away")),
];

/// Every check with its outcome.
pub(crate) fn judge(report: &Report) -> Vec<Outcome> {
    let outcome = |&(name, section, judge): &(&'static str, &str, Judge)| {
        let result = match report.sections.get(section) {
            None => Err(format!("    the guest reported nothing on `{section}`")),
            Some(section) => judge(section).map_err(|problem| {
                let printed: Vec<_> = section.text.lines().map(|line| format!("    | {line}")).collect();
                format!("    {problem}; it printed (status {:?}):\n{}", section.status, printed.join("\n"))
            }),
        };
        Outcome { name, result }
    };
    CHECKS.iter().map(outcome).collect()
}

fn ensure(true_: bool, otherwise: impl Into<String>) -> Result<(), String> {
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
    let lines: Vec<_> = section.text.lines().collect();
    let [line] = lines[..] else { return Err("it is not one line".into()) };
    let right = line.starts_with("/dev/video0  vivid  ")
        && FORMATS.iter().all(|format| line.split(' ').any(|word| word == *format))
        && !line.contains("none of them usable");
    ensure(right, "it is not the camera with its formats")?;
    Ok(String::new())
}

fn captured(section: &Section, format: &str) -> Result<String, String> {
    section.succeeded()?;
    let capture = section.capture(format)?;
    capture.must_be("size", "720x480")?;
    capture.must_be("stride", if format == "YUYV" { "1440" } else { "720" })?;
    capture.must_be("rate", "29.97")?;
    capture.must_be("frames", "60")?;
    // vivid gives a number twice when a picture took it more than half a period; it never goes back.
    capture.must_be("backwards", "0")?;
    capture.must_be("keys", "1")?;
    capture.must_be_within("fps", 5.0, 40.0)?;
    capture.must_be_within("age_ms", 0.0, 2000.0)?;
    capture.must_be_within("bytes", 1000.0, 1e6)?;
    Ok(format!("{} fps, {} ms old, {} bytes", capture.word("fps")?, capture.word("age_ms")?, capture.word("bytes")?))
}

fn same_colour(section: &Section) -> Result<String, String> {
    let mut figures = Vec::new();
    for key in ["mean_y", "mean_u", "mean_v"] {
        let means = FORMATS.map(|format| section.capture(format).and_then(|capture| capture.number(key)));
        let means = means.into_iter().collect::<Result<Vec<_>, _>>()?;
        let most = means.iter().copied().fold(f64::MIN, f64::max);
        let least = means.iter().copied().fold(f64::MAX, f64::min);
        ensure(most - least <= 2.0, format!("{key} is {least} to {most}"))?;
        // Black would agree with black. The mean of the bars is known: greyish, and a little yellow.
        ensure((90.0..125.0).contains(&least), format!("{key} is {least}, which colour bars do not have"))?;
        figures.push(format!("{key} {least} to {most}"));
    }
    Ok(figures.join(", "))
}

fn same_pictures(section: &Section) -> Result<String, String> {
    for format in FORMATS {
        let strides: Vec<_> = section
            .captures()
            .filter(|capture| capture.word("format") == Ok(format))
            .map(|capture| capture.word("stride"))
            .collect::<Result<_, _>>()?;
        let plain = if format == "YUYV" { "1440" } else { "720" };
        ensure(strides == [plain, "2048"], format!("the strides of {format} are {strides:?}"))?;
    }
    let sums: Vec<_> = section.text.lines().filter_map(|line| line.split_once("  ./")).collect();
    ensure(sums.len() == 6, format!("there are {} pictures and not 6", sums.len()))?;
    ensure(sums.iter().all(|(sum, _)| *sum == sums[0].0), "they differ")?;
    Ok("6 of 6 byte for byte".to_owned())
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
    let skipped = section.text.lines().filter(|line| line.contains("a damaged frame was skipped")).count();
    ensure((1..=3).contains(&skipped), format!("{skipped} frames were skipped, 3 were damaged"))?;
    let capture = section.capture("YU12")?;
    capture.must_be("frames", "60")?;
    capture.must_be_within("gaps", 1.0, 1e4)?;
    Ok(format!("{skipped} skipped"))
}

fn agent(section: &Section) -> Result<String, String> {
    section.succeeded()?;
    ensure(section.text.contains("source opened source=/dev/video0"), "it did not open the camera")?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "format=YU12 size=720x480 stride=720 rate=29.97 fps=25.00 frames=60 gaps=6 repeated=1 backwards=0 age_ms=5 \
                        mean_y=107.90 mean_u=110.86 mean_v=106.30 keys=1 bytes=20523";

    fn section(text: &str, status: i32) -> Section {
        Section { text: text.to_owned(), status: Some(status) }
    }

    fn formats(third: &str) -> Section {
        let as_format = |format: &str| LINE.replace("YU12", format);
        let yuyv = as_format("YUYV").replace("stride=720", "stride=1440").replace("mean_u=110.86", third);
        section(&[LINE, &as_format("NV12"), &yuyv].join("\n"), 0)
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
        assert_eq!(outcomes.len(), CHECKS.len());
        assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
    }

    #[test]
    fn a_good_capture_passes_and_each_fault_of_it_does_not() {
        assert!(captured(&section(LINE, 0), "YU12").is_ok());
        assert!(captured(&section(LINE, 1), "YU12").is_err());
        assert!(captured(&section(LINE, 0), "NV12").is_err());
        for (good, bad) in [
            ("size=720x480", "size=640x480"),
            ("stride=720", "stride=768"),
            ("fps=25.00", "fps=2.00"),
            ("frames=60", "frames=59"),
            ("backwards=0", "backwards=1"),
            ("keys=1", "keys=0"),
            ("bytes=20523", "bytes=0"),
            ("bytes=20523", "bytes=?"),
        ] {
            assert!(captured(&section(&LINE.replace(good, bad), 0), "YU12").is_err(), "{bad}");
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
        for (format, plain) in [("YU12", 720), ("NV12", 720), ("YUYV", 1440)] {
            text += &format!("format={format} stride={plain}\nformat={format} stride=2048\n");
            text += &format!("00ff  ./{format}\n00ff  ./{format}-padded\n");
        }
        assert!(same_pictures(&section(&text, 0)).is_ok());
        assert!(same_pictures(&section(&text.replace("00ff  ./YUYV-", "00fe  ./YUYV-"), 0)).is_err());
        assert!(same_pictures(&section(&text.replace("YUYV stride=2048", "YUYV stride=1440"), 0)).is_err());
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
        let skipped = "TRACE a damaged frame was skipped sequence=7\n";
        assert!(damaged(&section(&format!("{skipped}{skipped}{LINE}"), 0)).is_ok());
        assert!(damaged(&section(LINE, 0)).is_err());
        assert!(damaged(&section(skipped, 1)).is_err());
    }
}
