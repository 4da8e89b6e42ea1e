//! What somebody does who was greeted and then breaks the rules; and that the server does what it says about it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::SinkExt;
use signal_proto::limits::MESSAGE_BYTES;
use signal_proto::{ClientMessage, ErrorCode, Join, PeerId, RawValue, encode_client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::frame::{BINARY, CONTINUATION, FIN, PING, TEXT, frame, head, unmasked};
use crate::client::{Client, PATIENCE};

/// Ways to break the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mischief {
    /// Bytes that are no message.
    Rubbish,
    /// A message that is nearly one.
    Malformed,
    /// A text message.
    Text,
    /// What RFC 6455 forbids.
    Framing,
    /// A message that is too large: whole, in fragments, or announced only.
    TooLarge,
    /// A second `JOIN_OR_CREATE`.
    Again,
    /// Messages without end.
    Flood,
    /// Pings without end.
    Pings,
    /// Half a message, and nothing more.
    Half,
    /// A message byte by byte.
    Drip,
    /// Nothing is read any more.
    Deaf,
    /// The connection is reset.
    Reset,
    /// The connection ends without a word, in the middle of a frame.
    Torn,
    /// From one moment to the next no packet comes or goes.
    CutOff,
}

/// Where it was let in, and to whom it could speak; none if it has not joined.
pub(super) type Place = Option<(Join, Option<PeerId>)>;

/// From `HELLO` to `JOIN_OR_CREATE`, as the server has it by default.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// More than anybody may send in the time that a flood is borne.
const FLOOD: usize = 4000;

impl Mischief {
    /// Those that can be done everywhere.
    pub(super) const ALL: [Self; 13] = [
        Self::Rubbish,
        Self::Malformed,
        Self::Text,
        Self::Framing,
        Self::TooLarge,
        Self::Again,
        Self::Flood,
        Self::Pings,
        Self::Half,
        Self::Drip,
        Self::Deaf,
        Self::Reset,
        Self::Torn,
    ];

    pub(super) fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.usize(0..Self::ALL.len())]
    }

    /// The same, where packets can be dropped.
    pub(super) fn any_or_cut_off(rng: &mut Rng) -> Self {
        if rng.u8(0..8) == 0 { Self::CutOff } else { Self::any(rng) }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rubbish => "rubbish",
            Self::Malformed => "malformed message",
            Self::Text => "text message",
            Self::Framing => "forbidden frame",
            Self::TooLarge => "oversized message",
            Self::Again => "second join",
            Self::Flood => "flood",
            Self::Pings => "flood of pings",
            Self::Half => "half a message",
            Self::Drip => "message byte by byte",
            Self::Deaf => "slow reader",
            Self::Reset => "reset",
            Self::Torn => "torn frame",
            Self::CutOff => "cut off by the network",
        }
    }

    /// The answers that are right: the code, and that of the close frame. None at all: it does not wait for one.
    fn right_answers(self, has_joined: bool) -> &'static [(Option<ErrorCode>, Option<u16>)] {
        use ErrorCode as Code;
        const SILENT: (Option<ErrorCode>, Option<u16>) = (None, Some(1008));
        const LATE: (Option<ErrorCode>, Option<u16>) = (Some(Code::JoinTimeout), Some(1008));
        match (self, has_joined) {
            (Self::Rubbish, _) => &[(Some(Code::BadMessage), Some(1008))],
            (Self::Malformed, _) => &[
                (Some(Code::BadMessage), Some(1008)),
                (Some(Code::UnknownType), Some(1008)),
                (Some(Code::BadRoomId), Some(1008)),
            ],
            (Self::Text, _) => &[(Some(Code::TextMessage), Some(1003))],
            (Self::Framing, _) => &[(Some(Code::BadMessage), Some(1002))],
            (Self::TooLarge, _) => &[(Some(Code::MessageTooLarge), Some(1009))],
            (Self::Again, true) => &[(Some(Code::AlreadyJoined), Some(1008))],
            (Self::Again | Self::Flood, false) => &[(Some(Code::NotJoined), Some(1008))],
            (Self::Flood | Self::Pings, _) => &[(Some(Code::RateLimited), Some(1008))],
            (Self::Half, true) => &[SILENT],
            (Self::Half | Self::Deaf, false) => &[LATE],
            // Its socket takes nothing, so it may be closed without a word.
            (Self::Deaf, true) => &[(Some(Code::SlowReader), Some(1008)), SILENT, (None, None)],
            (Self::Drip | Self::Reset | Self::Torn | Self::CutOff, _) => &[],
        }
    }
}

/// Does it, to the end of the connection. Whoever does not read is told when it is gone.
pub(super) async fn misbehave(
    mischief: Mischief,
    mut client: Client,
    place: Place,
    gone: oneshot::Receiver<()>,
    mut rng: Rng,
) -> Result<()> {
    let has_joined = place.is_some();
    match mischief {
        Mischief::Rubbish => {
            let length = rng.usize(1..2000);
            // No JSON begins so.
            let bytes: Vec<u8> = std::iter::once(b'\x01').chain((0..length).map(|_| rng.u8(..))).collect();
            client.send(bytes.into()).await?;
        }
        Mischief::Malformed => {
            let message = malformed(&mut rng);
            client.send(Bytes::from(message)).await?;
        }
        Mischief::Text => {
            let sent = client.socket.send(Message::text(r#"{"type":"SIGNAL","data":{}}"#));
            timeout(PATIENCE, sent).await.context("a message is not taken in time")??;
        }
        Mischief::Framing => {
            let frame = forbidden(&mut rng);
            write(&mut client, &frame).await?;
        }
        Mischief::TooLarge => oversized(&mut client, &mut rng).await?,
        Mischief::Again => {
            let message = match place {
                Some((join, _)) => ClientMessage::JoinOrCreate(join),
                None => ClientMessage::Signal { to: None, signal: RawValue::NULL },
            };
            client.send(encode_client(&message)).await?;
        }
        Mischief::Flood => {
            let to = place.and_then(|(_, to)| to);
            let signal: &RawValue = serde_json::from_str("\"flood\"").context("not JSON")?;
            let to = match place {
                // In a room of roles everything has an addressee, be it one that is not there.
                Some((Join::Role { .. }, _)) => Some(to.unwrap_or(client.peer)),
                _ => None,
            };
            let message = frame(FIN | BINARY, &encode_client(&ClientMessage::Signal { to, signal }));
            pour(&mut client, &message.repeat(FLOOD)).await;
        }
        Mischief::Pings => pour(&mut client, &frame(FIN | PING, b"hello?").repeat(FLOOD)).await,
        Mischief::Half => write(&mut client, &frame(FIN | BINARY, &[b'{'; 200])[..rng.usize(1..150)]).await?,
        Mischief::Drip => return drip(client, rng).await,
        Mischief::Deaf if has_joined => {
            timeout(PATIENCE, gone).await.context("one that does not read is kept")?.context("nobody tells")?;
        }
        Mischief::Deaf => sleep(JOIN_TIMEOUT + Duration::from_millis(rng.u64(0..2000))).await,
        Mischief::CutOff => {
            // It is kept open: nothing of its end reaches the server.
            timeout(PATIENCE, gone).await.context("one that is cut off is kept")?.context("nobody tells")?;
            return Ok(());
        }
        Mischief::Reset => {
            client.socket.get_ref().get_ref().0.set_zero_linger().context("cannot ask for a reset")?;
            return Ok(());
        }
        Mischief::Torn => {
            // May be gone already.
            let _ = write(&mut client, &frame(FIN | BINARY, &[b'{'; 200])[..rng.usize(1..150)]).await;
            return Ok(());
        }
    }
    let (error, close) = client.end().await?;
    check(mischief, has_joined, error, close)
}

fn check(mischief: Mischief, has_joined: bool, error: Option<ErrorCode>, close: Option<u16>) -> Result<()> {
    let right = mischief.right_answers(has_joined);
    let is_right = right.contains(&(error, close));
    ensure!(
        right.is_empty() || is_right,
        "{mischief:?} is answered with {error:?} and {close:?}, not one of {right:?}"
    );
    Ok(())
}

/// Bytes as they are, past the library that would not send them.
async fn write(client: &mut Client, bytes: &[u8]) -> Result<()> {
    let stream = client.socket.get_mut();
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(PATIENCE, written).await.context("bytes are not taken in time")?.context("bytes are not taken")
}

/// The same, where the server may have had enough in the middle of it.
async fn pour(client: &mut Client, bytes: &[u8]) {
    let _ = write(client, bytes).await;
}

/// A message that nobody waits for the end of.
async fn drip(client: Client, mut rng: Rng) -> Result<()> {
    let (mut reader, mut writer) = tokio::io::split(client.socket.into_inner());
    let dripping = async {
        for byte in frame(FIN | BINARY, &[b'{'; 2000]) {
            if writer.write_all(&[byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            sleep(Duration::from_millis(rng.u64(50..200))).await;
        }
        // The end of the connection is the reader's to see.
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = dripping => {}
        // A reset is an end too.
        ended = timeout(PATIENCE, reader.read_to_end(&mut rest)) => drop(ended.context("the server lets it drip")?),
    }
    Ok(())
}

/// Nearly messages: JSON, and wrong.
fn malformed(rng: &mut Rng) -> String {
    let room = "5a".repeat(32);
    let all = [
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        r#"{"type":"SIGNAL"}"#.to_owned(),
        r#"{"type":"SIGNAL","data":1,"more":2}"#.to_owned(),
        r#"{"type":"SIGNAL","data":1,"data":2}"#.to_owned(),
        r#"{"type":"SIGNAL","data":{}}{}"#.to_owned(),
        r#"{"type":"SIGNAL","data":1,"to":"somebody"}"#.to_owned(),
        r#"{"type":"HELLO","data":""}"#.to_owned(),
        r#"{"type":"LEAVE"}"#.to_owned(),
        r#"{"type":"JOIN_OR_CREATE"}"#.to_owned(),
        r#"{"type":"JOIN_OR_CREATE","data":"5a5a"}"#.to_owned(),
        format!(r#"{{"type":"JOIN_OR_CREATE","data":"{}"}}"#, "zz".repeat(32)),
        format!(r#"{{"type":"JOIN_OR_CREATE","data":{{"room":"{room}","role":"owner"}}}}"#),
        format!(r#"{{"type":"JOIN_OR_CREATE","data":{{"room":"{room}"}}}}"#),
        format!(r#"{{"type":{}"SIGNAL"{},"data":1}}"#, "[".repeat(10_000), "]".repeat(10_000)),
        r#"{"type":"SIGNAL","data":"#.to_owned() + &"[".repeat(60_000),
    ];
    all[rng.usize(0..all.len())].clone()
}

/// What RFC 6455 forbids a client to send.
fn forbidden(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..9) {
        // §5.1
        0 => unmasked(FIN | BINARY, b"{}"),
        // §5.2: reserved bits, reserved opcodes
        1 => frame(FIN | 0x40 | BINARY, b"{}"),
        2 => frame(FIN | 0x3, b"{}"),
        3 => frame(FIN | 0xb, b""),
        // §5.4
        4 => frame(FIN | CONTINUATION, b"{}"),
        5 => [frame(BINARY, b"{"), frame(FIN | TEXT, b"}")].concat(),
        // §5.5
        6 => frame(PING, b""),
        7 => frame(FIN | PING, &[0; 126]),
        // §5.5.1
        _ => frame(FIN | 0x8, &[3]),
    }
}

/// More than a message may have.
async fn oversized(client: &mut Client, rng: &mut Rng) -> Result<()> {
    match rng.u8(0..4) {
        0 => write(client, &head(FIN | BINARY, 64 << 20)).await,
        1 => write(client, &head(FIN | BINARY, u64::MAX >> 1)).await,
        2 => {
            pour(client, &frame(FIN | BINARY, &vec![b' '; MESSAGE_BYTES + 1])).await;
            Ok(())
        }
        _ => {
            let piece = frame(CONTINUATION, &[b' '; 4096]);
            let rest = piece.repeat(MESSAGE_BYTES / 4096);
            pour(client, &[frame(BINARY, b" "), rest].concat()).await;
            Ok(())
        }
    }
}
