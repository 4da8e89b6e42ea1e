//! The frame path takes no memory from the system once it runs: capture, slot, encoder and fan-out use theirs again.
//!
//! Counted in the whole process, all threads, with a subscriber attached who reads every frame. What libvpx allocates
//! is not seen here; it does so when an encoder is made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/device.rs"]
mod device;

use std::alloc::System;
use std::time::Duration;

use camera_fw::capture::CaptureError;
use camera_fw::capture::supervisor::{Opened, Opener};
use camera_fw::encoder::{Command, EncoderSettings, Kbps};
use camera_fw::fanout::Subscription;
use camera_fw::frame::{PixelFormat, Size};
use camera_fw::pipeline::Pipeline;
use device::Camera;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZE: Size = Size { width: 320, height: 240 };
const FRAMES: usize = 80;
const ROUNDS: usize = 4;

/// The camera is there.
struct Plugged(PixelFormat);

impl Opener for Plugged {
    fn open(&mut self) -> Result<Opened, CaptureError> {
        let source = Box::new(Camera::noisy(self.0, SIZE));
        Ok(Opened { source, name: "memory".into(), is_stand_in: false })
    }

    fn changed(&mut self, _: Duration) -> bool {
        true
    }
}

// One test alone: another one's allocations would be counted too.
#[test]
fn a_running_frame_path_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let formats = [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Nv21, PixelFormat::Yuyv, PixelFormat::Uyvy];
    for format in formats {
        let settings = EncoderSettings { bitrate: Kbps(1_000), speed: 16, threads: 1 };
        let pipeline = Pipeline::spawn(Box::new(Plugged(format)), settings, false).unwrap();
        let mut viewer = pipeline.fanout().subscribe();
        // On a busy machine the viewer may be late once, and storage for one frame more be made: not in every round.
        let counts = (0..ROUNDS).map(|_| {
            let region = Region::new(ALLOCATOR);
            runtime.block_on(read(&mut viewer, &pipeline));
            let change = region.change();
            change.allocations + change.reallocations
        });
        let counts: Vec<usize> = counts.collect();
        let least = counts[1..].iter().min();
        assert_eq!(least, Some(&0), "{format}: {counts:?} allocations in {ROUNDS} rounds of {FRAMES} frames");
        drop(viewer);
        pipeline.stop();
    }
}

/// Reads so many frames with a key frame among them: those are the large ones.
async fn read(viewer: &mut Subscription, pipeline: &Pipeline) {
    pipeline.fanout().commands().send(Command::ForceKeyframe);
    let mut keys = 0;
    for _ in 0..FRAMES {
        keys += usize::from(viewer.next().await.unwrap().key);
    }
    assert!(keys >= 1);
}
