//! What a camera delivers becomes what the encoder reads: three planes, 4:2:0, limited range.
//!
//! I420 of limited range is not touched. Everything else takes exactly one pass into a buffer that is kept from frame to
//! frame, so that nothing is allocated; only a JPEG takes two, one to decode it and one for its range. Browsers show VP8 as
//! limited range, so that a full one would lose its shadows and lights.

use yuv::{YuvPackedImage, YuvPlanarImageMut, uyvy422_to_yuv420, yuyv422_to_yuv420};

use super::mjpeg::Decoder;
use crate::frame::{ColourRange, Frame, Layout, PixelFormat, Size};

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
    jpeg: Decoder,
    written: u64,
}

impl Converter {
    /// The frame as I420 of limited range: its own planes if it is, else converted.
    ///
    /// Bytes written per frame of W x H pixels: I420 0, NV12 and NV21 W*H/2 (the chroma alone), YUYV and UYVY W*H*3/2; of
    /// full range all three planes, W*H*3/2; a JPEG twice that, or a little more.
    ///
    /// # Errors
    /// If there is no picture in it: a JPEG can be damaged. The next frame may be good.
    pub fn i420<'a>(&'a mut self, frame: &'a Frame) -> Result<Picture<'a>, DamagedPicture> {
        let layout = frame.layout();
        let full = layout.range == ColourRange::Full;
        match layout.format {
            PixelFormat::I420 if !full => {
                let strides = layout.planes.map(|plane| plane.stride);
                Ok(Picture { planes: [frame.plane(0), frame.plane(1), frame.plane(2)], strides })
            }
            PixelFormat::Nv12 | PixelFormat::Nv21 if !full => Ok(self.split(frame)),
            PixelFormat::Mjpeg => self.decode(frame),
            PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Yuyv | PixelFormat::Uyvy => {
                Ok(self.rewrite(frame, full))
            }
        }
    }

    /// Bytes that it wrote so far: what the path of the frames is not spared.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The luma stays where it is.
    fn split<'a>(&'a mut self, frame: &'a Frame) -> Picture<'a> {
        let layout = frame.layout();
        let chroma = layout.size.chroma();
        let (width, area) = (chroma.width as usize, chroma.area());
        self.scratch.resize(2 * area, 0);
        self.written += 2 * area as u64;
        let (u, v) = self.scratch.split_at_mut(area);
        split_chroma::<AsItIs>(frame, u, v);
        Picture { planes: [frame.plane(0), u, v], strides: [layout.planes[0].stride, width, width] }
    }

    /// All three planes are written.
    fn rewrite(&mut self, frame: &Frame, full: bool) -> Picture<'_> {
        let layout = frame.layout();
        let out = Layout::packed_i420(layout.size);
        self.scratch.resize(out.bytes(), 0);
        self.written += out.bytes() as u64;
        let (y, chroma) = self.scratch.split_at_mut(out.planes[1].offset);
        let (u, v) = chroma.split_at_mut(out.planes[2].offset - out.planes[1].offset);
        match layout.format {
            PixelFormat::Yuyv if full => packed::<Narrowed, 0>(frame, [y, u, v]),
            PixelFormat::Uyvy if full => packed::<Narrowed, 1>(frame, [y, u, v]),
            PixelFormat::Yuyv => packed_by_simd::<0>(frame, [y, u, v]),
            PixelFormat::Uyvy => packed_by_simd::<1>(frame, [y, u, v]),
            PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Mjpeg => {
                let Size { width, height } = layout.size;
                narrow(frame, 0, y, Size { width, height }, narrow_luma);
                if layout.format == PixelFormat::I420 {
                    narrow(frame, 1, u, layout.size.chroma(), narrow_chroma);
                    narrow(frame, 2, v, layout.size.chroma(), narrow_chroma);
                } else {
                    split_chroma::<Narrowed>(frame, u, v);
                }
            }
        }
        Picture { planes: [y, u, v], strides: out.planes.map(|plane| plane.stride) }
    }

    fn decode(&mut self, frame: &Frame) -> Result<Picture<'_>, DamagedPicture> {
        let decoded = self.jpeg.decode(frame.plane(0), frame.layout().size, &mut self.scratch)?;
        self.written += decoded.written;
        let plane = |plane: usize| &self.scratch[decoded.planes[plane].offset..];
        Ok(Picture { planes: [plane(0), plane(1), plane(2)], strides: decoded.planes.map(|plane| plane.stride) })
    }
}

/// Full range to limited: 0..=255 to 16..=235. Arithmetic of 16 bits, which processors do on many samples at a time.
pub(super) fn narrow_luma(sample: u8) -> u8 {
    ((u16::from(sample) * 220 + 128) >> 8) as u8 + 16
}

/// Full range to limited: 0..=255 around 128 to 16..=240.
pub(super) fn narrow_chroma(sample: u8) -> u8 {
    ((u16::from(sample) * 225 + (31 << 7) + 128) >> 8) as u8
}

/// What becomes of the range on the way.
trait Range {
    fn luma(sample: u8) -> u8;
    fn chroma(sample: u8) -> u8;
}

struct AsItIs;
struct Narrowed;

impl Range for AsItIs {
    fn luma(sample: u8) -> u8 {
        sample
    }

    fn chroma(sample: u8) -> u8 {
        sample
    }
}

impl Range for Narrowed {
    fn luma(sample: u8) -> u8 {
        narrow_luma(sample)
    }

    fn chroma(sample: u8) -> u8 {
        narrow_chroma(sample)
    }
}

fn narrow(frame: &Frame, plane: usize, out: &mut [u8], size: Size, convert: fn(u8) -> u8) {
    let width = size.width as usize;
    let lines = frame.plane(plane).chunks(frame.layout().planes[plane].stride);
    for (line, out) in lines.zip(out.chunks_exact_mut(width)) {
        line.iter().zip(out).for_each(|(sample, out)| *out = convert(*sample));
    }
}

/// The plane of pairs as two planes.
fn split_chroma<R: Range>(frame: &Frame, u: &mut [u8], v: &mut [u8]) {
    let layout = frame.layout();
    let width = layout.size.chroma().width as usize;
    let (first, second) = if layout.format == PixelFormat::Nv21 { (v, u) } else { (u, v) };
    let lines = frame.plane(1).chunks(layout.planes[1].stride);
    for ((pairs, first), second) in lines.zip(first.chunks_exact_mut(width)).zip(second.chunks_exact_mut(width)) {
        // Plain iteration over pairs: the compiler turns it into vector shuffles.
        for ((pair, first), second) in pairs.chunks_exact(2).zip(first).zip(second) {
            (*first, *second) = (R::chroma(pair[0]), R::chroma(pair[1]));
        }
    }
}

/// YUYV (`Y` is 0) or UYVY (`Y` is 1): two lines become two of Y and one of U and of V.
fn packed<R: Range, const Y: usize>(frame: &Frame, out: [&mut [u8]; 3]) {
    let layout = frame.layout();
    pairs::<R, Y>(frame.plane(0), layout.planes[0].stride, layout.size.width as usize, out);
}

/// The crate `yuv` reads pairs of lines, each with all of its padding; a picture may end with a single line, and its last
/// line may lack the padding. What it cannot read is one or two lines, which are converted here.
fn packed_by_simd<const Y: usize>(frame: &Frame, [y, u, v]: [&mut [u8]; 3]) {
    let layout = frame.layout();
    let (bytes, stride) = (frame.plane(0), layout.planes[0].stride);
    let Size { width, height } = layout.size;
    let chroma = layout.size.chroma().width as usize;
    let padded = stride > chroma * 4;
    let whole = if padded { (height - 1) / 2 } else { height / 2 } as usize;
    let (head, tail) = bytes.split_at(2 * whole * stride);
    let (y_head, y_tail) = y.split_at_mut(2 * whole * width as usize);
    let (u_head, u_tail) = u.split_at_mut(whole * chroma);
    let (v_head, v_tail) = v.split_at_mut(whole * chroma);
    if whole > 0 {
        let height = 2 * whole as u32;
        let mut planes = YuvPlanarImageMut {
            y_plane: yuv::BufferStoreMut::Borrowed(y_head),
            y_stride: width,
            u_plane: yuv::BufferStoreMut::Borrowed(u_head),
            u_stride: chroma as u32,
            v_plane: yuv::BufferStoreMut::Borrowed(v_head),
            v_stride: chroma as u32,
            width,
            height,
        };
        let source = YuvPackedImage { yuy: head, yuy_stride: stride as u32, width, height };
        let convert = if Y == 0 { yuyv422_to_yuv420 } else { uyvy422_to_yuv420 };
        if let Err(error) = convert(&mut planes, &source) {
            // Sizes were checked when the frame was made, so this is a fault of ours; an empty picture says so.
            tracing::error!(%error, "the conversion failed");
        }
    }
    pairs::<AsItIs, Y>(tail, stride, width as usize, [y_tail, u_tail, v_tail]);
}

/// Lines by twos, of which the last may be alone, and the very last without its padding.
fn pairs<R: Range, const Y: usize>(source: &[u8], stride: usize, width: usize, [y, u, v]: [&mut [u8]; 3]) {
    let chroma = width.div_ceil(2);
    let outs = y.chunks_mut(2 * width).zip(u.chunks_exact_mut(chroma)).zip(v.chunks_exact_mut(chroma));
    for (lines, ((y, u), v)) in source.chunks(2 * stride).zip(outs) {
        let upper = &lines[..4 * chroma];
        let lower = lines.get(stride..stride + 4 * chroma).unwrap_or(upper);
        for (line, y) in [upper, lower].into_iter().zip(y.chunks_exact_mut(width)) {
            for (pair, y) in line.chunks_exact(4).zip(y.chunks_mut(2)) {
                y[0] = R::luma(pair[Y]);
                if let Some(y) = y.get_mut(1) {
                    *y = R::luma(pair[Y + 2]);
                }
            }
        }
        let mean = |a: u8, b: u8| R::chroma(u16::midpoint(u16::from(a), u16::from(b) + 1) as u8);
        for (((upper, lower), u), v) in upper.chunks_exact(4).zip(lower.chunks_exact(4)).zip(u).zip(v) {
            (*u, *v) = (mean(upper[1 - Y], lower[1 - Y]), mean(upper[3 - Y], lower[3 - Y]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use turbojpeg::{Compressor, Image};

    use super::*;
    use crate::frame::{FramePool, Plane, Sequence};

    const SIZE: Size = Size { width: 64, height: 4 };

    fn frame(layout: Layout, bytes: Vec<u8>) -> Frame {
        let pool = FramePool::new(bytes.len());
        Frame::pooled(bytes, &pool, layout, Instant::now(), Sequence::default()).unwrap()
    }

    /// Luma differs in every sample, chroma in every second column: the same picture in whatever format.
    fn luma(x: usize, y: usize) -> u8 {
        (3 * x + 7 * y) as u8
    }

    fn chroma(x: usize) -> (u8, u8) {
        (90 + x as u8, 200 - x as u8)
    }

    /// The picture in this format, with lines `padding` bytes longer than they need to be.
    fn picture(format: PixelFormat, size: Size, padding: usize) -> Frame {
        let (width, height) = (size.width as usize, size.height as usize);
        let narrowest =
            if matches!(format, PixelFormat::Yuyv | PixelFormat::Uyvy) { 4 * width.div_ceil(2) } else { width };
        let layout = Layout::contiguous(format, size, narrowest + padding);
        let mut bytes = vec![0xee; layout.bytes()];
        let mut put = |plane: usize, x: usize, y: usize, sample: u8| {
            let Plane { offset, stride, .. } = layout.planes[plane];
            bytes[offset + y * stride + x] = sample;
        };
        for y in 0..height {
            for x in 0..width {
                let (u, v) = chroma(x / 2);
                match format {
                    PixelFormat::Yuyv => put(0, 2 * x, y, luma(x, y)),
                    PixelFormat::Uyvy => put(0, 2 * x + 1, y, luma(x, y)),
                    _ => put(0, x, y, luma(x, y)),
                }
                match format {
                    PixelFormat::I420 => (put(1, x / 2, y / 2, u), put(2, x / 2, y / 2, v)),
                    PixelFormat::Nv12 => (put(1, x / 2 * 2, y / 2, u), put(1, x / 2 * 2 + 1, y / 2, v)),
                    PixelFormat::Nv21 => (put(1, x / 2 * 2, y / 2, v), put(1, x / 2 * 2 + 1, y / 2, u)),
                    PixelFormat::Yuyv => (put(0, x / 2 * 4 + 1, y, u), put(0, x / 2 * 4 + 3, y, v)),
                    PixelFormat::Uyvy => (put(0, x / 2 * 4, y, u), put(0, x / 2 * 4 + 2, y, v)),
                    PixelFormat::Mjpeg => panic!("a JPEG has no samples"),
                };
            }
        }
        frame(layout, bytes)
    }

    fn full(frame: &Frame) -> Frame {
        let layout = Layout { range: ColourRange::Full, ..*frame.layout() };
        let mut bytes = vec![0; layout.bytes()];
        for plane in 0..3 {
            let samples = frame.plane(plane);
            bytes[layout.planes[plane].offset..][..samples.len()].copy_from_slice(samples);
        }
        self::frame(layout, bytes)
    }

    fn must_be_the_picture(found: &Picture<'_>, size: Size, range: [fn(u8) -> u8; 2], context: &str) {
        let sample = |plane: usize, x: usize, y: usize| found.planes[plane][y * found.strides[plane] + x];
        for y in 0..size.height as usize {
            for x in 0..size.width as usize {
                assert_eq!(sample(0, x, y), range[0](luma(x, y)), "{context}: Y at {x}, {y}");
                let (u, v) = chroma(x / 2);
                assert_eq!(sample(1, x / 2, y / 2), range[1](u), "{context}: U at {x}, {y}");
                assert_eq!(sample(2, x / 2, y / 2), range[1](v), "{context}: V at {x}, {y}");
            }
        }
    }

    const RAW: [PixelFormat; 5] =
        [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Nv21, PixelFormat::Yuyv, PixelFormat::Uyvy];

    #[test]
    fn every_format_becomes_the_same_picture_to_its_last_sample() {
        for (width, height) in [(64, 4), (64, 3), (63, 5), (64, 2), (64, 1), (63, 3), (1, 1), (2, 7)] {
            for (format, padding) in RAW.into_iter().flat_map(|format| [(format, 0), (format, 32)]) {
                let size = Size { width, height };
                let frame = picture(format, size, padding);
                let mut converter = Converter::default();
                let found = converter.i420(&frame).unwrap();
                must_be_the_picture(&found, size, [|y| y, |c| c], &format!("{format} {size} padded by {padding}"));
            }
        }
    }

    #[test]
    fn a_full_range_is_narrowed_in_the_same_pass() {
        for format in RAW {
            for size in [SIZE, Size { width: 63, height: 5 }] {
                let frame = full(&picture(format, size, 32));
                let mut converter = Converter::default();
                let found = converter.i420(&frame).unwrap();
                must_be_the_picture(&found, size, [narrow_luma, narrow_chroma], &format!("{format} {size}"));
                assert_eq!(converter.written(), Layout::packed_i420(size).bytes() as u64, "{format}");
            }
        }
    }

    #[test]
    fn narrowing_is_what_bt_601_says() {
        for sample in 0..=255_u8 {
            let exact = (16.0 + f64::from(sample) * 219.0 / 255.0, 128.0 + (f64::from(sample) - 128.0) * 224.0 / 255.0);
            assert!((f64::from(narrow_luma(sample)) - exact.0).abs() < 1.0, "Y {sample}");
            assert!((f64::from(narrow_chroma(sample)) - exact.1).abs() < 1.0, "C {sample}");
        }
        assert_eq!([0, 255].map(narrow_luma), [16, 235]);
        assert_eq!([0, 128, 255].map(narrow_chroma), [16, 128, 240]);
    }

    #[test]
    fn what_the_encoder_reads_is_not_touched() {
        let frame = picture(PixelFormat::I420, SIZE, 0);
        let mut converter = Converter::default();
        let found = converter.i420(&frame).unwrap();
        assert_eq!(found.planes[0].as_ptr(), frame.plane(0).as_ptr());
        assert_eq!(converter.written(), 0);
        let frame = picture(PixelFormat::Nv12, SIZE, 0);
        let found = converter.i420(&frame).unwrap();
        assert_eq!(found.planes[0].as_ptr(), frame.plane(0).as_ptr(), "nor is the luma of NV12");
        assert_eq!(converter.written(), 64 * 4 / 2);
    }

    #[test]
    fn v_before_u_is_told_by_the_layout() {
        let frame = picture(PixelFormat::I420, SIZE, 0);
        let mut layout = *frame.layout();
        let bytes = [frame.plane(0), frame.plane(2), frame.plane(1)].concat();
        layout.planes.swap(1, 2);
        let swapped = self::frame(layout, bytes);
        let mut converter = Converter::default();
        must_be_the_picture(&converter.i420(&swapped).unwrap(), SIZE, [|y| y, |c| c], "YV12");
    }

    #[test]
    fn chroma_of_two_lines_is_their_mean() {
        let layout = Layout {
            range: ColourRange::Full,
            ..Layout::contiguous(PixelFormat::Uyvy, Size { width: 2, height: 2 }, 4)
        };
        let frame = frame(layout, vec![100, 0, 50, 0, 200, 0, 51, 0]);
        let mut converter = Converter::default();
        let found = converter.i420(&frame).unwrap();
        assert_eq!([found.planes[1][0], found.planes[2][0]], [narrow_chroma(150), narrow_chroma(51)]);
    }

    #[test]
    fn a_jpeg_is_decoded_and_a_damaged_one_is_not_shown() {
        let size = Size { width: 64, height: 32 };
        let pixels = [180; 64 * 32 * 3];
        let image =
            Image { pixels: &pixels[..], width: 64, pitch: 64 * 3, height: 32, format: turbojpeg::PixelFormat::RGB };
        let jpeg = Compressor::new().unwrap().compress_to_vec(image).unwrap();
        let layout = Layout { range: ColourRange::Full, ..Layout::contiguous(PixelFormat::Mjpeg, size, 0) };
        let mut converter = Converter::default();

        let cut = frame(layout, jpeg[..jpeg.len() / 2].to_vec());
        assert!(converter.i420(&cut).unwrap_err().to_string().starts_with("a damaged picture: "));
        let whole = frame(layout, jpeg);
        let found = converter.i420(&whole).unwrap();
        for (plane, expected) in [(0, narrow_luma(180)), (1, 128), (2, 128)] {
            assert!(found.planes[plane][5 * found.strides[plane] + 5].abs_diff(expected) <= 1, "plane {plane}");
        }
    }
}
