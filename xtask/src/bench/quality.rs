//! `cargo xtask bench quality`: what the encoder's settings do to the picture, and what they cost.
//!
//! The camera's encoder makes files, ffmpeg's own decoder compares them with the original. Noise filtering is judged on
//! noisy pictures, against the original without the noise: what the viewer would like to see.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::capture::value;
use crate::bench::clip::{Footage, Grain};
use crate::bench::report::Figure;
use crate::progress::Step;
use crate::run;
use crate::system::{self, Purpose};
use crate::workspace;

const BITRATES: [u32; 4] = [300, 600, 1_000, 2_000];

/// One way to set the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    speed: u8,
    static_threshold: u32,
    noise_sensitivity: u8,
    noisy: bool,
}

impl Candidate {
    const BASE: Self = Self { speed: 10, static_threshold: 1, noise_sensitivity: 0, noisy: false };

    /// One setting varied at a time.
    fn all() -> Vec<Self> {
        let speeds = [4, 6, 8, 10, 12, 14, 16].map(|speed| Self { speed, ..Self::BASE });
        let thresholds = [0, 100, 300, 500, 1_000].map(|static_threshold| Self { static_threshold, ..Self::BASE });
        let clean = [1, 3].map(|noise_sensitivity| Self { noise_sensitivity, ..Self::BASE });
        let noisy = [0, 1, 2, 3, 4].map(|noise_sensitivity| Self { noise_sensitivity, noisy: true, ..Self::BASE });
        let noisy_threshold = [100, 500].map(|static_threshold| Self { static_threshold, noisy: true, ..Self::BASE });
        [&speeds[..], &thresholds, &clean, &noisy, &noisy_threshold].concat()
    }
}

/// What came of it at one bitrate.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    kbps: f64,
    psnr: f64,
    ssim: f64,
    cpu_ms: f64,
}

/// Builds, encodes and compares.
pub(crate) fn measure(footage: &Footage) -> Result<Vec<Figure>> {
    system::prepare(Purpose::Build)?;
    let step = Step::begin("Build the example encode");
    let mut build = workspace::cargo();
    run::to_the_end(build.args(["build", "--release", "--package", "camera-fw", "--example", "encode"]))?;
    step.done();
    let (clean, noisy) = (footage.clip(Grain::None)?, footage.clip(Grain::Evening)?);
    println!(
        "\n| picture | speed | static threshold | noise | asked, kbps | kbps | PSNR, dB | SSIM | encode, ms a frame |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut figures = Vec::new();
    for candidate in Candidate::all() {
        for bitrate in BITRATES {
            let clip = if candidate.noisy { &noisy } else { &clean };
            let outcome = encode(clip, &clean, candidate, bitrate)?;
            println!("{}", row(candidate, bitrate, outcome));
            figures.extend(as_figures(candidate, bitrate, outcome));
        }
    }
    Ok(figures)
}

fn encode(clip: &Path, original: &Path, candidate: Candidate, bitrate: u32) -> Result<Outcome> {
    let ivf = workspace::target().join("bench/encoded.ivf");
    let mut command = Command::new(workspace::target().join("release/examples/encode"));
    command.arg(clip).arg("--ivf").arg(&ivf);
    for (option, value) in [
        ("--bitrate", bitrate),
        ("--speed", candidate.speed.into()),
        ("--static-threshold", candidate.static_threshold),
        ("--noise-sensitivity", candidate.noise_sensitivity.into()),
    ] {
        command.arg(option).arg(value.to_string());
    }
    let line = run::output(&mut command).context("the example encode failed")?;
    let (psnr, ssim) = compare(&ivf, original)?;
    Ok(Outcome { kbps: value(&line, "kbps")?, psnr, ssim, cpu_ms: value(&line, "cpu_ms")? })
}

/// PSNR and SSIM over all frames and planes, by ffmpeg: its VP8 decoder has nothing in common with libvpx.
fn compare(ivf: &PathBuf, original: &Path) -> Result<(f64, f64)> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-c:v", "vp8", "-i"]).arg(ivf).arg("-i").arg(original);
    let graph = "[0:v]split[a][b];[1:v]split[c][d];[a][c]psnr;[b][d]ssim";
    let output = command
        .args(["-lavfi", graph, "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .context("cannot start ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg failed:\n{said}");
    Ok((score(&said, "average:")?, score(&said, "All:")?))
}

fn score(said: &str, name: &str) -> Result<f64> {
    let rest = said.rsplit_once(name).with_context(|| format!("ffmpeg does not say `{name}`"))?.1;
    let number = rest.split(|letter: char| letter.is_whitespace() || letter == '(').next().unwrap_or_default();
    number.parse().with_context(|| format!("ffmpeg says `{name}{number}`"))
}

fn row(candidate: Candidate, bitrate: u32, outcome: Outcome) -> String {
    let Candidate { speed, static_threshold, noise_sensitivity, noisy } = candidate;
    let picture = if noisy { "noisy" } else { "clean" };
    let Outcome { kbps, psnr, ssim, cpu_ms } = outcome;
    format!(
        "| {picture} | {speed} | {static_threshold} | {noise_sensitivity} | {bitrate} | {kbps:.0} | {psnr:.2} | {ssim:.4} | {cpu_ms:.2} |"
    )
}

fn as_figures(candidate: Candidate, bitrate: u32, outcome: Outcome) -> [Figure; 3] {
    let Candidate { speed, static_threshold, noise_sensitivity, noisy } = candidate;
    let picture = if noisy { ", noisy" } else { "" };
    let name = format!("speed {speed}, static {static_threshold}, noise {noise_sensitivity}{picture}, {bitrate} kbps");
    [
        Figure::new(format!("{name}: PSNR"), outcome.psnr, "dB"),
        Figure::new(format!("{name}: SSIM"), outcome.ssim, ""),
        Figure::new(format!("{name}: encode"), outcome.cpu_ms, "ms"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_is_read() {
        let said = "[Parsed_psnr_2 @ 0x1] PSNR y:36.1 u:40.2 v:41.3 average:37.05 min:30.1 max:inf\n\
                    [Parsed_ssim_3 @ 0x2] SSIM Y:0.95 (13.1) U:0.97 (15.2) V:0.97 (16.0) All:0.958 (13.7)\n";
        assert_eq!(score(said, "average:").expect("there"), 37.05);
        assert_eq!(score(said, "All:").expect("there"), 0.958);
        assert!(score(said, "mse:").is_err());
    }

    #[test]
    fn one_setting_is_varied_at_a_time() {
        for candidate in Candidate::all() {
            let Candidate { speed, static_threshold, noise_sensitivity, .. } = candidate;
            let base = Candidate::BASE;
            let varied = [
                speed != base.speed,
                static_threshold != base.static_threshold,
                noise_sensitivity != base.noise_sensitivity,
            ];
            assert!(varied.iter().filter(|varied| **varied).count() <= 1, "{candidate:?}");
        }
    }
}
