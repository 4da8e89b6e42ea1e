//! Bytes that are copied between the camera's buffer and the encoder, for each format.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/device.rs"]
mod device;

use std::time::Duration;

use camera_fw::capture::Source as _;
use camera_fw::capture::convert::Converter;
use camera_fw::frame::{PixelFormat, Size};
use device::Camera;

const SIZE: Size = Size { width: 720, height: 480 };
const AREA: u64 = 720 * 480;

/// What the conversion of a frame writes, and which planes of the picture lie in the device's own buffer.
fn converted(format: PixelFormat) -> (u64, [bool; 3]) {
    let mut camera = Camera::noisy(format, SIZE);
    let layout = camera.layout();
    let buffers = camera.addresses();
    let mut converter = Converter::default();
    // Frames in other buffers, one after the other.
    let outcomes = (0..4).map(|number| {
        let frame = camera.next(Duration::from_secs(5)).unwrap().frame().unwrap();
        let before = converter.written();
        let picture = converter.i420(&frame).unwrap();
        let own = [0, 1, 2].map(|plane| {
            let place = buffers[number].wrapping_add(layout.planes[plane].offset);
            picture.planes[plane].as_ptr() == place
        });
        (converter.written() - before, own)
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.dedup();
    assert_eq!(outcomes.len(), 1, "every frame alike");
    outcomes[0]
}

#[test]
fn i420_is_read_where_the_camera_put_it() {
    assert_eq!(converted(PixelFormat::I420), (0, [true; 3]));
}

#[test]
fn of_nv12_and_nv21_the_chroma_alone_is_rewritten() {
    for format in [PixelFormat::Nv12, PixelFormat::Nv21] {
        assert_eq!(converted(format), (AREA / 2, [true, false, false]), "{format}");
    }
}

#[test]
fn packed_formats_are_written_once() {
    for format in [PixelFormat::Yuyv, PixelFormat::Uyvy] {
        assert_eq!(converted(format), (AREA * 3 / 2, [false; 3]), "{format}");
    }
}
