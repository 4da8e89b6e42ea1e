//! A camera whose buffers are ordinary memory: what a driver does with mapped ones, without a driver.

#![allow(unreachable_pub, reason = "shared by test files and examples")]
#![allow(dead_code, reason = "each of them uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use camera_fw::capture::{CaptureError, Delivery, Source};
use camera_fw::frame::{DeviceBuffers, Frame, Layout, PixelFormat, Sequence, Size};

/// The camera: its pictures lie in as many buffers as a driver has, one after the other.
pub struct Camera {
    layout: Layout,
    buffers: Arc<Buffers>,
    sequence: u64,
    /// Time between two pictures.
    period: Duration,
}

#[derive(Debug)]
struct Buffers {
    memory: Vec<Vec<u8>>,
    free: Mutex<Vec<usize>>,
    returned: Condvar,
}

impl Camera {
    /// A camera that shows these pictures over and over, one every `period`.
    pub fn new(layout: Layout, pictures: Vec<Vec<u8>>, period: Duration) -> Self {
        let free = Mutex::new((0..pictures.len()).collect());
        Self {
            layout,
            buffers: Arc::new(Buffers { memory: pictures, free, returned: Condvar::new() }),
            sequence: 0,
            period,
        }
    }

    /// A camera that shows noise.
    pub fn noisy(format: PixelFormat, size: Size) -> Self {
        let line = if matches!(format, PixelFormat::Yuyv | PixelFormat::Uyvy) { size.width * 2 } else { size.width };
        let layout = Layout::contiguous(format, size, line as usize);
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        Self::new(
            layout,
            (0..4).map(|_| (0..layout.bytes()).map(|_| noise()).collect()).collect(),
            Duration::from_millis(4),
        )
    }

    /// Where the device's buffers lie.
    pub fn addresses(&self) -> Vec<*const u8> {
        self.buffers.memory.iter().map(|memory| memory.as_ptr()).collect()
    }
}

impl Source for Camera {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        1.0 / self.period.as_secs_f64().max(0.001)
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        std::thread::sleep(self.period);
        let free = self.buffers.free.lock().unwrap();
        let (mut free, _) = self.buffers.returned.wait_timeout_while(free, wait, |free| free.is_empty()).unwrap();
        if free.is_empty() {
            return Ok(Delivery::Nothing);
        }
        let index = free.remove(0);
        drop(free);
        let used = [self.buffers.memory[index].len(), 0, 0];
        let sequence = Sequence { number: self.sequence, missed: 0 };
        self.sequence += 1;
        Ok(Delivery::Frame(Frame::device(self.buffers.clone(), index, used, self.layout, Instant::now(), sequence)?))
    }
}

impl DeviceBuffers for Buffers {
    fn bytes(&self, index: usize, _: usize) -> &[u8] {
        &self.memory[index]
    }

    fn give_back(&self, index: usize) {
        self.free.lock().unwrap().push(index);
        self.returned.notify_one();
    }
}
