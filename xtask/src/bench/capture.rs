//! `cargo xtask bench capture`: what the camera does to a frame besides encoding it, and what that costs.
//!
//! The camera streams a clip to a page in Chromium, and in the same minute a program without network or threads of its
//! own encodes the same pictures with the same settings at the same pace: whatever else the machine does disturbs both.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::clip::{Footage, Grain, SECONDS};
use crate::bench::process::{self, Usage};
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::{self, BITRATE_KBPS, Rig, SPEED};
use crate::progress::Step;
use crate::run;
use crate::workspace;

/// The clip plays so many times while both are measured.
const ROUNDS: u64 = 3;
const CAPTURE_THREAD: &str = "capture";
const ENCODE_THREAD: &str = "encode";
/// The thread that drives the network has the name of the program.
const NETWORK_THREAD: &str = "camera-fw";
const ENCODE: &str = "encode";
const FRAME_PATH: &str = "frame_path";

/// Builds, runs and measures.
pub(crate) fn measure(footage: &Footage) -> Result<Vec<Figure>> {
    rig::build(&[ENCODE, FRAME_PATH])?;
    let clip = footage.clip(Grain::None)?;
    let mut figures = formats(&clip)?;
    figures.extend(against_libvpx(&clip)?);
    Ok(figures)
}

/// Copies, allocations and conversion by format.
fn formats(clip: &Path) -> Result<Vec<Figure>> {
    let step = Step::begin("Formats");
    let jpeg = clip.with_file_name("picture.jpg");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-i"]).arg(clip).args(["-frames:v", "1", "-q:v", "4"]).arg(&jpeg);
    run::to_the_end_silently(&mut ffmpeg)?;
    let mut command = Command::new(example(FRAME_PATH));
    let output = run::output(command.arg(clip).arg("--jpeg").arg(&jpeg)).context("the example frame_path failed")?;
    step.done();
    let mut figures = Vec::new();
    for line in output.lines() {
        let format = text(line, "format")?;
        let goal = |figure: Figure| if format == "YU12" { figure.with_goal(Goal::AtMost(0.0)) } else { figure };
        let copied = Figure::new(format!("{format}: bytes copied a frame"), value(line, "copied")?, "");
        let allocated = Figure::new(format!("{format}: allocations a frame"), value(line, "allocations")?, "");
        let conversion = Figure::new(format!("{format}: conversion"), value(line, "convert_ms")?, "ms");
        figures.extend([goal(copied), allocated.with_goal(Goal::AtMost(0.0)), conversion]);
    }
    ensure!(!figures.is_empty(), "the example frame_path says nothing");
    Ok(figures)
}

fn against_libvpx(clip: &Path) -> Result<Vec<Figure>> {
    let seconds = SECONDS * ROUNDS;
    let source = clip.to_str().context("the clip's path is not UTF-8")?;
    let mut rig = Rig::start(source)?;
    let camera = rig.camera();
    let step = Step::begin(format!("A viewer watches for {seconds} s; libvpx alone encodes beside it"));
    let (mut reference, mut before, mut after) = (None, None, None);
    let seen = rig.viewers.watch(
        1,
        seconds,
        || {
            reference = Some(start_reference(clip, seconds)?);
            before = Some(process::usage(camera)?);
            Ok(())
        },
        || process::usage(camera).map(|usage| after = Some(usage)),
    )?;
    step.done();
    let libvpx = reference.context("libvpx alone was not measured")?.wait_with_output().context("libvpx alone")?;
    ensure!(libvpx.status.success(), "the example encode failed ({})", libvpx.status);
    let libvpx = String::from_utf8_lossy(&libvpx.stdout).into_owned();
    let steps = rig.said("speed=")?;
    rig.stop()?;

    let (before, after): (Usage, Usage) = before.zip(after).context("the camera's time was not measured")?;
    let camera = after.since(&before);
    let fps = seen.frames_per_second.first().copied().unwrap_or(0.0);
    let libvpx = value(&libvpx, "total_cpu_s")? / value(&libvpx, "frames")?;
    let mut figures = ratios(&camera, libvpx, seen.seconds, fps);
    // One that changed its speed did not do what libvpx alone did.
    figures
        .push(Figure::new("changes of the encoder's speed meanwhile", steps as f64, "").with_goal(Goal::AtMost(0.0)));
    Ok(figures)
}

fn start_reference(clip: &Path, seconds: u64) -> Result<Child> {
    let mut command = Command::new(example(ENCODE));
    command.arg(clip).args(["--paced", "--threads", "1", "--seconds", &seconds.to_string()]);
    command.args(["--bitrate", &BITRATE_KBPS.to_string(), "--speed", &SPEED.to_string()]);
    let child = run::ending_with_us(&command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    child.context("cannot start the example encode")
}

/// `camera` is what it used in `seconds`, `libvpx` the CPU seconds of libvpx alone for a frame. Compared by the frame: on a
/// busy machine the camera drops some.
fn ratios(camera: &Usage, libvpx: f64, seconds: f64, fps: f64) -> Vec<Figure> {
    let a_frame = |used: f64| used / (fps * seconds);
    let (capture, encode) = (a_frame(camera.of(CAPTURE_THREAD)), a_frame(camera.of(ENCODE_THREAD)));
    let (network, whole) = (a_frame(camera.of(NETWORK_THREAD)), a_frame(camera.whole));
    let wakes = camera.wakes(NETWORK_THREAD) as f64 / seconds;
    let frame = |name: &str, used: f64| Figure::new(format!("{name}, CPU a frame"), used * 1e3, "ms");
    let over = |name: &str, used| {
        Figure::new(format!("{name} over libvpx alone"), used / libvpx, "").with_goal(Goal::AtMost(1.10))
    };
    vec![
        Figure::new("frames decoded a second", fps, "fps").with_goal(Goal::AtLeast(29.5)),
        frame("libvpx alone", libvpx),
        frame("thread encode", encode),
        frame("thread capture: reads the file", capture),
        frame("thread of the network, one viewer", network),
        frame("the whole camera", whole),
        Figure::new("wake-ups of the network's thread", wakes, "/s"),
        over("thread encode", encode),
        over("frame path: threads capture and encode", capture + encode),
        over("the whole camera", whole),
    ]
}

fn example(name: &str) -> std::path::PathBuf {
    workspace::target().join("release/examples").join(name)
}

/// A field of a line such as `format=YU12 copied=0`.
pub(crate) fn text<'a>(line: &'a str, name: &str) -> Result<&'a str> {
    let fields: BTreeMap<_, _> = line.split_whitespace().filter_map(|field| field.split_once('=')).collect();
    fields.get(name).copied().with_context(|| format!("no `{name}` in: {line}"))
}

/// A field that is a number.
pub(crate) fn value(line: &str, name: &str) -> Result<f64> {
    text(line, name)?.parse().with_context(|| format!("`{name}` is no number in: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_line_are_found_by_name() {
        let line = "format=YU12 copied=0 convert_ms=0.125\n";
        assert_eq!(text(line, "format").expect("it is there"), "YU12");
        assert_eq!(value(line, "convert_ms").expect("a number"), 0.125);
        assert!(value(line, "format").is_err() && text(line, "size").is_err());
    }
}
