//! The driver's buffers: mapped once, lent to frames, queued again when a frame is dropped.
//!
//! They are memory that the processor reads, not descriptors handed on (`VIDIOC_EXPBUF`): libvpx reads memory alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::ioctl::{Api, Filled, Map, Node};
use crate::frame::DeviceBuffers;

/// One being filled, one waiting, one in the slot, one in the encoder.
const WANTED: u32 = 4;

/// The mappings, and the node, which must outlive them: fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Buffers {
    maps: Vec<Vec<Map>>,
    api: Api,
    node: Node,
}

impl Buffers {
    pub(super) fn map(node: Node, api: Api) -> io::Result<Self> {
        let count = node.request_buffers(api, WANTED)? as usize;
        let maps = (0..count).map(|index| node.map(api, index)).collect::<io::Result<_>>()?;
        Ok(Self { maps, api, node })
    }

    /// Hands all of them to the driver.
    pub(super) fn queue_all(&self) -> io::Result<()> {
        (0..self.maps.len()).try_for_each(|index| self.node.queue(self.api, index))
    }

    pub(super) fn start(&self) -> io::Result<()> {
        self.node.start(self.api)
    }

    pub(super) fn stop(&self) -> io::Result<()> {
        self.node.stop(self.api)
    }

    pub(super) fn dequeue(&self) -> io::Result<Filled> {
        let filled = self.node.dequeue(self.api)?;
        if filled.index < self.maps.len() {
            Ok(filled)
        } else {
            Err(io::Error::other("the driver filled no buffer of ours"))
        }
    }
}

impl AsFd for Buffers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

impl DeviceBuffers for Buffers {
    fn bytes(&self, index: usize, part: usize) -> &[u8] {
        self.maps[index].get(part).map_or(&[], Map::bytes)
    }

    fn give_back(&self, index: usize) {
        if let Err(error) = self.node.queue(self.api, index) {
            // The device is gone or stopped; the capture thread learns it from the next frame.
            tracing::debug!(%error, "a buffer could not be queued again");
        }
    }
}
