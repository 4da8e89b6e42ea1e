//! Sends the pictures of a YUV4MPEG2 file through the frame path, in every format that a camera may have, and says what
//! happens to a frame besides encoding.
//!
//! ```sh
//! cargo run --release -p camera-fw --example frame_path -- clip.y4m
//! cargo run --release -p camera-fw --example frame_path -- clip.y4m --jpeg picture.jpg
//! ```
//!
//! One line for each format, made for people and for scripts:
//!
//! ```text
//! format=NV12 size=720x480 copied=172800 allocations=0.000 convert_ms=0.021
//! ```
//!
//! `copied` is what the conversion writes for a frame, in bytes; `allocations` how often memory was taken from the system
//! for it, from the source to the viewer, once everything runs, in the best of three rounds; `convert_ms` the CPU time of the conversion.

use std::alloc::System;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use camera_fw::capture::Source;
use camera_fw::capture::convert::Converter;
use camera_fw::encoder::stage::EncodeStage;
use camera_fw::encoder::{EncoderSettings, Kbps};
use camera_fw::fanout::{EncoderCommands, Fanout};
use camera_fw::frame::{Layout, PixelFormat};
use camera_fw::pipeline::Counters;
use clap::Parser;
use futures_util::FutureExt as _;
use nix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "common/clip.rs"]
mod clip;
#[path = "../tests/common/device.rs"]
mod device;

use clip::Clip;
use device::Camera;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As many buffers as a driver has.
const BUFFERS: usize = 4;
const WARM_UP: usize = 60;
const FRAMES: usize = 100;
const ROUNDS: usize = 3;

/// Sends pictures through the frame path in every format.
#[derive(Debug, Parser)]
#[command(name = "frame_path")]
struct Arguments {
    /// The pictures (4:2:0, 8 bits)
    file: PathBuf,
    /// A JPEG of the same size, for webcams that give such
    #[arg(long, value_name = "FILE")]
    jpeg: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let clip = Clip::read(&arguments.file, BUFFERS)?;
    for format in PixelFormat::ALL {
        let pictures = match (format, &arguments.jpeg) {
            (PixelFormat::Mjpeg, None) => continue,
            (PixelFormat::Mjpeg, Some(jpeg)) => vec![std::fs::read(jpeg)?; BUFFERS],
            _ => (0..BUFFERS).map(|number| in_format(&clip, number, format)).collect(),
        };
        println!("{}", measure(format, &clip, pictures)?);
    }
    Ok(())
}

fn measure(format: PixelFormat, clip: &Clip, pictures: Vec<Vec<u8>>) -> anyhow::Result<String> {
    let size = clip.layout.size;
    let stride = match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => size.width * 2,
        _ => size.width,
    };
    let layout = Layout::contiguous(format, size, stride as usize);
    let mut camera = Camera::new(layout, pictures, Duration::ZERO);
    let mut next = move || camera.next(Duration::from_secs(1)).map(|delivery| delivery.frame());

    let mut converter = Converter::default();
    let mut cpu = Duration::ZERO;
    for number in 0..WARM_UP + FRAMES {
        let frame = next()?.ok_or_else(|| anyhow::anyhow!("the camera gives nothing"))?;
        let before = cpu_time();
        converter.i420(&frame)?;
        if number >= WARM_UP {
            cpu += cpu_time().saturating_sub(before);
        }
    }
    let copied = converter.written() / (WARM_UP + FRAMES) as u64;

    let (sender, commands) = sync_channel(8);
    let fanout = Fanout::new(EncoderCommands::new(sender));
    let mut viewer = fanout.subscribe();
    let settings = EncoderSettings { bitrate: Kbps(1_000), speed: 10, threads: 1 };
    let mut stage = EncodeStage::new(settings, commands, fanout, Arc::new(Counters::default()));
    let mut through = |frames| -> anyhow::Result<()> {
        for _ in 0..frames {
            let frame = next()?.ok_or_else(|| anyhow::anyhow!("the camera gives nothing"))?;
            stage.frame(&frame, clip.fps())?;
            let seen = viewer.next().now_or_never().flatten();
            anyhow::ensure!(seen.is_some(), "a frame did not reach the viewer");
        }
        Ok(())
    };
    through(WARM_UP)?;
    let mut least = usize::MAX;
    for _ in 0..ROUNDS {
        let region = Region::new(ALLOCATOR);
        through(FRAMES)?;
        let change = region.change();
        least = least.min(change.allocations + change.reallocations);
    }
    Ok(format!(
        "format={format} size={size} copied={copied} allocations={:.3} convert_ms={:.4}",
        least as f64 / FRAMES as f64,
        cpu.as_secs_f64() * 1_000.0 / FRAMES as f64,
    ))
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A picture of the clip as a camera of that format gives it.
fn in_format(clip: &Clip, number: usize, format: PixelFormat) -> Vec<u8> {
    let [y, u, v] = [0, 1, 2].map(|plane| clip.plane(number, plane));
    let pairs = |one: &[u8], other: &[u8]| -> Vec<u8> { one.iter().zip(other).flat_map(|(a, b)| [*a, *b]).collect() };
    let width = clip.layout.size.width as usize;
    // Every line of chroma serves two lines of luma.
    let packed = |luma_first: bool| {
        let lines = y.chunks_exact(width).enumerate();
        lines.flat_map(move |(line, luma)| {
            let chroma = line / 2 * (width / 2)..;
            let chroma = u[chroma.clone()].iter().zip(&v[chroma]);
            luma.chunks_exact(2).zip(chroma).flat_map(move |(y, (u, v))| match luma_first {
                true => [y[0], *u, y[1], *v],
                false => [*u, y[0], *v, y[1]],
            })
        })
    };
    match format {
        PixelFormat::I420 | PixelFormat::Mjpeg => [y, u, v].concat(),
        PixelFormat::Nv12 => [y, &pairs(u, v)].concat(),
        PixelFormat::Nv21 => [y, &pairs(v, u)].concat(),
        PixelFormat::Yuyv => packed(true).collect(),
        PixelFormat::Uyvy => packed(false).collect(),
    }
}
