//! Storage for encoded frames that is used again when the last viewer is done with it.
//!
//! Viewers hold a frame for as long as it takes them to put it into packets, so a handful of pieces go round; a viewer
//! that is late keeps as many as the fan-out's ring has places. Beyond that, storage is left to whoever still holds it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Pieces kept: a full ring of the fan-out, one frame in every hand.
const PIECES: usize = 40;

/// Sizes of pieces are multiples of this: a key frame of a small stream fits, or a dozen frames between.
const GRAIN: usize = 64 * 1024;

/// Storage that goes round, the longest unused first.
#[derive(Debug)]
pub(super) struct Recycler {
    pieces: VecDeque<BytesMut>,
}

impl Recycler {
    pub(super) fn new() -> Self {
        Self { pieces: VecDeque::with_capacity(PIECES) }
    }

    /// A copy of `data`, in storage that nobody holds any more if there is some that is large enough.
    pub(super) fn copy(&mut self, data: &[u8]) -> Bytes {
        let mut piece = self.take(data.len());
        piece.extend_from_slice(data);
        // Both halves share the storage; ours is empty, and gets it back whole once the other is gone.
        let copy = piece.split().freeze();
        self.pieces.push_back(piece);
        copy
    }

    /// The piece that was given out first is most likely to be back; the others are asked only while it is not.
    fn take(&mut self, bytes: usize) -> BytesMut {
        let free = self.pieces.iter_mut().position(|piece| piece.try_reclaim(bytes));
        if let Some(piece) = free.and_then(|index| self.pieces.remove(index)) {
            return piece;
        }
        if self.pieces.len() == PIECES {
            self.pieces.pop_front();
        }
        BytesMut::with_capacity(bytes.next_multiple_of(GRAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_comes_back_when_the_last_viewer_is_done() {
        let mut recycler = Recycler::new();
        let first = recycler.copy(&[1; GRAIN]);
        let (address, viewer) = (first.as_ptr(), first.clone());
        drop(first);
        let second = recycler.copy(&[2; GRAIN]);
        assert_ne!(second.as_ptr(), address, "a viewer still reads the first");
        assert_eq!(*viewer, [1; GRAIN]);
        drop(viewer);
        assert_eq!(recycler.copy(&[3; GRAIN]).as_ptr(), address);
        assert_eq!(*second, [2; GRAIN]);
    }

    #[test]
    fn frames_of_any_size_keep_their_bytes_and_a_late_viewer_keeps_no_more_than_its_share() {
        let mut recycler = Recycler::new();
        let held: Vec<(usize, Bytes)> = (0..1_000)
            .map(|number| number * 7_919 % 200_000)
            .map(|length| (length, recycler.copy(&vec![length as u8; length])))
            .collect();
        assert!(recycler.pieces.len() <= PIECES);
        for (length, copy) in held {
            assert_eq!(copy.len(), length);
            assert!(copy.iter().all(|byte| *byte == length as u8));
        }
    }
}
