//! Keeps a source open: the body of the capture thread.
//!
//! [`Opener`] finds and opens the camera, the rules of `recovery.rs` say what follows when that fails or the stream
//! ends. Whoever watches is told through a watch channel whether there is a picture; sessions go on meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use signal_proto::PictureState;
use tokio::sync::watch;

use super::recovery::{Next, Recovery};
use super::{CaptureError, Delivery, Source};
use crate::frame::Frame;
use crate::marks::Mark;

/// How often the thread looks whether it shall stop or pause, at least.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// Looking for a camera although nobody has said that one was plugged in.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Finds a camera, and opens it.
pub trait Opener: Send {
    /// Opens the source that is wanted now.
    ///
    /// # Errors
    /// With what is wrong; the error's kind decides whether it is tried again.
    fn open(&mut self) -> Result<Opened, CaptureError>;

    /// Whether devices have come or gone since the last call; waits for it for `wait` at most.
    fn changed(&mut self, wait: Duration) -> bool;

    /// Whether a better source than the stand-in could be opened now.
    fn has_camera(&mut self) -> bool {
        false
    }
}

/// A source that runs.
pub struct Opened {
    /// It.
    pub source: Box<dyn Source>,
    /// What it is, for the log.
    pub name: String,
    /// It takes the place of a camera that is not there.
    pub is_stand_in: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What others want of the capture thread, and see of it.
#[derive(Debug)]
pub struct Controls {
    /// End.
    pub stop: AtomicBool,
    pause: AtomicBool,
    /// Counts on as long as the thread lives.
    pub beat: AtomicU64,
    /// `None` until the first source was opened, or turned out to be missing.
    pub picture: watch::Sender<Option<PictureState>>,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            stop: AtomicBool::new(false),
            pause: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            picture: watch::Sender::new(None),
        }
    }
}

impl Controls {
    /// Closes the camera, or lets it be opened again.
    pub fn pause(&self, paused: bool) {
        self.pause.store(paused, Ordering::Relaxed);
    }

    /// Whether the stream must end now.
    fn interrupted(&self) -> bool {
        self.beat.fetch_add(1, Ordering::Relaxed);
        self.stop.load(Ordering::Relaxed) || self.pause.load(Ordering::Relaxed)
    }
}

/// Where frames go, and how many there were.
pub trait Sink {
    /// A frame of a source of this rate (frames a second). False if those before it turned out to hold no picture.
    fn frame(&mut self, frame: Frame, rate: f64) -> bool;
    /// A damaged frame was skipped.
    fn damaged(&mut self);
    /// The source is being closed: what is kept of its frames must be let go.
    fn closed(&mut self);
}

/// Why a stream ended.
enum End {
    Interrupted,
    /// There is a camera now, and no more need of the stand-in.
    Replaced,
    Failed(CaptureError),
}

/// Opens, streams, recovers, until it is stopped or there is no hope.
pub(crate) struct Supervisor<'a, S> {
    opener: Box<dyn Opener>,
    recovery: Recovery,
    controls: &'a Controls,
    sink: S,
    /// What was last said of the camera's absence, so that it is said once.
    complaint: Option<String>,
    shown: Option<PictureState>,
}

impl<'a, S: Sink> Supervisor<'a, S> {
    /// Nothing is open yet.
    pub(crate) fn new(opener: Box<dyn Opener>, controls: &'a Controls, sink: S) -> Self {
        Self { opener, recovery: Recovery::default(), controls, sink, complaint: None, shown: None }
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// With the failure that no further attempt would mend.
    pub(crate) fn run(mut self) -> Result<(), CaptureError> {
        while !self.controls.stop.load(Ordering::Relaxed) {
            if self.controls.pause.load(Ordering::Relaxed) {
                self.rest();
                continue;
            }
            let end = match self.opener.open() {
                Ok(opened) => self.stream(opened),
                Err(error) => End::Failed(error),
            };
            match end {
                End::Interrupted | End::Replaced => {}
                End::Failed(error) => self.recover(error)?,
            }
        }
        Ok(())
    }

    /// Waits for the end of a pause.
    fn rest(&mut self) {
        tracing::info!("paused: the camera is closed");
        self.show(PictureState::Paused);
        while self.controls.pause.load(Ordering::Relaxed) && !self.controls.stop.load(Ordering::Relaxed) {
            self.controls.beat.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(TICK);
        }
        tracing::info!("no longer paused");
    }

    /// Tells whoever watches, once.
    fn show(&mut self, state: PictureState) {
        if self.shown != Some(state) {
            tracing::debug!(picture = ?state, "viewers are told");
            self.shown = Some(state);
            self.controls.picture.send_replace(Some(state));
        }
    }

    fn stream(&mut self, opened: Opened) -> End {
        let Opened { mut source, name, is_stand_in } = opened;
        let (layout, rate) = (source.layout(), source.rate());
        tracing::info!(source = %name, size = %layout.size, format = %layout.format, fps = rate, "source opened");
        if !is_stand_in {
            Mark::CameraOpened.reach();
        }
        self.complaint = None;
        if self.shown.is_none() {
            self.show(PictureState::Lost);
        }
        self.recovery.opened(Instant::now());
        let mut looked = Instant::now();
        let end = loop {
            if self.controls.interrupted() {
                break End::Interrupted;
            }
            match source.next(TICK) {
                // A camera whose pictures cannot be read has none.
                Ok(Delivery::Frame(frame)) => {
                    if self.sink.frame(frame, rate) {
                        self.recovery.frame(Instant::now());
                        self.show(PictureState::Live);
                    }
                }
                Ok(Delivery::Damaged) => self.sink.damaged(),
                Ok(Delivery::Nothing) => {}
                Err(error) => break End::Failed(error),
            }
            // Nothing but damaged pictures is silence too.
            if let Some(waited) = self.recovery.stalled(Instant::now()) {
                break End::Failed(CaptureError::Stalled { name, waited });
            }
            if is_stand_in && looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                if self.opener.has_camera() {
                    break End::Replaced;
                }
            }
        };
        // First the frames, then the device: it cannot be opened again while somebody holds a buffer of it.
        self.sink.closed();
        drop(source);
        end
    }

    fn recover(&mut self, error: CaptureError) -> Result<(), CaptureError> {
        self.show(PictureState::Lost);
        match self.recovery.failed(error.trouble(), Instant::now()) {
            Next::GiveUp => return Err(error),
            Next::Retry(pause) => {
                self.complain(&error, "the camera is opened anew");
                self.opener.changed(pause);
                self.controls.beat.fetch_add(1, Ordering::Relaxed);
            }
            Next::Await => {
                self.complain(&error, "waiting for a camera");
                let began = Instant::now();
                while !self.controls.interrupted() && !self.opener.changed(TICK) && began.elapsed() < LOOK_AGAIN {}
            }
        }
        Ok(())
    }

    /// Once for each kind of trouble: it is looked at again every few seconds, for days.
    fn complain(&mut self, error: &CaptureError, consequence: &str) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            tracing::warn!(problem = %text, "{consequence}");
            self.complaint = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::capture::fake::{Attempt, Script, Step};

    const SOON: Duration = Duration::from_secs(60);

    fn gone() -> CaptureError {
        CaptureError::Gone { path: "/dev/video0".into() }
    }

    fn absent() -> CaptureError {
        CaptureError::NoDevice { path: "/dev/video0".into() }
    }

    fn busy() -> CaptureError {
        CaptureError::Busy { path: "/dev/video0".into() }
    }

    fn denied() -> CaptureError {
        CaptureError::Permission { path: "/dev/video0".into(), group: "video".into() }
    }

    fn broken() -> CaptureError {
        CaptureError::Device {
            path: "/dev/video0".into(),
            action: "deliver a frame",
            source: std::io::ErrorKind::Other.into(),
        }
    }

    /// Keeps the last frame, as the slot does.
    #[derive(Debug, Default)]
    struct Counts {
        frames: AtomicUsize,
        damaged: AtomicUsize,
        closed: AtomicUsize,
        unreadable: AtomicBool,
    }

    struct Keeps(Arc<Counts>, Option<Frame>);

    impl Sink for Keeps {
        fn frame(&mut self, frame: Frame, _: f64) -> bool {
            self.0.frames.fetch_add(1, Ordering::Relaxed);
            self.1 = Some(frame);
            !self.0.unreadable.load(Ordering::Relaxed)
        }

        fn damaged(&mut self) {
            self.0.damaged.fetch_add(1, Ordering::Relaxed);
        }

        fn closed(&mut self) {
            self.0.closed.fetch_add(1, Ordering::Relaxed);
            self.1 = None;
        }
    }

    struct Run {
        controls: Arc<Controls>,
        counts: Arc<Counts>,
        thread: Option<thread::JoinHandle<Result<(), CaptureError>>>,
        open: Arc<AtomicUsize>,
        opened: Arc<AtomicUsize>,
        picture: watch::Receiver<Option<PictureState>>,
    }

    impl Run {
        fn of(attempts: impl IntoIterator<Item = Attempt>) -> Self {
            let script = Script::new(attempts);
            let (open, opened) = (script.open.clone(), script.opened.clone());
            let (controls, counts) = (Arc::new(Controls::default()), Arc::new(Counts::default()));
            let picture = controls.picture.subscribe();
            let thread = thread::spawn({
                let (controls, counts) = (controls.clone(), counts.clone());
                move || Supervisor::new(Box::new(script), &controls, Keeps(counts, None)).run()
            });
            Self { controls, counts, thread: Some(thread), open, opened, picture }
        }

        /// Waits until it is so.
        fn until(&self, what: impl Fn(&Self) -> bool) {
            let begun = Instant::now();
            while !what(self) {
                assert!(begun.elapsed() < SOON, "it did not come to that: {:?}", self.counts);
                thread::sleep(Duration::from_millis(2));
            }
        }

        fn until_shown(&self, state: PictureState) {
            self.until(|run| *run.picture.borrow() == Some(state));
        }

        fn frames(&self) -> usize {
            self.counts.frames.load(Ordering::Relaxed)
        }

        /// Its error, when it gives up by itself.
        fn error(mut self) -> CaptureError {
            self.thread.take().unwrap().join().unwrap().unwrap_err()
        }
    }

    impl Drop for Run {
        fn drop(&mut self) {
            self.controls.stop.store(true, Ordering::Relaxed);
            if let Some(thread) = self.thread.take() {
                thread.join().unwrap().unwrap();
                assert_eq!(self.open.load(Ordering::Relaxed), 0, "the camera is closed in the end");
            }
        }
    }

    #[test]
    fn a_camera_that_is_unplugged_a_hundred_times_comes_back_each_time() {
        let comes_and_goes = [Attempt::Streams(vec![Step::Frames(3), Step::Fail(gone)]), Attempt::Refused(absent)];
        let attempts = (0..100).flat_map(|_| comes_and_goes.clone());
        let run = Run::of(attempts.chain([Attempt::Streams(Vec::new())]));
        run.until(|run| run.frames() > 310);
        assert_eq!(run.opened.load(Ordering::Relaxed), 201);
        assert_eq!(run.open.load(Ordering::Relaxed), 1, "one at a time");
        assert_eq!(run.counts.closed.load(Ordering::Relaxed), 100);
        run.until_shown(PictureState::Live);
    }

    #[test]
    fn a_camera_that_comes_late_is_no_error_and_who_watches_is_told() {
        let run = Run::of([Attempt::Refused(absent), Attempt::Refused(absent), Attempt::Refused(absent)]);
        run.until_shown(PictureState::Lost);
        run.until(|run| run.opened.load(Ordering::Relaxed) > 5);
        let run = Run::of([Attempt::Refused(absent), Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
    }

    #[test]
    fn a_camera_that_falls_silent_is_opened_anew() {
        let silent = Attempt::Streams(vec![Step::Frames(3), Step::Silence]);
        let run = Run::of([silent, Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
        run.until_shown(PictureState::Lost);
        run.until_shown(PictureState::Live);
        assert_eq!(run.opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn one_that_stays_silent_ends_the_program() {
        let begun = Instant::now();
        let run =
            Run::of([Attempt::Streams(vec![Step::Frames(1), Step::Silence]), Attempt::Streams(vec![Step::Silence])]);
        let opened = run.opened.clone();
        let error = run.error();
        assert_eq!(error.to_string(), "fake delivered no frame for 5 s");
        assert_eq!(opened.load(Ordering::Relaxed), 4, "three times anew, in vain");
        assert!(begun.elapsed() >= Duration::from_secs(17));
    }

    #[test]
    fn nothing_but_damage_is_silence() {
        let run = Run::of([Attempt::Streams(vec![Step::Rubbish])]);
        let counts = run.counts.clone();
        assert!(matches!(run.error(), CaptureError::Stalled { .. }));
        assert!(counts.damaged.load(Ordering::Relaxed) > 100);
        assert_eq!(counts.frames.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_camera_whose_frames_hold_no_picture_is_silent_too() {
        let run = Run::of([Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
        run.counts.unreadable.store(true, Ordering::Relaxed);
        run.until_shown(PictureState::Lost);
        run.counts.unreadable.store(false, Ordering::Relaxed);
        run.until_shown(PictureState::Live);
        assert!(run.opened.load(Ordering::Relaxed) >= 2, "it was opened anew");
    }

    #[test]
    fn damaged_frames_between_others_are_counted_and_skipped() {
        let run =
            Run::of([Attempt::Streams(vec![Step::Frames(2), Step::Damaged(5), Step::Frames(2), Step::Damaged(2)])]);
        run.until(|run| run.frames() > 10);
        assert_eq!(run.counts.damaged.load(Ordering::Relaxed), 7);
        assert_eq!(run.opened.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_stream_that_breaks_is_mended_three_times() {
        let run = Run::of([Attempt::Streams(vec![Step::Frames(2), Step::Fail(broken)])]);
        let opened = run.opened.clone();
        assert!(run.error().to_string().contains("failed to deliver a frame"));
        assert_eq!(opened.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_camera_in_use_is_said_at_once_and_a_new_one_may_settle() {
        assert!(matches!(Run::of([Attempt::Refused(busy)]).error(), CaptureError::Busy { .. }));
        assert!(matches!(Run::of([Attempt::Refused(denied)]).error(), CaptureError::Permission { .. }));
        let run = Run::of([Attempt::Refused(denied), Attempt::Refused(denied), Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
        let replugged = [Attempt::Streams(vec![Step::Frames(1), Step::Fail(gone)]), Attempt::Refused(busy)];
        let run = Run::of(replugged.into_iter().chain([Attempt::Refused(busy), Attempt::Streams(Vec::new())]));
        run.until(|run| run.frames() > 3);
    }

    #[test]
    fn a_pause_closes_the_camera_and_its_end_opens_it() {
        let run = Run::of([Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
        run.controls.pause(true);
        run.until_shown(PictureState::Paused);
        assert_eq!(run.open.load(Ordering::Relaxed), 0, "closed before it is said");
        let frames = run.frames();
        thread::sleep(3 * TICK);
        assert_eq!(run.frames(), frames);
        run.controls.pause(false);
        run.until_shown(PictureState::Live);
        // Paused while there is no camera.
        let run = Run::of([Attempt::Refused(absent)]);
        run.until_shown(PictureState::Lost);
        run.controls.pause(true);
        run.until_shown(PictureState::Paused);
        run.controls.pause(false);
        run.until_shown(PictureState::Lost);
    }

    #[test]
    fn the_stand_in_goes_when_a_camera_comes() {
        let run = Run::of([Attempt::StandIn, Attempt::Streams(Vec::new())]);
        run.until_shown(PictureState::Live);
        run.until(|run| run.opened.load(Ordering::Relaxed) == 2);
    }
}
