//! What the encode thread does with a frame: convert, encode, publish; and what it does when that fails or takes long.
//!
//! An encoder that fails is thrown away and the frame with it; the next frame goes through a new one, which begins with
//! a key frame: whoever watches misses a frame or two. Only when [`TRIES`] frames in a row fail is it said to the
//! supervisor of the machine. The same happens to an encoder whose frames change their size: a live one must not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::pace::{Pace, Step};
use super::{Command, EncodeError, EncodedFrame, EncoderSettings, Kbps, KeyframeGate, Settings, Vp8Encoder};
use crate::capture::convert::{Converter, Picture};
use crate::fanout::Fanout;
use crate::frame::{Frame, Size};
use crate::marks::Mark;
use crate::pipeline::Counters;

/// Distance between key frames, at least.
const KEYFRAME_DISTANCE: Duration = Duration::from_millis(300);

/// Errors in a row that end the frame path: a third of a second of them.
const TRIES: u32 = 10;

/// Damaged pictures in a row that are worth a word.
const UNREADABLE: u64 = 10;

/// What the stage needs of an encoder.
pub trait Encoder {
    /// Picture size that it was made for.
    fn size(&self) -> Size;

    /// Aims at another rate from the next frame on.
    ///
    /// # Errors
    /// If it cannot.
    fn set_bitrate(&mut self, bitrate: Kbps) -> Result<(), EncodeError>;

    /// Trades quality for time from the next frame on: 0 to 16.
    ///
    /// # Errors
    /// If it cannot.
    fn set_speed(&mut self, speed: u8) -> Result<(), EncodeError>;

    /// Encodes one picture. `None`: the rate control dropped it.
    ///
    /// # Errors
    /// If it cannot.
    fn encode(&mut self, picture: &Picture<'_>, at: Instant, key: bool) -> Result<Option<EncodedFrame>, EncodeError>;
}

impl Encoder for Vp8Encoder {
    fn size(&self) -> Size {
        self.size()
    }

    fn set_bitrate(&mut self, bitrate: Kbps) -> Result<(), EncodeError> {
        self.set_bitrate(bitrate)
    }

    fn set_speed(&mut self, speed: u8) -> Result<(), EncodeError> {
        self.set_speed(speed)
    }

    fn encode(&mut self, picture: &Picture<'_>, at: Instant, key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
        self.encode(picture, at, key)
    }
}

type Make = Box<dyn FnMut(&Settings) -> Result<Box<dyn Encoder>, EncodeError>>;
type Clock = Box<dyn Fn() -> Instant>;

/// All that the encode thread owns; made there.
pub struct EncodeStage {
    settings: EncoderSettings,
    make: Make,
    clock: Clock,
    encoder: Option<Box<dyn Encoder>>,
    failures: u32,
    converter: Converter,
    gate: KeyframeGate,
    pace: Pace,
    rhythm: Rhythm,
    commands: Receiver<Command>,
    fanout: Fanout,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for EncodeStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodeStage").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl EncodeStage {
    /// A stage that encodes with libvpx what comes, if somebody watches.
    pub fn new(
        settings: EncoderSettings,
        commands: Receiver<Command>,
        fanout: Fanout,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            settings,
            make: Box::new(|settings| Ok(Box::new(Vp8Encoder::new(settings)?))),
            clock: Box::new(Instant::now),
            encoder: None,
            failures: 0,
            converter: Converter::default(),
            gate: KeyframeGate::new(KEYFRAME_DISTANCE),
            pace: Pace::new(settings.speed),
            rhythm: Rhythm::default(),
            commands,
            fanout,
            counters,
        }
    }

    /// Does what was ordered meanwhile; for the time when no frames come.
    ///
    /// # Errors
    /// If the encoder has failed too often in a row.
    pub fn obey(&mut self) -> Result<(), EncodeError> {
        let obeyed = self.obey_orders();
        obeyed.or_else(|error| self.failed(error))
    }

    /// Takes a frame of a source that gives `rate` frames a second: encodes and publishes it if somebody watches.
    ///
    /// # Errors
    /// If the encoder does not take the first frame's size, or has failed too often in a row.
    pub fn frame(&mut self, frame: &Frame, rate: f64) -> Result<(), EncodeError> {
        let interval = self.rhythm.interval(frame, rate);
        let size = frame.layout().size;
        if self.encoder.as_ref().is_some_and(|encoder| encoder.size() != size) {
            self.encoder = None;
            self.pace = Pace::new(self.settings.speed);
        }
        if self.encoder.is_none() && self.failures == 0 {
            // Before the first viewer, and not tried again: settings that cannot work are said at the start.
            self.encoder = Some(self.make_encoder(size, rate)?);
        }
        self.obey()?;
        if !self.fanout.is_watched() {
            // Nobody reads them, so nothing is known of them.
            self.counters.unreadable.store(0, Ordering::Relaxed);
            return Ok(());
        }
        match self.encode(frame, rate, interval) {
            Ok(()) => {
                self.failures = 0;
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    /// The encoder goes; the next frame gets another.
    fn failed(&mut self, error: EncodeError) -> Result<(), EncodeError> {
        self.failures += 1;
        if self.failures == TRIES {
            return Err(error);
        }
        tracing::warn!(%error, "the encoder is made anew");
        self.encoder = None;
        self.gate.request();
        Ok(())
    }

    fn obey_orders(&mut self) -> Result<(), EncodeError> {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::ForceKeyframe => self.gate.request(),
                Command::SetBitrate(bitrate) => {
                    self.settings.bitrate = bitrate;
                    self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.set_bitrate(bitrate))?;
                }
                Command::SetSpeed(speed) => {
                    self.settings.speed = speed;
                    self.pace = Pace::new(speed);
                    self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.set_speed(speed))?;
                }
            }
        }
        Ok(())
    }

    fn encode(&mut self, frame: &Frame, rate: f64, interval: Duration) -> Result<(), EncodeError> {
        if self.encoder.is_none() {
            self.encoder = Some(self.make_encoder(frame.layout().size, rate)?);
        }
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let began = (self.clock)();
        let picture = match self.converter.i420(frame) {
            Ok(picture) => picture,
            Err(damaged) => {
                tracing::trace!(%damaged, "a frame was skipped");
                self.counters.damaged.fetch_add(1, Ordering::Relaxed);
                if self.counters.unreadable.fetch_add(1, Ordering::Relaxed) == UNREADABLE {
                    tracing::warn!(%damaged, "none of the camera's pictures can be read");
                }
                return Ok(());
            }
        };
        self.counters.unreadable.store(0, Ordering::Relaxed);
        let key = self.gate.is_due(began);
        if let Some(encoded) = encoder.encode(&picture, frame.captured_at, key)? {
            if encoded.key {
                self.gate.made(began);
                self.counters.keyframes.fetch_add(1, Ordering::Relaxed);
            }
            self.counters.encoded.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(encoded.data.len() as u64, Ordering::Relaxed);
            self.fanout.publish(encoded);
            Mark::FrameEncoded.reach();
        }
        let took = (self.clock)().saturating_duration_since(began);
        let Some(step) = self.pace.encoded(took, interval) else { return Ok(()) };
        let preset = self.pace.preset();
        let speed = match step {
            Step::Faster(speed) => {
                tracing::info!(speed, preset, "encoding took too long: coarser from now on");
                speed
            }
            Step::Slower(speed) => {
                tracing::info!(speed, preset, "there is time to spare: encoding more finely again");
                speed
            }
            Step::Exhausted => {
                tracing::warn!(
                    "encoding takes too long even at the fastest speed: frames are dropped; a smaller size or rate helps"
                );
                return Ok(());
            }
        };
        self.counters.speed_steps.fetch_add(1, Ordering::Relaxed);
        encoder.set_speed(speed)
    }

    fn make_encoder(&mut self, size: Size, fps: f64) -> Result<Box<dyn Encoder>, EncodeError> {
        let EncoderSettings { bitrate, threads, .. } = self.settings;
        (self.make)(&Settings { size, fps, bitrate, speed: self.pace.speed(), threads })
    }
}

/// How much time the source leaves for a frame, whichever of them reach the encoder.
#[derive(Debug, Default)]
struct Rhythm {
    /// Number and time of the last frame.
    last: Option<(u64, Instant)>,
}

impl Rhythm {
    /// The time from one picture of the source to the next. A camera in the dark may give fewer than it promised, down to
    /// a quarter; what is far from its promise is a pause.
    fn interval(&mut self, frame: &Frame, rate: f64) -> Duration {
        let promised = Duration::from_secs_f64(1.0 / rate.clamp(0.1, 1_000.0));
        let (number, at) = (frame.sequence.number, frame.captured_at);
        let Some((last, since)) = self.last.replace((number, at)) else { return promised };
        let pictures = u32::try_from(number.saturating_sub(last)).unwrap_or(u32::MAX);
        let seen = at.saturating_duration_since(since).checked_div(pictures);
        seen.filter(|seen| (promised / 4..=promised * 4).contains(seen)).unwrap_or(promised)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::fanout::{EncoderCommands, Subscription};
    use crate::frame::{FramePool, Layout, Sequence};

    const SIZE: Size = Size { width: 160, height: 120 };
    const SETTINGS: EncoderSettings = EncoderSettings { bitrate: Kbps(500), speed: 8, threads: 1 };
    const FRAME: Duration = Duration::from_millis(33);

    /// A machine whose time and faults are made up, around a real encoder.
    struct Machine {
        now: Cell<Instant>,
        /// How long it takes to encode at a speed.
        takes: Cell<fn(u8) -> Duration>,
        /// So many calls fail.
        faults: Cell<u32>,
        /// Speeds of the encoders that were made, or set.
        speeds: RefCell<Vec<u8>>,
    }

    struct Faulty {
        encoder: Vp8Encoder,
        machine: Rc<Machine>,
        speed: u8,
    }

    impl Faulty {
        fn fault(&self) -> Result<(), EncodeError> {
            match self.machine.faults.get() {
                0 => Ok(()),
                faults => {
                    self.machine.faults.set(faults - 1);
                    Err(EncodeError { action: "encode a frame", reason: "a fault was injected".into() })
                }
            }
        }
    }

    impl Encoder for Faulty {
        fn size(&self) -> Size {
            self.encoder.size()
        }

        fn set_bitrate(&mut self, bitrate: Kbps) -> Result<(), EncodeError> {
            self.fault()?;
            self.encoder.set_bitrate(bitrate)
        }

        fn set_speed(&mut self, speed: u8) -> Result<(), EncodeError> {
            self.speed = speed;
            self.machine.speeds.borrow_mut().push(speed);
            self.encoder.set_speed(speed)
        }

        fn encode(&mut self, of: &Picture<'_>, at: Instant, key: bool) -> Result<Option<EncodedFrame>, EncodeError> {
            self.fault()?;
            self.machine.now.set(self.machine.now.get() + self.machine.takes.get()(self.speed));
            self.encoder.encode(of, at, key)
        }
    }

    /// A stage on that machine, fed by a source of 30 frames a second.
    struct Bench {
        machine: Rc<Machine>,
        stage: EncodeStage,
        commands: EncoderCommands,
        counters: Arc<Counters>,
        viewer: Subscription,
        pool: FramePool,
        sequence: u64,
    }

    impl Bench {
        fn new() -> Self {
            let machine = Rc::new(Machine {
                now: Cell::new(Instant::now()),
                takes: Cell::new(|_| Duration::from_millis(5)),
                faults: Cell::new(0),
                speeds: RefCell::default(),
            });
            let (sender, orders) = sync_channel(8);
            let commands = EncoderCommands::new(sender);
            let fanout = Fanout::new(commands.clone());
            let counters = Arc::new(Counters::default());
            let viewer = fanout.subscribe();
            let mut stage = EncodeStage::new(SETTINGS, orders, fanout, counters.clone());
            let clock = machine.clone();
            stage.clock = Box::new(move || clock.now.get());
            let maker = machine.clone();
            stage.make = Box::new(move |settings| {
                maker.speeds.borrow_mut().push(settings.speed);
                let (encoder, machine) = (Vp8Encoder::new(settings)?, maker.clone());
                Ok(Box::new(Faulty { encoder, machine, speed: settings.speed }))
            });
            let pool = FramePool::new(Layout::packed_i420(SIZE).bytes());
            Self { machine, stage, commands, counters, viewer, pool, sequence: 0 }
        }

        /// The source's next picture goes through the stage, at its time or when the encoder is free again.
        fn feed(&mut self) -> Result<(), EncodeError> {
            let start = self.machine.now.get();
            let sequence = Sequence { number: self.sequence, missed: 0 };
            let layout = Layout::packed_i420(SIZE);
            let frame = Frame::pooled(self.pool.take(), &self.pool, layout, start, sequence).unwrap();
            let fed = self.stage.frame(&frame, 30.0);
            let took = self.machine.now.get() - start;
            // Pictures that came meanwhile were dropped before the encoder.
            let pictures = took.as_nanos().div_ceil(FRAME.as_nanos()).max(1) as u32;
            self.machine.now.set(start + FRAME * pictures);
            self.sequence += u64::from(pictures);
            fed
        }

        fn feed_for(&mut self, seconds: u64) {
            let until = self.machine.now.get() + Duration::from_secs(seconds);
            while self.machine.now.get() < until {
                self.feed().unwrap();
            }
        }

        /// What the viewer has got since it was last asked.
        async fn seen(&mut self) -> Vec<EncodedFrame> {
            let mut frames = Vec::new();
            while let Ok(Some(frame)) = tokio::time::timeout(Duration::ZERO, self.viewer.next()).await {
                frames.push(frame);
            }
            frames
        }
    }

    #[tokio::test]
    async fn an_encoder_error_costs_a_frame_or_two_and_a_key_frame_follows_within_a_second() {
        for faults in 1..TRIES {
            let mut bench = Bench::new();
            for _ in 0..5 {
                bench.feed().unwrap();
            }
            let last = bench.seen().await.last().unwrap().captured_at;
            bench.machine.faults.set(faults);
            for _ in 0..TRIES + 5 {
                bench.feed().unwrap();
            }
            let seen = bench.seen().await;
            assert_eq!(seen.len() as u32, TRIES + 5 - faults, "a frame for each fault, no more");
            assert!(seen[0].key && seen[1..].iter().all(|frame| !frame.key));
            assert!(seen[0].captured_at - last < Duration::from_secs(1), "{:?}", seen[0].captured_at - last);
        }
    }

    #[tokio::test]
    async fn an_order_that_fails_costs_the_encoder_too_and_is_not_forgotten() {
        let mut bench = Bench::new();
        bench.feed().unwrap();
        bench.machine.faults.set(1);
        bench.commands.send(Command::SetBitrate(Kbps(300)));
        bench.stage.obey().unwrap();
        bench.feed().unwrap();
        assert_eq!(bench.stage.settings.bitrate, Kbps(300));
        assert!(bench.seen().await.iter().all(|frame| frame.key), "both are the first of their encoder");
    }

    #[tokio::test]
    async fn an_encoder_that_never_works_ends_the_path() {
        let mut bench = Bench::new();
        bench.feed().unwrap();
        bench.machine.faults.set(u32::MAX);
        let fed: Vec<_> = (0..TRIES).map(|_| bench.feed()).collect();
        assert!(fed[..fed.len() - 1].iter().all(Result::is_ok));
        assert!(fed[fed.len() - 1].as_ref().unwrap_err().to_string().contains("a fault was injected"));
    }

    #[tokio::test]
    async fn a_slow_encode_is_answered_with_speed_and_the_speed_taken_back() {
        let mut bench = Bench::new();
        bench.feed_for(5);
        assert_eq!(*bench.machine.speeds.borrow(), [8]);
        // Throttled: only from speed 12 on it keeps its time.
        bench.machine.takes.set(|speed| Duration::from_millis(if speed < 12 { 50 } else { 20 }));
        bench.feed_for(10);
        assert_eq!(*bench.machine.speeds.borrow(), [8, 10, 12]);
        assert_eq!(bench.counters.speed_steps.load(Ordering::Relaxed), 2);
        // An encoder made anew goes on at that speed.
        bench.machine.faults.set(1);
        bench.feed_for(1);
        assert_eq!(*bench.machine.speeds.borrow(), [8, 10, 12, 12]);
        bench.machine.takes.set(|_| Duration::from_millis(5));
        bench.feed_for(120);
        assert_eq!(*bench.machine.speeds.borrow(), [8, 10, 12, 12, 11, 10, 9, 8]);
        // Too slow at any speed: the fastest, and no further.
        bench.machine.takes.set(|_| Duration::from_millis(90));
        bench.feed_for(60);
        assert_eq!(bench.machine.speeds.borrow().last(), Some(&16));
    }

    #[test]
    fn the_interval_is_that_of_the_source() {
        let layout = Layout::packed_i420(SIZE);
        let pool = FramePool::new(layout.bytes());
        let start = Instant::now();
        let mut rhythm = Rhythm::default();
        let mut interval = |number, millis| {
            let at = start + Duration::from_millis(millis);
            let sequence = Sequence { number, missed: 0 };
            rhythm.interval(&Frame::pooled(pool.take(), &pool, layout, at, sequence).unwrap(), 25.0).as_millis()
        };
        assert_eq!(interval(0, 0), 40, "as promised");
        assert_eq!(interval(1, 80), 80, "the dark has doubled the exposure");
        assert_eq!(interval(5, 400), 80, "three were dropped on the way");
        assert_eq!(interval(6, 5_000), 40, "a pause");
        assert_eq!(interval(6, 5_040), 40, "a number that repeats");
        assert_eq!(interval(0, 5_080), 40, "another source");
    }
}
