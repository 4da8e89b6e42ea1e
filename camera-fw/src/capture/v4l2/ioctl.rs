//! A device's node: every request to the kernel, safely typed, and memory shared with it.
//!
//! The crate `v4l` supplies the bindings. Its safe layer is not used: it knows neither multi-planar devices nor standards,
//! its streams return a whole buffer instead of the bytes used and do not look at the error flag.
#![allow(unsafe_code)] // ioctl, its unions and mmap; each block says why it is sound.

use std::ffi::c_void;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Duration;

use nix::libc::{O_CLOEXEC, O_NONBLOCK};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use v4l::v4l_sys::{
    V4L2_BUF_FLAG_ERROR, V4L2_BUF_FLAG_TIMESTAMP_MASK, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, V4L2_CAP_DEVICE_CAPS,
    V4L2_CAP_TIMEPERFRAME, V4L2_CTRL_FLAG_NEXT_CTRL, v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE as VIDEO_CAPTURE,
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE as VIDEO_CAPTURE_MPLANE, v4l2_buffer, v4l2_capability,
    v4l2_control, v4l2_dv_timings, v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum,
    v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE, v4l2_frmsizeenum, v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE,
    v4l2_input, v4l2_memory_V4L2_MEMORY_MMAP as MEMORY_MMAP, v4l2_plane, v4l2_query_ext_ctrl, v4l2_querymenu,
    v4l2_requestbuffers, v4l2_standard, v4l2_std_id, v4l2_streamparm,
};
use v4l::v4l2;
use v4l::v4l2::vidioc::{self, _IOC_TYPE as Request};

use crate::frame::Size;

/// Not among the bindings' numbers: `_IOWR('V', 87, struct v4l2_dv_timings)` and `_IOR('V', 99, …)`.
const SET_TIMINGS: Request = (3 << 30) | ((size_of::<v4l2_dv_timings>() as Request) << 16) | (0x56 << 8) | 87;
const QUERY_TIMINGS: Request = (2 << 30) | ((size_of::<v4l2_dv_timings>() as Request) << 16) | (0x56 << 8) | 99;

/// `VIDEO_MAX_PLANES`.
const MOST_PARTS: usize = 8;

/// No driver lists as many of anything; one that does is broken.
const LONGEST_LIST: u32 = 1000;

/// Whether a buffer is one memory, or one or more: the two forms of the same requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Single,
    Multi,
}

impl Api {
    fn buffer_type(self) -> u32 {
        match self {
            Self::Single => VIDEO_CAPTURE,
            Self::Multi => VIDEO_CAPTURE_MPLANE,
        }
    }
}

/// The four characters of a format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FourCc(pub(super) [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit says that the format is big-endian.
        let text = self.0.map(|byte| char::from(byte & 0x7f)).iter().collect::<String>();
        f.pad(text.trim_end())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Who a node is and what it can.
#[derive(Debug, Clone)]
pub(super) struct Capability {
    pub(super) driver: String,
    pub(super) name: String,
    pub(super) bus: String,
    /// `V4L2_CAP_…` of this node alone, where the driver tells them apart.
    pub(super) flags: u32,
}

/// A format with its size and the lines of its memories, as the driver granted it.
#[derive(Debug, Clone)]
pub(super) struct Format {
    pub(super) fourcc: FourCc,
    pub(super) size: Size,
    pub(super) field: u32,
    pub(super) colorspace: u32,
    pub(super) quantization: u32,
    /// Bytes from line to line in each of the buffer's memories.
    pub(super) strides: Vec<u32>,
}

/// Sizes of a format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FrameSize {
    Discrete(Size),
    Stepwise { min: Size, max: Size, step: (u32, u32) },
}

/// A number divided by another, as the kernel has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction(pub(super) u32, pub(super) u32);

#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) status: u32,
    pub(super) capabilities: u32,
    pub(super) standards: v4l2_std_id,
}

#[derive(Debug, Clone)]
pub(super) struct Standard {
    pub(super) id: v4l2_std_id,
    pub(super) name: String,
}

/// A control as the driver describes it.
#[derive(Debug, Clone)]
pub(super) struct ControlDescription {
    pub(super) id: u32,
    pub(super) kind: u32,
    pub(super) name: String,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) step: u64,
    pub(super) flags: u32,
}

/// Timings of a digital video signal: only handed from one request to another.
#[derive(Clone, Copy)]
pub(super) struct Timings(v4l2_dv_timings);

/// A buffer that the driver filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub(super) index: usize,
    /// Bytes in each of its first three memories, from its beginning.
    pub(super) used: [usize; 3],
    /// Where in each of them the picture begins.
    pub(super) begins: [usize; 3],
    /// The driver says that the picture is damaged.
    pub(super) damaged: bool,
    /// Time of capture, if the driver tells it by the monotonic clock.
    pub(super) captured: Option<Duration>,
    pub(super) sequence: u32,
}

/// Structures of integers, arrays and unions of them, and raw pointers.
///
/// # Safety
/// Zero must be a value of every member.
unsafe trait Plain: Sized {
    fn blank() -> Self {
        // SAFETY: zero is a value of every member.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($structure:ty),*) => {
        // SAFETY: the kernel's structures, made for C: integers, arrays and unions of them, raw pointers.
        $(unsafe impl Plain for $structure {})*
    };
}

plain!(
    v4l2_capability,
    v4l2_fmtdesc,
    v4l2_format,
    v4l2_frmsizeenum,
    v4l2_frmivalenum,
    v4l2_input,
    v4l2_standard,
    u64,
    i32,
    v4l2_streamparm,
    v4l2_query_ext_ctrl,
    v4l2_querymenu,
    v4l2_control,
    v4l2_dv_timings,
    v4l2_requestbuffers,
    v4l2_buffer,
    [v4l2_plane; MOST_PARTS]
);

/// An open device.
#[derive(Debug)]
pub(super) struct Node(File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Node {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK | O_CLOEXEC).open(path).map(Self)
    }

    fn call<T: Plain>(&self, request: Request, argument: &mut T) -> io::Result<()> {
        assert_eq!((request >> 16) as usize & 0x3fff, size_of::<T>(), "a request with another's structure");
        // SAFETY: `argument` is exclusive for the call and as large as the request says; where it points to more memory
        // (`buffer`), that is valid and exclusive too.
        unsafe { v4l2::ioctl(self.0.as_raw_fd(), request, ptr::from_mut(argument).cast()) }
    }

    pub(super) fn capability(&self) -> io::Result<Capability> {
        let mut answer = v4l2_capability::blank();
        self.call(vidioc::VIDIOC_QUERYCAP, &mut answer)?;
        let own = answer.capabilities & V4L2_CAP_DEVICE_CAPS != 0;
        Ok(Capability {
            driver: text(&answer.driver),
            name: text(&answer.card),
            bus: text(&answer.bus_info),
            flags: if own { answer.device_caps } else { answer.capabilities },
        })
    }

    pub(super) fn formats(&self, api: Api) -> Vec<FourCc> {
        list(|index| {
            let mut answer = v4l2_fmtdesc { index, type_: api.buffer_type(), ..v4l2_fmtdesc::blank() };
            self.call(vidioc::VIDIOC_ENUM_FMT, &mut answer)?;
            Ok(FourCc(answer.pixelformat.to_le_bytes()))
        })
    }

    pub(super) fn sizes(&self, fourcc: FourCc) -> Vec<FrameSize> {
        list(|index| {
            let pixel_format = u32::from_le_bytes(fourcc.0);
            let mut answer = v4l2_frmsizeenum { index, pixel_format, ..v4l2_frmsizeenum::blank() };
            self.call(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut answer)?;
            if answer.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: the type says which member of the union is set.
                let size = unsafe { answer.__bindgen_anon_1.discrete };
                return Ok(FrameSize::Discrete(Size { width: size.width, height: size.height }));
            }
            // SAFETY: the other types are both told in this member.
            let range = unsafe { answer.__bindgen_anon_1.stepwise };
            Ok(FrameSize::Stepwise {
                min: Size { width: range.min_width, height: range.min_height },
                max: Size { width: range.max_width, height: range.max_height },
                step: (range.step_width.max(1), range.step_height.max(1)),
            })
        })
    }

    /// The times between two frames; of a range, the shortest.
    pub(super) fn intervals(&self, fourcc: FourCc, size: Size) -> Vec<Fraction> {
        let Size { width, height } = size;
        list(|index| {
            let pixel_format = u32::from_le_bytes(fourcc.0);
            let mut answer = v4l2_frmivalenum { index, pixel_format, width, height, ..v4l2_frmivalenum::blank() };
            self.call(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut answer)?;
            // SAFETY: the type says which member of the union is set; the other types are both told in `stepwise`.
            let interval = unsafe {
                if answer.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                    answer.__bindgen_anon_1.discrete
                } else {
                    answer.__bindgen_anon_1.stepwise.min
                }
            };
            Ok(Fraction(interval.numerator, interval.denominator))
        })
    }

    pub(super) fn set_format(&self, api: Api, fourcc: FourCc, size: Size, stride: u32) -> io::Result<Format> {
        let mut format = v4l2_format { type_: api.buffer_type(), ..v4l2_format::blank() };
        let Size { width, height } = size;
        let pixelformat = u32::from_le_bytes(fourcc.0);
        match api {
            Api::Single => {
                // SAFETY: a union of structures of integers; zero is a value of each.
                let pix = unsafe { &mut format.fmt.pix };
                (pix.width, pix.height, pix.pixelformat, pix.bytesperline) = (width, height, pixelformat, stride);
            }
            Api::Multi => {
                // SAFETY: as above.
                let pix = unsafe { &mut format.fmt.pix_mp };
                (pix.width, pix.height, pix.pixelformat) = (width, height, pixelformat);
                pix.plane_fmt[0].bytesperline = stride;
            }
        }
        self.call(vidioc::VIDIOC_S_FMT, &mut format)?;
        Ok(granted(api, &format))
    }

    /// Asks for a time between frames, and says what it is now: nothing if the driver does not know.
    pub(super) fn set_interval(&self, api: Api, interval: Fraction) -> io::Result<Option<Fraction>> {
        let mut answer = v4l2_streamparm { type_: api.buffer_type(), ..v4l2_streamparm::blank() };
        self.call(vidioc::VIDIOC_G_PARM, &mut answer)?;
        // SAFETY: the buffer type says that the member `capture` is set.
        let capture = unsafe { &mut answer.parm.capture };
        if capture.capability & V4L2_CAP_TIMEPERFRAME != 0 {
            let before = capture.timeperframe;
            (capture.timeperframe.numerator, capture.timeperframe.denominator) = (interval.0, interval.1);
            if self.call(vidioc::VIDIOC_S_PARM, &mut answer).is_err() {
                // It stays at its own rate, which is what there is.
                answer.parm.capture.timeperframe = before;
            }
        }
        // SAFETY: as above.
        let now = unsafe { answer.parm.capture.timeperframe };
        Ok((now.numerator > 0 && now.denominator > 0).then_some(Fraction(now.numerator, now.denominator)))
    }

    pub(super) fn inputs(&self) -> Vec<Input> {
        list(|index| {
            let mut answer = v4l2_input { index, ..v4l2_input::blank() };
            self.call(vidioc::VIDIOC_ENUMINPUT, &mut answer)?;
            Ok(Input {
                index,
                name: text(&answer.name),
                kind: answer.type_,
                status: answer.status,
                capabilities: answer.capabilities,
                standards: answer.std,
            })
        })
    }

    pub(super) fn input(&self) -> io::Result<u32> {
        let mut index = 0_i32;
        self.call(vidioc::VIDIOC_G_INPUT, &mut index)?;
        Ok(index as u32)
    }

    pub(super) fn set_input(&self, index: u32) -> io::Result<()> {
        self.call(vidioc::VIDIOC_S_INPUT, &mut (index as i32))
    }

    pub(super) fn standards(&self) -> Vec<Standard> {
        list(|index| {
            let mut answer = v4l2_standard { index, ..v4l2_standard::blank() };
            self.call(vidioc::VIDIOC_ENUMSTD, &mut answer)?;
            Ok(Standard { id: answer.id, name: text(&answer.name) })
        })
    }

    pub(super) fn set_standard(&self, mut id: v4l2_std_id) -> io::Result<()> {
        self.call(vidioc::VIDIOC_S_STD, &mut id)
    }

    /// The standards that the signal may have.
    pub(super) fn detect_standard(&self) -> io::Result<v4l2_std_id> {
        let mut id: v4l2_std_id = 0;
        self.call(vidioc::VIDIOC_QUERYSTD, &mut id)?;
        Ok(id)
    }

    /// The timings of the signal at a digital input.
    pub(super) fn detect_timings(&self) -> io::Result<Timings> {
        let mut timings = v4l2_dv_timings::blank();
        self.call(QUERY_TIMINGS, &mut timings)?;
        Ok(Timings(timings))
    }

    pub(super) fn set_timings(&self, mut timings: Timings) -> io::Result<()> {
        self.call(SET_TIMINGS, &mut timings.0)
    }

    pub(super) fn controls(&self) -> Vec<ControlDescription> {
        let mut last = 0;
        list(|_| {
            let mut answer = v4l2_query_ext_ctrl { id: last | V4L2_CTRL_FLAG_NEXT_CTRL, ..Plain::blank() };
            self.call(vidioc::VIDIOC_QUERY_EXT_CTRL, &mut answer)?;
            last = answer.id;
            Ok(ControlDescription {
                id: answer.id,
                kind: answer.type_,
                name: text(&answer.name.map(|character| character as u8)),
                min: answer.minimum,
                max: answer.maximum,
                step: answer.step,
                flags: answer.flags,
            })
        })
    }

    /// One entry of a menu of texts.
    pub(super) fn menu_text(&self, id: u32, index: u32) -> io::Result<String> {
        // SAFETY: every member of the union is integers, and the kernel sets this one for a menu of texts.
        self.menu(id, index).map(|entry| text(unsafe { &entry.__bindgen_anon_1.name }))
    }

    /// One entry of a menu of numbers.
    pub(super) fn menu_number(&self, id: u32, index: u32) -> io::Result<i64> {
        // SAFETY: every member of the union is integers, and the kernel sets this one for a menu of numbers.
        self.menu(id, index).map(|entry| unsafe { entry.__bindgen_anon_1.value })
    }

    fn menu(&self, id: u32, index: u32) -> io::Result<v4l2_querymenu> {
        let mut answer = v4l2_querymenu { id, index, ..v4l2_querymenu::blank() };
        self.call(vidioc::VIDIOC_QUERYMENU, &mut answer)?;
        Ok(answer)
    }

    pub(super) fn control(&self, id: u32) -> io::Result<i32> {
        let mut control = v4l2_control { id, value: 0 };
        self.call(vidioc::VIDIOC_G_CTRL, &mut control)?;
        Ok(control.value)
    }

    pub(super) fn set_control(&self, id: u32, value: i32) -> io::Result<()> {
        self.call(vidioc::VIDIOC_S_CTRL, &mut v4l2_control { id, value })
    }

    /// Asks for buffers in the driver's memory, and says how many there are.
    pub(super) fn request_buffers(&self, api: Api, count: u32) -> io::Result<u32> {
        let (type_, memory) = (api.buffer_type(), MEMORY_MMAP);
        let mut request = v4l2_requestbuffers { count, type_, memory, ..v4l2_requestbuffers::blank() };
        self.call(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// Maps each of a buffer's memories.
    pub(super) fn map(&self, api: Api, index: usize) -> io::Result<Vec<Map>> {
        let parts = self.buffer(vidioc::VIDIOC_QUERYBUF, api, index, |buffer, planes| match api {
            // SAFETY: for MMAP memory the kernel fills the member `offset` of the union.
            Api::Single => vec![(buffer.length, unsafe { buffer.m.offset })],
            // SAFETY: as above, of the planes' union.
            Api::Multi => planes.iter().map(|plane| (plane.length, unsafe { plane.m.mem_offset })).collect(),
        })?;
        parts.into_iter().map(|(length, offset)| Map::new(self.as_fd(), length as usize, offset)).collect()
    }

    pub(super) fn queue(&self, api: Api, index: usize) -> io::Result<()> {
        self.buffer(vidioc::VIDIOC_QBUF, api, index, |_, _| ())
    }

    /// A filled buffer; the error is `WouldBlock` if there is none.
    pub(super) fn dequeue(&self, api: Api) -> io::Result<Filled> {
        self.buffer(vidioc::VIDIOC_DQBUF, api, 0, |buffer, planes| {
            let mut filled = Filled {
                index: buffer.index as usize,
                used: [0; 3],
                begins: [0; 3],
                damaged: buffer.flags & V4L2_BUF_FLAG_ERROR != 0,
                captured: captured(buffer),
                sequence: buffer.sequence,
            };
            match api {
                Api::Single => filled.used[0] = buffer.bytesused as usize,
                Api::Multi => {
                    for (part, plane) in planes.iter().take(3).enumerate() {
                        filled.used[part] = plane.bytesused as usize;
                        filled.begins[part] = plane.data_offset as usize;
                    }
                }
            }
            filled
        })
    }

    fn buffer<T>(
        &self,
        request: Request,
        api: Api,
        index: usize,
        read: impl FnOnce(&v4l2_buffer, &[v4l2_plane]) -> T,
    ) -> io::Result<T> {
        let (type_, memory) = (api.buffer_type(), MEMORY_MMAP);
        let mut planes = <[v4l2_plane; MOST_PARTS]>::blank();
        let mut buffer = v4l2_buffer { index: index as u32, type_, memory, ..v4l2_buffer::blank() };
        if api == Api::Multi {
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = MOST_PARTS as u32;
        }
        self.call(request, &mut buffer)?;
        let parts = if api == Api::Multi { (buffer.length as usize).min(MOST_PARTS) } else { 0 };
        Ok(read(&buffer, &planes[..parts]))
    }

    pub(super) fn start(&self, api: Api) -> io::Result<()> {
        self.call(vidioc::VIDIOC_STREAMON, &mut (api.buffer_type() as i32))
    }

    pub(super) fn stop(&self, api: Api) -> io::Result<()> {
        self.call(vidioc::VIDIOC_STREAMOFF, &mut (api.buffer_type() as i32))
    }
}

fn granted(api: Api, format: &v4l2_format) -> Format {
    match api {
        Api::Single => {
            // SAFETY: the buffer type says that this member of the union is set.
            let pix = unsafe { format.fmt.pix };
            Format {
                fourcc: FourCc(pix.pixelformat.to_le_bytes()),
                size: Size { width: pix.width, height: pix.height },
                field: pix.field,
                colorspace: pix.colorspace,
                quantization: pix.quantization,
                strides: vec![pix.bytesperline],
            }
        }
        Api::Multi => {
            // SAFETY: as above.
            let pix = unsafe { format.fmt.pix_mp };
            let (pixelformat, width, height) = (pix.pixelformat, pix.width, pix.height);
            // The structure is packed: its members are copied, not borrowed.
            let lines = pix.plane_fmt;
            let parts = usize::from(pix.num_planes).min(MOST_PARTS);
            Format {
                fourcc: FourCc(pixelformat.to_le_bytes()),
                size: Size { width, height },
                field: pix.field,
                colorspace: pix.colorspace,
                quantization: u32::from(pix.quantization),
                strides: lines[..parts].iter().map(|plane| plane.bytesperline).collect(),
            }
        }
    }
}

fn captured(buffer: &v4l2_buffer) -> Option<Duration> {
    let monotonic = buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    let seconds = u64::try_from(buffer.timestamp.tv_sec).unwrap_or(0);
    let micros = u64::try_from(buffer.timestamp.tv_usec).unwrap_or(0);
    monotonic.then(|| Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Everything from number 0 on, up to the first refusal.
fn list<T>(mut entry: impl FnMut(u32) -> io::Result<T>) -> Vec<T> {
    (0..LONGEST_LIST).map_while(|index| entry(index).ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
}

/// Memory shared with the driver, unmapped on drop.
pub(super) struct Map {
    address: NonNull<c_void>,
    length: usize,
}

// SAFETY: the mapping is shared memory that belongs to the process, not to a thread.
unsafe impl Send for Map {}
// SAFETY: as above; it is only read, and the driver writes to it only between queue and dequeue, when no frame and so
// no reference to it exists.
unsafe impl Sync for Map {}

impl Map {
    fn new(fd: BorrowedFd<'_>, length: usize, offset: u32) -> io::Result<Self> {
        let nonzero = length.try_into().map_err(|_| io::Error::other("the driver offers an empty buffer"))?;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else refers to it.
        let address = unsafe { mmap(None, nonzero, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, fd, offset.into()) }?;
        Ok(Self { address, length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped readable until drop.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.length) }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.length).finish()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_named_by_its_characters() {
        assert_eq!(FourCc(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(), "Y16");
    }

    #[test]
    fn texts_end_at_their_zero() {
        assert_eq!(text(b"vivid\0rest"), "vivid");
        assert_eq!(text(b"full"), "full");
    }

    #[test]
    fn only_the_monotonic_clock_is_believed() {
        let mut buffer = v4l2_buffer::blank();
        (buffer.timestamp.tv_sec, buffer.timestamp.tv_usec) = (7, 250_000);
        assert_eq!(captured(&buffer), None);
        buffer.flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        assert_eq!(captured(&buffer), Some(Duration::from_millis(7250)));
    }

    #[test]
    fn a_node_that_is_no_camera_refuses() {
        let node = Node::open(Path::new("/dev/null")).unwrap();
        assert!(node.capability().is_err());
        assert!(node.formats(Api::Single).is_empty() && node.inputs().is_empty() && node.controls().is_empty());
        assert!(node.set_timings(Timings(v4l2_dv_timings::blank())).is_err(), "its number has the right size");
    }
}
