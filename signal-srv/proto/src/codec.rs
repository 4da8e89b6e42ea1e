//! JSON in, messages out, and back.
//!
//! Messages are decoded in two steps: the envelope with its `data` left raw, then `data` by `type`.
//! That keeps the signal borrowed and the order of `type` and `data` free, which `serde`'s own
//! adjacent tagging does not.
//!
//! Strictness is one-sided: what clients send must match exactly (unknown members are an error),
//! what the server sends may carry members that a client does not know yet.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::limits::MESSAGE_BYTES;
use crate::{ClientMessage, ErrorCode, Join, Joined, PeerId, Role, RoomEvent, RoomId, ServerMessage};

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MESSAGE_BYTES`].
    #[error("the message has {0} bytes, {MESSAGE_BYTES} are allowed")]
    TooLarge(usize),
    /// Not JSON, not an object, a member missing, unknown, twice or of the wrong type.
    #[error("the message is malformed: {0}")]
    Malformed(#[source] serde_json::Error),
    /// `type` is none of this direction.
    #[error("the message type is unknown")]
    UnknownType,
    /// `data` has the wrong shape for its `type`.
    #[error("the data of {message} is malformed: {source}")]
    Data {
        /// The `type`.
        message: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The room is not 64 hex digits.
    #[error("the room id is malformed: {0}")]
    RoomId(#[source] crate::IdError),
    /// A member that this `type` has, or has not.
    #[error("{message} must {must}")]
    Member {
        /// The `type`.
        message: &'static str,
        /// What it must have or not have.
        must: &'static str,
    },
}

impl DecodeError {
    /// The code with which a server answers such a message.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge(_) => ErrorCode::MessageTooLarge,
            Self::UnknownType => ErrorCode::UnknownType,
            Self::RoomId(_) => ErrorCode::BadRoomId,
            Self::Malformed(_) | Self::Data { .. } | Self::Member { .. } => ErrorCode::BadMessage,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    to: Option<PeerId>,
}

/// A member that is there, `null` included: to the server `null` is a signal like any other.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleJoin<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    role: Role,
}

/// Reads what a client sent.
///
/// # Errors
/// Whatever is not exactly one documented client message of at most [`MESSAGE_BYTES`].
pub fn decode_client(bytes: &[u8]) -> Result<ClientMessage<'_>, DecodeError> {
    let envelope: ClientEnvelope<'_> = envelope(bytes)?;
    match &*envelope.kind {
        "JOIN_OR_CREATE" => {
            let message = "JOIN_OR_CREATE";
            if envelope.to.is_some() {
                return Err(DecodeError::Member { message, must: "not have \"to\"" });
            }
            join(data(message, envelope.data)?).map(ClientMessage::JoinOrCreate)
        }
        "SIGNAL" => Ok(ClientMessage::Signal { to: envelope.to, signal: data("SIGNAL", envelope.data)? }),
        _ => Err(DecodeError::UnknownType),
    }
}

fn join(data: &RawValue) -> Result<Join, DecodeError> {
    let malformed = |source| DecodeError::Data { message: "JOIN_OR_CREATE", source };
    if data.get().starts_with('"') {
        let room: Cow<'_, str> = parse(data).map_err(malformed)?;
        Ok(Join::Pair { room: room.parse().map_err(DecodeError::RoomId)? })
    } else {
        let RoleJoin { room, role } = parse(data).map_err(malformed)?;
        Ok(Join::Role { room: room.parse().map_err(DecodeError::RoomId)?, role })
    }
}

#[derive(Deserialize)]
struct ServerEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RoomEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: RoomData<'a>,
}

#[derive(Deserialize)]
struct RoomData<'a> {
    peer: PeerId,
    role: Option<Role>,
    #[serde(borrow, default, deserialize_with = "present")]
    signal: Option<&'a RawValue>,
}

/// Reads what the server sent.
///
/// # Errors
/// Whatever is not a documented server message of at most [`MESSAGE_BYTES`] plus the relay's envelope.
pub fn decode_server(bytes: &[u8]) -> Result<ServerMessage<'_>, DecodeError> {
    let envelope: ServerEnvelope<'_> = parse_within(bytes, MESSAGE_BYTES + RELAY_ENVELOPE_BYTES)?;
    match &*envelope.kind {
        "HELLO" => typed("HELLO", data("HELLO", envelope.data)?).map(ServerMessage::Hello),
        "JOINED" => {
            let joined = envelope.data.map(|data| typed::<Joined>("JOINED", data)).transpose()?;
            Ok(ServerMessage::Joined(joined))
        }
        "ROOM" => room_event(typed("ROOM", data("ROOM", envelope.data)?)?).map(ServerMessage::Room),
        "ERROR" => Ok(ServerMessage::Error {
            // A code that is newer than this program still is an error.
            code: envelope.code.and_then(|code| code.parse().ok()).unwrap_or(ErrorCode::BadMessage),
            text: typed("ERROR", data("ERROR", envelope.data)?)?,
        }),
        _ => Err(DecodeError::UnknownType),
    }
}

/// What the server wraps around a signal when it relays it, at most, in bytes.
const RELAY_ENVELOPE_BYTES: usize = 256;

/// Most messages without a signal are shorter.
const SMALL_MESSAGE_BYTES: usize = 256;

fn room_event(event: RoomEnvelope<'_>) -> Result<RoomEvent<'_>, DecodeError> {
    let RoomData { peer, role, signal } = event.data;
    match &*event.kind {
        "JOIN" => Ok(RoomEvent::Join { peer, role }),
        "LEAVE" => Ok(RoomEvent::Leave { peer }),
        "SIGNAL" => {
            let signal = signal.ok_or(DecodeError::Member { message: "ROOM/SIGNAL", must: "have \"signal\"" })?;
            Ok(RoomEvent::Signal { peer, signal })
        }
        _ => Err(DecodeError::UnknownType),
    }
}

fn envelope<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    parse_within(bytes, MESSAGE_BYTES)
}

fn parse_within<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(DecodeError::Malformed)
}

fn data<'a>(message: &'static str, data: Option<&'a RawValue>) -> Result<&'a RawValue, DecodeError> {
    data.ok_or(DecodeError::Member { message, must: "have \"data\"" })
}

fn typed<'a, T: Deserialize<'a>>(message: &'static str, data: &'a RawValue) -> Result<T, DecodeError> {
    parse(data).map_err(|source| DecodeError::Data { message, source })
}

fn parse<'a, T: Deserialize<'a>>(data: &'a RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(data.get())
}

#[derive(Serialize)]
struct Tagged<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Addressed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PeerId>,
    data: &'a RawValue,
}

#[derive(Serialize)]
struct RoleJoinOut {
    room: RoomId,
    role: Role,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a str,
    code: &'static str,
}

#[derive(Serialize)]
struct PeerOut {
    peer: PeerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
}

#[derive(Serialize)]
struct SignalOut<'a> {
    peer: PeerId,
    signal: &'a RawValue,
}

/// Writes what a client sends.
pub fn encode_client(message: &ClientMessage<'_>) -> Bytes {
    match message {
        ClientMessage::JoinOrCreate(Join::Pair { room }) => tagged("JOIN_OR_CREATE", room),
        ClientMessage::JoinOrCreate(Join::Role { room, role }) => {
            tagged("JOIN_OR_CREATE", RoleJoinOut { room: *room, role: *role })
        }
        ClientMessage::Signal { to, signal } => {
            json(&Addressed { kind: "SIGNAL", to: *to, data: signal }, signal.get().len() + SMALL_MESSAGE_BYTES)
        }
    }
}

/// Writes what the server sends: once, for however many receivers ([`Bytes`] is shared).
pub fn encode_server(message: &ServerMessage<'_>) -> Bytes {
    match message {
        ServerMessage::Hello(peer) => tagged("HELLO", peer),
        ServerMessage::Joined(None) => Bytes::from_static(br#"{"type":"JOINED"}"#),
        ServerMessage::Joined(Some(joined)) => tagged("JOINED", joined),
        ServerMessage::Room(RoomEvent::Join { peer, role }) => {
            room("JOIN", PeerOut { peer: *peer, role: *role }, SMALL_MESSAGE_BYTES)
        }
        ServerMessage::Room(RoomEvent::Leave { peer }) => {
            room("LEAVE", PeerOut { peer: *peer, role: None }, SMALL_MESSAGE_BYTES)
        }
        ServerMessage::Room(RoomEvent::Signal { peer, signal }) => {
            room("SIGNAL", SignalOut { peer: *peer, signal }, SIGNAL_ENVELOPE.len() + signal.get().len())
        }
        ServerMessage::Error { code, text } => {
            json(&ErrorOut { kind: "ERROR", data: text, code: code.as_str() }, SMALL_MESSAGE_BYTES)
        }
    }
}

/// What a relayed signal travels in. Every id is as long as this one.
const SIGNAL_ENVELOPE: &str =
    r#"{"type":"ROOM","data":{"type":"SIGNAL","data":{"peer":"00000000-0000-0000-0000-000000000000","signal":}}}"#;

fn tagged(kind: &'static str, data: impl Serialize) -> Bytes {
    json(&Tagged { kind, data }, SMALL_MESSAGE_BYTES)
}

fn room(kind: &'static str, data: impl Serialize, length: usize) -> Bytes {
    json(&Tagged { kind: "ROOM", data: Tagged { kind, data } }, length)
}

/// `length` is what is expected. Where it is right the message takes one allocation: [`Bytes`] of a vector that is full needs
/// no other for its counter.
fn json(value: &impl Serialize, length: usize) -> Bytes {
    let mut buffer = Vec::with_capacity(length);
    serde_json::to_writer(&mut buffer, value).expect("a message serializes");
    Bytes::from(buffer)
}
