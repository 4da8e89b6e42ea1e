//! One encode for all: publishes encoded frames to however many viewers there are.
//!
//! A ring of [`RING`] frames lies between the encode thread and the viewers. A viewer that falls behind by more misses
//! frames; since VP8 frames build on each other it goes on at the next key frame, for which it asks. Nobody waits for it.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::encoder::{Command, EncodedFrame};

/// Encoded frames kept for a viewer that is late: a second at 30 frames a second.
const RING: usize = 30;

/// Orders for the encode thread.
#[derive(Debug, Clone)]
pub struct EncoderCommands(SyncSender<Command>);

impl EncoderCommands {
    /// Wraps the sending side of the encode thread's bounded queue.
    pub fn new(sender: SyncSender<Command>) -> Self {
        Self(sender)
    }

    /// Passes an order on. If the queue is full, it is full of orders of the same kinds, which come often: this one
    /// is dropped.
    pub fn send(&self, command: Command) {
        match self.0.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::trace!(?command, "the encoder's queue is full"),
            Err(TrySendError::Disconnected(_)) => tracing::trace!(?command, "the encoder has stopped"),
        }
    }
}

/// The publishing side, held by the encode thread; clones of it subscribe.
#[derive(Debug, Clone)]
pub struct Fanout {
    ring: broadcast::Sender<EncodedFrame>,
    commands: EncoderCommands,
    watching: Arc<watch::Sender<usize>>,
}

impl Fanout {
    /// A fan-out without subscribers, which orders key frames through `commands`.
    pub fn new(commands: EncoderCommands) -> Self {
        Self { ring: broadcast::Sender::new(RING), commands, watching: Arc::default() }
    }

    /// Whether anybody watches. If not, nothing needs to be encoded.
    pub fn is_watched(&self) -> bool {
        self.ring.receiver_count() > 0
    }

    /// Hands a frame to everybody who watches.
    pub fn publish(&self, frame: EncodedFrame) {
        // The error means that the last viewer has just left.
        let _ = self.ring.send(frame);
    }

    /// Watches from the next key frame on, which is ordered at once.
    pub fn subscribe(&self) -> Subscription {
        let ring = self.ring.subscribe();
        self.commands.send(Command::ForceKeyframe);
        let watching = Watching::new(&self.watching);
        Subscription { ring, commands: self.commands.clone(), needs_key: true, missed: 0, _watching: watching }
    }

    /// How many watch.
    pub fn watching(&self) -> watch::Receiver<usize> {
        self.watching.subscribe()
    }

    /// Orders for the encoder.
    pub fn commands(&self) -> &EncoderCommands {
        &self.commands
    }
}

/// The frames for one viewer: decodable from the first one on, whatever was missed between.
#[derive(Debug)]
pub struct Subscription {
    ring: broadcast::Receiver<EncodedFrame>,
    commands: EncoderCommands,
    needs_key: bool,
    missed: u64,
    _watching: Watching,
}

/// Counts one who watches, as long as it lives.
#[derive(Debug)]
struct Watching(Arc<watch::Sender<usize>>);

impl Watching {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Subscription {
    /// The next frame; `None` when the encoder has stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<EncodedFrame> {
        loop {
            match self.ring.recv().await {
                Ok(frame) if frame.key || !self.needs_key => {
                    self.needs_key = false;
                    return Some(frame);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    self.missed += missed;
                    self.needs_key = true;
                    self.commands.send(Command::ForceKeyframe);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Frames missed so far for being late.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Instant;

    use super::*;

    fn fanout() -> (Fanout, Receiver<Command>) {
        let (sender, orders) = sync_channel(8);
        (Fanout::new(EncoderCommands::new(sender)), orders)
    }

    fn frame(number: u8, key: bool) -> EncodedFrame {
        EncodedFrame { data: vec![number].into(), key, captured_at: Instant::now() }
    }

    #[test]
    fn who_watches_is_counted() {
        let (fanout, _orders) = fanout();
        let watching = fanout.watching();
        let viewers = [fanout.subscribe(), fanout.subscribe()];
        assert_eq!(*watching.borrow(), 2);
        drop(viewers);
        assert_eq!(*watching.borrow(), 0);
    }

    #[tokio::test]
    async fn a_viewer_begins_with_a_key_frame_that_was_ordered() {
        let (fanout, orders) = fanout();
        assert!(!fanout.is_watched());
        let mut viewer = fanout.subscribe();
        assert!(fanout.is_watched());
        assert_eq!(orders.try_recv(), Ok(Command::ForceKeyframe));
        for (number, key) in [(1, false), (2, true), (3, false)] {
            fanout.publish(frame(number, key));
        }
        assert_eq!(viewer.next().await.unwrap().data[0], 2);
        assert_eq!(viewer.next().await.unwrap().data[0], 3);
        drop(viewer);
        assert!(!fanout.is_watched());
    }

    #[tokio::test]
    async fn a_late_viewer_goes_on_at_a_key_frame_and_the_others_notice_nothing() {
        let (fanout, orders) = fanout();
        let (mut late, mut prompt) = (fanout.subscribe(), fanout.subscribe());
        fanout.publish(frame(0, true));
        assert_eq!(late.next().await.unwrap().data[0], 0);
        assert_eq!(prompt.next().await.unwrap().data[0], 0);
        orders.try_iter().for_each(drop);
        for number in 1..=100 {
            fanout.publish(frame(number, false));
            assert_eq!(prompt.next().await.unwrap().data[0], number);
        }
        fanout.publish(frame(101, true));
        assert_eq!(late.next().await.unwrap().data[0], 101);
        assert_eq!(orders.try_recv(), Ok(Command::ForceKeyframe));
        assert!(late.missed() > 50, "{}", late.missed());
        assert_eq!(prompt.missed(), 0);
    }

    #[tokio::test]
    async fn the_end_of_the_encoder_ends_the_viewers() {
        let (fanout, _orders) = fanout();
        let mut viewer = fanout.subscribe();
        drop(fanout);
        assert!(viewer.next().await.is_none());
    }
}
