//! From raw frames to encoded ones: what the encode thread is told, and what comes out of it.

pub mod pace;
pub mod preset;
mod recycle;
pub mod stage;
mod vp8;

use std::time::{Duration, Instant};

use bytes::Bytes;

pub use vp8::{EncodeError, Settings, Tuning, Vp8Encoder};

/// A rate in kilobits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kbps(pub u32);

/// How the encoder begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Rate.
    pub bitrate: Kbps,
    /// 0 to 16.
    pub speed: u8,
    /// Encoding threads, at least 1.
    pub threads: u32,
}

/// One compressed picture. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// A VP8 frame (RFC 6386 §9.1).
    pub data: Bytes,
    /// Decodable without any frame before it.
    pub key: bool,
    /// When the sensor delivered the picture.
    pub captured_at: Instant,
}

/// What the encode thread is asked to do between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Somebody cannot go on without a key frame.
    ForceKeyframe,
    /// Aim at this rate from now on.
    SetBitrate(Kbps),
    /// Trade quality for time: 0 (slow, good) to 16 (fast, coarse).
    SetSpeed(u8),
}

/// Merges requests for key frames: one serves everybody who asked, and they keep a distance.
///
/// A key frame is ten times as large as the frames between: many viewers that lose packets at once must not turn the
/// stream into key frames alone.
#[derive(Debug)]
pub struct KeyframeGate {
    distance: Duration,
    wanted: bool,
    last: Option<Instant>,
}

impl KeyframeGate {
    /// A gate that lets a key frame through every `distance` at most. The first request passes at once.
    pub fn new(distance: Duration) -> Self {
        Self { distance, wanted: false, last: None }
    }

    /// Somebody needs a key frame.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// Whether the frame encoded at `now` must be a key frame.
    pub fn is_due(&self, now: Instant) -> bool {
        let open = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.distance);
        self.wanted && open
    }

    /// A key frame was made at `now`, asked for or not: every request until then is served.
    pub fn made(&mut self, now: Instant) {
        self.wanted = false;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_frame_serves_everybody() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut gate = KeyframeGate::new(Duration::from_millis(300));
        assert!(!gate.is_due(at(0)));
        gate.request();
        gate.request();
        assert!(gate.is_due(at(0)), "the first request does not wait");
        gate.made(at(0));
        assert!(!gate.is_due(at(1)), "both were served");
        gate.request();
        assert!(!gate.is_due(at(299)), "too early");
        assert!(gate.is_due(at(300)), "not forgotten");
        assert!(gate.is_due(at(333)), "due until it is made");
        gate.made(at(333));
        assert!(!gate.is_due(at(1_000)));
    }
}
