//! How the signals of one session travel: sealed, or in pair mode as they are.

use signal_proto::seal::{Channel, SealError};
use signal_proto::{RawValue, Signal};

/// The way between the camera and one viewer.
#[derive(Debug)]
pub(crate) enum Wire {
    /// Pair mode: the server reads along.
    Open,
    /// Role mode.
    Sealed {
        /// This end of the channel.
        channel: Box<Channel>,
        /// The viewer's greeting, which may come twice.
        greeting: Box<RawValue>,
    },
}

/// What a message of the viewer is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A signal.
    Signal(Signal),
    /// Nothing that matters.
    Nothing,
    /// It was interfered with: the session has no future.
    Broken,
}

impl Wire {
    /// A channel whose handshake is done.
    pub(crate) fn sealed(channel: Channel, greeting: Box<RawValue>) -> Self {
        Self::Sealed { channel: Box::new(channel), greeting }
    }

    /// What goes out for a signal; `None` if it cannot be sealed.
    pub(crate) fn encode(&mut self, signal: &Signal) -> Option<Box<RawValue>> {
        match self {
            Self::Open => Some(signal.encode()),
            Self::Sealed { channel, .. } => channel.seal(signal).ok(),
        }
    }

    /// What came in.
    pub(crate) fn decode(&mut self, raw: &RawValue) -> Received {
        match self {
            Self::Open => Signal::decode(raw).map_or_else(
                |_| {
                    // Not the reason: it may quote the signal.
                    tracing::warn!("a signal that cannot be used was ignored");
                    Received::Nothing
                },
                Received::Signal,
            ),
            Self::Sealed { greeting, .. } if greeting.get() == raw.get() => Received::Nothing,
            Self::Sealed { channel, .. } => match channel.open(raw) {
                Ok(signal) => Received::Signal(signal),
                Err(SealError::Signal(_)) => {
                    tracing::debug!("a sealed signal of an unknown kind was ignored");
                    Received::Nothing
                }
                Err(_) => Received::Broken,
            },
        }
    }
}
