//! V4L2 capture devices: memory-mapped streaming of YU12, NV12 or YUYV.
//!
//! A [`Frame`] of such a device is the driver's own buffer; dropping it queues the buffer again. The mapping lives as
//! long as the last frame, the stream as long as the [`Device`].
//!
//! The crate `v4l` supplies bindings, enumeration and formats. Its streams are not used: they lend a buffer only until
//! the next call, return all of it instead of the bytes used, and do not look at the error flag.
#![allow(unsafe_code)] // ioctl and mmap; each block says why it is sound.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use v4l::format::FieldOrder;
use v4l::v4l_sys::{
    V4L2_BUF_FLAG_ERROR, V4L2_BUF_FLAG_TIMESTAMP_MASK, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, V4L2_CAP_DEVICE_CAPS,
    V4L2_CAP_STREAMING, V4L2_CAP_VIDEO_CAPTURE, v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE as VIDEO_CAPTURE,
    v4l2_buffer, v4l2_capability, v4l2_memory_V4L2_MEMORY_MMAP as MEMORY_MMAP, v4l2_requestbuffers,
};
use v4l::v4l2::{self, vidioc};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{FourCC, Fraction};

use super::inventory::{CameraInfo, Kind, Mode, Sizes};
use super::timestamp::{self, FrameCounter};
use super::{CameraSettings, CaptureError, Delivery, DeviceOptions, Source};
use crate::frame::{DeviceBuffers, Frame, Layout, PixelFormat, Size};

/// One being filled, one waiting, one in the slot, one in the encoder.
const BUFFERS: u32 = 4;

/// The usable formats, cheapest for the encoder first.
const FORMATS: [(&[u8; 4], PixelFormat); 3] =
    [(b"YU12", PixelFormat::I420), (b"NV12", PixelFormat::Nv12), (b"YUYV", PixelFormat::Yuyv)];

/// An open, streaming capture device.
pub(super) struct Device {
    path: PathBuf,
    buffers: Arc<Buffers>,
    layout: Layout,
    fps: f64,
    counter: FrameCounter,
}

impl Device {
    /// Opens the device with the size and rate nearest to those wanted, and starts it.
    pub(super) fn open(path: &Path, settings: &CameraSettings, options: DeviceOptions) -> Result<Self, CaptureError> {
        let wanted = settings.wanted;
        let failed = |action| move |source| device_error(path, action, source);
        let device = v4l::Device::with_path(path).map_err(failed("open"))?;
        require_camera(&device, path)?;

        let (fourcc, format) = choose_format(&device, path, options.format)?;
        let mut asked = v4l::Format::new(wanted.size.width, wanted.size.height, fourcc);
        asked.stride = options.stride;
        let granted = device.set_format(&asked).map_err(failed("set its format"))?;
        if granted.fourcc != fourcc || granted.width == 0 || granted.height == 0 {
            return Err(CaptureError::Format { path: path.into(), offered: format!("{} only", granted.fourcc) });
        }
        require_whole_pictures(granted.field_order, path)?;
        let size = Size { width: granted.width, height: granted.height };
        let fallback = if format == PixelFormat::Yuyv { granted.width * 2 } else { granted.width };
        let layout = Layout::contiguous(format, size, granted.stride.max(fallback) as usize);

        // Cameras without a settable rate refuse; their own rate is what there is.
        let parameters = device.set_params(&Parameters::with_fps(wanted.fps)).or_else(|_| device.params());
        let fps = parameters.ok().and_then(|parameters| rate(parameters.interval)).unwrap_or(f64::from(wanted.fps));

        let buffers = Arc::new(Buffers::map(device).map_err(failed("map its buffers"))?);
        for index in 0..buffers.maps.len() {
            buffers.queue(index).map_err(failed("queue a buffer"))?;
        }
        buffers.stream(vidioc::VIDIOC_STREAMON).map_err(failed("start streaming"))?;
        tracing::info!(device = %path.display(), format = %fourcc, %size, fps, "camera started");
        Ok(Self { path: path.into(), buffers, layout, fps, counter: FrameCounter::default() })
    }

    fn error(&self, action: &'static str, source: io::Error) -> CaptureError {
        device_error(&self.path, action, source)
    }
}

impl Source for Device {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        self.fps
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        let fd = self.buffers.fd();
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let ready = match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(self.error("wait for a frame", errno.into())),
        };
        if ready == 0 {
            return Ok(Delivery::Nothing);
        }
        let buffer = match self.buffers.dequeue() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Delivery::Nothing),
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => {
                return Err(CaptureError::Gone { path: self.path.clone() });
            }
            Err(error) => return Err(self.error("deliver a frame", error)),
        };
        let index = buffer.index as usize;
        let (captured_at, sequence) = (captured_at(&buffer), self.counter.next(buffer.sequence));
        let device: Arc<dyn DeviceBuffers> = self.buffers.clone();
        let frame = Frame::device(device, index, [buffer.bytesused as usize, 0, 0], self.layout, captured_at, sequence);
        match frame {
            Ok(frame) if buffer.flags & V4L2_BUF_FLAG_ERROR == 0 => Ok(Delivery::Frame(frame)),
            // The driver marks a damaged picture, or USB lost a part of it: the next one is 33 ms away.
            Ok(_) | Err(_) => {
                tracing::trace!(sequence = sequence.number, "a damaged frame was skipped");
                Ok(Delivery::Damaged)
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.buffers.stream(vidioc::VIDIOC_STREAMOFF) {
            tracing::debug!(%error, "the camera did not stop streaming");
        }
    }
}

/// The device's memory-mapped buffers, and the device, which must outlive them: fields are dropped in this order.
struct Buffers {
    maps: Vec<Map>,
    device: v4l::Device,
}

impl Buffers {
    fn map(device: v4l::Device) -> io::Result<Self> {
        let mut request = v4l2_requestbuffers {
            count: BUFFERS,
            type_: VIDEO_CAPTURE,
            memory: MEMORY_MMAP,
            // SAFETY: plain integers and arrays of them; zero is a value of each.
            ..unsafe { std::mem::zeroed() }
        };
        ioctl(&device, vidioc::VIDIOC_REQBUFS, &mut request)?;
        let mut buffers = Self { maps: Vec::with_capacity(request.count as usize), device };
        for index in 0..request.count {
            let mut buffer = descriptor(index as usize);
            ioctl(&buffers.device, vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
            // SAFETY: for MMAP memory the kernel fills the member `offset` of the union.
            let offset = unsafe { buffer.m.offset };
            buffers.maps.push(Map::new(buffers.fd(), buffer.length as usize, i64::from(offset))?);
        }
        Ok(buffers)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as `self.device`, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.device.handle().fd()) }
    }

    fn queue(&self, index: usize) -> io::Result<()> {
        ioctl(&self.device, vidioc::VIDIOC_QBUF, &mut descriptor(index))
    }

    fn dequeue(&self) -> io::Result<v4l2_buffer> {
        let mut buffer = descriptor(0);
        ioctl(&self.device, vidioc::VIDIOC_DQBUF, &mut buffer)?;
        Ok(buffer)
    }

    fn stream(&self, request: vidioc::_IOC_TYPE) -> io::Result<()> {
        ioctl(&self.device, request, &mut (VIDEO_CAPTURE as i32))
    }
}

impl DeviceBuffers for Buffers {
    fn bytes(&self, index: usize, _: usize) -> &[u8] {
        self.maps[index].bytes()
    }

    fn give_back(&self, index: usize) {
        if let Err(error) = self.queue(index) {
            // The device is gone or stopped; the capture thread learns it from the next frame.
            tracing::debug!(%error, "a buffer could not be queued again");
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("count", &self.maps.len()).finish_non_exhaustive()
    }
}

/// One mapped buffer, unmapped on drop.
struct Map {
    address: std::ptr::NonNull<c_void>,
    length: usize,
}

// SAFETY: the mapping is shared memory that belongs to the process, not to a thread.
unsafe impl Send for Map {}
// SAFETY: as above; it is only read, and the driver writes to it only between queue and dequeue, when no frame and so
// no reference to it exists.
unsafe impl Sync for Map {}

impl Map {
    fn new(fd: BorrowedFd<'_>, length: usize, offset: i64) -> io::Result<Self> {
        let nonzero = length.try_into().map_err(|_| io::Error::other("the driver offers an empty buffer"))?;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else refers to it.
        let address = unsafe { mmap(None, nonzero, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, fd, offset) }?;
        Ok(Self { address, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped readable until drop.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; no slice of it outlives `self`.
        if let Err(error) = unsafe { munmap(self.address, self.length) } {
            tracing::debug!(%error, "a buffer could not be unmapped");
        }
    }
}

fn descriptor(index: usize) -> v4l2_buffer {
    v4l2_buffer {
        index: index as u32,
        type_: VIDEO_CAPTURE,
        memory: MEMORY_MMAP,
        // SAFETY: integers, unions of integers and a null pointer; zero is a value of each.
        ..unsafe { std::mem::zeroed() }
    }
}

fn ioctl<T>(device: &v4l::Device, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    // SAFETY: `argument` is the structure that the request names, valid and exclusive for the call.
    unsafe { v4l2::ioctl(device.handle().fd(), request, std::ptr::from_mut(argument).cast()) }
}

/// Time of capture by the driver's clock if it is the monotonic one, else now.
fn captured_at(buffer: &v4l2_buffer) -> Instant {
    if buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK != V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        return Instant::now();
    }
    let seconds = u64::try_from(buffer.timestamp.tv_sec).unwrap_or(0);
    let micros = u64::try_from(buffer.timestamp.tv_usec).unwrap_or(0);
    timestamp::at(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

fn require_camera(device: &v4l::Device, path: &Path) -> Result<String, CaptureError> {
    let not_a_camera = |problem: &str| CaptureError::NotACamera { path: path.into(), problem: problem.to_owned() };
    // SAFETY: plain integers and arrays of them; zero is a value of each.
    let mut capability: v4l2_capability = unsafe { std::mem::zeroed() };
    ioctl(device, vidioc::VIDIOC_QUERYCAP, &mut capability)
        .map_err(|_| not_a_camera("it does not answer as a V4L2 device"))?;
    // A node speaks for itself alone where it can: a webcam's second node carries metadata.
    let own = capability.capabilities & V4L2_CAP_DEVICE_CAPS != 0;
    let capabilities = if own { capability.device_caps } else { capability.capabilities };
    if capabilities & V4L2_CAP_VIDEO_CAPTURE == 0 {
        return Err(not_a_camera("it does not capture single-planar video"));
    }
    if capabilities & V4L2_CAP_STREAMING == 0 {
        return Err(not_a_camera("it cannot stream into mapped memory"));
    }
    let name: Vec<u8> = capability.card.iter().copied().take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// The format asked for if the device has it; without a wish, its cheapest usable one.
fn choose_format(
    device: &v4l::Device,
    path: &Path,
    wish: Option<PixelFormat>,
) -> Result<(FourCC, PixelFormat), CaptureError> {
    let offered = offered(device).map_err(|source| device_error(path, "list its formats", source))?;
    let usable = FORMATS.into_iter().map(|(name, format)| (FourCC::new(name), format));
    let mut usable =
        usable.filter(|(fourcc, format)| offered.contains(fourcc) && wish.is_none_or(|wish| wish == *format));
    usable.next().ok_or_else(|| {
        let names: Vec<_> = offered.iter().map(ToString::to_string).collect();
        let offered = if names.is_empty() { "no format".into() } else { format!("{} only", names.join(", ")) };
        CaptureError::Format { path: path.into(), offered }
    })
}

fn offered(device: &v4l::Device) -> io::Result<Vec<FourCC>> {
    Ok(device.enum_formats()?.into_iter().map(|description| description.fourcc).collect())
}

/// An analogue input may give every other line at a time: as a picture that would be squashed, and shake.
fn require_whole_pictures(order: FieldOrder, path: &Path) -> Result<(), CaptureError> {
    match order {
        FieldOrder::Any
        | FieldOrder::Progressive
        | FieldOrder::Interlaced
        | FieldOrder::InterlacedTB
        | FieldOrder::InterlacedBT => Ok(()),
        FieldOrder::Top
        | FieldOrder::Bottom
        | FieldOrder::Alternate
        | FieldOrder::SequentialTB
        | FieldOrder::SequentialBT => Err(CaptureError::Fields { path: path.into(), order: order.to_string() }),
    }
}

/// Frames a second, if the driver knows: some leave zeros.
fn rate(interval: Fraction) -> Option<f64> {
    let known = interval.numerator > 0 && interval.denominator > 0;
    known.then(|| f64::from(interval.denominator) / f64::from(interval.numerator))
}

fn device_error(path: &Path, action: &'static str, source: io::Error) -> CaptureError {
    let path = path.to_owned();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => CaptureError::NoDevice { path },
        Some(Errno::EBUSY) => CaptureError::Busy { path },
        Some(Errno::EACCES | Errno::EPERM) => CaptureError::Permission { path, group: "video".into() },
        _ => CaptureError::Device { path, action, source },
    }
}

/// The capture devices of this machine, by path.
pub(super) fn cameras() -> Vec<CameraInfo> {
    let mut nodes: Vec<_> = v4l::context::enum_devices().into_iter().map(|node| node.path().to_owned()).collect();
    nodes.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    nodes
        .into_iter()
        .filter_map(|path| {
            let device = v4l::Device::with_path(&path).ok()?;
            let name = require_camera(&device, &path).ok()?;
            let mode = |fourcc: FourCC| Mode {
                format: fourcc.to_string(),
                usable: FORMATS.iter().any(|(usable, _)| FourCC::new(usable) == fourcc),
                sizes: Sizes::Discrete(Vec::new()),
            };
            Some(CameraInfo {
                id: path.display().to_string(),
                kind: Kind::V4l2,
                driver: String::new(),
                bus: path.display().to_string(),
                signal: true,
                modes: offered(&device).ok()?.into_iter().map(mode).collect(),
                controls: Vec::new(),
                inputs: Vec::new(),
                name,
                problem: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_become_advice() {
        let text = |errno: Errno| device_error(Path::new("/dev/video0"), "open", errno.into()).to_string();
        assert!(text(Errno::ENOENT).contains("there is no device /dev/video0"));
        assert!(text(Errno::EBUSY).contains("another program uses the camera"));
        assert!(text(Errno::EACCES).contains("group video"));
        assert!(text(Errno::EIO).contains("failed to open: Input/output error"), "{}", text(Errno::EIO));
    }

    #[test]
    fn a_driver_that_knows_no_rate_is_not_believed() {
        assert_eq!(rate(Fraction::new(1, 25)), Some(25.0));
        assert_eq!(rate(Fraction::new(0, 0)), None);
        assert_eq!(rate(Fraction::new(1, 0)), None);
    }

    #[test]
    fn single_fields_are_no_pictures() {
        assert!(require_whole_pictures(FieldOrder::Interlaced, Path::new("/dev/video0")).is_ok());
        let refused = require_whole_pictures(FieldOrder::Alternate, Path::new("/dev/video0")).unwrap_err().to_string();
        assert!(refused.contains("/dev/video0") && refused.contains("alternate"), "{refused}");
    }
}
