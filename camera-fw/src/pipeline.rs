//! The two threads of the frame path.
//!
//! ```text
//!  thread capture             thread encode
//!  Supervisor  ───▶ [slot] ──▶ Converter ──▶ Vp8Encoder ──▶ Fanout::publish
//!                   newest                       ▲
//!                   wins            commands ────┘ (bounded)
//! ```
//!
//! The slot holds one frame: a frame that was not fetched before the next one came is dropped, so that the encoder
//! always works on the newest picture and delay cannot build up. While nobody watches, frames are captured (a viewer
//! then gets the very next one) and dropped unencoded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_proto::PictureState;
use tokio::sync::{oneshot, watch};

use crate::capture::CaptureError;
use crate::capture::supervisor::{Controls, Opener, Sink, Supervisor, TICK};
use crate::encoder::stage::EncodeStage;
use crate::encoder::{EncodeError, EncoderSettings};
use crate::fanout::{EncoderCommands, Fanout};
use crate::frame::Frame;
use crate::marks::Mark;

/// Orders that may wait for the encode thread between two frames.
const COMMANDS: usize = 64;

/// Why the frame path ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot go on.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The encoder cannot go on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A thread could not be started, or panicked.
    #[error("the {thread} thread {problem}")]
    Thread {
        /// Its name.
        thread: &'static str,
        /// What happened.
        problem: String,
    },
}

impl PipelineError {
    /// A thread that does not move any more.
    pub fn hangs(thread: &'static str) -> Self {
        Self::Thread { thread, problem: "hangs: a driver does not answer".into() }
    }
}

/// Counters of the frame path since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that the source delivered.
    pub captured: AtomicU64,
    /// Frames that the source lost before they were delivered.
    pub missed: AtomicU64,
    /// Frames that came damaged, and were skipped.
    pub damaged: AtomicU64,
    /// Of those, in a row up to now, what was found when they were read: JPEGs that are none.
    pub unreadable: AtomicU64,
    /// Frames that a newer one replaced in the slot.
    pub superseded: AtomicU64,
    /// Frames that went to the viewers.
    pub encoded: AtomicU64,
    /// Key frames among them.
    pub keyframes: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// How often the encoder's speed was changed to keep its time.
    pub speed_steps: AtomicU64,
}

/// The running frame path.
#[derive(Debug)]
pub struct Pipeline {
    controls: Arc<Controls>,
    /// Counts on as long as the encode thread lives.
    beat: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    fanout: Fanout,
    counters: Arc<Counters>,
    failed: oneshot::Receiver<PipelineError>,
}

impl Pipeline {
    /// Starts both threads; with `paused` the camera stays closed until [`Controls::pause`] says otherwise.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn(opener: Box<dyn Opener>, settings: EncoderSettings, paused: bool) -> Result<Self, PipelineError> {
        let (sender, commands) = sync_channel(COMMANDS);
        let fanout = Fanout::new(EncoderCommands::new(sender));
        let controls = Arc::new(Controls::default());
        controls.pause(paused);
        let slot = Arc::new(Slot::default());
        let counters = Arc::new(Counters::default());
        let beat = Arc::new(AtomicU64::new(0));
        let (report, failed) = oneshot::channel();
        let report = Arc::new(Mutex::new(Some(report)));

        let threads = Vec::with_capacity(2);
        let mut pipeline = Self { controls: controls.clone(), beat: beat.clone(), threads, fanout, counters, failed };
        // The encode thread first: if the second thread cannot start, dropping the pipeline stops the first.
        pipeline.start("encode", &report, {
            let (controls, slot) = (controls.clone(), slot.clone());
            let (fanout, counters) = (pipeline.fanout.clone(), pipeline.counters.clone());
            move || encode(EncodeStage::new(settings, commands, fanout, counters), &beat, &controls.stop, &slot)
        })?;
        let counters = pipeline.counters.clone();
        pipeline.start("capture", &report, move || {
            let intake = Intake { slot: &slot, counters: &counters };
            Ok(Supervisor::new(opener, &controls, intake).run()?)
        })?;
        Ok(pipeline)
    }

    fn start(
        &mut self,
        name: &'static str,
        report: &Arc<Mutex<Option<oneshot::Sender<PipelineError>>>>,
        body: impl FnOnce() -> Result<(), PipelineError> + Send + 'static,
    ) -> Result<(), PipelineError> {
        let report = report.clone();
        let thread = move || {
            let _span = tracing::info_span!("pipeline", thread = name).entered();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err(PipelineError::Thread { thread: name, problem: "panicked".into() }));
            let Err(error) = outcome else { return };
            // The first failure counts; what follows from it does not.
            if let Some(report) = report.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = report.send(error);
            }
        };
        let spawned = std::thread::Builder::new().name(name.into()).spawn(thread);
        self.threads.push(spawned.map_err(|error| PipelineError::Thread { thread: name, problem: error.to_string() })?);
        Ok(())
    }

    /// Where viewers subscribe and send orders to the encoder.
    pub fn fanout(&self) -> &Fanout {
        &self.fanout
    }

    /// What has gone through so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether there is a picture; `None` until the first source was opened, or turned out to be missing.
    pub fn picture(&self) -> watch::Receiver<Option<PictureState>> {
        self.controls.picture.subscribe()
    }

    /// What others want of the capture thread.
    pub fn controls(&self) -> &Arc<Controls> {
        &self.controls
    }

    /// Gives numbers that change as long as the threads `capture` and `encode` live.
    pub fn beats(&self) -> impl Fn() -> [u64; 2] + 'static {
        let (controls, beat) = (self.controls.clone(), self.beat.clone());
        move || [&controls.beat, &*beat].map(|beat| beat.load(Ordering::Relaxed))
    }

    /// Waits until the frame path fails. Does not return while it works.
    pub async fn failed(&mut self) -> PipelineError {
        match (&mut self.failed).await {
            Ok(error) => error,
            // Both threads ended without an error: only a stop does that, and who stops does not wait here.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends both threads and waits for them: a tick, and what the source and the encoder are in the middle of.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.controls.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was caught in the thread and reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Where the capture thread hands its frames over.
struct Intake<'a> {
    slot: &'a Slot,
    counters: &'a Counters,
}

impl Sink for Intake<'_> {
    fn frame(&mut self, frame: Frame, rate: f64) -> bool {
        self.counters.captured.fetch_add(1, Ordering::Relaxed);
        Mark::FrameCaptured.reach();
        self.counters.missed.fetch_add(frame.sequence.missed, Ordering::Relaxed);
        if self.slot.put(Captured { frame, rate }) {
            self.counters.superseded.fetch_add(1, Ordering::Relaxed);
        }
        self.counters.unreadable.load(Ordering::Relaxed) == 0
    }

    fn damaged(&mut self) {
        self.counters.damaged.fetch_add(1, Ordering::Relaxed);
    }

    fn closed(&mut self) {
        self.counters.unreadable.store(0, Ordering::Relaxed);
        self.slot.clear();
    }
}

fn encode(mut stage: EncodeStage, beat: &AtomicU64, stop: &AtomicBool, slot: &Slot) -> Result<(), PipelineError> {
    while !stop.load(Ordering::Relaxed) {
        beat.fetch_add(1, Ordering::Relaxed);
        match slot.take(TICK) {
            Some(captured) => stage.frame(&captured.frame, captured.rate)?,
            None => stage.obey()?,
        }
    }
    Ok(())
}

/// A frame on its way between the threads, and the rate of its source.
struct Captured {
    frame: Frame,
    rate: f64,
}

/// Room for one frame between the threads.
#[derive(Default)]
struct Slot {
    frame: Mutex<Option<Captured>>,
    filled: Condvar,
}

impl Slot {
    /// Puts the newest frame in; true if it replaced one.
    fn put(&self, frame: Captured) -> bool {
        let replaced = self.frame.lock().unwrap_or_else(PoisonError::into_inner).replace(frame);
        self.filled.notify_one();
        // The old frame is dropped, and its buffer given back, outside the lock.
        replaced.is_some()
    }

    /// Lets go of the frame that nobody has fetched.
    fn clear(&self) {
        let kept = self.frame.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(kept);
    }

    /// Takes the frame out, waiting `wait` for one at most.
    fn take(&self, wait: Duration) -> Option<Captured> {
        let guard = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.filled.wait_timeout_while(guard, wait, |frame| frame.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::capture::supervisor::Opened;
    use crate::capture::test_pattern::TestPattern;
    use crate::capture::{Delivery, Source, Wanted};
    use crate::encoder::Kbps;
    use crate::frame::{FramePool, Layout, Sequence, Size};

    const SETTINGS: EncoderSettings = EncoderSettings { bitrate: Kbps(500), speed: 16, threads: 1 };
    const SIZE: Size = Size { width: 160, height: 120 };
    const SOON: Duration = Duration::from_secs(30);

    fn pattern() -> Box<dyn Source> {
        Box::new(TestPattern::new(Wanted { size: SIZE, fps: 120 }))
    }

    /// A source that is open already.
    struct Given(Option<Box<dyn Source>>);

    impl Opener for Given {
        fn open(&mut self) -> Result<Opened, CaptureError> {
            let source = self.0.take().ok_or_else(|| CaptureError::Y4m { path: "x".into(), problem: "over".into() })?;
            Ok(Opened { source, name: "given".into(), is_stand_in: false })
        }

        fn changed(&mut self, _: Duration) -> bool {
            true
        }
    }

    fn spawn(source: Box<dyn Source>) -> Pipeline {
        Pipeline::spawn(Box::new(Given(Some(source))), SETTINGS, false).unwrap()
    }

    async fn frames(fanout: &Fanout, count: usize) -> Vec<crate::encoder::EncodedFrame> {
        let mut subscription = fanout.subscribe();
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap());
        }
        frames
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn frames_flow_while_somebody_watches_and_only_then() {
        let pipeline = spawn(pattern());
        while pipeline.counters().captured.load(Ordering::Relaxed) < 10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pipeline.counters().encoded.load(Ordering::Relaxed), 0, "nobody watches");
        let first = frames(pipeline.fanout(), 5).await;
        assert!(first[0].key);
        assert!(first.windows(2).all(|pair| pair[0].captured_at < pair[1].captured_at));
        // A second viewer joins the same encode, and gets a key frame.
        assert!(frames(pipeline.fanout(), 1).await[0].key);
        pipeline.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_the_source_is_reported() {
        struct Ends(u32);
        impl Source for Ends {
            fn layout(&self) -> Layout {
                Layout::packed_i420(SIZE)
            }
            fn rate(&self) -> f64 {
                30.0
            }
            fn next(&mut self, _: Duration) -> Result<Delivery, CaptureError> {
                self.0 += 1;
                if self.0 < 3 {
                    Ok(Delivery::Nothing)
                } else {
                    Err(CaptureError::Y4m { path: "film.y4m".into(), problem: "it was cut".into() })
                }
            }
        }
        let mut pipeline = spawn(Box::new(Ends(0)));
        let error = tokio::time::timeout(SOON, pipeline.failed()).await.unwrap();
        assert!(error.to_string().contains("film.y4m is not a usable y4m file"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_a_source_is_reported_too() {
        struct Panics;
        impl Source for Panics {
            fn layout(&self) -> Layout {
                Layout::packed_i420(SIZE)
            }
            fn rate(&self) -> f64 {
                30.0
            }
            fn next(&mut self, _: Duration) -> Result<Delivery, CaptureError> {
                panic!("a fault of ours")
            }
        }
        let mut pipeline = spawn(Box::new(Panics));
        let error = tokio::time::timeout(SOON, pipeline.failed()).await.unwrap();
        assert_eq!(error.to_string(), "the capture thread panicked");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_size_gets_a_new_encoder_and_a_key_frame() {
        struct Grows(Option<Box<dyn Source>>, Box<dyn Source>, u32);
        impl Source for Grows {
            fn layout(&self) -> Layout {
                Layout::packed_i420(SIZE)
            }
            fn rate(&self) -> f64 {
                120.0
            }
            fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
                self.2 += 1;
                if self.2 > 200 {
                    self.0 = None;
                }
                self.0.as_mut().unwrap_or(&mut self.1).next(wait)
            }
        }
        let large: Box<dyn Source> =
            Box::new(TestPattern::new(Wanted { size: Size { width: 320, height: 240 }, fps: 120 }));
        let pipeline = spawn(Box::new(Grows(Some(pattern()), large, 0)));
        let mut subscription = pipeline.fanout().subscribe();
        // Width and height stand in bytes 6 to 9 of a key frame (RFC 6386 §9.1).
        let mut sizes = Vec::new();
        while sizes.len() < 2 {
            let frame = tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap();
            if frame.key {
                sizes.push(u16::from_le_bytes([frame.data[6], frame.data[7]]));
                sizes.dedup();
            }
        }
        assert_eq!(sizes, [160, 320]);
    }

    #[test]
    fn the_slot_keeps_the_newest() {
        let layout = Layout::packed_i420(SIZE);
        let pool = FramePool::new(layout.bytes());
        let captured = |number| {
            let sequence = Sequence { number, missed: 0 };
            let frame = Frame::pooled(pool.take(), &pool, layout, Instant::now(), sequence).unwrap();
            Captured { frame, rate: 30.0 }
        };
        let slot = Slot::default();
        assert!(slot.take(Duration::ZERO).is_none());
        assert!(!slot.put(captured(1)));
        assert!(slot.put(captured(2)));
        assert_eq!(slot.take(Duration::ZERO).unwrap().frame.sequence.number, 2);
        assert!(slot.take(Duration::ZERO).is_none());
    }
}
