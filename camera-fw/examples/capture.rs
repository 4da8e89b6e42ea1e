//! Tries a camera: captures some frames in each usable format, converts and encodes them, and says how that went.
//!
//! ```sh
//! cargo run --release -p camera-fw --example capture -- /dev/video0
//! cargo run --release -p camera-fw --example capture -- /dev/video0 YUYV --size 1280x720 --save picture.y4m
//! cargo run --release -p camera-fw --example capture -- /dev/video0 --input S-Video --standard PAL --controls brightness=200
//! ```
//!
//! One line for each format (here it is folded), made for people and for scripts:
//!
//! ```text
//! format=YU12 size=720x480 stride=720 rate=29.97 fps=29.95 frames=60 gaps=0 damaged=0 backwards=0 age_ms=2 copied=0
//!     mean_y=99.10 mean_u=127.40 mean_v=128.20 keys=1 bytes=20480
//! ```
//!
//! `rate` is what the device promises, `fps` what was measured; `gaps` counts frames that the driver lost, `damaged` those
//! that held no picture, `backwards` those with a number that is not higher than the one before; `age_ms` is the mean time
//! from capture to delivery; `copied` is how many bytes were written to make I420 of a frame; `mean_y` to `mean_v` are the
//! mean samples of the last picture as the encoder sees it; `keys` and `bytes` are what the encoder made of all of them.
//!
//! Exit code 1, with the reason on standard error, if the device cannot do what was asked for.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use camera_fw::capture::convert::{Converter, Picture};
use camera_fw::capture::settings::controls_of;
use camera_fw::capture::{
    CameraSettings, CaptureError, Controls, Delivery, DeviceOptions, Source, Wanted, formats_read, open_device,
};
use camera_fw::encoder::{EncodeError, Kbps, Settings, Vp8Encoder};
use camera_fw::frame::{Frame, Layout, Size};
use clap::Parser;
use tracing_subscriber::filter::EnvFilter;

/// Captures some frames of a camera in each usable format, and says how that went.
#[derive(Debug, Parser)]
#[command(name = "capture")]
struct Arguments {
    /// The device, such as /dev/video0
    device: PathBuf,
    /// The four characters of a format, such as YUYV; otherwise each that the device has and the agent reads
    #[arg(value_parser = format)]
    format: Option<[u8; 4]>,
    /// The size to ask for
    #[arg(long, default_value = "720x480", value_parser = size)]
    size: Size,
    /// The rate to ask for
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    fps: u32,
    /// The distance of lines to ask for, in bytes; 0 leaves it to the driver
    #[arg(long, default_value_t = 0)]
    stride: u32,
    /// The input to turn to, by name or number
    #[arg(long)]
    input: Option<String>,
    /// The television standard to set, such as PAL
    #[arg(long)]
    standard: Option<String>,
    /// Controls to set, such as brightness=200,hflip=true
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = controls)]
    controls: Option<Controls>,
    /// How many frames to capture
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Save the last picture, as the encoder sees it, in this file (YUV4MPEG2)
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

fn format(name: &str) -> Result<[u8; 4], String> {
    let found = formats_read().find(|format| text(format).eq_ignore_ascii_case(name));
    let known = || formats_read().map(|format| text(&format)).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("use one of {}", known()))
}

fn text(format: &[u8; 4]) -> String {
    String::from_utf8_lossy(format).into_owned()
}

fn controls(list: &str) -> Result<Controls, String> {
    controls_of(list).ok_or_else(|| "write it like brightness=200,hflip=true".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    let numbers = text.split_once('x').map(|(width, height)| (width.parse(), height.parse()));
    match numbers {
        Some((Ok(width), Ok(height))) if width > 0 && height > 0 => Ok(Size { width, height }),
        _ => Err("write it like 720x480".to_owned()),
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("cannot write {}: {source}", path.display())]
    Save { path: PathBuf, source: io::Error },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("CAMERA_FW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    match try_formats(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_formats(arguments: &Arguments) -> Result<(), Failure> {
    let settings = CameraSettings {
        wanted: Wanted { size: arguments.size, fps: arguments.fps },
        input: arguments.input.clone(),
        standard: arguments.standard.clone(),
        controls: arguments.controls.clone().unwrap_or_default(),
    };
    let formats = arguments.format.map_or_else(|| formats_read().collect(), |format| vec![format]);
    let mut lacking = None;
    let mut tried = false;
    for format in formats {
        let options = DeviceOptions { format: Some(format), stride: arguments.stride };
        let source = match open_device(&arguments.device, &settings, options) {
            Err(error @ CaptureError::Format { .. }) => {
                lacking = Some(error);
                continue;
            }
            opened => opened?,
        };
        println!("format={} {}", text(&format), try_one(source, arguments)?);
        tried = true;
    }
    // A device need not have all of them, but one.
    lacking.filter(|_| !tried).map_or(Ok(()), |error| Err(error.into()))
}

fn try_one(mut source: Box<dyn Source>, arguments: &Arguments) -> Result<String, Failure> {
    let layout = source.layout();
    let settings = Settings { size: layout.size, fps: source.rate(), bitrate: Kbps(1500), speed: 12, threads: 1 };
    let mut encoder = Vp8Encoder::new(&settings)?;
    let mut converter = Converter::default();
    let mut sum = Sum::default();
    let mut last_frame = Instant::now();
    while sum.frames < arguments.frames {
        let frame = match source.next(Duration::from_millis(200))? {
            Delivery::Frame(frame) => frame,
            Delivery::Damaged => {
                sum.damaged += 1;
                continue;
            }
            Delivery::Nothing if last_frame.elapsed() < STALL => continue,
            Delivery::Nothing => {
                let (name, waited) = (arguments.device.display().to_string(), last_frame.elapsed());
                return Err(CaptureError::Stalled { name, waited }.into());
            }
        };
        last_frame = Instant::now();
        let Ok(picture) = converter.i420(&frame) else {
            sum.damaged += 1;
            continue;
        };
        sum.captured(&frame);
        if let Some(encoded) = encoder.encode(&picture, frame.captured_at, sum.frames == 1)? {
            sum.keys += u64::from(encoded.key);
            sum.bytes += encoded.data.len();
        }
        if sum.frames == arguments.frames {
            sum.means = means(&picture, layout.size);
            if let Some(path) = &arguments.save {
                save(&picture, layout.size, path).map_err(|source| Failure::Save { path: path.clone(), source })?;
            }
        }
    }
    sum.copied = converter.written() / sum.frames;
    Ok(sum.line(&layout, source.rate()))
}

/// No frame for so long: the device hangs.
const STALL: Duration = Duration::from_secs(5);

/// What was counted over all frames.
#[derive(Debug, Default)]
struct Sum {
    frames: u64,
    /// Capture times of the first and of the last frame.
    span: Option<(Instant, Instant)>,
    last: Option<u64>,
    gaps: u64,
    damaged: u64,
    backwards: u64,
    age: Duration,
    copied: u64,
    means: [f64; 3],
    keys: u64,
    bytes: usize,
}

impl Sum {
    fn captured(&mut self, frame: &Frame) {
        let (at, sequence) = (frame.captured_at, frame.sequence);
        self.frames += 1;
        self.age += at.elapsed();
        self.span = Some((self.span.map_or(at, |(first, _)| first), at));
        self.gaps += sequence.missed;
        self.backwards += u64::from(self.last.is_some_and(|last| sequence.number <= last));
        self.last = Some(sequence.number);
    }

    fn line(&self, layout: &Layout, rate: f64) -> String {
        let seconds = self.span.map_or(0.0, |(first, last)| last.saturating_duration_since(first).as_secs_f64());
        let fps = if seconds > 0.0 { (self.frames - 1) as f64 / seconds } else { 0.0 };
        let age = self.age.as_secs_f64() * 1000.0 / self.frames as f64;
        let [y, u, v] = self.means;
        format!(
            "size={} stride={} rate={rate:.2} fps={fps:.2} frames={} gaps={} damaged={} backwards={} age_ms={age:.0} \
             copied={} mean_y={y:.2} mean_u={u:.2} mean_v={v:.2} keys={} bytes={}",
            layout.size,
            layout.planes[0].stride,
            self.frames,
            self.gaps,
            self.damaged,
            self.backwards,
            self.copied,
            self.keys,
            self.bytes,
        )
    }
}

/// The lines of one plane without their padding.
fn lines<'a>(picture: &Picture<'a>, size: Size, plane: usize) -> impl Iterator<Item = &'a [u8]> {
    let of = if plane == 0 { size } else { size.chroma() };
    let lines = picture.planes[plane].chunks(picture.strides[plane]).take(of.height as usize);
    lines.map(move |line| &line[..of.width as usize])
}

fn means(picture: &Picture<'_>, size: Size) -> [f64; 3] {
    [0, 1, 2].map(|plane| {
        let (sum, count) = lines(picture, size, plane).fold((0, 0), |(sum, count), line| {
            (sum + line.iter().map(|sample| u64::from(*sample)).sum::<u64>(), count + line.len())
        });
        sum as f64 / count as f64
    })
}

fn save(picture: &Picture<'_>, size: Size, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write!(file, "YUV4MPEG2 W{} H{} F30:1 Ip A1:1 C420\nFRAME\n", size.width, size.height)?;
    for plane in 0..3 {
        for line in lines(picture, size, plane) {
            file.write_all(line)?;
        }
    }
    file.flush()
}
