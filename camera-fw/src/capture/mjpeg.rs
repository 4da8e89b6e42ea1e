//! JPEG frames, as webcams send them, decoded into the planes that the encoder reads.
//!
//! ```text
//! JPEG ▶ header: the stream's size? one scan? ▶ libjpeg-turbo ▶ Y, U, V as sampled ▶ 4:2:0, limited range
//! ```
//!
//! Whatever libjpeg-turbo complains of makes the frame a damaged one: it would go on with grey blocks for what is missing.
//! Frames without Huffman tables are whole: many webcams leave them out, and the standard's own are meant. So are those
//! that lack the marker of their end and nothing else.

use turbojpeg::{Colorspace, Decompressor, Subsamp, YuvImage};

use super::convert::{DamagedPicture, narrow_chroma, narrow_luma};
use crate::frame::{Plane, Size};

/// What some webcams put before the end of a picture that is whole.
const HARMLESS: &str = "extraneous bytes before marker 0xd9";

/// What libjpeg-turbo says when it comes to the end of the bytes first.
const WITHOUT_END: &str = "Premature end of JPEG file";

const END: [u8; 2] = [0xff, 0xd9];

/// Decodes one frame after the other, without allocating.
///
/// After a damaged frame libjpeg-turbo is begun anew: what it had read of that one would be taken for the next one's.
#[derive(Default)]
pub(super) struct Decoder {
    turbo: Option<Decompressor>,
    /// A frame with the end that it lacked.
    ended: Vec<u8>,
}

/// Where the planes are in the memory that they were decoded into, and how many bytes were written to get them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) planes: [Plane; 3],
    pub(super) written: u64,
}

impl Decoder {
    /// Decodes a picture of this size into `memory`, as 4:2:0 in the limited range.
    pub(super) fn decode(&mut self, jpeg: &[u8], size: Size, memory: &mut Vec<u8>) -> Result<Decoded, DamagedPicture> {
        let decoded = self.attempt(jpeg, size, memory);
        match &decoded {
            Err(DamagedPicture(why)) if why.contains(WITHOUT_END) && !jpeg.ends_with(&END) => {
                // With an end, only what is missing before it is complained of.
                let mut ended = std::mem::take(&mut self.ended);
                ended.clear();
                ended.extend_from_slice(jpeg);
                ended.extend_from_slice(&END);
                let decoded = self.attempt(&ended, size, memory);
                let copied = ended.len() as u64;
                self.ended = ended;
                decoded.map(|decoded| Decoded { written: decoded.written + copied, ..decoded })
            }
            _ => decoded,
        }
    }

    fn attempt(&mut self, jpeg: &[u8], size: Size, memory: &mut Vec<u8>) -> Result<Decoded, DamagedPicture> {
        let mut turbo = match self.turbo.take() {
            Some(turbo) => turbo,
            None => Decompressor::new().map_err(damaged)?,
        };
        let sampling = decode(&mut turbo, jpeg, size, memory)?;
        self.turbo = Some(turbo);
        into_420(memory, size, sampling)
    }
}

fn decode(turbo: &mut Decompressor, jpeg: &[u8], size: Size, memory: &mut Vec<u8>) -> Result<Subsamp, DamagedPicture> {
    require_one_scan(jpeg)?;
    let header = turbo.read_header(jpeg).map_err(damaged)?;
    let (width, height) = (size.width as usize, size.height as usize);
    if (header.width, header.height) != (width, height) {
        return Err(DamagedPicture(format!("it is {}x{} and not {size}", header.width, header.height)));
    }
    if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray) {
        return Err(DamagedPicture("its colours are not Y, U and V".into()));
    }
    // As many samples as there are pixels, in each plane, and planes are padded to whole units.
    let longest = 3 * width.next_multiple_of(4) * height.next_multiple_of(4);
    if memory.len() < longest {
        memory.resize(longest, 0);
    }
    let image = YuvImage { pixels: &mut memory[..longest], width, align: 1, height, subsamp: header.subsamp };
    match turbo.decompress_to_yuv(jpeg, image) {
        Err(error) if !error.to_string().contains(HARMLESS) => Err(damaged(error)),
        _ => Ok(header.subsamp),
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

#[allow(clippy::needless_pass_by_value)] // It is what `map_err` wants.
fn damaged(error: turbojpeg::Error) -> DamagedPicture {
    DamagedPicture(error.to_string())
}

/// A picture in several scans is no camera's, and can take as long to decode as its maker likes.
fn require_one_scan(jpeg: &[u8]) -> Result<(), DamagedPicture> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8]).ok_or_else(|| DamagedPicture("it is no JPEG".into()))?;
    while let [0xff, marker, high, low, ..] = *rest {
        match marker {
            0xff => {
                rest = &rest[1..];
                continue;
            }
            // Baseline, or extended and as simple.
            0xc0 | 0xc1 => return Ok(()),
            0xc2..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Err(DamagedPicture("it is not a baseline JPEG".into()));
            }
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    Err(DamagedPicture("it ends before its picture".into()))
}

/// Makes 4:2:0 of what was decoded, and limited range of the full one that JPEG has; both in one pass.
fn into_420(memory: &mut [u8], size: Size, sampling: Subsamp) -> Result<Decoded, DamagedPicture> {
    // Pixels to a sample of the chroma planes.
    let (across, down) = match sampling {
        Subsamp::None => (1, 1),
        Subsamp::Sub2x1 => (2, 1),
        Subsamp::Sub1x2 => (1, 2),
        Subsamp::Sub2x2 => (2, 2),
        Subsamp::Gray => (0, 0),
        Subsamp::Sub4x1 => return Err(DamagedPicture("it is sampled 4:1:1".into())),
    };
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = width.next_multiple_of(across.max(1));
    let luma = stride * height.next_multiple_of(down.max(1));
    memory[..luma].iter_mut().for_each(|sample| *sample = narrow_luma(*sample));

    let chroma = Size { width: size.chroma().width, height: size.chroma().height };
    if across == 0 {
        // No colours: their middle.
        memory[luma..luma + chroma.area()].fill(128);
        let grey = Plane { part: 0, offset: luma, stride: chroma.width as usize };
        let written = (2 * luma + chroma.area()) as u64;
        return Ok(Decoded { planes: [Plane { part: 0, offset: 0, stride }, grey, grey], written });
    }
    let decoded = (stride / across) * (luma / stride / down);
    let plane = |index: usize| Plane { part: 0, offset: luma + index * decoded, stride: stride / across };
    for index in 0..2 {
        let samples = &mut memory[luma + index * decoded..][..decoded];
        match (across, down) {
            (2, 2) => samples.iter_mut().for_each(|sample| *sample = narrow_chroma(*sample)),
            (2, 1) => halve_lines(samples, stride / 2),
            _ => average(samples, stride / across, chroma, (2 / across, 2 / down)),
        }
    }
    let written = 2 * (luma + decoded) + 2 * chroma.area();
    Ok(Decoded { planes: [Plane { part: 0, offset: 0, stride }, plane(0), plane(1)], written: written as u64 })
}

/// Each pair of lines becomes one, in place: line n comes of lines 2n and 2n + 1.
fn halve_lines(samples: &mut [u8], stride: usize) {
    let lines = samples.len() / stride;
    for line in 0..lines.div_ceil(2) {
        let upper = 2 * line;
        // A single last line is its own pair.
        let lower = (upper + 1).min(lines - 1);
        if line == 0 {
            let (first, rest) = samples.split_at_mut(stride);
            let second = if lower > 0 { &rest[..stride] } else { &[][..] };
            if second.is_empty() {
                first.iter_mut().for_each(|sample| *sample = narrow_chroma(*sample));
            }
            first.iter_mut().zip(second).for_each(|(a, b)| *a = narrow_chroma(mean(*a, *b)));
        } else {
            let (done, sources) = samples.split_at_mut(upper * stride);
            let out = done[line * stride..][..stride].iter_mut();
            let (upper_line, lower_line) = (&sources[..stride], &sources[(lower - upper) * stride..][..stride]);
            out.zip(upper_line.iter().zip(lower_line)).for_each(|(out, (a, b))| *out = narrow_chroma(mean(*a, *b)));
        }
    }
}

fn mean(a: u8, b: u8) -> u8 {
    u16::midpoint(u16::from(a), u16::from(b) + 1) as u8
}

/// Boxes of `across` by `down` samples become one each, in place; lines stay as far apart. For samplings that cameras
/// hardly use.
fn average(samples: &mut [u8], stride: usize, size: Size, (across, down): (usize, usize)) {
    let lines = samples.len() / stride;
    for y in 0..size.height as usize {
        for x in 0..size.width as usize {
            let (mut sum, mut count) = (0, 0);
            for from_y in (y * down..(y + 1) * down).filter(|from| *from < lines) {
                for from_x in (x * across..(x + 1) * across).filter(|from| *from < stride) {
                    sum += u32::from(samples[from_y * stride + from_x]);
                    count += 1;
                }
            }
            samples[y * stride + x] = narrow_chroma(((sum + count / 2) / count.max(1)) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use turbojpeg::{Compressor, Image, PixelFormat};

    use super::*;

    const SIZE: Size = Size { width: 64, height: 48 };

    /// A picture of one colour on the left and another on the right, in full range.
    fn jpeg(size: Size, sampling: Subsamp) -> Vec<u8> {
        let (width, height) = (size.width as usize, size.height as usize);
        let line: Vec<u8> =
            (0..width).flat_map(|x| if x < width / 2 { [200, 40, 40] } else { [20, 60, 220] }).collect();
        let pixels = line.repeat(height);
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(95);
        compressor.set_subsamp(sampling);
        let image = Image { pixels: &pixels[..], width, pitch: 3 * width, height, format: PixelFormat::RGB };
        compressor.compress_to_vec(image).unwrap()
    }

    /// Without the segments of this marker.
    fn without(jpeg: &[u8], unwanted: u8) -> Vec<u8> {
        let mut kept = jpeg[..2].to_vec();
        let mut rest = &jpeg[2..];
        while rest[1] != 0xda {
            let (segment, after) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            if segment[1] != unwanted {
                kept.extend_from_slice(segment);
            }
            rest = after;
        }
        kept.extend_from_slice(rest);
        kept
    }

    fn decode(jpeg: &[u8], size: Size) -> Result<(Vec<u8>, Decoded), DamagedPicture> {
        let mut memory = Vec::new();
        let decoded = Decoder::default().decode(jpeg, size, &mut memory)?;
        Ok((memory, decoded))
    }

    /// Y, U and V at one pixel.
    fn sample(memory: &[u8], decoded: &Decoded, x: usize, y: usize) -> [u8; 3] {
        let at = |plane: usize, x: usize, y: usize| {
            let Plane { offset, stride, .. } = decoded.planes[plane];
            memory[offset + y * stride + x]
        };
        [at(0, x, y), at(1, x / 2, y / 2), at(2, x / 2, y / 2)]
    }

    fn close(a: [u8; 3], b: [u8; 3]) -> bool {
        a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 3)
    }

    /// By BT.601 in the limited range.
    const LEFT: [u8; 3] = [91, 104, 198];
    const RIGHT: [u8; 3] = [73, 204, 99];

    #[test]
    fn every_sampling_becomes_the_same_picture_in_limited_range() {
        for size in [SIZE, Size { width: 62, height: 46 }, Size { width: 63, height: 47 }] {
            for sampling in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::Sub2x2] {
                let (memory, decoded) = decode(&jpeg(size, sampling), size).unwrap();
                for (x, y) in [(2, 2), (2, 24), (8, size.height as usize - 1)] {
                    let (left, right) = (sample(&memory, &decoded, x, y), sample(&memory, &decoded, 60 - x, y));
                    assert!(close(left, LEFT), "{sampling:?} {size} left at {y}: {left:?}");
                    assert!(close(right, RIGHT), "{sampling:?} {size} right at {y}: {right:?}");
                }
            }
        }
    }

    #[test]
    fn a_picture_without_colours_is_grey() {
        let (memory, decoded) = decode(&jpeg(SIZE, Subsamp::Gray), SIZE).unwrap();
        let [y, u, v] = sample(&memory, &decoded, 2, 2);
        assert!(y.abs_diff(LEFT[0]) <= 2 && (u, v) == (128, 128), "{y} {u} {v}");
    }

    #[test]
    fn tables_that_a_webcam_leaves_out_are_the_standard_s() {
        let whole = jpeg(SIZE, Subsamp::Sub2x1);
        let bare = without(&whole, 0xc4);
        assert!(bare.len() + 400 < whole.len(), "the tables are gone");
        assert_eq!(decode(&bare, SIZE).unwrap(), decode(&whole, SIZE).unwrap());
    }

    #[test]
    fn stray_bytes_before_the_end_do_no_harm() {
        let mut stray = jpeg(SIZE, Subsamp::Sub2x1);
        let end = stray.len() - 2;
        stray.insert(end, 0);
        assert!(decode(&stray, SIZE).is_ok());
        stray.extend_from_slice(&[0; 1000]);
        assert!(decode(&stray, SIZE).is_ok(), "nor does what follows it");
    }

    #[test]
    fn the_end_alone_may_be_missing() {
        let whole = jpeg(SIZE, Subsamp::Sub2x1);
        let (memory, decoded) = decode(&whole[..whole.len() - 2], SIZE).unwrap();
        let expected = decode(&whole, SIZE).unwrap();
        assert_eq!((memory, decoded.planes), (expected.0, expected.1.planes));
        assert_eq!(decoded.written, expected.1.written + whole.len() as u64);
    }

    #[test]
    fn another_size_than_that_of_the_stream_is_refused() {
        let damaged = decode(&jpeg(Size { width: 128, height: 96 }, Subsamp::Sub2x2), SIZE).unwrap_err();
        assert_eq!(damaged.to_string(), "a damaged picture: it is 128x96 and not 64x48");
    }

    #[test]
    fn a_picture_in_several_scans_is_refused() {
        let mut progressive = jpeg(SIZE, Subsamp::Sub2x2);
        let marker = progressive.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        progressive[marker + 1] = 0xc2;
        assert_eq!(decode(&progressive, SIZE).unwrap_err().0, "it is not a baseline JPEG");
    }

    #[test]
    fn a_truncated_picture_is_damaged_wherever_it_ends() {
        let whole = jpeg(SIZE, Subsamp::Sub2x1);
        for length in 0..whole.len() - 4 {
            assert!(decode(&whole[..length], SIZE).is_err(), "{length} of {} bytes", whole.len());
        }
        let mut padded = whole[..whole.len() / 2].to_vec();
        padded.resize(whole.len(), 0);
        assert!(decode(&padded, SIZE).is_err(), "zeros are no picture");
    }

    #[test]
    fn a_damaged_picture_does_not_spoil_the_next_one() {
        let (mut decoder, mut memory) = (Decoder::default(), Vec::new());
        let whole = jpeg(SIZE, Subsamp::Sub2x1);
        for length in (0..whole.len() - 4).step_by(3) {
            assert!(decoder.decode(&whole[..length], SIZE, &mut memory).is_err());
            let next = decoder.decode(&whole, SIZE, &mut memory);
            assert!(next.is_ok(), "after {length} bytes: {next:?}");
        }
    }

    #[test]
    fn memory_is_used_again() {
        let (mut decoder, mut memory) = (Decoder::default(), Vec::new());
        let first = decoder.decode(&jpeg(SIZE, Subsamp::Sub2x1), SIZE, &mut memory).unwrap();
        let (address, capacity) = (memory.as_ptr(), memory.capacity());
        assert!(decoder.decode(b"rubbish", SIZE, &mut memory).is_err());
        for sampling in [Subsamp::None, Subsamp::Gray, Subsamp::Sub2x1] {
            decoder.decode(&jpeg(SIZE, sampling), SIZE, &mut memory).unwrap();
        }
        assert_eq!((memory.as_ptr(), memory.capacity()), (address, capacity));
        // By libjpeg-turbo Y, and U and V of half the width; in place Y, and U and V of half the height too.
        assert_eq!(first.written, 64 * 48 * (1 + 1) + 64 * 48 * 3 / 2);
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_makes_it_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = jpeg(SIZE, Subsamp::Sub2x1);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            // Whatever it says, it says it about memory of its own.
            let _ = decode(&bytes, SIZE);
            let _ = decode(&bytes[..length.index(bytes.len())], SIZE);
        }

        #[test]
        fn rubbish_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes, SIZE).is_err());
        }
    }
}
