//! What systemd is told of the server (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>): that it is
//! ready, how it does, and that it lives. Nothing, where nobody listens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use crate::pulse::Pulse;

/// How often `systemctl status` gets new figures where no watchdog asks for more.
const STATUS: Duration = Duration::from_secs(10);

/// Whether somebody listens.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// It serves.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its configuration; [`ready`] says how that ended.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "there is no clock to tell systemd of the reload with"),
    }
}

/// It ends, and needs so long for that: the limit of its unit (`TimeoutStopSec=`) is extended where it is less.
pub fn stopping(status: &str, longest: Duration) {
    let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest), NotifyState::Status(status)]);
}

/// It cannot start.
pub fn failed(reason: &str) {
    // One line is one variable.
    notify(&[NotifyState::Status(&reason.replace('\n', " "))]);
}

/// Tells, for as long as it is polled, how many are there, and that the server lives: whenever it answers itself and never
/// otherwise, so that the watchdog (`WatchdogSec=`) has it started anew.
pub async fn watch(pulse: Pulse) {
    let watchdog = sd_notify::watchdog_enabled();
    // More often than twice in its time (sd_watchdog_enabled(3)): an answer that takes long is in time all the same.
    let period = watchdog.map_or(STATUS, |limit| limit / 3).clamp(Duration::from_millis(10), STATUS);
    let mut rhythm = interval(period);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rhythm.tick().await;
        match timeout(period, pulse.feel()).await {
            Ok(()) if watchdog.is_some() => notify(&[NotifyState::Watchdog, NotifyState::Status(&pulse.status())]),
            Ok(()) => notify(&[NotifyState::Status(&pulse.status())]),
            Err(_) => error!("the server does not answer itself; systemd will start it anew if that goes on"),
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd does not listen");
    }
}
