//! The one conversion pass for cameras that do not deliver I420.
//!
//! The result goes into a buffer that the caller keeps, so that nothing is allocated per frame.

use yuv::{YuvPackedImage, YuvPlanarImageMut, yuyv422_to_yuv420};

use super::{Frame, Layout, PixelFormat};
use crate::frame::Size;

/// Three planes with their strides, ready for the encoder: the frame's own memory where the format allows.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Y, U, V.
    pub planes: [&'a [u8]; 3],
    /// Bytes from line to line.
    pub strides: [usize; 3],
}

/// A frame that turned out not to hold a picture when it was read: skipped and counted like one that the device marked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a damaged picture: {0}")]
pub struct DamagedPicture(pub String);

/// A conversion buffer that is reused from frame to frame.
#[derive(Debug, Default)]
pub struct Converter {
    scratch: Vec<u8>,
    written: u64,
}

impl Converter {
    /// The frame as I420: its own planes if it is, else converted.
    ///
    /// Bytes written per frame of W x H pixels: I420 0, NV12 W*H/2 (the chroma alone), YUYV W*H*3/2.
    ///
    /// # Errors
    /// If there is no picture in it: a JPEG can be damaged. The next frame may be good.
    pub fn i420<'a>(&'a mut self, frame: &'a Frame) -> Result<Picture<'a>, DamagedPicture> {
        let layout = frame.layout();
        let strides = layout.planes.map(|plane| plane.stride);
        Ok(match layout.format {
            PixelFormat::I420 => Picture { planes: [frame.plane(0), frame.plane(1), frame.plane(2)], strides },
            PixelFormat::Nv12 | PixelFormat::Nv21 => {
                let chroma = layout.size.chroma();
                let (width, area) = (chroma.width as usize, chroma.area());
                self.scratch.resize(2 * area, 0);
                self.written += 2 * area as u64;
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
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Mjpeg => self.yuyv_to_i420(frame, layout),
        })
    }

    /// Bytes that it wrote so far: what the path of the frames is not spared.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The crate `yuv` reads pairs of lines, each with all of its padding; a picture may end with a single line, and
    /// its last line may lack the padding. What it cannot read is one or two lines, which are converted here.
    fn yuyv_to_i420<'a>(&'a mut self, frame: &Frame, layout: &Layout) -> Picture<'a> {
        let Size { width, height } = layout.size;
        let out = Layout::packed_i420(layout.size);
        self.scratch.resize(out.bytes(), 0);
        self.written += out.bytes() as u64;
        let (y, chroma) = self.scratch.split_at_mut(out.planes[1].offset);
        let (u, v) = chroma.split_at_mut(out.planes[2].offset - out.planes[1].offset);
        let strides = out.planes.map(|plane| plane.stride);

        let (bytes, stride) = (frame.plane(0), layout.planes[0].stride);
        let padded = stride > layout.size.chroma().width as usize * 4;
        let pairs = if padded { (height - 1) / 2 } else { height / 2 } as usize;
        let (head, tail) = bytes.split_at(2 * pairs * stride);
        let (y_head, y_tail) = y.split_at_mut(2 * pairs * strides[0]);
        let (u_head, u_tail) = u.split_at_mut(pairs * strides[1]);
        let (v_head, v_tail) = v.split_at_mut(pairs * strides[2]);
        if pairs > 0 {
            let size = Size { width, height: 2 * pairs as u32 };
            yuyv_pairs(head, stride, size, [y_head, u_head, v_head]);
        }
        if !tail.is_empty() {
            yuyv_last(tail, stride, width as usize, [y_tail, u_tail, v_tail]);
        }
        Picture { planes: [y, u, v], strides }
    }
}

fn yuyv_pairs(source: &[u8], stride: usize, size: Size, [y, u, v]: [&mut [u8]; 3]) {
    let Size { width, height } = size;
    let mut out = YuvPlanarImageMut {
        y_plane: yuv::BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: yuv::BufferStoreMut::Borrowed(u),
        u_stride: size.chroma().width,
        v_plane: yuv::BufferStoreMut::Borrowed(v),
        v_stride: size.chroma().width,
        width,
        height,
    };
    let packed = YuvPackedImage { yuy: source, yuy_stride: stride as u32, width, height };
    if let Err(error) = yuyv422_to_yuv420(&mut out, &packed) {
        // Sizes were checked when the frame was made, so this is a fault of ours; an empty picture says so.
        tracing::error!(%error, "conversion from YUYV failed");
    }
}

/// One line or two, at least one; what stands between two lines is padding.
fn yuyv_last(source: &[u8], stride: usize, width: usize, [y, u, v]: [&mut [u8]; 3]) {
    for (line, y) in source.chunks(stride).zip(y.chunks_exact_mut(width)) {
        line.iter().step_by(2).zip(y).for_each(|(sample, y)| *y = *sample);
    }
    let upper = source.chunks_exact(4);
    let lower = source.get(stride..).filter(|lower| !lower.is_empty()).unwrap_or(source).chunks_exact(4);
    let mean = |a: u8, b: u8| u16::midpoint(u16::from(a), u16::from(b) + 1) as u8;
    for (((upper, lower), u), v) in upper.zip(lower).zip(u).zip(v) {
        (*u, *v) = (mean(upper[1], lower[1]), mean(upper[3], lower[3]));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::frame::{ColourRange, FramePool, Plane, Sequence, Size};

    fn frame(layout: Layout, bytes: Vec<u8>) -> Frame {
        let pool = FramePool::new(bytes.len());
        Frame::pooled(bytes, &pool, layout, Instant::now(), Sequence::default()).unwrap()
    }

    #[test]
    fn i420_is_not_touched() {
        let layout = Layout::packed_i420(Size { width: 4, height: 2 });
        let frame = frame(layout, (0..12).collect());
        let mut converter = Converter::default();
        let picture = converter.i420(&frame).unwrap();
        assert_eq!(picture.planes[0].as_ptr(), frame.plane(0).as_ptr());
        assert_eq!(picture.planes, [&[0u8, 1, 2, 3, 4, 5, 6, 7][..], &[8, 9], &[10, 11]]);
    }

    #[test]
    fn nv12_with_padding_and_odd_size_is_taken_apart() {
        let size = Size { width: 3, height: 3 };
        let [y, uv] = [0, 24].map(|offset| Plane { part: 0, offset, stride: 8 });
        let mut bytes = vec![0xee; 40];
        bytes[24..28].copy_from_slice(&[10, 20, 11, 21]);
        bytes[32..36].copy_from_slice(&[12, 22, 13, 23]);
        let frame = frame(
            Layout { format: PixelFormat::Nv12, size, range: ColourRange::Limited, planes: [y, uv, Plane::default()] },
            bytes,
        );
        let mut converter = Converter::default();
        let picture = converter.i420(&frame).unwrap();
        assert_eq!(picture.planes[1], [10, 11, 12, 13]);
        assert_eq!(picture.planes[2], [20, 21, 22, 23]);
        assert_eq!(picture.strides, [8, 2, 2]);
    }

    #[test]
    fn yuyv_with_padding_and_odd_size_is_converted_to_its_last_sample() {
        for (width, height, stride) in
            [(64, 4, 160), (64, 3, 160), (63, 5, 160), (64, 2, 160), (64, 1, 160), (63, 3, 128)]
        {
            let size = Size { width, height };
            let layout = Layout::contiguous(PixelFormat::Yuyv, size, stride);
            let mut bytes = vec![0xee; layout.bytes()];
            for (line, padded) in bytes.chunks_mut(stride).enumerate() {
                // Chroma is the same in the two lines of a pair, so that it does not matter which of them counts.
                let (luma, u) = (16 + 10 * line as u8, 90 + 10 * (line / 2) as u8);
                padded[..128].chunks_exact_mut(4).for_each(|pair| pair.copy_from_slice(&[luma, u, luma, 160]));
            }
            let frame = frame(layout, bytes);
            let mut converter = Converter::default();
            let picture = converter.i420(&frame).unwrap();
            let lines: Vec<_> = picture.planes[0].chunks(width as usize).collect();
            assert_eq!(lines.len(), height as usize, "{size}");
            for (line, samples) in lines.into_iter().enumerate() {
                assert!(samples.iter().all(|y| *y == 16 + 10 * line as u8), "{size}, line {line}: {samples:?}");
            }
            for (pair, samples) in picture.planes[1].chunks(32).enumerate() {
                assert!(samples.iter().all(|u| *u == 90 + 10 * pair as u8), "{size}, pair {pair}: {samples:?}");
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
        let picture = converter.i420(&frame).unwrap();
        let line: Vec<u8> = (0..64).collect();
        assert!(picture.planes[0].chunks(64).all(|y| y == line));
        assert!(picture.planes[1].iter().all(|u| *u == 90), "{:?}", picture.planes[1]);
        assert!(picture.planes[2].iter().all(|v| *v == 160), "{:?}", picture.planes[2]);
    }
}
