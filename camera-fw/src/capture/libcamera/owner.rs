//! The one thread of this process that talks to libcamera.
//!
//! It starts with the first question and then waits for the next, for ever. A manager, with all that it opens and
//! starts, lives only while something is asked or a camera streams: what was plugged in meanwhile is found, and what
//! went wrong in one is gone in the next.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::libcamera::camera_manager::CameraManager;
use ::libcamera::logging::{LoggingLevel, set_category_level};

use super::{Opened, PREFIX, listing, session};
use crate::capture::inventory::CameraInfo;
use crate::capture::{CameraSettings, CaptureError};

/// Far more than there can be: a few for each buffer, and the orders of a few threads.
const EVENTS: usize = 64;

/// Tells the sessions of a process apart: what comes late for one must not reach another.
pub(super) type SessionId = u64;

/// What the thread is asked, and what it is told.
pub(super) enum Event {
    /// Which cameras there are.
    List(SyncSender<Result<Vec<CameraInfo>, CaptureError>>),
    /// Start a camera.
    Open {
        /// Which one; none: the first.
        id: Option<String>,
        settings: CameraSettings,
        reply: SyncSender<Result<Opened, CaptureError>>,
    },
    /// Stop it.
    Close(SessionId),
    /// A frame is done with.
    GivenBack { session: SessionId, index: usize },
    /// Requests wait in the session's basket.
    Completed,
    /// The camera was unplugged.
    Disconnected(SessionId),
}

/// Asks the thread something and waits for the answer.
pub(super) fn ask<T>(
    question: impl FnOnce(SyncSender<Result<T, CaptureError>>) -> Event,
    wait: Duration,
) -> Result<T, CaptureError> {
    let silent = |problem: &str| failed("answer", io::Error::other(problem.to_owned()));
    let (reply, answer) = sync_channel(1);
    let asked = events()?.try_send(question(reply));
    asked.map_err(|_| silent("it is stuck in an earlier call"))?;
    match answer.recv_timeout(wait) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => Err(silent("it takes too long; is a driver stuck? `dmesg` may say more")),
        Err(RecvTimeoutError::Disconnected) => Err(silent("its thread failed")),
    }
}

/// libcamera itself failed, whatever the camera.
pub(super) fn failed(action: &'static str, source: io::Error) -> CaptureError {
    CaptureError::Device { path: PREFIX.into(), action, source }
}

/// The way to the thread, which is started if there is none yet.
fn events() -> Result<SyncSender<Event>, CaptureError> {
    static EVENTS_OF_THE_THREAD: Mutex<Option<SyncSender<Event>>> = Mutex::new(None);
    let mut known = EVENTS_OF_THE_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(events) = known.as_ref() {
        return Ok(events.clone());
    }
    let (sender, events) = sync_channel(EVENTS);
    let own = sender.clone();
    let thread = std::thread::Builder::new().name(PREFIX.into()).spawn(move || serve(&events, &own));
    thread.map_err(|error| failed("start its thread", error))?;
    Ok(known.insert(sender).clone())
}

fn serve(events: &Receiver<Event>, own: &SyncSender<Event>) {
    let mut sessions = 0;
    while let Ok(event) = events.recv() {
        // The crate panics where libcamera surprises it. Its camera and manager end on the way out; whoever asked sees
        // that nobody answers.
        let served = catch_unwind(AssertUnwindSafe(|| match event {
            Event::List(reply) => {
                let _ = reply.try_send(manager().map(|manager| listing::all(&manager)));
            }
            Event::Open { id, settings, reply } => {
                sessions += 1;
                // Whoever hears of the end may end the process, and libcamera's own globals with it: no manager may be
                // left then.
                let (_alive, ended) = sync_channel(1);
                let wish = session::Wish { id: sessions, camera: id.as_deref(), settings: &settings };
                let run = manager().and_then(|manager| session::run(&manager, wish, &reply, ended, (events, own)));
                if let Err(error) = run {
                    let _ = reply.try_send(Err(error));
                }
            }
            // Late news of a session that has ended.
            Event::Close(_) | Event::GivenBack { .. } | Event::Completed | Event::Disconnected(_) => {}
        }));
        if served.is_err() {
            tracing::error!("libcamera's thread panicked");
        }
    }
}

fn manager() -> Result<CameraManager, CaptureError> {
    let manager = CameraManager::new().map_err(|error| failed("start", error))?;
    // libcamera tells standard error at every start what it is and does; once is enough. A category can be told only
    // after it has spoken for the first time. Who sets the levels wants to hear it all.
    if std::env::var_os("LIBCAMERA_LOG_LEVELS").is_none() {
        for category in ["Camera", "RPI"] {
            set_category_level(category, LoggingLevel::Warn);
        }
    }
    Ok(manager)
}
