//! `cargo xtask bench guest`: the rate at which a small board's processor captures, converts and encodes, in the
//! emulated machine of `cargo xtask test vm`.
//!
//! vivid is the camera, 720x480 at 29.97 frames a second. Under emulation a figure says as much of the host and of what
//! else it does as of our code: the best of a few runs counts, and the host's load is shown beside it.

use std::fs;

use anyhow::{Context, Result};

use crate::bench::report::{Figure, Goal};
use crate::vm::{self, Task};

/// The sections of the guest's report: by which of V4L2's two interfaces the camera was used.
const INTERFACES: [&str; 2] = ["single-planar", "multi-planar"];

/// What is captured, and the least frames a second of it.
const FORMATS: [(&str, f64); 3] = [("YU12", 29.0), ("NV12", 29.0), ("YUYV", 28.0)];

/// Boots the guest and measures in it.
pub(crate) fn measure() -> Result<Vec<Figure>> {
    let before = load()?;
    let report = vm::boot(Task::Bench)?;
    let mut figures = Vec::new();
    for interface in INTERFACES {
        for (format, goal) in FORMATS {
            let best = best(&report.text, interface, format)
                .with_context(|| format!("{format}, {interface}, was not captured; see {}", report.file.display()))?;
            let name = format!("{format} 720x480, {interface}: captured and encoded");
            figures.push(Figure::new(name, best, "fps").with_goal(Goal::AtLeast(goal)));
        }
    }
    figures.push(Figure::new("load of this machine before", before, "processes"));
    figures.push(Figure::new("load of this machine after", load()?, "processes"));
    Ok(figures)
}

/// The highest rate that was reported of a format in a section.
fn best(report: &str, section: &str, format: &str) -> Option<f64> {
    let begin = format!("::begin {section}");
    let lines = report.lines().skip_while(|line| *line != begin).take_while(|line| !line.starts_with("::end "));
    let rates = lines.filter_map(|line| {
        let mut words = line.strip_prefix("format=")?.split(' ');
        let rate = (words.next()? == format).then(|| words.find_map(|word| word.strip_prefix("fps=")))??;
        rate.parse().ok()
    });
    rates.max_by(f64::total_cmp)
}

/// How many processes wanted to run in the last minute, as a mean.
fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read the load of this machine")?;
    text.split(' ').next().and_then(|load| load.parse().ok()).context("the load of this machine is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rate_of_the_format_and_section_counts() {
        let report = "noise\n::begin single-planar\nformat=YU12 size=720x480 rate=29.97 fps=27.10 frames=150\n\
                      format=YU12 size=720x480 rate=29.97 fps=29.60 frames=150\nformat=NV12 fps=29.90\n\
                      ::end single-planar 0\n::begin multi-planar\nerror: no camera\nformat=YU12 fps=?\n";
        assert_eq!(best(report, "single-planar", "YU12"), Some(29.6));
        assert_eq!(best(report, "single-planar", "NV12"), Some(29.9));
        assert_eq!(best(report, "single-planar", "YUYV"), None);
        assert_eq!(best(report, "multi-planar", "YU12"), None);
        assert_eq!(best(report, "no section", "YU12"), None);
    }
}
