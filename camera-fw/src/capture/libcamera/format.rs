//! Which format and size to ask of a camera, and where the planes of its pictures lie.

use std::cmp::Reverse;

use ::libcamera::camera::{Camera, CameraConfiguration, Orientation};
use ::libcamera::color_space::{ColorSpace, Range};
use ::libcamera::geometry;
use ::libcamera::pixel_format;
use ::libcamera::stream::StreamRole;

use super::memory::PlaneAt;
use crate::frame::{ColourRange, Layout, PixelFormat, Plane, Size};

/// One being exposed, two waiting for that, one in the slot, one in the encoder, and one on the way back.
const BUFFERS: u32 = 6;

/// Sizes that are tried of one format. Asking costs little; a list may be long.
const TRIES: usize = 12;

/// A format of libcamera that the encoder can be fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    fourcc: [u8; 4],
    /// What it is to us.
    pub(super) format: PixelFormat,
    /// V stands before U in memory.
    swapped: bool,
}

/// Cheapest for the encoder first.
const READABLE: [Readable; 6] = [
    Readable { fourcc: *b"YU12", format: PixelFormat::I420, swapped: false },
    Readable { fourcc: *b"YV12", format: PixelFormat::I420, swapped: true },
    Readable { fourcc: *b"NV12", format: PixelFormat::Nv12, swapped: false },
    Readable { fourcc: *b"NV21", format: PixelFormat::Nv21, swapped: false },
    Readable { fourcc: *b"YUYV", format: PixelFormat::Yuyv, swapped: false },
    Readable { fourcc: *b"UYVY", format: PixelFormat::Uyvy, swapped: false },
];

impl Readable {
    /// Ours for a format of libcamera; a modifier means that the samples are tiled or packed.
    pub(super) fn new(format: pixel_format::PixelFormat) -> Option<Self> {
        let (fourcc, modifier) = format.to_raw();
        READABLE.into_iter().find(|known| known.fourcc == fourcc.to_le_bytes() && modifier == 0)
    }

    fn raw(self) -> pixel_format::PixelFormat {
        pixel_format::PixelFormat::new(u32::from_le_bytes(self.fourcc), 0)
    }

    /// How many planes a buffer must have, if it does not hold all of them one behind the other.
    fn planes(self) -> usize {
        match self.format {
            PixelFormat::I420 => 3,
            PixelFormat::Nv12 | PixelFormat::Nv21 => 2,
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Mjpeg => 1,
        }
    }
}

/// The four characters of a format, or its number where they cannot be read.
pub(super) fn name(format: pixel_format::PixelFormat) -> String {
    let (fourcc, modifier) = format.to_raw();
    let letters = fourcc.to_le_bytes();
    let name = match letters.iter().all(u8::is_ascii_graphic) {
        true => letters.iter().copied().map(char::from).collect(),
        false => format!("{fourcc:08x}"),
    };
    if modifier == 0 { name } else { format!("{name}:{modifier:x}") }
}

/// The names of all that is readable, for messages.
pub(super) fn readable() -> String {
    READABLE.map(|readable| name(readable.raw())).join(", ")
}

/// A configuration that the camera has agreed to.
pub(super) struct Agreed {
    /// To be given to the camera.
    pub(super) configuration: CameraConfiguration,
    /// Its format.
    pub(super) readable: Readable,
    /// Its size.
    pub(super) size: Size,
    /// Bytes from one line to the next.
    pub(super) stride: usize,
    /// Its colour range.
    pub(super) range: ColourRange,
}

/// Agrees with the camera on what comes nearest to the size wanted, in the format that is cheapest among those.
///
/// # Errors
/// The formats that the camera has, if none of them is usable.
pub(super) fn agree(camera: &Camera<'_>, wanted: Size, orientation: Orientation) -> Result<Agreed, String> {
    let mut configuration =
        camera.generate_configuration(&[StreamRole::VideoRecording]).ok_or_else(|| "no video stream".to_owned())?;
    configuration.set_orientation(orientation);
    let offered = offered(&configuration);
    let usable = READABLE.into_iter().filter(|readable| offered.iter().any(|(format, _)| *format == readable.raw()));

    let mut best: Option<(u64, Readable, Size)> = None;
    for readable in usable {
        let listed = offered.iter().find(|(format, _)| *format == readable.raw()).map_or(&[][..], |(_, sizes)| sizes);
        for size in candidates(wanted, listed) {
            let Some((granted, _)) = ask(&mut configuration, readable, size) else { continue };
            let distance = distance(granted, wanted);
            if best.is_none_or(|(least, ..)| distance < least) {
                best = Some((distance, readable, granted));
            }
            if distance == 0 {
                break;
            }
        }
    }
    let (readable, (size, stride)) = best
        .and_then(|(_, readable, size)| Some((readable, ask(&mut configuration, readable, size)?)))
        .ok_or_else(|| names(&offered))?;
    let range = match configuration.get(0).and_then(|stream| stream.get_color_space()) {
        Some(ColorSpace { range: Range::Full, .. }) => ColourRange::Full,
        // Who says nothing does what video does.
        Some(ColorSpace { range: Range::Limited, .. }) | None => ColourRange::Limited,
    };
    Ok(Agreed { configuration, readable, size, stride, range })
}

/// The formats with the sizes that are listed for each.
fn offered(configuration: &CameraConfiguration) -> Vec<(pixel_format::PixelFormat, Vec<Size>)> {
    let Some(stream) = configuration.get(0) else { return Vec::new() };
    let formats = stream.formats();
    let sizes = |format| formats.sizes(format).into_iter().map(ours).collect();
    formats.pixel_formats().into_iter().map(|format| (format, sizes(format))).collect()
}

fn names(offered: &[(pixel_format::PixelFormat, Vec<Size>)]) -> String {
    let names: Vec<_> = offered.iter().map(|(format, _)| name(*format)).collect();
    if names.is_empty() { "no format".to_owned() } else { format!("{} only", names.join(", ")) }
}

/// The size wanted, and the listed ones nearest to it: a list is advice, and so is that a size is not in it.
fn candidates(wanted: Size, listed: &[Size]) -> Vec<Size> {
    let mut sizes: Vec<_> = listed.iter().copied().filter(|size| *size != wanted).collect();
    sizes.sort_by_key(|size| (distance(*size, wanted), Reverse(size.area())));
    sizes.truncate(TRIES);
    sizes.insert(0, wanted);
    sizes
}

/// What the camera makes of a format and a size; none if it does not give this format.
fn ask(configuration: &mut CameraConfiguration, readable: Readable, size: Size) -> Option<(Size, usize)> {
    {
        let mut stream = configuration.get_mut(0)?;
        stream.set_pixel_format(readable.raw());
        stream.set_size(geometry::Size { width: size.width, height: size.height });
        // It is what browsers take VP8 for, whatever its size.
        stream.set_color_space(Some(ColorSpace::smpte170m()));
        stream.set_buffer_count(BUFFERS);
    }
    if configuration.validate().is_invalid() {
        return None;
    }
    let stream = configuration.get(0)?;
    let granted = ours(stream.get_size());
    let usable = stream.get_pixel_format() == readable.raw() && granted.area() > 0;
    let least = if readable.planes() == 1 { granted.width.next_multiple_of(2) * 2 } else { granted.width };
    usable.then(|| (granted, stream.get_stride().max(least) as usize))
}

fn distance(one: Size, other: Size) -> u64 {
    u64::from(one.width.abs_diff(other.width)) + u64::from(one.height.abs_diff(other.height))
}

pub(super) fn ours(size: geometry::Size) -> Size {
    Size { width: size.width, height: size.height }
}

/// Where the planes of a picture lie, from where the buffer's are.
pub(super) fn layout(readable: Readable, size: Size, stride: usize, range: ColourRange, buffer: &[PlaneAt]) -> Layout {
    let mut layout = Layout { range, ..Layout::contiguous(readable.format, size, stride) };
    if buffer.len() >= readable.planes() {
        for (plane, at) in layout.planes.iter_mut().zip(buffer).take(readable.planes()) {
            *plane = Plane { part: at.part, offset: at.offset, stride: plane.stride };
        }
    } else if let [all] = buffer {
        layout.planes.iter_mut().filter(|plane| plane.stride > 0).for_each(|plane| plane.offset += all.offset);
    }
    if readable.swapped {
        layout.planes.swap(1, 2);
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 64, height: 4 };

    fn readable(fourcc: &[u8; 4]) -> Readable {
        READABLE.into_iter().find(|known| known.fourcc == *fourcc).unwrap()
    }

    fn buffer<const N: usize>(planes: [(i32, usize, usize); N]) -> Vec<PlaneAt> {
        PlaneAt::of_buffer(planes)
    }

    #[test]
    fn planes_of_one_dma_buf_keep_their_offsets() {
        let buffer = buffer([(9, 0, 512), (9, 512, 128), (9, 640, 128)]);
        let layout = layout(readable(b"YU12"), SIZE, 128, ColourRange::Limited, &buffer);
        let plane = |offset, stride| Plane { part: 0, offset, stride };
        assert_eq!(layout.planes, [plane(0, 128), plane(512, 64), plane(640, 64)]);
    }

    #[test]
    fn v_before_u_is_told_by_the_layout() {
        let buffer = buffer([(9, 0, 256), (9, 256, 64), (9, 320, 64)]);
        let layout = layout(readable(b"YV12"), SIZE, 64, ColourRange::Limited, &buffer);
        assert_eq!((layout.planes[1].offset, layout.planes[2].offset), (320, 256));
    }

    #[test]
    fn planes_with_a_dma_buf_each_are_parts() {
        let buffer = buffer([(9, 0, 256), (11, 0, 128)]);
        let layout = layout(readable(b"NV12"), SIZE, 64, ColourRange::Full, &buffer);
        assert_eq!(layout.planes[1], Plane { part: 1, offset: 0, stride: 64 });
        assert_eq!(layout.range, ColourRange::Full);
        assert_eq!((layout.part_bytes(0), layout.part_bytes(1)), (256, 128));
    }

    #[test]
    fn a_buffer_in_one_piece_holds_its_planes_one_behind_the_other() {
        let layout = layout(readable(b"NV12"), SIZE, 64, ColourRange::Limited, &buffer([(9, 4096, 384)]));
        assert_eq!((layout.planes[0].offset, layout.planes[1].offset), (4096, 4096 + 256));
        assert_eq!(layout.planes[2], Plane::default());
    }

    #[test]
    fn the_nearest_sizes_are_tried_first() {
        let size = |width, height| Size { width, height };
        let listed = [size(320, 240), size(1920, 1080), size(640, 480), size(720, 480), size(720, 576)];
        let order = candidates(size(720, 480), &listed);
        assert_eq!(order[..4], [size(720, 480), size(640, 480), size(720, 576), size(320, 240)]);
    }

    #[test]
    fn formats_are_named_by_their_four_characters() {
        assert_eq!(name(readable(b"YU12").raw()), "YU12");
        assert_eq!(name(pixel_format::PixelFormat::new(0x3231_564e, 2)), "NV12:2");
        assert_eq!(name(pixel_format::PixelFormat::new(7, 0)), "00000007");
        assert_eq!(Readable::new(pixel_format::PixelFormat::new(0x3231_564e, 2)), None, "tiled");
    }
}
