//! The one conversion pass for cameras that do not deliver I420.
//!
//! The result goes into a buffer that the caller keeps, so that nothing is allocated per frame.

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

    /// Chroma of two lines becomes one: their mean. A single last line speaks for itself.
    fn yuyv_to_i420<'a>(&'a mut self, frame: &Frame, layout: &Layout) -> Picture<'a> {
        let out = Layout::packed_i420(layout.size);
        self.scratch.resize(out.bytes(), 0);
        let (y, chroma) = self.scratch.split_at_mut(out.planes[1].offset);
        let (u, v) = chroma.split_at_mut(out.planes[2].offset - out.planes[1].offset);
        let strides = out.planes.map(|plane| plane.stride);

        let stride = layout.planes[0].stride;
        let pairs_out = y.chunks_mut(2 * strides[0]).zip(u.chunks_mut(strides[1])).zip(v.chunks_mut(strides[2]));
        for (pair, ((y, u), v)) in frame.plane(0).chunks(2 * stride).zip(pairs_out) {
            let (upper, lower) = pair.split_at(stride.min(pair.len()));
            let lower = if lower.is_empty() { upper } else { lower };
            for (line, y) in [upper, lower].into_iter().zip(y.chunks_mut(strides[0])) {
                for (sample, y) in line.chunks_exact(2).zip(y) {
                    *y = sample[0];
                }
            }
            for (((upper, lower), u), v) in upper.chunks_exact(4).zip(lower.chunks_exact(4)).zip(u).zip(v) {
                (*u, *v) = (mean(upper[1], lower[1]), mean(upper[3], lower[3]));
            }
        }
        Picture { planes: [y, u, v], strides }
    }
}

fn mean(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) / 2) as u8
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
    fn yuyv_with_padding_and_odd_size_is_converted_to_its_last_line() {
        for (width, height, stride) in
            [(64, 4, 160), (64, 3, 160), (63, 5, 160), (64, 2, 160), (64, 1, 160), (63, 3, 128)]
        {
            let size = Size { width, height };
            let layout = Layout::contiguous(PixelFormat::Yuyv, size, stride);
            let mut bytes = vec![0xee; layout.bytes()];
            for (line, padded) in bytes.chunks_mut(stride).enumerate() {
                let (luma, u) = (16 + 10 * line as u8, 90 + 10 * line as u8);
                padded[..128].chunks_exact_mut(4).for_each(|pair| pair.copy_from_slice(&[luma, u, luma, 160]));
            }
            let frame = frame(layout, bytes);
            let mut converter = Converter::default();
            let picture = converter.i420(&frame);
            let lines: Vec<_> = picture.planes[0].chunks(width as usize).collect();
            assert_eq!(lines.len(), height as usize, "{size}");
            for (line, samples) in lines.into_iter().enumerate() {
                assert!(samples.iter().all(|y| *y == 16 + 10 * line as u8), "{size}, line {line}: {samples:?}");
            }
            for (pair, samples) in picture.planes[1].chunks(32).enumerate() {
                let alone = 2 * pair as u32 + 1 == height;
                let mean = 90 + 20 * pair as u8 + if alone { 0 } else { 5 };
                assert!(samples.iter().all(|u| *u == mean), "{size}, pair {pair}: {samples:?} is not {mean}");
            }
            assert_eq!(picture.planes[2], vec![160; size.chroma().area()], "{size}");
        }
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
