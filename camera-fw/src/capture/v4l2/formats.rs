//! The formats that this program reads, and how a picture of each lies in the driver's memory.

use super::ioctl::{Format, FourCc};
use crate::frame::{ColourRange, Layout, PixelFormat, Plane};

use v4l::v4l_sys::{
    v4l2_colorspace_V4L2_COLORSPACE_JPEG as COLORSPACE_JPEG, v4l2_field_V4L2_FIELD_ALTERNATE as ALTERNATE,
    v4l2_field_V4L2_FIELD_BOTTOM as BOTTOM, v4l2_field_V4L2_FIELD_SEQ_BT as SEQUENTIAL_BOTTOM_TOP,
    v4l2_field_V4L2_FIELD_SEQ_TB as SEQUENTIAL_TOP_BOTTOM, v4l2_field_V4L2_FIELD_TOP as TOP,
    v4l2_quantization_V4L2_QUANTIZATION_DEFAULT as QUANTIZATION_DEFAULT,
    v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE as QUANTIZATION_FULL,
};

/// A format of the kernel that is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    pub(super) fourcc: FourCc,
    pub(super) format: PixelFormat,
    /// Each plane in a memory of its own.
    separate: bool,
    /// V before U, as planes.
    swapped: bool,
}

impl Readable {
    const fn new(fourcc: &[u8; 4], format: PixelFormat) -> Self {
        Self { fourcc: FourCc(*fourcc), format, separate: false, swapped: false }
    }

    const fn separate(self) -> Self {
        Self { separate: true, ..self }
    }

    const fn swapped(self) -> Self {
        Self { swapped: true, ..self }
    }
}

/// Cheapest for the encoder first: its own format; then those of which only the colours are rewritten; then those that
/// are rewritten whole; then those that are decoded.
pub(super) const READABLE: [Readable; 12] = [
    Readable::new(b"YU12", PixelFormat::I420),
    Readable::new(b"YM12", PixelFormat::I420).separate(),
    Readable::new(b"YV12", PixelFormat::I420).swapped(),
    Readable::new(b"YM21", PixelFormat::I420).separate().swapped(),
    Readable::new(b"NV12", PixelFormat::Nv12),
    Readable::new(b"NM12", PixelFormat::Nv12).separate(),
    Readable::new(b"NV21", PixelFormat::Nv21),
    Readable::new(b"NM21", PixelFormat::Nv21).separate(),
    Readable::new(b"YUYV", PixelFormat::Yuyv),
    Readable::new(b"UYVY", PixelFormat::Uyvy),
    Readable::new(b"MJPG", PixelFormat::Mjpeg),
    Readable::new(b"JPEG", PixelFormat::Mjpeg),
];

/// The format with this name, if it is one of ours.
pub(super) fn readable(name: &str) -> Option<&'static Readable> {
    READABLE.iter().find(|readable| readable.fourcc.to_string() == name)
}

/// The names of all that is readable, for messages.
pub(super) fn names() -> String {
    let names: Vec<_> = READABLE.iter().filter(|readable| !readable.separate).map(|readable| readable.fourcc).collect();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where the planes are; nothing if the driver tells of fewer memories than the format has.
pub(super) fn layout(readable: &Readable, granted: &Format) -> Option<Layout> {
    let size = granted.size;
    let narrowest = match readable.format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => size.chroma().width * 4,
        PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Nv21 => size.width,
        PixelFormat::Mjpeg => 0,
    };
    // Some drivers leave it at zero.
    let stride = (*granted.strides.first()?).max(narrowest) as usize;
    let mut layout = Layout::contiguous(readable.format, size, stride);
    if readable.separate {
        let planes = if readable.format == PixelFormat::I420 { 3 } else { 2 };
        for plane in 1..planes {
            let narrowest = layout.size.chroma().width * if planes == 2 { 2 } else { 1 };
            let stride = (*granted.strides.get(plane)?).max(narrowest) as usize;
            layout.planes[plane] = Plane { part: plane, offset: 0, stride };
        }
    }
    if readable.swapped {
        layout.planes.swap(1, 2);
    }
    layout.range = range(readable.format, granted.colorspace, granted.quantization);
    Some(layout)
}

/// `V4L2_MAP_QUANTIZATION_DEFAULT`, and JPEGs are full whatever the driver says (JFIF).
fn range(format: PixelFormat, colorspace: u32, quantization: u32) -> ColourRange {
    let full = match quantization {
        _ if format == PixelFormat::Mjpeg => true,
        QUANTIZATION_FULL => true,
        QUANTIZATION_DEFAULT => colorspace == COLORSPACE_JPEG,
        _ => false,
    };
    if full { ColourRange::Full } else { ColourRange::Limited }
}

/// The name of an order in which half pictures come, if they do: an analogue input may give every other line at a time, and
/// as a picture that would be squashed, and shake.
pub(super) fn half_pictures(field: u32) -> Option<&'static str> {
    match field {
        TOP => Some("top"),
        BOTTOM => Some("bottom"),
        ALTERNATE => Some("alternate"),
        SEQUENTIAL_TOP_BOTTOM => Some("sequential, top first"),
        SEQUENTIAL_BOTTOM_TOP => Some("sequential, bottom first"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Size;

    const LIMITED: u32 = 2;
    const SMPTE170M: u32 = 1;

    fn granted(name: &str, strides: &[u32]) -> Option<Layout> {
        let readable = readable(name).unwrap();
        let format = Format {
            fourcc: readable.fourcc,
            size: Size { width: 720, height: 480 },
            field: 1,
            colorspace: SMPTE170M,
            quantization: LIMITED,
            strides: strides.to_vec(),
        };
        layout(readable, &format)
    }

    fn planes(name: &str, strides: &[u32]) -> Vec<(usize, usize, usize)> {
        let layout = granted(name, strides).unwrap();
        layout.planes.iter().map(|plane| (plane.part, plane.offset, plane.stride)).collect()
    }

    #[test]
    fn every_format_lies_where_the_kernel_s_documentation_says() {
        let luma = 720 * 480;
        assert_eq!(planes("YU12", &[720]), [(0, 0, 720), (0, luma, 360), (0, luma * 5 / 4, 360)]);
        assert_eq!(planes("YV12", &[720]), [(0, 0, 720), (0, luma * 5 / 4, 360), (0, luma, 360)], "V comes first");
        assert_eq!(planes("NV21", &[768]), [(0, 0, 768), (0, 768 * 480, 768), (0, 0, 0)]);
        assert_eq!(planes("UYVY", &[1440]), [(0, 0, 1440), (0, 0, 0), (0, 0, 0)]);
    }

    #[test]
    fn planes_in_memories_of_their_own_have_lines_of_their_own() {
        assert_eq!(planes("YM12", &[768, 384, 512]), [(0, 0, 768), (1, 0, 384), (2, 0, 512)]);
        assert_eq!(planes("YM21", &[768, 384, 512]), [(0, 0, 768), (2, 0, 512), (1, 0, 384)], "the second memory is V");
        assert_eq!(planes("NM12", &[720, 800]), [(0, 0, 720), (1, 0, 800), (0, 0, 0)]);
        assert_eq!(granted("YM12", &[720, 360]), None, "a memory is missing");
    }

    #[test]
    fn lines_that_a_driver_does_not_tell_are_as_short_as_can_be() {
        assert_eq!(planes("YUYV", &[0])[0], (0, 0, 1440));
        assert_eq!(planes("NM21", &[0, 0]), [(0, 0, 720), (1, 0, 720), (0, 0, 0)]);
    }

    #[test]
    fn the_range_is_the_driver_s_word_or_the_colour_space_s_default() {
        for (format, colorspace, quantization, expected) in [
            (PixelFormat::Yuyv, SMPTE170M, LIMITED, ColourRange::Limited),
            (PixelFormat::Yuyv, SMPTE170M, QUANTIZATION_DEFAULT, ColourRange::Limited),
            (PixelFormat::Yuyv, SMPTE170M, QUANTIZATION_FULL, ColourRange::Full),
            (PixelFormat::Nv12, COLORSPACE_JPEG, QUANTIZATION_DEFAULT, ColourRange::Full),
            (PixelFormat::Nv12, COLORSPACE_JPEG, LIMITED, ColourRange::Limited),
            (PixelFormat::Mjpeg, SMPTE170M, LIMITED, ColourRange::Full),
        ] {
            assert_eq!(range(format, colorspace, quantization), expected, "{format} {colorspace} {quantization}");
        }
    }

    #[test]
    fn single_fields_are_no_pictures() {
        assert_eq!(half_pictures(1), None, "progressive");
        assert_eq!(half_pictures(4), None, "interlaced: both fields in one picture");
        assert_eq!(half_pictures(ALTERNATE), Some("alternate"));
    }

    #[test]
    fn the_cheapest_comes_first() {
        let cost = |readable: &Readable| PixelFormat::ALL.iter().position(|format| *format == readable.format);
        assert!(READABLE.is_sorted_by_key(cost));
        assert_eq!(names(), "YU12, YV12, NV12, NV21, YUYV, UYVY, MJPG, JPEG");
    }
}
