//! The closed set of codes that an `ERROR` message carries.

use std::fmt;
use std::str::FromStr;

/// Why the server refused. Programs act on the code, people read the text beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The message is not one JSON object of the documented shape.
    BadMessage,
    /// `type` is none that a client sends.
    UnknownType,
    /// The room id is not 64 hex digits.
    BadRoomId,
    /// A text message; the protocol has binary ones only.
    TextMessage,
    /// Longer than [`crate::limits::MESSAGE_BYTES`].
    MessageTooLarge,
    /// `SIGNAL` before `JOINED`.
    NotJoined,
    /// A second `JOIN_OR_CREATE`.
    AlreadyJoined,
    /// No `JOIN_OR_CREATE` in time.
    JoinTimeout,
    /// The room has as many clients of this kind as it may have.
    RoomFull,
    /// The room is a pair room and the client came with a role, or the other way round.
    RoomMode,
    /// Clients of this address have made as many rooms as they may.
    TooManyRooms,
    /// The client did not stop sending too fast.
    RateLimited,
    /// The client did not read fast enough.
    SlowReader,
    /// The server is about to stop; come back after a random delay.
    ShuttingDown,
    /// The server cannot reach the other servers that it shares rooms with; come back after a random delay.
    ClusterUnavailable,
}

/// Not one of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code")]
pub struct UnknownErrorCode;

const CODES: [(ErrorCode, &str); 15] = [
    (ErrorCode::BadMessage, "BAD_MESSAGE"),
    (ErrorCode::UnknownType, "UNKNOWN_TYPE"),
    (ErrorCode::BadRoomId, "BAD_ROOM_ID"),
    (ErrorCode::TextMessage, "TEXT_MESSAGE"),
    (ErrorCode::MessageTooLarge, "MESSAGE_TOO_LARGE"),
    (ErrorCode::NotJoined, "NOT_JOINED"),
    (ErrorCode::AlreadyJoined, "ALREADY_JOINED"),
    (ErrorCode::JoinTimeout, "JOIN_TIMEOUT"),
    (ErrorCode::RoomFull, "ROOM_FULL"),
    (ErrorCode::RoomMode, "ROOM_MODE"),
    (ErrorCode::TooManyRooms, "TOO_MANY_ROOMS"),
    (ErrorCode::RateLimited, "RATE_LIMITED"),
    (ErrorCode::SlowReader, "SLOW_READER"),
    (ErrorCode::ShuttingDown, "SHUTTING_DOWN"),
    (ErrorCode::ClusterUnavailable, "CLUSTER_UNAVAILABLE"),
];

impl ErrorCode {
    /// Every code there is, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().map(|(code, _)| *code)
    }

    /// The code as it travels, for example `ROOM_FULL`.
    pub fn as_str(self) -> &'static str {
        CODES.iter().find(|(code, _)| *code == self).map_or("BAD_MESSAGE", |(_, text)| text)
    }

    /// The sentence for a person: what was wrong and what to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::BadMessage => "The message is not one JSON object of the documented shape; see docs/protocol.md.",
            Self::UnknownType => "A client sends JOIN_OR_CREATE and SIGNAL, nothing else.",
            Self::BadRoomId => "A room id has 64 hex digits; check the code.",
            Self::TextMessage => "Text messages are not part of the protocol; send the JSON as a binary message.",
            Self::MessageTooLarge => "A message may have 64 KiB at most.",
            Self::NotJoined => "Join a room with JOIN_OR_CREATE and wait for JOINED before signaling.",
            Self::AlreadyJoined => "This connection has joined a room; open another connection for another room.",
            Self::JoinTimeout => "No JOIN_OR_CREATE came in time; connect again and join at once.",
            Self::RoomFull => "The room is full; try again when somebody has left.",
            Self::RoomMode => "The room is in use by clients of the other kind (pair or role); use the same kind.",
            Self::TooManyRooms => "There are too many rooms from your address; try again when one of them is empty.",
            Self::RateLimited => {
                "Messages came too fast for too long; connect again after a random delay, and send less."
            }
            Self::SlowReader => "Messages were not read fast enough; connect again.",
            Self::ShuttingDown => "The server is stopping; connect again after a random delay.",
            Self::ClusterUnavailable => {
                "The server cannot ask the others whether the room has a place; connect again after a random delay."
            }
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        CODES.iter().find(|(_, known)| *known == text).map(|(code, _)| *code).ok_or(UnknownErrorCode)
    }
}
