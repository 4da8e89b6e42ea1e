//! The one conversion pass for cameras that do not deliver I420.
//!
//! The result goes into a buffer that the caller keeps, so that nothing is allocated per frame.

use yuv::{YuvPackedImage, YuvPlanarImageMut, yuyv422_to_yuv420};

use super::{Frame, Layout, PixelFormat};

/// Three planes with their strides, ready for the encoder: the frame's own memory where the format allows.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Y, U, V.
    pub planes: [&'a [u8]; 3],
    /// Bytes from line to line.
    pub strides: [usize; 3],
}

/// A conversion buffer that is reused from frame to frame.
#[derive(Debug, Default)]
pub struct Converter {
    scratch: Vec<u8>,
}

impl Converter {
    /// The frame as I420: its own planes if it is, else converted.
    ///
    /// Bytes written per frame of W x H pixels: I420 0, NV12 W*H/2 (the chroma alone), YUYV W*H*3/2.
    pub fn i420<'a>(&'a mut self, frame: &'a Frame) -> Picture<'a> {
        let layout = frame.layout();
        let strides = layout.planes.map(|plane| plane.stride);
        match layout.format {
            PixelFormat::I420 => Picture { planes: [frame.plane(0), frame.plane(1), frame.plane(2)], strides },
            PixelFormat::Nv12 => {
                let chroma = layout.size.chroma();
                let (width, area) = (chroma.width as usize, chroma.area());
                self.scratch.resize(2 * area, 0);
                let (u, v) = self.scratch.split_at_mut(area);
                let lines = frame.plane(1).chunks(strides[1]);
                for ((uv, u), v) in lines.zip(u.chunks_exact_mut(width)).zip(v.chunks_exact_mut(width)) {
                    // Plain iteration over pairs: the compiler turns it into vector shuffles.
                    for ((pair, u), v) in uv.chunks_exact(2).zip(u).zip(v) {
                        (*u, *v) = (pair[0], pair[1]);
                    }
                }
                Picture { planes: [frame.plane(0), u, v], strides: [strides[0], width, width] }
            }
            PixelFormat::Yuyv => self.yuyv_to_i420(frame, layout),
        }
    }

    fn yuyv_to_i420<'a>(&'a mut self, frame: &Frame, layout: &Layout) -> Picture<'a> {
        let packed = Layout::packed_i420(layout.size);
        self.scratch.resize(packed.bytes(), 0);
        let (y, chroma) = self.scratch.split_at_mut(packed.planes[1].offset);
        let (u, v) = chroma.split_at_mut(packed.planes[2].offset - packed.planes[1].offset);
        let strides = packed.planes.map(|plane| plane.stride);
        let mut out = YuvPlanarImageMut {
            y_plane: yuv::BufferStoreMut::Borrowed(&mut *y),
            y_stride: strides[0] as u32,
            u_plane: yuv::BufferStoreMut::Borrowed(&mut *u),
            u_stride: strides[1] as u32,
            v_plane: yuv::BufferStoreMut::Borrowed(&mut *v),
            v_stride: strides[2] as u32,
            width: layout.size.width,
            height: layout.size.height,
        };
        let packed = YuvPackedImage {
            yuy: frame.plane(0),
            yuy_stride: layout.planes[0].stride as u32,
            width: layout.size.width,
            height: layout.size.height,
        };
        if let Err(error) = yuyv422_to_yuv420(&mut out, &packed) {
            // Sizes were checked when the frame was made, so this is a fault of ours; a grey picture says so.
            tracing::error!(%error, "conversion from YUYV failed");
        }
        Picture { planes: [y, u, v], strides }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::frame::{FramePool, Plane, Size};

    fn frame(layout: Layout, bytes: Vec<u8>) -> Frame {
        let pool = FramePool::new(bytes.len());
        Frame::pooled(bytes, &pool, layout, Instant::now(), 0).unwrap()
    }

    #[test]
    fn i420_is_not_touched() {
        let layout = Layout::packed_i420(Size { width: 4, height: 2 });
        let frame = frame(layout, (0..12).collect());
        let mut converter = Converter::default();
        let picture = converter.i420(&frame);
        assert_eq!(picture.planes[0].as_ptr(), frame.plane(0).as_ptr());
        assert_eq!(picture.planes, [&[0u8, 1, 2, 3, 4, 5, 6, 7][..], &[8, 9], &[10, 11]]);
    }

    #[test]
    fn nv12_with_padding_and_odd_size_is_taken_apart() {
        let size = Size { width: 3, height: 3 };
        let planes = [Plane { offset: 0, stride: 8 }, Plane { offset: 24, stride: 8 }, Plane { offset: 0, stride: 0 }];
        let mut bytes = vec![0xee; 40];
        bytes[24..28].copy_from_slice(&[10, 20, 11, 21]);
        bytes[32..36].copy_from_slice(&[12, 22, 13, 23]);
        let frame = frame(Layout { format: PixelFormat::Nv12, size, planes }, bytes);
        let mut converter = Converter::default();
        let picture = converter.i420(&frame);
        assert_eq!(picture.planes[1], [10, 11, 12, 13]);
        assert_eq!(picture.planes[2], [20, 21, 22, 23]);
        assert_eq!(picture.strides, [8, 2, 2]);
    }

    #[test]
    fn yuyv_becomes_420() {
        let size = Size { width: 64, height: 4 };
        let bytes: Vec<u8> = (0..4).flat_map(|_| (0..32u8).flat_map(|x| [2 * x, 90, 2 * x + 1, 160])).collect();
        let frame = frame(Layout::contiguous(PixelFormat::Yuyv, size, 128), bytes);
        let mut converter = Converter::default();
        let picture = converter.i420(&frame);
        let line: Vec<u8> = (0..64).collect();
        assert!(picture.planes[0].chunks(64).all(|y| y == line));
        assert!(picture.planes[1].iter().all(|u| *u == 90), "{:?}", picture.planes[1]);
        assert!(picture.planes[2].iter().all(|v| *v == 160), "{:?}", picture.planes[2]);
    }
}
