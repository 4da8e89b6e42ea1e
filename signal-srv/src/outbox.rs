//! What waits for one client: bounded in messages and in bytes, and never waited for.
//!
//! Whoever pushes does not block and does not fail. If the client reads too slowly, its own
//! connection learns that from [`Inbox::ended`] and ends; nobody else notices. So does who is [dismissed](Outbox::dismiss).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use signal_proto::ErrorCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// The end that the hub pushes into.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Bytes>,
    gauge: Arc<Gauge>,
}

/// The end that the connection reads.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: mpsc::Receiver<Bytes>,
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
struct Gauge {
    waiting_bytes: AtomicUsize,
    max_bytes: usize,
    /// Why this connection is to end, if it is not the server that stops.
    dismissed: OnceLock<ErrorCode>,
    /// The connection's own, so that waiting for it, which every message does, takes no lock that others want.
    end: CancellationToken,
}

/// An outbox for one connection, which is to end when `shutdown` says so, or when it reads too slowly.
pub(crate) fn channel(limits: &Limits, shutdown: &CancellationToken) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(limits.outbox_messages);
    let gauge = Arc::new(Gauge {
        waiting_bytes: AtomicUsize::new(0),
        max_bytes: limits.outbox_bytes,
        dismissed: OnceLock::new(),
        end: shutdown.child_token(),
    });
    (Outbox { sender, gauge: Arc::clone(&gauge) }, Inbox { receiver, gauge })
}

impl Outbox {
    /// Queues a message, or ends the connection that has let too many wait.
    pub(crate) fn push(&self, message: Bytes) {
        let length = message.len();
        let waiting = self.gauge.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        if waiting > 0 && waiting + length > self.gauge.max_bytes {
            self.dismiss(ErrorCode::SlowReader);
            return;
        }
        match self.sender.try_send(message) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.dismiss(ErrorCode::SlowReader),
            // The connection is ending; its leave follows.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    /// Ends the connection, with this as the reason unless it has one.
    pub(crate) fn dismiss(&self, code: ErrorCode) {
        let _ = self.gauge.dismissed.set(code);
        self.gauge.end.cancel();
    }
}

impl Outbox {
    /// Whether more than half of what may wait does, at the next message or two.
    pub(crate) fn is_crowded(&self) -> bool {
        self.sender.capacity() < self.sender.max_capacity() / 2
            || self.gauge.waiting_bytes.load(Ordering::Relaxed) > self.gauge.max_bytes / 2
    }
}

impl Inbox {
    /// A message that is there already.
    pub(crate) fn try_next(&mut self) -> Option<Bytes> {
        let message = self.receiver.try_recv().ok()?;
        self.gauge.waiting_bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// The next message. `None` once the hub has let go of the client.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let message = self.receiver.recv().await?;
        self.gauge.waiting_bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// Returns once something did not fit, the client was dismissed, or the server stops.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + 'static {
        self.gauge.end.clone().cancelled_owned()
    }

    /// Why the connection is to end.
    pub(crate) fn reason(&self) -> ErrorCode {
        self.gauge.dismissed.get().copied().unwrap_or(ErrorCode::ShuttingDown)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn channel(messages: usize, bytes: usize) -> (Outbox, Inbox) {
        let limits = Limits { outbox_messages: messages, outbox_bytes: bytes, ..Limits::default() };
        super::channel(&limits, &CancellationToken::new())
    }

    #[test]
    fn one_message_too_many_overflows() {
        let (outbox, mut inbox) = channel(2, 100);
        outbox.push(Bytes::from_static(b"1"));
        outbox.push(Bytes::from_static(b"2"));
        assert!(inbox.ended().now_or_never().is_none());
        outbox.push(Bytes::from_static(b"3"));
        assert!(inbox.ended().now_or_never().is_some());
        assert_eq!(inbox.reason(), ErrorCode::SlowReader);
        assert_eq!(inbox.next().now_or_never().flatten().as_deref(), Some(b"1".as_slice()));
    }

    #[test]
    fn one_byte_too_many_overflows() {
        let (outbox, inbox) = channel(10, 4);
        outbox.push(Bytes::from_static(b"12"));
        outbox.push(Bytes::from_static(b"34"));
        assert!(inbox.ended().now_or_never().is_none());
        outbox.push(Bytes::from_static(b"5"));
        assert!(inbox.ended().now_or_never().is_some());
        assert_eq!(inbox.reason(), ErrorCode::SlowReader);
    }

    #[test]
    fn what_was_read_no_longer_counts_and_a_single_large_message_fits() {
        let (outbox, mut inbox) = channel(1, 4);
        for _ in 0..10 {
            outbox.push(Bytes::from_static(b"longer than the limit"));
            assert!(inbox.next().now_or_never().flatten().is_some());
        }
        assert!(inbox.ended().now_or_never().is_none());
    }

    #[test]
    fn a_shutdown_is_an_end_without_an_overflow() {
        let shutdown = CancellationToken::new();
        let (_outbox, inbox) = super::channel(&Limits::default(), &shutdown);
        shutdown.cancel();
        assert!(inbox.ended().now_or_never().is_some());
        assert_eq!(inbox.reason(), ErrorCode::ShuttingDown);
    }

    #[test]
    fn the_first_reason_for_an_end_counts() {
        let (outbox, inbox) = channel(1, 4);
        outbox.dismiss(ErrorCode::RoomFull);
        outbox.dismiss(ErrorCode::SlowReader);
        assert!(inbox.ended().now_or_never().is_some());
        assert_eq!(inbox.reason(), ErrorCode::RoomFull);
    }
}
