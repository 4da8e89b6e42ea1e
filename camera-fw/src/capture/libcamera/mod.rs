//! libcamera: camera modules on a ribbon cable, and whatever else it knows.
//!
//! ```text
//!            orders                      events                      frames
//!  open ──────────────▶ thread libcamera ◀────── libcamera's thread
//!  cameras              manager, camera, ──────────────────────────────────▶ Device (thread capture) ─▶ Frame
//!                       requests         ◀──────────────────────────────────────────────────────────────┘
//!                                                    given back
//! ```
//!
//! One thread of the process owns everything that is libcamera's ([`owner`]): there must never be two managers, and
//! camera and requests must end before theirs. It queues a request again when the last reader has given its frame back,
//! and never inside libcamera's callback, which holds the lock that queueing takes. A [`Frame`](crate::frame::Frame)
//! holds no request, only the mapped memory of its buffer, so it may outlive the camera.

mod controls;
mod format;
mod listing;
mod memory;
mod owner;
mod refusal;
mod session;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::inventory::CameraInfo;
use super::timestamp::{self, FrameCounter};
use super::{CameraSettings, CaptureError, Delivery, Source};
use crate::frame::{DeviceBuffers, Frame, Layout};
use memory::Mapped;
use owner::{Event, SessionId};

/// How sources of this kind are named.
const PREFIX: &str = "libcamera";

/// libcamera loads its algorithms and sets up the sensor.
const OPEN: Duration = Duration::from_secs(10);

/// A camera that does not stop within this time is left behind: its thread goes on trying.
const STOP: Duration = Duration::from_secs(3);

/// The cameras that libcamera knows. Possible at any time, also while one of them streams.
pub fn cameras() -> Vec<CameraInfo> {
    owner::ask(Event::List, OPEN).unwrap_or_else(|error| {
        tracing::warn!(%error, "libcamera's cameras are not known");
        Vec::new()
    })
}

/// Opens the camera with this id, or the first that V4L2 does not serve better, and starts it.
///
/// # Errors
/// With what is wrong and what to do, fit for a person.
pub fn open(id: Option<&str>, settings: &CameraSettings) -> Result<Box<dyn Source>, CaptureError> {
    let (id, settings) = (id.map(str::to_owned), settings.clone());
    let opened = owner::ask(|reply| Event::Open { id, settings, reply }, OPEN)?;
    Ok(Box::new(Device { counter: FrameCounter::default(), opened }))
}

/// The name of a camera in messages: what `source` takes.
fn named(id: Option<&str>) -> PathBuf {
    id.map_or_else(|| PREFIX.into(), |id| format!("{PREFIX}:{id}").into())
}

/// An open, streaming camera.
#[derive(Debug)]
struct Device {
    counter: FrameCounter,
    opened: Opened,
}

/// What a session hands to the one who asked for it.
#[derive(Debug)]
struct Opened {
    camera: PathBuf,
    layout: Layout,
    fps: f64,
    buffers: Arc<Buffers>,
    frames: Receiver<Completed>,
    ticket: Ticket,
    /// Closed when the session has ended, and libcamera with it.
    ended: Receiver<Infallible>,
}

/// What became of a request.
#[derive(Debug)]
enum Completed {
    Picture {
        index: usize,
        used: [usize; 3],
        /// By the monotonic clock.
        captured: Duration,
        number: u32,
    },
    Damaged {
        number: u32,
    },
    /// The camera does not go on, and this is the last that is heard of it.
    Failed(CaptureError),
}

impl Source for Device {
    fn layout(&self) -> Layout {
        self.opened.layout
    }

    fn rate(&self) -> f64 {
        self.opened.fps
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        let Opened { camera, layout, buffers, frames, .. } = &self.opened;
        match frames.recv_timeout(wait) {
            Ok(Completed::Picture { index, used, captured, number }) => {
                let (captured_at, sequence) = (timestamp::at(captured), self.counter.next(number));
                buffers.maps[index].begin_reading();
                let frame = Frame::device(buffers.clone(), index, used, *layout, captured_at, sequence);
                // One that is too short has given its buffer back already.
                Ok(frame.map_or(Delivery::Damaged, Delivery::Frame))
            }
            Ok(Completed::Damaged { number }) => {
                self.counter.next(number);
                Ok(Delivery::Damaged)
            }
            Ok(Completed::Failed(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(Delivery::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(CaptureError::Gone { path: camera.clone() }),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.opened.ticket.close();
        if self.opened.ended.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(camera = %self.opened.camera.display(), "the camera does not stop");
        }
    }
}

/// Ends its session when it is dropped, also if nobody ever took it.
#[derive(Debug)]
struct Ticket {
    session: SessionId,
    events: SyncSender<Event>,
}

impl Ticket {
    fn close(&self) {
        // Full: the thread hangs, and hears of nothing any more. Closed: there is no session either.
        let _ = self.events.try_send(Event::Close(self.session));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close();
    }
}

/// The mapped buffers of a session. They stay as long as one frame does.
#[derive(Debug)]
struct Buffers {
    maps: Vec<Mapped>,
    session: SessionId,
    events: SyncSender<Event>,
}

impl DeviceBuffers for Buffers {
    fn bytes(&self, index: usize, part: usize) -> &[u8] {
        self.maps[index].bytes(part)
    }

    fn give_back(&self, index: usize) {
        self.maps[index].end_reading();
        // As with a ticket; and after the end of the session nobody wants it back.
        let _ = self.events.try_send(Event::GivenBack { session: self.session, index });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::frame::Size;
    use memory::PlaneAt;

    const NOW: Duration = Duration::ZERO;

    /// A device of one 2x2 picture, and the session's ends of its channels.
    fn device() -> (Device, SyncSender<Completed>, Receiver<Event>, SyncSender<Infallible>) {
        let mut memory = tempfile::tempfile().unwrap();
        memory.write_all(&[1, 2, 3, 4, 5, 6]).unwrap();
        let maps = vec![Mapped::new(&PlaneAt::of_buffer([(memory.as_raw_fd(), 0, 6)])).unwrap()];
        let (events, told) = sync_channel(8);
        let (completed, frames) = sync_channel(8);
        let (alive, ended) = sync_channel(1);
        let opened = Opened {
            camera: named(Some("imx708")),
            layout: Layout::packed_i420(Size { width: 2, height: 2 }),
            fps: 30.0,
            buffers: Arc::new(Buffers { maps, session: 7, events: events.clone() }),
            frames,
            ticket: Ticket { session: 7, events },
            ended,
        };
        (Device { counter: FrameCounter::default(), opened }, completed, told, alive)
    }

    fn picture(used: usize, number: u32) -> Completed {
        Completed::Picture { index: 0, used: [used, 0, 0], captured: Duration::MAX, number }
    }

    #[test]
    fn a_frame_is_the_buffer_itself_and_goes_back_to_its_session() {
        let (mut device, completed, told, _alive) = device();
        completed.send(picture(6, 40)).unwrap();
        completed.send(picture(6, 42)).unwrap();
        let frame = device.next(NOW).unwrap().frame().unwrap();
        assert_eq!((frame.plane(0), frame.plane(2)), (&[1, 2, 3, 4][..], &[6][..]));
        assert!(told.try_recv().is_err());
        drop(frame);
        assert!(matches!(told.try_recv(), Ok(Event::GivenBack { session: 7, index: 0 })));
        assert_eq!(device.next(NOW).unwrap().frame().unwrap().sequence.missed, 1);
        assert!(matches!(device.next(NOW), Ok(Delivery::Nothing)));
    }

    #[test]
    fn damaged_pictures_are_told_and_are_none_that_is_missed() {
        let (mut device, completed, told, _alive) = device();
        completed.send(picture(6, 1)).unwrap();
        completed.send(Completed::Damaged { number: 2 }).unwrap();
        completed.send(picture(5, 3)).unwrap();
        completed.send(picture(6, 4)).unwrap();
        drop(device.next(NOW).unwrap());
        assert!(matches!(told.try_recv(), Ok(Event::GivenBack { .. })));
        assert!(matches!(device.next(NOW), Ok(Delivery::Damaged)));
        assert!(matches!(device.next(NOW), Ok(Delivery::Damaged)), "it is not whole");
        assert!(matches!(told.try_recv(), Ok(Event::GivenBack { .. })), "and its buffer is free again");
        let place = device.next(NOW).unwrap().frame().unwrap().sequence;
        assert_eq!((place.number, place.missed), (3, 0));
    }

    #[test]
    fn the_end_of_a_session_is_an_error_with_its_reason() {
        let (mut failing, completed, _told, _alive) = device();
        let error = CaptureError::InUse { path: named(None) };
        completed.send(Completed::Failed(error)).unwrap();
        drop(completed);
        assert!(matches!(failing.next(NOW), Err(CaptureError::InUse { .. })));
        let gone = failing.next(NOW).unwrap_err().to_string();
        assert!(gone.contains("libcamera:imx708 went away"), "{gone}");
    }

    #[test]
    fn dropping_a_device_ends_its_session_and_waits_for_it() {
        let (device, _completed, told, alive) = device();
        let session = std::thread::spawn(move || {
            let order = told.recv_timeout(Duration::from_secs(20));
            drop(alive);
            order
        });
        drop(device);
        assert!(matches!(session.join().unwrap(), Ok(Event::Close(7))));
    }
}
