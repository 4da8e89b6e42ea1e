//! One streaming camera, from acquiring to releasing it, on libcamera's thread.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::libcamera::camera::{ActiveCamera, Camera};
use ::libcamera::camera_manager::CameraManager;
use ::libcamera::control::ControlList;
use ::libcamera::controls::SensorTimestamp;
use ::libcamera::framebuffer::{AsFrameBuffer as _, FrameMetadataStatus};
use ::libcamera::framebuffer_allocator::{FrameBuffer, FrameBufferAllocator};
use ::libcamera::request::{Request, RequestStatus, ReuseFlag};
use ::libcamera::stream::Stream;
use nix::errno::Errno;

use super::format::{self, Agreed};
use super::memory::{Mapped, PlaneAt};
use super::owner::{Event, SessionId};
use super::refusal::{device_error, not_found};
use super::{Buffers, Completed, Opened, Ticket, controls, listing, named};
use crate::capture::{CameraSettings, CaptureError};

/// Requests are looked for at least so often.
const TICK: Duration = Duration::from_millis(500);

/// News of damaged pictures that may wait, besides one for each buffer.
const NEWS: usize = 16;

/// Requests that libcamera has completed, for the thread to fetch. They do not travel in events: those may be dropped.
type Basket = Arc<Mutex<VecDeque<Request>>>;

/// What somebody wants to be opened.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// Of the session that this becomes.
    pub(super) id: SessionId,
    /// None: the first.
    pub(super) camera: Option<&'a str>,
    pub(super) settings: &'a CameraSettings,
}

/// Opens the camera, answers with it, and streams until it is closed or gone; an error if there was nothing to stream.
pub(super) fn run(
    manager: &CameraManager,
    wish: Wish<'_>,
    reply: &SyncSender<Result<Opened, CaptureError>>,
    ended: Receiver<Infallible>,
    (events, own): (&Receiver<Event>, &SyncSender<Event>),
) -> Result<(), CaptureError> {
    let (session, opened) = Session::start(manager, wish, ended, own)?;
    // If nobody waits for it any more, dropping it closes the session.
    let _ = reply.try_send(Ok(opened));
    session.stream(manager, events);
    Ok(())
}

/// Fields are dropped in this order: requests before the buffers in them, everything before the camera.
struct Session {
    id: SessionId,
    camera: PathBuf,
    /// Requests whose buffers are out in frames, by index.
    lent: Vec<Option<Request>>,
    basket: Basket,
    frames: SyncSender<Completed>,
    planes: Vec<Vec<PlaneAt>>,
    stream: Stream,
    active: ActiveCamera<'static>,
    /// Of a camera that was unplugged, `active` still has requests; they speak to the camera when they end.
    _until_the_last_request: Camera<'static>,
}

impl Session {
    fn start(
        manager: &CameraManager,
        Wish { id, camera: wanted, settings }: Wish<'_>,
        ended: Receiver<Infallible>,
        own: &SyncSender<Event>,
    ) -> Result<(Self, Opened), CaptureError> {
        let found = listing::find(manager, wanted).ok_or_else(|| not_found(listing::all(manager), wanted))?;
        let camera = named(Some(found.id()));
        let failed = |action| {
            let path = camera.clone();
            move |source| device_error(path, action, source)
        };
        let mut active = found.acquire().map_err(failed("reserve it"))?;

        let orientation = controls::orientation(&settings.controls);
        let agreed = format::agree(&found, settings.wanted.size, orientation);
        let Agreed { mut configuration, readable, size, stride, range } = agreed
            .map_err(|offered| CaptureError::Format { path: camera.clone(), offered, readable: format::readable() })?;
        if configuration.orientation() != orientation {
            tracing::warn!(camera = %camera.display(), "the camera cannot flip its picture as the controls ask");
        }
        active.configure(&mut configuration).map_err(failed("configure it"))?;
        let stream = configuration.get(0).and_then(|stream| stream.stream());
        let stream = stream.ok_or_else(|| failed("configure it")(io::Error::other("there is no stream")))?;

        let buffers = FrameBufferAllocator::new(&active).alloc(&stream).map_err(failed("allocate its buffers"))?;
        let planes: Vec<_> = buffers.iter().map(planes_of).collect();
        let layouts = planes.iter().map(|planes| format::layout(readable, size, stride, range, planes));
        let layout = common(layouts).map_err(failed("allocate its buffers"))?;
        let maps = planes.iter().map(|planes| Mapped::new(planes)).collect::<io::Result<Vec<_>>>();
        let maps = maps.map_err(failed("map its buffers"))?;

        let plan = controls::plan(&settings.controls, settings.wanted.fps, &controls::known(&found));
        for warning in &plan.refused {
            tracing::warn!("{warning}");
        }
        let mut requests = Vec::with_capacity(buffers.len());
        for (index, buffer) in buffers.into_iter().enumerate() {
            let request = active.create_request(Some(index as u64));
            let mut request = request.ok_or_else(|| failed("make a request")(Errno::ENOMEM.into()))?;
            request.add_buffer(&stream, buffer).map_err(failed("make a request"))?;
            requests.push(request);
        }

        let (frames, delivered) = sync_channel(requests.len() + NEWS);
        let basket = Basket::new(Mutex::new(VecDeque::with_capacity(requests.len())));
        let mut session = Self {
            id,
            camera: camera.clone(),
            lent: requests.iter().map(|_| None).collect(),
            basket,
            frames,
            planes,
            stream,
            active,
            _until_the_last_request: found,
        };
        session.listen(own);
        session.begin(requests, &plan).map_err(failed("start streaming"))?;
        tracing::info!(
            camera = %camera.display(), format = %layout.format, %size, range = ?layout.range, fps = plan.fps,
            "camera started"
        );
        let buffers = Arc::new(Buffers { maps, session: id, events: own.clone() });
        let ticket = Ticket { session: id, events: own.clone() };
        Ok((session, Opened { camera, layout, fps: plan.fps, buffers, frames: delivered, ticket, ended }))
    }

    /// What libcamera tells on its own thread is only noted there.
    fn listen(&mut self, own: &SyncSender<Event>) {
        let (basket, events) = (self.basket.clone(), own.clone());
        self.active.on_request_completed(move |request| {
            basket.lock().unwrap_or_else(PoisonError::into_inner).push_back(request);
            // Full: then there is an event that makes the thread look here.
            let _ = events.try_send(Event::Completed);
        });
        let (id, events) = (self.id, own.clone());
        self.active.on_disconnected(move || drop(events.try_send(Event::Disconnected(id))));
    }

    /// Some pipelines take the controls at the start, others only with a request.
    fn begin(&mut self, mut requests: Vec<Request>, plan: &controls::Plan) -> io::Result<()> {
        let Some(first) = requests.first_mut() else { return Err(io::Error::other("it has no buffers")) };
        let mut at_start = first.controls().id_map().and_then(ControlList::from_id_map);
        for (id, value) in &plan.set {
            // Neither call can fail: the values were checked against the camera's own limits.
            let _ = first.controls_mut().set_raw(*id, value.clone());
            if let Some(list) = &mut at_start {
                let _ = list.set_raw(*id, value.clone());
            }
        }
        self.active.start(at_start.as_deref())?;
        requests.into_iter().try_for_each(|request| self.active.queue_request(request).map_err(|(_, error)| error))
    }

    fn stream(mut self, manager: &CameraManager, events: &Receiver<Event>) {
        let ended = loop {
            let event = match events.recv_timeout(TICK) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            let done = match event {
                Some(Event::Close(session)) if session == self.id => break Ok(()),
                Some(Event::Disconnected(session)) if session == self.id => break Err(Errno::ENODEV.into()),
                Some(Event::GivenBack { session, index }) if session == self.id => self.given_back(index),
                Some(Event::List(reply)) => {
                    let _ = reply.try_send(Ok(listing::all(manager)));
                    Ok(())
                }
                Some(Event::Open { reply, .. }) => {
                    let _ = reply.try_send(Err(CaptureError::InUse { path: self.camera.clone() }));
                    Ok(())
                }
                // Of a session before this one; or nothing but the hint that there are requests.
                Some(Event::Close(_) | Event::Disconnected(_) | Event::GivenBack { .. } | Event::Completed) | None => {
                    Ok(())
                }
            };
            if let Err(error) = done.and_then(|()| self.completed()) {
                break Err(error);
            }
        };
        if let Err(source) = ended {
            let path = self.camera.clone();
            let there = manager.cameras();
            let there =
                (0..there.len()).filter_map(|index| there.get(index)).any(|camera| named(Some(camera.id())) == path);
            let error = if there { device_error(path, "go on", source) } else { CaptureError::Gone { path } };
            // Full: nobody has fetched anything for long. Then the closed channel says it.
            let _ = self.frames.try_send(Completed::Failed(error));
        }
    }

    /// Sends on what the requests in the basket have brought.
    fn completed(&mut self) -> io::Result<()> {
        loop {
            let request = self.basket.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match request {
                Some(request) => self.deliver(request)?,
                None => return Ok(()),
            }
        }
    }

    fn deliver(&mut self, request: Request) -> io::Result<()> {
        if request.status() != RequestStatus::Complete {
            // Nobody has stopped it: the hardware has given up, or is no longer there.
            return Err(io::Error::other("a request was cancelled"));
        }
        let Some(buffer) = request.buffer::<FrameBuffer>(&self.stream) else {
            return Err(io::Error::other("a request lost its buffer"));
        };
        let index = request.cookie() as usize;
        let Some(completed) = self.outcome(index, &request, buffer) else { return self.queue(request) };
        let picture = matches!(completed, Completed::Picture { .. });
        match self.frames.try_send(completed) {
            Ok(()) if picture => {
                self.lent[index] = Some(request);
                Ok(())
            }
            // Nobody fetches them; or nobody is left to do so, and the order to close is on its way.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.queue(request),
        }
    }

    /// What a completed request has brought; nothing, if it is a picture that is not meant to be seen.
    fn outcome(&self, index: usize, request: &Request, buffer: &FrameBuffer) -> Option<Completed> {
        let sensor = request.metadata().get().ok().map(|SensorTimestamp(at)| at.cast_unsigned());
        let picture = |used, filled: Option<u64>, number| {
            // The sensor's time is that of the exposure. Without any, the picture counts as new.
            let captured = sensor.or(filled).map_or(Duration::MAX, Duration::from_nanos);
            Completed::Picture { index, used, captured, number }
        };
        // libcamera's virtual cameras say nothing before version 0.5.
        let Some(data) = buffer.metadata() else {
            return Some(picture(used(&self.planes[index], |_| None), None, request.sequence()));
        };
        match data.status() {
            FrameMetadataStatus::Success => {
                let filled = data.planes();
                let filled = |plane| filled.get(plane).map(|plane| plane.bytes_used as usize);
                Some(picture(used(&self.planes[index], filled), Some(data.timestamp()), data.sequence()))
            }
            // Exposure and white balance have yet to settle.
            FrameMetadataStatus::Startup => None,
            FrameMetadataStatus::Error | FrameMetadataStatus::Cancelled => {
                Some(Completed::Damaged { number: data.sequence() })
            }
        }
    }

    fn given_back(&mut self, index: usize) -> io::Result<()> {
        self.lent[index].take().map_or(Ok(()), |request| self.queue(request))
    }

    fn queue(&self, mut request: Request) -> io::Result<()> {
        request.reuse(ReuseFlag::REUSE_BUFFERS);
        self.active.queue_request(request).map_err(|(_, error)| error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Every request that libcamera still has comes back, cancelled, before this returns.
        if let Err(error) = self.active.stop() {
            tracing::debug!(camera = %self.camera.display(), %error, "the camera did not stop");
        }
        self.basket.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Where the planes of a buffer lie; some pipelines add empty ones.
fn planes_of(buffer: &FrameBuffer) -> Vec<PlaneAt> {
    let planes = buffer.planes();
    let planes = planes.into_iter().filter(|plane| !plane.is_empty());
    PlaneAt::of_buffer(planes.map(|plane| (plane.fd(), plane.offset().unwrap_or(0), plane.len())))
}

/// Up to which byte each part of a buffer is filled, where the driver says how much of each plane is.
fn used(planes: &[PlaneAt], filled: impl Fn(usize) -> Option<usize>) -> [usize; 3] {
    let mut used = [0; 3];
    for (number, plane) in planes.iter().enumerate() {
        let end = plane.offset + filled(number).unwrap_or(plane.length).min(plane.length);
        if let Some(used) = used.get_mut(plane.part) {
            *used = end.max(*used);
        }
    }
    used
}

/// The one thing that all of them are.
fn common<T: PartialEq>(mut all: impl Iterator<Item = T>) -> io::Result<T> {
    let first = all.next().ok_or_else(|| io::Error::other("it has no buffers"))?;
    if all.all(|other| other == first) { Ok(first) } else { Err(io::Error::other("its buffers differ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_counts_for_the_part_that_it_lies_in() {
        let one = PlaneAt::of_buffer([(9, 0, 512), (9, 512, 128), (9, 640, 128)]);
        assert_eq!(used(&one, |_| None), [768, 0, 0]);
        assert_eq!(used(&one, |plane| Some([512, 128, 100][plane])), [740, 0, 0]);
        assert_eq!(used(&one, |_| Some(usize::MAX)), [768, 0, 0], "no more than there is");
        let each = PlaneAt::of_buffer([(9, 0, 256), (11, 64, 128)]);
        assert_eq!(used(&each, |plane| Some([256, 0][plane])), [256, 64, 0]);
    }

    #[test]
    fn buffers_that_differ_are_refused() {
        assert_eq!(common([4, 4, 4].into_iter()).unwrap(), 4);
        assert_eq!(common([4, 5].into_iter()).unwrap_err().to_string(), "its buffers differ");
        assert!(common(std::iter::empty::<u8>()).is_err());
    }
}
