//! Starts everything, keeps it together, and stops it in order.
//!
//! ```text
//!            start                                                 stop
//!  identity ─▶ pipeline, camera ─▶ [ signaling, viewers ]     viewers (bye) ─▶ signaling (leave) ─▶ pipeline
//!                                       ▲             │
//!                                       └── another ──┘  identity: other room, other code, same pipeline
//! ```
//!
//! A lost signaling connection is made anew while streams go on, and so is a lost camera. Any other failure ends the
//! agent, in order and with an error: the supervisor of the machine starts it again.

use std::pin::pin;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use signal_proto::{PeerId, PictureState, RawValue, Role, RoomId};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::capture::CameraOpener;
use crate::config::{Config, Protocol};
use crate::health::{self, Health};
use crate::identity::{Identity, IdentityError, Watch};
use crate::led::{self, Indicator, Led, LedError};
use crate::marks::Mark;
use crate::pipeline::{Pipeline, PipelineError};
use crate::privacy::{Privacy, PrivacyError};
use crate::signaling::{CaError, Event, Outgoing, Settings, Signaling, TlsTrust};
use crate::viewer::admission::{Admission, Verdict};
use crate::viewer::wire::Wire;
use crate::viewer::{Mode, Viewers};

/// Leaving the room, at most: the server notices a closed connection too.
const LEAVE: Duration = Duration::from_secs(1);

/// Closing the viewers' connections, at most.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opening the camera, before the camera joins its room all the same.
const FIRST_SOURCE: Duration = Duration::from_secs(5);

/// Ending the threads of the frame path.
const END: Duration = Duration::from_millis(1_500);

/// Why the agent could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate file.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The privacy switch.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The LED.
    #[error(transparent)]
    Led(#[from] LedError),
    /// The frame path did not start, or ended.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Streams until `stop` is cancelled or something fails.
///
/// # Errors
/// With what failed and what to do, fit for a person.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), AgentError> {
    Mark::AgentStarted.reach();
    let mut identity_file = Watch::new(&config.state_dir);
    let mut identity = Identity::load_or_create(&config.state_dir)?;
    let mut privacy = Privacy::new(config.privacy_switch.as_ref(), config.paused, &config.state_dir)?;
    let led = config.led.as_deref().map(Led::open).transpose()?.or_else(Led::own);
    let (reach, mut reached) = watch::channel(false);
    let mut indicator = led.map(Indicator::new);

    let opener = CameraOpener::new(config.source.clone(), config.camera.clone(), config.stand_in);
    let mut pipeline = Pipeline::spawn(Box::new(opener), config.encoder, privacy.is_paused())?;
    // The certificates of the system are many. They are read while the camera opens.
    let tls = TlsTrust::new(config.ca.as_deref())?;
    let beats = pipeline.beats();
    let (mut picture, mut watching) = (pipeline.picture(), pipeline.fanout().watching());
    let mut shown = pipeline.picture();
    let controls = pipeline.controls().clone();
    // What goes on beside the viewers, whoever they are.
    let attend = async {
        loop {
            tokio::select! {
                () = privacy.changed() => controls.pause(privacy.is_paused()),
                _ = shown.changed() => {}
                _ = watching.changed() => {}
                _ = reached.changed() => {}
                () = led::beat(indicator.as_ref()) => {}
            }
            let is_live = *shown.borrow() == Some(PictureState::Live);
            if let Some(indicator) = &mut indicator {
                indicator.show(is_live && *watching.borrow() > 0, *reached.borrow());
            }
        }
    };
    let mut attend = pin!(attend);
    let mut watchdog = pin!(health::watch(beats));

    // Before anybody is told that the camera is there: what is wrong with it is said first.
    let outcome = tokio::select! {
        () = stop.cancelled() => Some(Ok(())),
        error = pipeline.failed() => Some(Err(error.into())),
        () = &mut attend => None,
        _ = timeout(FIRST_SOURCE, picture.wait_for(Option::is_some)) => None,
    };
    if outcome.is_none() {
        health::notify(&[NotifyState::Ready]);
    }
    let outcome = loop {
        if let Some(outcome) = outcome {
            break outcome;
        }
        warn_of_exposure(&identity, &config);
        let mut stay = Stay::begin(&identity, &config, tls.clone(), &pipeline, reach.clone());
        let ended = tokio::select! {
            () = stop.cancelled() => Some(Ok(())),
            error = pipeline.failed() => Some(Err(error.into())),
            thread = &mut watchdog => Some(Err(PipelineError::hangs(thread).into())),
            () = &mut attend => None,
            other = stay.go_on(&mut identity_file, &identity, &config) => {
                tracing::warn!("the identity was replaced: the old code is dead, and its viewers are sent away");
                identity = other;
                None
            }
        };
        if ended.is_some() {
            tracing::info!("stopping");
            health::notify(&[NotifyState::Stopping]);
        }
        // Who pauses the camera is heard meanwhile.
        tokio::select! {
            () = stay.end() => {}
            () = &mut attend => {}
        }
        match ended {
            Some(outcome) => break outcome,
            None if stop.is_cancelled() => break Ok(()),
            None => {}
        }
    };
    // Joins two threads: not on a thread that drives tasks. One that hangs in a driver ends with the process.
    let stopped = timeout(END, tokio::task::spawn_blocking(move || pipeline.stop())).await;
    if stopped.is_err() {
        tracing::warn!("the camera does not let go; the process ends without it");
    }
    outcome
}

/// Pair mode gives the code to the server; role mode never does, and cannot take back what pair mode gave.
fn warn_of_exposure(identity: &Identity, config: &Config) {
    match config.protocol {
        Protocol::Pair => {
            tracing::warn!(
                "pair mode: nothing is sealed. The signaling server knows the code, can watch, and can put itself between \
                 camera and viewer; one viewer, who needs a client of its own, for the viewer page speaks role mode only"
            );
            if let Err(error) = identity.note_shown(&config.state_dir) {
                tracing::warn!(%error, "cannot note that the server knows the code");
            }
        }
        Protocol::Role if identity.was_shown(&config.state_dir) => {
            tracing::warn!(
                "this code was used in pair mode: the signaling server of that time knows it and can watch; \
                 `camera-fw rekey` makes another"
            );
        }
        Protocol::Role => {}
    }
}

/// How somebody becomes a viewer. What the server says does not change it: a camera of role mode has no open door.
enum Door {
    /// Pair mode: whoever is in the room, unsealed.
    Open,
    /// Role mode: whoever proves the code, sealed.
    Guarded(Admission),
}

/// The camera in the room of one identity.
struct Stay {
    signaling: Signaling,
    outgoing: mpsc::Sender<Outgoing>,
    door: Door,
    viewers: Viewers,
    health: Health,
    /// Whether the camera is in its room, for the LED.
    reach: watch::Sender<bool>,
    /// Something was said once that the server could make the camera say without end.
    warned: bool,
}

impl Stay {
    fn begin(
        identity: &Identity,
        config: &Config,
        tls: TlsTrust,
        pipeline: &Pipeline,
        reach: watch::Sender<bool>,
    ) -> Self {
        let code = identity.code();
        let settings = Settings {
            server: config.server.clone(),
            room: match config.protocol {
                Protocol::Role => code.room(),
                Protocol::Pair => RoomId::from_bytes(*code.as_bytes()),
            },
            protocol: config.protocol,
            tls,
            max_viewers: config.max_viewers,
        };
        let signaling = Signaling::spawn(settings);
        let outgoing = signaling.outgoing();
        Self {
            signaling,
            viewers: Viewers::new(pipeline.fanout().clone(), pipeline.picture(), outgoing.clone(), config.max_viewers),
            outgoing,
            door: match config.protocol {
                Protocol::Pair => Door::Open,
                Protocol::Role => Door::Guarded(Admission::new(identity.device_key().clone())),
            },
            health: Health::new(pipeline.counters().clone()),
            reach,
            warned: false,
        }
    }

    /// Serves viewers until the camera has another identity, which it returns. Safe to cancel.
    async fn go_on(&mut self, watch: &mut Watch, identity: &Identity, config: &Config) -> Identity {
        loop {
            tokio::select! {
                event = self.signaling.event() => self.handle(event),
                () = self.viewers.gone() => {}
                () = self.health.tick() => {
                    self.health.report(self.viewers.count());
                    if !watch.changed() {
                        continue;
                    }
                    match Identity::load(&config.state_dir) {
                        Ok(other) => {
                            watch.seen();
                            if other != *identity {
                                return other;
                            }
                        }
                        // It is looked at again every second: it may be in the middle of being written.
                        Err(error) if watch.complained() => {
                            tracing::debug!(%error, "the identity is still something else");
                        }
                        Err(error) => tracing::error!(%error, "the identity was replaced by something else; the camera stays who it is"),
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Joined { camera, peers, ice_servers } => {
                self.reach.send_replace(true);
                if let Door::Guarded(admission) = &mut self.door {
                    admission.joined(camera);
                }
                self.viewers.use_ice_servers(ice_servers);
                for member in peers {
                    self.arrived(member.peer, Some(member.role));
                }
            }
            Event::PeerJoined(peer, role) => self.arrived(peer, role),
            Event::PeerLeft(peer) => {
                if let Door::Guarded(admission) = &mut self.door {
                    admission.left(peer);
                }
                self.viewers.left(peer);
            }
            Event::Signal(peer, signal) => self.signal(peer, signal),
            Event::Lost => {
                self.reach.send_replace(false);
                self.viewers.detach();
            }
        }
    }

    fn arrived(&mut self, peer: PeerId, role: Option<Role>) {
        match (&self.door, role) {
            (Door::Open, None) => self.viewers.welcome(peer, Mode::Pair { first: true }, Wire::Open),
            // It has to prove the code first.
            (Door::Guarded(_), Some(Role::Viewer)) => {}
            (Door::Guarded(_), Some(Role::Camera)) => {
                self.warn(peer, "another camera is in this camera's room; give each camera an identity of its own");
            }
            (Door::Open, Some(_)) | (Door::Guarded(_), None) => {
                self.warn(peer, "the server announces a peer as if the room were of the other mode: ignored");
            }
        }
    }

    /// Warns once in a stay: of what the server says next there may be no end.
    fn warn(&mut self, peer: PeerId, what: &str) {
        if std::mem::replace(&mut self.warned, true) {
            tracing::debug!(%peer, "{what}");
        } else {
            tracing::warn!(%peer, "{what}");
        }
    }

    fn signal(&mut self, peer: PeerId, signal: Box<RawValue>) {
        if !self.viewers.knows(peer) {
            match &mut self.door {
                // In pair mode the server does not say who was in the room before: its first signal does.
                Door::Open => self.viewers.welcome(peer, Mode::Pair { first: false }, Wire::Open),
                Door::Guarded(admission) => {
                    let verdict = admission.signal(peer, &signal, Instant::now());
                    return self.judged(peer, verdict);
                }
            }
        }
        self.viewers.signal(peer, signal);
    }

    fn judged(&mut self, peer: PeerId, verdict: Verdict) {
        match verdict {
            Verdict::Dropped(reason) => tracing::debug!(%peer, reason, "a signal was dropped"),
            Verdict::Reply(signal) => {
                // Full: the viewer will ask again.
                let _ = self.outgoing.try_send(Outgoing { to: peer, kind: "handshake", signal });
            }
            Verdict::Admitted(wire) => {
                tracing::debug!(%peer, "the viewer has proven the code");
                self.viewers.welcome(peer, Mode::Role, wire);
            }
        }
    }

    async fn end(self) {
        self.reach.send_replace(false);
        if timeout(GOODBYE, self.viewers.stop()).await.is_err() {
            tracing::warn!("some viewers' connections did not close in time");
        }
        drop(self.outgoing);
        if timeout(LEAVE, self.signaling.leave()).await.is_err() {
            tracing::debug!("the signaling connection did not close in time");
        }
    }
}
