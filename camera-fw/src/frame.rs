//! A raw picture on its way from the source to the encoder.
//!
//! A [`Frame`] owns the memory it lies in and gives it back on drop: to the device that captured it, or to the
//! pool that it was drawn in. Nothing on the way copies it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// How the samples of a picture lie in memory (Linux names: `YU12`, `NV12`, `YUYV`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// 4:2:0, three planes Y, U, V: what the encoder reads. In which order they lie in memory (`YU12` or `YV12`) is
    /// told by the [`Layout`].
    I420,
    /// 4:2:0, plane Y and plane UV interleaved.
    Nv12,
    /// 4:2:0, plane Y and plane VU interleaved.
    Nv21,
    /// 4:2:2, one plane Y U Y V.
    Yuyv,
    /// 4:2:2, one plane U Y V Y.
    Uyvy,
    /// A JPEG: its one plane is as long as the device says.
    Mjpeg,
}

impl PixelFormat {
    /// Every format, cheapest for the encoder first.
    pub const ALL: [Self; 6] = [Self::I420, Self::Nv12, Self::Nv21, Self::Yuyv, Self::Uyvy, Self::Mjpeg];
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::I420 => "YU12",
            Self::Nv12 => "NV12",
            Self::Nv21 => "NV21",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Mjpeg => "MJPG",
        })
    }
}

/// What the samples' values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourRange {
    /// Black is 16, white 235 (ITU-R BT.601): what browsers take VP8 for.
    #[default]
    Limited,
    /// Black is 0, white 255: what JPEG has.
    Full,
}

/// Width and height in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Size {
    /// Width and height of a 4:2:0 chroma plane: halves, rounded up.
    pub fn chroma(self) -> Self {
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    /// Pixels of the picture.
    pub fn area(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Where a plane begins in the frame's memory, and how far apart its lines are, both in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plane {
    /// Which of the buffer's memories it lies in: 0, unless the device gives each plane one of its own.
    pub part: usize,
    /// First byte.
    pub offset: usize,
    /// Bytes from one line to the next.
    pub stride: usize,
}

/// Format, size, range and planes: the same for every frame of a source. A format with fewer than three planes leaves the
/// last ones at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Pixel format.
    pub format: PixelFormat,
    /// Picture size.
    pub size: Size,
    /// Colour range.
    pub range: ColourRange,
    /// Planes in the order of the format.
    pub planes: [Plane; 3],
}

impl Layout {
    /// The layout without padding between lines or planes whose first plane has lines of `stride` bytes; limited range.
    pub fn contiguous(format: PixelFormat, size: Size, stride: usize) -> Self {
        let luma = stride * size.height as usize;
        let first = Plane { stride, ..Plane::default() };
        let planes = match format {
            PixelFormat::I420 => {
                let chroma_stride = stride.div_ceil(2);
                let chroma = chroma_stride * size.chroma().height as usize;
                let plane = |offset| Plane { part: 0, offset, stride: chroma_stride };
                [first, plane(luma), plane(luma + chroma)]
            }
            PixelFormat::Nv12 | PixelFormat::Nv21 => {
                [first, Plane { part: 0, offset: luma, stride: stride.next_multiple_of(2) }, Plane::default()]
            }
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Mjpeg => [first, Plane::default(), Plane::default()],
        };
        Self { format, size, range: ColourRange::Limited, planes }
    }

    /// The layout of an I420 picture without any padding.
    pub fn packed_i420(size: Size) -> Self {
        Self::contiguous(PixelFormat::I420, size, size.width as usize)
    }

    /// Bytes that memory `part` of a frame must have: up to the last sample of the last plane in it.
    pub fn part_bytes(&self, part: usize) -> usize {
        let planes = (0..3).filter(|plane| self.planes[*plane].part == part);
        planes.map(|plane| self.planes[plane].offset + self.plane_bytes(plane)).max().unwrap_or(0)
    }

    /// Bytes of a frame that lies in one memory.
    pub fn bytes(&self) -> usize {
        self.part_bytes(0)
    }

    /// Bytes of a plane from its first to its last sample; the last line may lack its padding. A JPEG has one at least.
    pub fn plane_bytes(&self, plane: usize) -> usize {
        let Size { width, height } = self.size;
        let chroma = self.size.chroma();
        let (line, lines) = match (self.format, plane) {
            (PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Nv21, 0) => (width, height),
            (PixelFormat::I420, _) => (chroma.width, chroma.height),
            (PixelFormat::Nv12 | PixelFormat::Nv21, 1) => (chroma.width * 2, chroma.height),
            (PixelFormat::Yuyv | PixelFormat::Uyvy, 0) => (chroma.width * 4, height),
            (PixelFormat::Mjpeg, 0) => (1, 1),
            _ => return 0,
        };
        (lines as usize - 1) * self.planes[plane].stride + line as usize
    }
}

/// Device memory that frames lie in; implemented by the sources that map some.
pub trait DeviceBuffers: Send + Sync + fmt::Debug {
    /// Memory `part` of buffer `index`. Called only while a frame holds that buffer.
    fn bytes(&self, index: usize, part: usize) -> &[u8];
    /// The frame is done with: the device may fill buffer `index` again.
    fn give_back(&self, index: usize);
}

/// The place of a frame among those of its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Counts the pictures of the source from 0, those that it lost too.
    pub number: u64,
    /// Pictures that the source lost just before this one.
    pub missed: u64,
}

#[derive(Debug)]
enum Memory {
    Pooled { bytes: Vec<u8>, pool: FramePool },
    Device { buffers: Arc<dyn DeviceBuffers>, index: usize, used: [usize; 3] },
}

/// One raw picture.
#[derive(Debug)]
pub struct Frame {
    layout: Layout,
    memory: Memory,
    /// When the sensor delivered it.
    pub captured_at: Instant,
    /// Its place among the frames of the source.
    pub sequence: Sequence,
}

/// The memory of a frame ends before its last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame has {got} bytes, its layout needs {need}")]
pub struct ShortFrame {
    /// Bytes that are there.
    pub got: usize,
    /// Bytes that must be there.
    pub need: usize,
}

impl Frame {
    /// A frame in memory from a pool.
    ///
    /// # Errors
    /// If `bytes` is too short for `layout`.
    pub fn pooled(
        bytes: Vec<u8>,
        pool: &FramePool,
        layout: Layout,
        captured_at: Instant,
        sequence: Sequence,
    ) -> Result<Self, ShortFrame> {
        let memory = Memory::Pooled { bytes, pool: pool.clone() };
        Self { layout, memory, captured_at, sequence }.checked()
    }

    /// A frame in a device's buffer, of whose memories the device filled `used` bytes each.
    ///
    /// # Errors
    /// If `used` is too little for `layout`; the buffer is given back.
    pub fn device(
        buffers: Arc<dyn DeviceBuffers>,
        index: usize,
        used: [usize; 3],
        layout: Layout,
        captured_at: Instant,
        sequence: Sequence,
    ) -> Result<Self, ShortFrame> {
        let memory = Memory::Device { buffers, index, used };
        Self { layout, memory, captured_at, sequence }.checked()
    }

    fn checked(self) -> Result<Self, ShortFrame> {
        for part in 0..3 {
            let (got, need) = (self.part(part).len(), self.layout.part_bytes(part));
            if got < need {
                return Err(ShortFrame { got, need });
            }
        }
        Ok(self)
    }

    /// Format, size and planes.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The samples of one plane, lines `layout().planes[plane].stride` apart; of a JPEG, all of it.
    pub fn plane(&self, plane: usize) -> &[u8] {
        let Plane { part, offset, .. } = self.layout.planes[plane];
        let bytes = &self.part(part)[offset..];
        if self.layout.format == PixelFormat::Mjpeg { bytes } else { &bytes[..self.layout.plane_bytes(plane)] }
    }

    fn part(&self, part: usize) -> &[u8] {
        match &self.memory {
            Memory::Pooled { bytes, .. } if part == 0 => bytes,
            Memory::Device { buffers, index, used } if used[part] > 0 => {
                let bytes = buffers.bytes(*index, part);
                &bytes[..bytes.len().min(used[part])]
            }
            Memory::Pooled { .. } | Memory::Device { .. } => &[],
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Pooled { bytes, pool } => pool.give_back(std::mem::take(bytes)),
            Memory::Device { buffers, index, .. } => buffers.give_back(*index),
        }
    }
}

/// Frame memory for sources that make their pictures themselves. Allocates until as many frames exist as are in
/// flight at once (three: one being made, one in the slot, one in the encoder), then never again.
#[derive(Debug, Clone)]
pub struct FramePool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    frame_bytes: usize,
}

/// More than are ever in flight; beyond it memory goes back to the system.
const POOL_FRAMES: usize = 4;

impl FramePool {
    /// A pool of frames of `frame_bytes` bytes each.
    pub fn new(frame_bytes: usize) -> Self {
        Self { free: Arc::new(Mutex::new(Vec::with_capacity(POOL_FRAMES))), frame_bytes }
    }

    /// Memory for one frame: what an earlier frame left in it, or zeros.
    pub fn take(&self) -> Vec<u8> {
        let recycled = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        recycled.unwrap_or_else(|| vec![0; self.frame_bytes])
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < POOL_FRAMES && bytes.len() == self.frame_bytes {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: Size = Size { width: 5, height: 3 };

    #[test]
    fn layouts_of_odd_sizes_round_chroma_up() {
        assert_eq!(Layout::packed_i420(ODD).bytes(), 15 + 2 * 6);
        assert_eq!(Layout::contiguous(PixelFormat::Nv12, ODD, 5).planes[1], Plane { part: 0, offset: 15, stride: 6 });
        assert_eq!(Layout::contiguous(PixelFormat::Nv12, ODD, 5).bytes(), 15 + 12);
        assert_eq!(Layout::contiguous(PixelFormat::Yuyv, ODD, 12).bytes(), 36);
    }

    #[test]
    fn padded_lines_count_but_not_after_the_last_sample() {
        let layout = Layout::contiguous(PixelFormat::I420, Size { width: 4, height: 2 }, 8);
        assert_eq!(layout.planes[1], Plane { part: 0, offset: 16, stride: 4 });
        assert_eq!(layout.bytes(), 16 + 4 + 2);
    }

    #[test]
    fn memory_is_recycled_and_short_memory_refused() {
        let layout = Layout::packed_i420(ODD);
        let pool = FramePool::new(layout.bytes());
        let bytes = pool.take();
        let address = bytes.as_ptr();
        drop(Frame::pooled(bytes, &pool, layout, Instant::now(), Sequence::default()).unwrap());
        let recycled = pool.take();
        assert_eq!(recycled.as_ptr(), address);
        let short = Frame::pooled(vec![0; 26], &pool, layout, Instant::now(), Sequence::default());
        assert_eq!(short.unwrap_err(), ShortFrame { got: 26, need: 27 });
    }

    #[test]
    fn a_device_gets_its_buffer_back_exactly_once() {
        #[derive(Debug)]
        struct Device(Mutex<Vec<usize>>);
        impl DeviceBuffers for Device {
            fn bytes(&self, _: usize, _: usize) -> &[u8] {
                &[7; 27]
            }
            fn give_back(&self, index: usize) {
                self.0.lock().unwrap().push(index);
            }
        }
        let device = Arc::new(Device(Mutex::default()));
        let layout = Layout::packed_i420(ODD);
        let frame = Frame::device(device.clone(), 3, [27, 0, 0], layout, Instant::now(), Sequence::default()).unwrap();
        assert_eq!(frame.plane(2), &[7; 6]);
        assert!(device.0.lock().unwrap().is_empty());
        drop(frame);
        assert_eq!(*device.0.lock().unwrap(), [3]);
        assert!(Frame::device(device.clone(), 1, [20, 0, 0], layout, Instant::now(), Sequence::default()).is_err());
        assert_eq!(*device.0.lock().unwrap(), [3, 1], "a short frame gives its buffer back too");
    }
}
