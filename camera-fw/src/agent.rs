//! Starts everything, keeps it together, and stops it in order.
//!
//! ```text
//!            start                                             stop
//!  code ─▶ source ─▶ pipeline ─▶ signaling        viewers (bye) ─▶ signaling (leave) ─▶ pipeline
//! ```
//!
//! A lost signaling connection is made anew while streams go on. Any other failure ends the agent, in order and with
//! an error: the supervisor of the machine starts it again.

use std::time::Duration;

use signal_proto::Role;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::capture::{self, CaptureError};
use crate::code::{Code, CodeError};
use crate::config::{Config, Protocol};
use crate::health::Health;
use crate::pipeline::{Pipeline, PipelineError};
use crate::signaling::{CaError, Event, Settings, Signaling, TlsTrust};
use crate::viewer::{Mode, Viewers};

/// Leaving the room, at most: the server notices a closed connection too.
const LEAVE: Duration = Duration::from_secs(1);

/// Closing the viewers' connections, at most.
const GOODBYE: Duration = Duration::from_secs(3);

/// Why the agent could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The room code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The certificate file.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The source did not open.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The frame path did not start, or ended.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Streams until `stop` is cancelled or something fails.
///
/// # Errors
/// With what failed and what to do, fit for a person.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), AgentError> {
    let code = Code::load_or_create(&config.state_dir)?;
    let tls = TlsTrust::new(config.ca.as_deref())?;
    // A long file takes its time to check: not on the thread that hears the stop.
    let (spec, wanted) = (config.source.clone(), config.wanted);
    let source = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = tokio::task::spawn_blocking(move || capture::open(&spec, wanted)) => opened.map_err(PipelineError::from)??,
    };
    let layout = source.layout();
    tracing::info!(source = %config.source, size = %layout.size, fps = source.rate(), "source opened");
    let mut pipeline = Pipeline::spawn(source, config.encoder)?;

    if config.protocol == Protocol::Pair {
        tracing::warn!("pair mode: one viewer, who needs a client of its own; the viewer page speaks role mode");
    }
    let server = config.server.clone();
    let settings =
        Settings { server, room: code.room(), protocol: config.protocol, tls, max_viewers: config.max_viewers };
    let mut signaling = Signaling::spawn(settings);
    let mut viewers = Viewers::new(pipeline.fanout().clone(), signaling.outgoing(), config.max_viewers);
    let mut health = Health::new(pipeline.counters().clone());

    let outcome = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            error = pipeline.failed() => break Err(error.into()),
            event = signaling.event() => handle(event, config.protocol, &mut viewers),
            () = viewers.gone() => {}
            () = health.tick() => health.report(viewers.count()),
        }
    };

    tracing::info!("stopping");
    if timeout(GOODBYE, viewers.stop()).await.is_err() {
        tracing::warn!("some viewers' connections did not close in time");
    }
    if timeout(LEAVE, signaling.leave()).await.is_err() {
        tracing::debug!("the signaling connection did not close in time");
    }
    // Joins two threads: not on a thread that drives tasks.
    let _ = tokio::task::spawn_blocking(move || pipeline.stop()).await;
    outcome
}

fn handle(event: Event, protocol: Protocol, viewers: &mut Viewers) {
    match event {
        Event::Joined { peers, ice_servers } => {
            viewers.use_ice_servers(ice_servers);
            for member in peers {
                arrived(member.peer, Some(member.role), viewers);
            }
        }
        Event::PeerJoined(peer, role) => arrived(peer, role, viewers),
        Event::PeerLeft(peer) => viewers.left(peer),
        Event::Signal(peer, signal) => {
            if protocol == Protocol::Pair && !viewers.knows(peer) {
                // In pair mode the server does not say who was in the room before: its first signal does.
                viewers.welcome(peer, Mode::Pair { first: false });
            }
            viewers.signal(peer, signal);
        }
        Event::Lost => viewers.detach(),
    }
}

fn arrived(peer: signal_proto::PeerId, role: Option<Role>, viewers: &mut Viewers) {
    match role {
        Some(Role::Viewer) => viewers.welcome(peer, Mode::Role),
        Some(Role::Camera) => {
            tracing::warn!(%peer, "another camera uses this camera's code; give each camera a state directory of its own");
        }
        None => viewers.welcome(peer, Mode::Pair { first: true }),
    }
}
