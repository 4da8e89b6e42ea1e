//! A camera that does what a test wants: comes late, falls silent, breaks, goes away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::supervisor::{Opened, Opener};
use super::{CaptureError, Delivery, Source};
use crate::frame::{Frame, FramePool, Layout, Sequence, Size};

const SIZE: Size = Size { width: 160, height: 120 };
const RATE: f64 = 120.0;

/// What a stream does, one after the other; then it goes on with frames for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Frames(u64),
    Damaged(u64),
    /// For ever.
    Silence,
    /// Nothing but damaged frames, for ever.
    Rubbish,
    Fail(fn() -> CaptureError),
}

/// How an attempt to open it goes.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    Refused(fn() -> CaptureError),
    Streams(Vec<Step>),
    StandIn,
}

/// Opens fake cameras by a script; when it is at its end, every further attempt goes like the last one.
#[derive(Debug)]
pub(crate) struct Script {
    attempts: VecDeque<Attempt>,
    /// Sources that are open now.
    pub(crate) open: Arc<AtomicUsize>,
    /// Attempts to open.
    pub(crate) opened: Arc<AtomicUsize>,
}

impl Script {
    pub(crate) fn new(attempts: impl IntoIterator<Item = Attempt>) -> Self {
        Self { attempts: attempts.into_iter().collect(), open: Arc::default(), opened: Arc::default() }
    }
}

impl Opener for Script {
    fn open(&mut self) -> Result<Opened, CaptureError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let attempt = if self.attempts.len() > 1 { self.attempts.pop_front() } else { self.attempts.front().cloned() };
        let (steps, is_stand_in) = match attempt {
            Some(Attempt::Refused(error)) => return Err(error()),
            Some(Attempt::Streams(steps)) => (steps, false),
            Some(Attempt::StandIn) => (Vec::new(), true),
            None => return Err(CaptureError::NoCamera),
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        let source = Camera {
            steps: steps.into(),
            layout: Layout::packed_i420(SIZE),
            pool: FramePool::new(Layout::packed_i420(SIZE).bytes()),
            number: 0,
            open: self.open.clone(),
        };
        Ok(Opened { source: Box::new(source), name: "fake".into(), is_stand_in })
    }

    fn changed(&mut self, wait: Duration) -> bool {
        std::thread::sleep(wait.min(Duration::from_millis(5)));
        true
    }

    fn has_camera(&mut self) -> bool {
        matches!(self.attempts.front(), Some(Attempt::Streams(_)))
    }
}

/// The source of a script.
struct Camera {
    steps: VecDeque<Step>,
    layout: Layout,
    pool: FramePool,
    number: u64,
    open: Arc<AtomicUsize>,
}

impl Camera {
    fn frame(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        std::thread::sleep(wait.min(Duration::from_secs_f64(1.0 / RATE)));
        let sequence = Sequence { number: self.number, missed: 0 };
        self.number += 1;
        Ok(Delivery::Frame(Frame::pooled(self.pool.take(), &self.pool, self.layout, Instant::now(), sequence)?))
    }
}

impl Source for Camera {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        RATE
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        match self.steps.front_mut() {
            None => self.frame(wait),
            Some(Step::Frames(0) | Step::Damaged(0)) => {
                self.steps.pop_front();
                self.next(wait)
            }
            Some(Step::Frames(left)) => {
                *left -= 1;
                self.frame(wait)
            }
            Some(Step::Damaged(left)) => {
                *left -= 1;
                Ok(Delivery::Damaged)
            }
            Some(Step::Silence) => {
                std::thread::sleep(wait);
                Ok(Delivery::Nothing)
            }
            Some(Step::Rubbish) => {
                std::thread::sleep(wait.min(Duration::from_millis(10)));
                Ok(Delivery::Damaged)
            }
            Some(Step::Fail(error)) => Err(error()),
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
