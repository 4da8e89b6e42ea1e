//! Capture from libcamera's virtual cameras: a true libcamera, with its threads and requests, and no hardware.
//!
//! `cargo xtask test libcamera` builds this for a system whose libcamera the crate knows, and gives it what it needs.
#![allow(clippy::unwrap_used)]

mod program;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use camera_fw::capture::convert::Converter;
use camera_fw::capture::inventory::Kind;
use camera_fw::capture::libcamera::{cameras, open};
use camera_fw::capture::{CameraOpener, CameraSettings, CaptureError, Delivery, Source, SourceSpec, Value, Wanted};
use camera_fw::encoder::{EncoderSettings, Kbps};
use camera_fw::frame::{Frame, PixelFormat, Size};
use camera_fw::pipeline::Pipeline;
use signal_proto::PictureState;
use tokio::time::timeout;

const SIZE: Size = Size { width: 720, height: 480 };
const SOON: Duration = Duration::from_secs(20);

/// A process can have one camera of libcamera at a time, and a test harness has many threads.
fn alone() -> MutexGuard<'static, ()> {
    static CAMERA: Mutex<()> = Mutex::new(());
    static LOG: Once = Once::new();
    assert!(
        std::env::var_os("ROOMCAM_VIRTUAL_CAMERAS").is_some(),
        "these tests need libcamera's virtual cameras: cargo xtask test libcamera"
    );
    LOG.call_once(|| {
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).finish();
        tracing::subscriber::set_global_default(log).unwrap();
    });
    CAMERA.lock().unwrap_or_else(PoisonError::into_inner)
}

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What was logged since it was last asked for.
fn logged() -> String {
    String::from_utf8(std::mem::take(&mut *LOGGED.lock().unwrap_or_else(PoisonError::into_inner))).unwrap()
}

fn wanted(size: Size, fps: u32) -> CameraSettings {
    Wanted { size, fps }.into()
}

fn bars() -> Box<dyn Source> {
    open(Some("Bars"), &wanted(SIZE, 30)).unwrap()
}

fn frame(source: &mut Box<dyn Source>) -> Frame {
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        match source.next(Duration::from_millis(200)).unwrap() {
            Delivery::Frame(frame) => return frame,
            Delivery::Damaged => panic!("a virtual camera damages nothing"),
            Delivery::Nothing => {}
        }
    }
    panic!("no frame");
}

fn refusal(id: Option<&str>) -> CaptureError {
    open(id, &wanted(SIZE, 30)).map(|_| ()).unwrap_err()
}

/// The mean of every plane, of its picture and not of what stands between lines.
fn means(frame: &Frame) -> [f64; 3] {
    let mut converter = Converter::default();
    let picture = converter.i420(frame).unwrap();
    let mean = |bytes: &[u8], stride: usize, size: Size| {
        let lines = (0..size.height as usize).flat_map(|line| &bytes[line * stride..][..size.width as usize]);
        lines.map(|sample| f64::from(*sample)).sum::<f64>() / size.area() as f64
    };
    let size = frame.layout().size;
    [
        mean(picture.planes[0], picture.strides[0], size),
        mean(picture.planes[1], picture.strides[1], size.chroma()),
        mean(picture.planes[2], picture.strides[2], size.chroma()),
    ]
}

#[test]
fn frames_arrive_with_rising_numbers_and_times() {
    let _alone = alone();
    let begun = Instant::now();
    let mut source = bars();
    assert_eq!((source.layout().size, source.layout().format, source.rate()), (SIZE, PixelFormat::Nv12, 30.0));
    let mut before = frame(&mut source);
    assert_eq!((before.sequence.number, before.sequence.missed), (0, 0));
    for _ in 0..200 {
        let next = frame(&mut source);
        assert_eq!((next.sequence.number, next.sequence.missed), (before.sequence.number + 1, 0));
        assert!(next.captured_at >= before.captured_at && next.captured_at <= Instant::now());
        assert!(next.captured_at >= begun, "the camera's clock is ours");
        before = next;
    }
}

/// White, yellow, cyan, green, magenta, red, blue and black, an eighth of the width each: BT.601, limited range.
#[test]
fn the_picture_is_that_of_the_camera() {
    let _alone = alone();
    let mut source = bars();
    for _ in 0..20 {
        let frame = frame(&mut source);
        let [y, u, v] = means(&frame);
        assert!((y - 125.5).abs() < 1.0 && (u - 128.0).abs() < 1.5 && (v - 128.0).abs() < 1.5, "{y} {u} {v}");
        let line = &frame.plane(0)[..SIZE.width as usize];
        for bar in [235, 210, 170, 145, 106, 81, 41, 16] {
            let columns = line.iter().filter(|sample| sample.abs_diff(bar) <= 1).count();
            assert!((86..=92).contains(&columns), "{columns} columns of {bar}");
        }
    }
}

#[test]
fn the_size_nearest_to_the_one_wanted_is_taken() {
    let _alone = alone();
    for (asked, given, fps) in [((300, 200), (320, 240), 60.0), ((1920, 1080), (720, 480), 30.0)] {
        let size = Size { width: asked.0, height: asked.1 };
        let mut source = open(Some("Bars"), &wanted(size, fps as u32)).unwrap();
        assert_eq!(source.layout().size, Size { width: given.0, height: given.1 });
        assert_eq!(frame(&mut source).plane(0).len(), (given.0 * given.1) as usize);
    }
}

#[test]
fn the_first_camera_is_taken_when_none_is_named() {
    let _alone = alone();
    drop(frame(&mut open(None, &wanted(SIZE, 30)).unwrap()));
}

#[test]
fn a_frame_held_long_stays_as_it_is_and_stops_no_other() {
    let _alone = alone();
    let mut source = bars();
    let held = frame(&mut source);
    let content = held.plane(0).to_vec();
    let numbers: Vec<_> = (0..300).map(|_| frame(&mut source).sequence.number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(held.plane(0), content);
}

#[test]
fn a_camera_whose_frames_are_all_held_waits_and_goes_on() {
    let _alone = alone();
    let mut source = bars();
    let mut held = vec![frame(&mut source)];
    // Long, so that a machine with much else to do is not taken for a camera that has no buffers left.
    while let Delivery::Frame(frame) = source.next(Duration::from_secs(3)).unwrap() {
        held.push(frame);
        assert!(held.len() < 32, "there are not so many buffers");
    }
    assert!(held.len() >= 3, "{} are too few to work with", held.len());
    held.clear();
    frame(&mut source);
}

#[test]
fn frames_end_on_any_thread_and_after_their_camera() {
    let _alone = alone();
    let mut source = bars();
    let (sender, frames) = std::sync::mpsc::sync_channel::<Frame>(1);
    let dropper = std::thread::spawn(move || frames.into_iter().map(drop).count());
    for _ in 0..100 {
        sender.send(frame(&mut source)).unwrap();
    }
    drop(sender);
    assert_eq!(dropper.join().unwrap(), 100);

    let held = frame(&mut source);
    let content = held.plane(1).to_vec();
    drop(source);
    let mut another = bars();
    assert_eq!(held.plane(1), content, "its memory is still there");
    drop(held);
    frame(&mut another);
}

#[test]
fn cameras_are_listed_also_while_one_streams() {
    let _alone = alone();
    let before = cameras();
    let ids: Vec<_> = before.iter().map(|camera| camera.id.as_str()).collect();
    assert_eq!(ids, ["libcamera:Bars", "libcamera:Lines"]);
    let bars_info = &before[0];
    assert!(bars_info.is_usable() && bars_info.kind == Kind::Libcamera && bars_info.name == "Colour bars");
    assert_eq!(bars_info.modes.iter().map(|mode| mode.format.as_str()).collect::<Vec<_>>(), ["NV12"]);

    let mut source = bars();
    frame(&mut source);
    assert_eq!(cameras(), before);
    frame(&mut source);
}

#[test]
fn what_cannot_be_opened_is_said_with_what_can() {
    let _alone = alone();
    let unknown = refusal(Some("Left"));
    assert_eq!(unknown.to_string(), "there is no camera libcamera:Left; libcamera has libcamera:Bars, libcamera:Lines");
    let mut source = bars();
    let busy = refusal(Some("Bars")).to_string();
    assert!(busy.contains("libcamera:Bars is busy"), "{busy}");
    frame(&mut source);
}

#[test]
fn a_control_that_is_not_possible_is_a_warning_and_the_stream_goes_on() {
    let _alone = alone();
    let controls = [("brightness", Value::Float(0.5)), ("vflip", Value::Text("yes".into()))];
    let controls = controls.map(|(name, value)| (name.to_owned(), value)).into();
    let mut source = open(Some("Bars"), &CameraSettings { controls, ..wanted(SIZE, 30) }).unwrap();
    frame(&mut source);
    let log = logged();
    for warning in
        ["the camera has not a control brightness; it has hflip, vflip", "vflip does not take yes; it takes on or off"]
    {
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(warning)), "{warning} in {log}");
    }
}

#[test]
fn the_pipeline_encodes_its_pictures_also_after_a_pause() {
    let _alone = alone();
    let opener = CameraOpener::new(SourceSpec::Libcamera(None), wanted(SIZE, 30), false);
    let settings = EncoderSettings { bitrate: Kbps(1_000), speed: 12, threads: 1 };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let pipeline = Pipeline::spawn(Box::new(opener), settings, false).unwrap();
        let mut picture = pipeline.picture();
        for _ in 0..3 {
            let mut frames = pipeline.fanout().subscribe();
            for number in 0..10 {
                let frame = timeout(SOON, frames.next()).await.unwrap().unwrap();
                assert_eq!(frame.key, number == 0);
                if frame.key {
                    // Width and height (RFC 6386 §9.1).
                    assert_eq!(frame.data[6..10], [208, 2, 224, 1]);
                }
            }
            drop(frames);
            pipeline.controls().pause(true);
            timeout(SOON, picture.wait_for(|state| *state == Some(PictureState::Paused))).await.unwrap().unwrap();
            assert_eq!(cameras().len(), 2, "the camera is closed, and not in the way");
            pipeline.controls().pause(false);
        }
        pipeline.stop();
    });
}
