//! The camera's buffers in our address space.
//!
//! Each buffer is one dma-buf, or one for each plane. They are mapped here and not by the crate `libcamera`, whose
//! mapping lives only as long as the camera: a frame may outlive that, and what is mapped stays.
#![allow(unsafe_code)] // mmap and an ioctl; each block says why it is sound.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc::{Ioctl, ioctl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{Whence, lseek};

/// `_IOW('b', 0, __u64)` in linux/dma-buf.h, and what it takes.
const DMA_BUF_IOCTL_SYNC: Ioctl = 0x4008_6200;
const SYNC_READ: u64 = 1;
const SYNC_END: u64 = 1 << 2;

/// Where libcamera says that a plane lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlaneAt {
    /// The dma-buf.
    pub(super) fd: RawFd,
    /// The same as a number, from 0: planes of one dma-buf are in one part.
    pub(super) part: usize,
    /// First byte in it.
    pub(super) offset: usize,
    /// Bytes.
    pub(super) length: usize,
}

impl PlaneAt {
    /// The planes of a buffer, of which libcamera tells descriptor, offset and length.
    pub(super) fn of_buffer(planes: impl IntoIterator<Item = (RawFd, usize, usize)>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (fd, offset, length) in planes {
            let same = all.iter().find(|plane| plane.fd == fd).map(|plane| plane.part);
            let part = same.unwrap_or_else(|| all.iter().map(|plane| plane.part + 1).max().unwrap_or(0));
            all.push(Self { fd, part, offset, length });
        }
        all
    }

    fn end(&self) -> usize {
        self.offset + self.length
    }
}

/// The memories of one buffer.
#[derive(Debug)]
pub(super) struct Mapped {
    parts: Vec<Map>,
}

impl Mapped {
    /// Maps what the planes lie in, for reading.
    pub(super) fn new(planes: &[PlaneAt]) -> io::Result<Self> {
        let mut parts = Vec::new();
        while let Some(plane) = planes.iter().find(|plane| plane.part == parts.len()) {
            let needed = planes.iter().filter(|other| other.part == plane.part).map(PlaneAt::end).max();
            parts.push(Map::new(plane.fd, needed.unwrap_or(0))?);
        }
        Ok(Self { parts })
    }

    /// The bytes of one part.
    pub(super) fn bytes(&self, part: usize) -> &[u8] {
        self.parts.get(part).map_or(&[], Map::bytes)
    }

    /// The processor is going to read: its cache must not hold what the device has overwritten since.
    pub(super) fn begin_reading(&self) {
        self.parts.iter().for_each(|part| part.sync(SYNC_READ));
    }

    /// The processor has read: the device may write again.
    pub(super) fn end_reading(&self) {
        self.parts.iter().for_each(|part| part.sync(SYNC_READ | SYNC_END));
    }
}

/// One mapped dma-buf, unmapped and closed on drop.
struct Map {
    address: std::ptr::NonNull<std::ffi::c_void>,
    length: NonZeroUsize,
    fd: OwnedFd,
    /// It is memory of another kind that knows no such call (`ENOTTY`): coherent then.
    coherent: AtomicBool,
}

// SAFETY: the mapping is shared memory that belongs to the process, not to a thread.
unsafe impl Send for Map {}
// SAFETY: as above; it is only read, and the device writes to it only between queueing and completion of a request,
// when no frame and so no reference to it exists.
unsafe impl Sync for Map {}

impl Map {
    fn new(fd: RawFd, length: usize) -> io::Result<Self> {
        // SAFETY: libcamera keeps the descriptors of its buffers open while the camera is configured, and it is.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
        let length = NonZeroUsize::new(length).ok_or_else(|| io::Error::other("a buffer is empty"))?;
        // Reading behind the end of the memory would be the end of the process.
        let there = usize::try_from(lseek(&fd, 0, Whence::SeekEnd)?).unwrap_or(0);
        if there < length.get() {
            return Err(io::Error::other(format!("a buffer of {there} bytes is to hold {length}")));
        }
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else refers to it.
        let address = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, &fd, 0) }?;
        Ok(Self { address, length, fd, coherent: AtomicBool::new(false) })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped readable until drop.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.length.get()) }
    }

    fn sync(&self, flags: u64) {
        while !self.coherent.load(Ordering::Relaxed) {
            // SAFETY: the request takes a 64-bit number by its address and keeps neither.
            let result = unsafe { ioctl(self.fd.as_raw_fd(), DMA_BUF_IOCTL_SYNC, &raw const flags) };
            match Errno::result(result) {
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::ENOTTY) => self.coherent.store(true, Ordering::Relaxed),
                Ok(_) => return,
                Err(error) => return tracing::trace!(%error, "a buffer's cache could not be synchronised"),
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; no slice of it outlives `self`.
        if let Err(error) = unsafe { munmap(self.address, self.length.get()) } {
            tracing::debug!(%error, "a buffer could not be unmapped");
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn memory(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn planes_of_one_dma_buf_become_one_part() {
        let file = memory(&[1, 2, 3, 4, 5, 6]);
        let other = memory(&[7, 8]);
        let (fd, second) = (file.as_raw_fd(), other.as_raw_fd());
        let planes = PlaneAt::of_buffer([(fd, 0, 4), (second, 0, 2), (fd, 4, 2)]);
        assert_eq!(planes.iter().map(|plane| plane.part).collect::<Vec<_>>(), [0, 1, 0]);
        let mapped = Mapped::new(&planes).unwrap();
        // The mapping does not need the descriptors that it was made from.
        drop((file, other));
        assert_eq!(mapped.bytes(0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(mapped.bytes(1), [7, 8]);
        assert!(mapped.bytes(2).is_empty());
        // A file is no dma-buf: the call is refused, once, and that is all.
        mapped.begin_reading();
        mapped.end_reading();
        assert!(mapped.parts.iter().all(|part| part.coherent.load(Ordering::Relaxed)));
    }

    #[test]
    fn a_buffer_shorter_than_its_planes_is_refused() {
        let file = memory(&[0; 8]);
        let planes = PlaneAt::of_buffer([(file.as_raw_fd(), 4, 5)]);
        let refused = Mapped::new(&planes).unwrap_err().to_string();
        assert_eq!(refused, "a buffer of 8 bytes is to hold 9");
    }
}
