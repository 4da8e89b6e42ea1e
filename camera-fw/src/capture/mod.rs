//! Where pictures come from: the first stage of the frame path.
//!
//! [`CameraOpener`] turns what a person wrote (`auto`, `/dev/video0`, `file.y4m`) into a [`Source`]; the
//! [`supervisor`], which is the body of the capture thread, calls [`Source::next`] for ever and opens another one when
//! it fails.
//!
//! ```text
//!  inventory ─▶ auto ─▶ opener ─▶ v4l2 · libcamera · test_pattern · y4m ─▶ frames
//!                         ▲                   │
//!   hotplug, recovery ────┴─── supervisor ◀───┘ unplugged, silent, failed
//! ```

pub mod auto;
pub mod convert;
#[cfg(test)]
pub(crate) mod fake;
mod hotplug;
pub mod inventory;
#[cfg(feature = "libcamera")]
pub mod libcamera;
#[cfg(not(feature = "libcamera"))]
#[path = "libcamera/absent.rs"]
pub mod libcamera;
mod mjpeg;
mod opener;
mod recovery;
pub mod settings;
pub mod supervisor;
pub mod test_pattern;
pub mod timestamp;
mod v4l2;
mod y4m;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::frame::{Frame, Layout, ShortFrame};

use recovery::Trouble;

pub use opener::CameraOpener;
pub use settings::{CameraSettings, Controls, Value, Wanted};
pub use v4l2::{formats_read, mode_taken};

/// A camera, or what stands in for one.
pub trait Source: Send {
    /// What every frame of it looks like.
    fn layout(&self) -> Layout;

    /// Frames a second as far as the source knows.
    fn rate(&self) -> f64;

    /// What comes next within `wait`.
    ///
    /// # Errors
    /// If the source cannot go on.
    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError>;
}

/// What a source has after waiting for it.
#[derive(Debug)]
pub enum Delivery {
    /// A picture.
    Frame(Frame),
    /// A picture that the device marked as damaged, or that is not whole: skipped.
    Damaged,
    /// No picture yet.
    Nothing,
}

impl Delivery {
    /// The picture, if there is one.
    pub fn frame(self) -> Option<Frame> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::Damaged | Self::Nothing => None,
        }
    }
}

/// Which source a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// The best camera that there is.
    Auto,
    /// The moving test pattern.
    Pattern,
    /// A YUV4MPEG2 file.
    Y4m(PathBuf),
    /// A V4L2 capture device.
    Device(PathBuf),
    /// A camera of libcamera: the one of this id, or the first.
    Libcamera(Option<String>),
}

/// What a source cannot do, and what the person can.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file that cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no YUV4MPEG2.
    #[error("{} is not a usable y4m file: {problem}; make one with: ffmpeg -i INPUT -pix_fmt yuv420p {}", path.display(), suggestion(path))]
    Y4m {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// No such device.
    #[error("there is no device {}; `camera-fw devices` lists the cameras of this machine", path.display())]
    NoDevice {
        /// Its path.
        path: PathBuf,
    },
    /// The device is in use.
    #[error("{} is busy: another program uses the camera; end that program (`fuser -v {}` names it)", path.display(), path.display())]
    Busy {
        /// Its path.
        path: PathBuf,
    },
    /// Not permitted.
    #[error("no permission to open {}; run as a user of the group {group}: sudo usermod -aG {group} $USER, then log in again", path.display())]
    Permission {
        /// Its path.
        path: PathBuf,
        /// The group that may.
        group: String,
    },
    /// It captures no video.
    #[error("{} is no camera: {problem}; `camera-fw devices` lists the cameras of this machine", path.display())]
    NotACamera {
        /// Its path.
        path: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// None of its formats is usable.
    #[error("{} gives {offered}; one of {readable} is needed", path.display())]
    Format {
        /// Its path.
        path: PathBuf,
        /// The formats that it has.
        offered: String,
        /// The formats that are read.
        readable: String,
    },
    /// It has not the input or the standard asked for.
    #[error("{} {problem}", path.display())]
    Input {
        /// Its path.
        path: PathBuf,
        /// What it has not, and what it has.
        problem: String,
    },
    /// It gives no whole pictures.
    #[error("{} gives its pictures as single fields ({order}); choose a progressive mode for its input", path.display())]
    Fields {
        /// Its path.
        path: PathBuf,
        /// How the fields come.
        order: String,
    },
    /// It was there, and is no more.
    #[error("{} went away while it was streaming; look at its cable and its power supply", path.display())]
    Gone {
        /// Its path.
        path: PathBuf,
    },
    /// The device refused a step.
    #[error("{} failed to {action}: {source}", path.display())]
    Device {
        /// Its path.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// Why it did not work.
        source: std::io::Error,
    },
    /// No camera at all.
    #[error(
        "there is no camera; plug one in (`camera-fw devices` lists what is there), or show the pattern meanwhile: no_camera = \"pattern\""
    )]
    NoCamera,
    /// There are cameras, and none of them works.
    #[error("none of the cameras can be used: {reason}")]
    NoneUsable {
        /// What is wrong with the first.
        reason: String,
    },
    /// No frame for too long.
    #[error("{name} delivered no frame for {} s", waited.as_secs())]
    Stalled {
        /// What it is called.
        name: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// libcamera has no camera.
    #[error(
        "libcamera finds no camera: see that the ribbon cable sits straight in both connectors, that config.txt has \
         camera_auto_detect=1 or the dtoverlay of the module, and that `dmesg` shows no fault of the sensor; \
         `camera-fw devices` lists the cameras of this machine"
    )]
    NoModule,
    /// libcamera has others.
    #[error("there is no camera {}; libcamera has {there}", path.display())]
    UnknownModule {
        /// Its name.
        path: PathBuf,
        /// The names of those that there are.
        there: String,
    },
    /// libcamera's camera is in use.
    #[error("{} is busy: another program uses the camera, or this one does already; `fuser -v /dev/media*` names it", path.display())]
    InUse {
        /// Its name.
        path: PathBuf,
    },
    /// This program cannot.
    #[error("this camera-fw was built without libcamera; build it with --features libcamera, or use a V4L2 device")]
    NoLibcamera,
    /// A frame shorter than its layout.
    #[error("the source delivered a broken frame: {0}")]
    Short(#[from] ShortFrame),
}

impl CaptureError {
    /// What may help.
    fn trouble(&self) -> Trouble {
        match self {
            Self::NoDevice { .. } | Self::NoCamera | Self::NoneUsable { .. } | Self::Gone { .. } => Trouble::Absent,
            Self::NoModule | Self::UnknownModule { .. } => Trouble::Absent,
            Self::Permission { .. } => Trouble::Denied,
            Self::Busy { .. }
            | Self::InUse { .. }
            | Self::NotACamera { .. }
            | Self::Format { .. }
            | Self::Input { .. }
            | Self::Fields { .. } => Trouble::Refused,
            Self::Device { .. } | Self::Stalled { .. } | Self::Short(_) => Trouble::Faulty,
            Self::File { .. } | Self::Y4m { .. } | Self::NoLibcamera => Trouble::Hopeless,
        }
    }
}

fn suggestion(path: &Path) -> String {
    path.with_extension("y4m").file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Not the name of a source.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no source; use auto, a device such as /dev/video0, libcamera, libcamera:ID, pattern, or a file that ends in .y4m"
)]
pub struct UnknownSource(String);

impl FromStr for SourceSpec {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        if text == "auto" {
            Ok(Self::Auto)
        } else if text == "pattern" {
            Ok(Self::Pattern)
        } else if text == "libcamera" {
            Ok(Self::Libcamera(None))
        } else if let Some(id) = text.strip_prefix("libcamera:").filter(|id| !id.is_empty()) {
            Ok(Self::Libcamera(Some(id.to_owned())))
        } else if text.starts_with("/dev/") {
            Ok(Self::Device(text.into()))
        } else if Path::new(text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("y4m")) {
            Ok(Self::Y4m(text.into()))
        } else {
            Err(UnknownSource(text.to_owned()))
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Pattern => f.write_str("pattern"),
            Self::Libcamera(None) => f.write_str("libcamera"),
            Self::Libcamera(Some(id)) => write!(f, "libcamera:{id}"),
            Self::Y4m(path) | Self::Device(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a tool may ask of a device where the program lets the device decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// This format by its four characters; otherwise the one that comes nearest to what is wanted, and is cheapest.
    pub format: Option<[u8; 4]>,
    /// Lines so many bytes apart, if the driver can do that; 0: as close as the driver puts them.
    pub stride: u32,
}

/// Opens a V4L2 device and starts it.
///
/// # Errors
/// With what is wrong and what to do, fit for a person; [`CaptureError::Format`] if it has not the format asked for.
pub fn open_device(
    path: &Path,
    settings: &CameraSettings,
    options: DeviceOptions,
) -> Result<Box<dyn Source>, CaptureError> {
    Ok(Box::new(v4l2::Device::open(path, settings, options)?))
}

/// Every camera of this machine, usable or not: those of libcamera first, each kind in the order of its names.
pub fn cameras() -> Vec<inventory::CameraInfo> {
    let mut cameras = libcamera::cameras();
    cameras.extend(v4l2::cameras());
    cameras
}

/// The beat of a source that has no clock of its own.
#[derive(Debug)]
struct Pace {
    period: Duration,
    next: Instant,
}

impl Pace {
    fn new(fps: f64) -> Self {
        Self { period: Duration::from_secs_f64(1.0 / fps), next: Instant::now() }
    }

    /// Sleeps until the next frame is due and returns that time, or `None` if it is more than `wait` away.
    fn wait(&mut self, wait: Duration) -> Option<Instant> {
        let now = Instant::now();
        if self.next > now + wait {
            std::thread::sleep(wait);
            return None;
        }
        if now > self.next + self.period {
            // The machine was suspended or too slow: go on from here, do not hurry after what is lost.
            self.next = now;
        }
        std::thread::sleep(self.next.saturating_duration_since(now));
        let due = self.next;
        self.next += self.period;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    #[test]
    fn sources_are_told_apart_by_their_names() {
        assert_eq!("pattern".parse::<SourceSpec>().unwrap(), SourceSpec::Pattern);
        assert_eq!("auto".parse::<SourceSpec>().unwrap(), SourceSpec::Auto);
        assert_eq!("libcamera".parse::<SourceSpec>().unwrap(), SourceSpec::Libcamera(None));
        let id = "/base/soc/i2c0mux/i2c@1/ov5647@36";
        let spec: SourceSpec = format!("libcamera:{id}").parse().unwrap();
        assert_eq!((spec.to_string(), spec), (format!("libcamera:{id}"), SourceSpec::Libcamera(Some(id.into()))));
        assert!("libcamera:".parse::<SourceSpec>().is_err());
        assert_eq!("/dev/video7".parse::<SourceSpec>().unwrap(), SourceSpec::Device("/dev/video7".into()));
        assert_eq!("a b/Clip.Y4M".parse::<SourceSpec>().unwrap(), SourceSpec::Y4m("a b/Clip.Y4M".into()));
        let unknown = "clip.mp4".parse::<SourceSpec>().unwrap_err().to_string();
        assert!(unknown.contains("clip.mp4") && unknown.contains(".y4m"), "{unknown}");
    }

    #[test]
    fn a_device_that_is_not_there_or_no_camera_is_said_so() {
        let settings = Wanted { size: Size { width: 320, height: 240 }, fps: 30 }.into();
        let open = |path: &str| {
            let opened = open_device(path.as_ref(), &settings, DeviceOptions::default());
            opened.err().map(|error| error.to_string())
        };
        let missing = open("/dev/video999").unwrap();
        assert!(missing.contains("/dev/video999") && missing.contains("camera-fw devices"), "{missing}");
        let null = open("/dev/null").unwrap();
        assert!(null.contains("/dev/null is no camera"), "{null}");
    }
}
