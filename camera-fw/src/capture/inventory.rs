//! The cameras of this machine: what they are, what they can, which of them is usable.

use std::fmt;

use serde::Serialize;

use crate::frame::Size;

/// Through which interface a camera is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Video for Linux: USB cameras, grabbers.
    V4l2,
    /// libcamera: camera modules on a ribbon cable.
    Libcamera,
}

/// One camera, usable or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraInfo {
    /// What `source` takes: `/dev/video0`, `libcamera:<id>`.
    pub id: String,
    /// Its interface.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// The driver or pipeline behind it.
    pub driver: String,
    /// Where it is plugged in and which one it is: the same camera has the same under another number.
    pub bus: String,
    /// Whether it says that a picture comes in. An input without signal or power is no picture.
    pub signal: bool,
    /// Formats with their sizes and rates.
    pub modes: Vec<Mode>,
    /// Controls.
    pub controls: Vec<ControlInfo>,
    /// Inputs by name, where there are several.
    pub inputs: Vec<String>,
    /// Why it cannot be used, if it cannot.
    pub problem: Option<String>,
}

/// One format in one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mode {
    /// Its four characters.
    pub format: String,
    /// Whether this program reads it.
    pub usable: bool,
    /// The sizes.
    pub sizes: Sizes,
}

/// The sizes that a format comes in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizes {
    /// These, each with its rates (frames a second, highest first; empty: not told).
    Discrete(Vec<(Size, Vec<f64>)>),
    /// Everything between.
    Range {
        /// Smallest.
        min: Size,
        /// Largest.
        max: Size,
        /// Steps in pixels, width and height.
        step: (u32, u32),
        /// Highest rate, if it is told.
        fastest: Option<f64>,
    },
}

/// A control with its limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlInfo {
    /// Its name as the configuration takes it.
    pub name: String,
    /// What it takes: `0..255`, `on or off`, `off, 50 Hz, 60 Hz`.
    pub takes: String,
    /// What it is set to.
    pub now: Option<String>,
}

impl CameraInfo {
    /// Whether a stream from it is possible.
    pub fn is_usable(&self) -> bool {
        self.problem.is_none() && self.modes.iter().any(|mode| mode.usable)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4l2 => "V4L2",
            Self::Libcamera => "libcamera",
        })
    }
}
