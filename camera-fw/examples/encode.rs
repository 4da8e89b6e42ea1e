//! Encodes a YUV4MPEG2 file as the camera does, and says what that took: libvpx with our settings and nothing else.
//!
//! ```sh
//! cargo run --release -p camera-fw --example encode -- clip.y4m --bitrate 1000 --speed 10 --ivf clip.ivf
//! cargo run --release -p camera-fw --example encode -- clip.y4m --paced --seconds 60
//! ```
//!
//! The pictures are read into memory first. One line, made for people and for scripts:
//!
//! ```text
//! size=720x480 frames=795 kbps=1003.2 keys=1 largest=31870 cpu_ms=1.874 wall_ms=1.881 p99_ms=3.120 total_cpu_s=1.512
//! ```
//!
//! `cpu_ms` is the CPU time of all threads for a frame, `wall_ms` how long it took, both the mean, `p99_ms` how long the
//! slowest of a hundred took; `total_cpu_s` is the CPU time from the first frame to the last, waiting included; `kbps` is
//! what the frames come to at the rate of the file, `largest` the largest of them in bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use camera_fw::encoder::{EncodeError, EncodedFrame, Kbps, Settings, Tuning, Vp8Encoder};
use camera_fw::frame::Size;
use clap::Parser;
use nix::time::{ClockId, clock_gettime};

#[path = "common/clip.rs"]
mod clip;

use clip::{Clip, ClipError};

/// Encodes a YUV4MPEG2 file (4:2:0, 8 bits) as the camera does.
#[derive(Debug, Parser)]
#[command(name = "encode")]
struct Arguments {
    /// The file
    file: PathBuf,
    /// Kilobits a second
    #[arg(long, default_value_t = 1_000)]
    bitrate: u32,
    /// 0 (slow, good) to 16 (fast, coarse)
    #[arg(long, default_value_t = 10)]
    speed: u8,
    /// Encoding threads
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Instead of the camera's
    #[arg(long)]
    static_threshold: Option<u32>,
    /// Instead of the camera's
    #[arg(long)]
    noise_sensitivity: Option<u8>,
    /// A frame when it is due, not as fast as it goes
    #[arg(long)]
    paced: bool,
    /// Play the file over and over for so long, at its rate; otherwise once
    #[arg(long)]
    seconds: Option<u64>,
    /// Write the encoded frames in this file
    #[arg(long, value_name = "FILE")]
    ivf: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Clip(#[from] ClipError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Clip::read(&arguments.file, usize::MAX).map_err(Failure::from).and_then(|clip| encode(&clip, &arguments)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn due(clip: &Clip, number: usize) -> Duration {
    let (frames, seconds) = clip.rate;
    Duration::from_nanos(number as u64 * 1_000_000_000 * u64::from(seconds) / u64::from(frames))
}

fn encode(clip: &Clip, arguments: &Arguments) -> Result<String, Failure> {
    let fps = clip.fps();
    let Arguments { bitrate, speed, threads, .. } = *arguments;
    let settings = Settings { size: clip.layout.size, fps, bitrate: Kbps(bitrate), speed, threads };
    let camera = Tuning::default();
    let tuning = Tuning {
        static_threshold: arguments.static_threshold.unwrap_or(camera.static_threshold),
        noise_sensitivity: arguments.noise_sensitivity.unwrap_or(camera.noise_sensitivity),
    };
    let mut encoder = Vp8Encoder::with_tuning(&settings, tuning)?;
    let unwritable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Failure::Write { path, source }
    };
    let ivf = arguments.ivf.as_deref().map(|path| Ivf::create(path, clip).map_err(unwritable(path)));
    let mut ivf = ivf.transpose()?;

    let frames = arguments.seconds.map_or(clip.frames.len(), |seconds| (seconds as f64 * fps) as usize);
    let mut sum = Sum { times: Vec::with_capacity(frames), ..Sum::default() };
    let (start, cpu) = (Instant::now(), cpu_time());
    for number in 0..frames {
        if arguments.paced {
            std::thread::sleep((start + due(clip, number)).saturating_duration_since(Instant::now()));
        }
        let (before, began) = (cpu_time(), Instant::now());
        // The time of capture is what it was meant to be: the rate control then does the same in every run.
        let encoded = encoder.encode(&clip.picture(number), start + due(clip, number), false)?;
        sum.times.push(began.elapsed());
        sum.cpu += cpu_time().saturating_sub(before);
        let Some(encoded) = encoded else { continue };
        if let (Some(ivf), Some(path)) = (&mut ivf, &arguments.ivf) {
            ivf.write(&encoded, number).map_err(unwritable(path))?;
        }
        sum.keys += u32::from(encoded.key);
        sum.bytes += encoded.data.len();
        sum.largest = sum.largest.max(encoded.data.len());
    }
    let total = cpu_time().saturating_sub(cpu);
    if let (Some(ivf), Some(path)) = (ivf, &arguments.ivf) {
        ivf.0.into_inner().map_err(io::IntoInnerError::into_error).map_err(unwritable(path))?;
    }
    Ok(sum.line(clip.layout.size, fps, total))
}

/// CPU time of this process, all threads.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[derive(Default)]
struct Sum {
    times: Vec<Duration>,
    cpu: Duration,
    keys: u32,
    bytes: usize,
    largest: usize,
}

impl Sum {
    fn line(mut self, size: Size, fps: f64, total: Duration) -> String {
        let frames = self.times.len().max(1);
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        self.times.sort_unstable();
        format!(
            "size={size} frames={frames} kbps={:.1} keys={} largest={} cpu_ms={:.3} wall_ms={:.3} p99_ms={:.3} total_cpu_s={:.3}",
            self.bytes as f64 * 8.0 * fps / frames as f64 / 1_000.0,
            self.keys,
            self.largest,
            millis(self.cpu) / frames as f64,
            millis(self.times.iter().sum()) / frames as f64,
            self.times.get(frames * 99 / 100).map_or(0.0, |time| millis(*time)),
            total.as_secs_f64(),
        )
    }
}

/// The container that libvpx's own tools use: <https://wiki.multimedia.cx/index.php/IVF>.
struct Ivf(BufWriter<File>);

impl Ivf {
    fn create(path: &Path, clip: &Clip) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let Size { width, height } = clip.layout.size;
        file.write_all(b"DKIF\0\0\x20\0VP80")?;
        file.write_all(&(width as u16).to_le_bytes())?;
        file.write_all(&(height as u16).to_le_bytes())?;
        for field in [clip.rate.0, clip.rate.1, clip.frames.len() as u32, 0] {
            file.write_all(&field.to_le_bytes())?;
        }
        Ok(Self(file))
    }

    fn write(&mut self, frame: &EncodedFrame, number: usize) -> io::Result<()> {
        self.0.write_all(&(frame.data.len() as u32).to_le_bytes())?;
        self.0.write_all(&(number as u64).to_le_bytes())?;
        self.0.write_all(&frame.data)
    }
}
