//! What clients of the different servers say: how two of them come together, and how one signals to the other.

use clap::ValueEnum;

/// WebSocket opcodes (RFC 6455 §5.2).
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// In front of the number of a signal, which ends its SDP.
pub const NUMBER: u8 = b'#';
/// Digits of a number.
pub const DIGITS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// docs/protocol.md, pair mode
    Roomcam,
    /// PeerJS: each signal names its addressee
    Peerjs,
    /// GStreamer's signalling server: a consumer starts a session with a producer
    Gstreamer,
    /// matchbox: rooms by path, signals by id
    Matchbox,
}

/// What a client does to get into its room once it is connected.
#[derive(Debug, PartialEq, Eq)]
pub enum Join {
    /// It is in already.
    Done,
    /// It says this.
    Say(String),
    /// It waits until the other one is there, and says this with the other one's id in place of `{}`.
    Follow(&'static str),
}

/// What a message of the server means to a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The first message, with the client's id where that is needed.
    Hello { id: String },
    /// In the room; with the name of what the two have together, where that is needed.
    Joined { session: String },
    /// The other one was not ready.
    Again,
    /// A signal of the other one, by its number.
    Signal { number: u64 },
    /// Something about the room.
    Other,
}

/// Who sends a signal to whom.
#[derive(Debug)]
pub struct Way<'a> {
    pub room: usize,
    pub seat: usize,
    /// Id of the other one.
    pub to: &'a str,
    pub session: &'a str,
}

impl Dialect {
    /// The kind of message that clients send.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Roomcam => BINARY,
            Self::Peerjs | Self::Gstreamer | Self::Matchbox => TEXT,
        }
    }

    /// Where the WebSocket is.
    pub fn path(self, room: usize, seat: usize) -> String {
        match self {
            Self::Roomcam => "/ws".to_owned(),
            Self::Peerjs => format!("/peerjs?key=peerjs&id=r{room}s{seat}&token=t"),
            Self::Gstreamer => "/".to_owned(),
            Self::Matchbox => format!("/r{room}"),
        }
    }

    /// What comes after the first message.
    pub fn join(self, room: usize, seat: usize) -> Join {
        match (self, seat) {
            (Self::Roomcam, _) => Join::Say(format!(r#"{{"type":"JOIN_OR_CREATE","data":"{room:064x}"}}"#)),
            (Self::Peerjs | Self::Matchbox, _) => Join::Done,
            (Self::Gstreamer, 0) => Join::Say(r#"{"type":"setPeerStatus","roles":["producer"]}"#.to_owned()),
            (Self::Gstreamer, _) => Join::Follow(r#"{"type":"startSession","peerId":"{}"}"#),
        }
    }

    /// A signal of about `size` bytes, number 0.
    pub fn signal(self, way: &Way<'_>, size: usize) -> String {
        let filling = "v=0 ".repeat(size.saturating_sub(DIGITS) / 4);
        let sdp = format!("{filling}{}{:0>DIGITS$}", char::from(NUMBER), 0);
        let Way { room, seat, to, session } = way;
        match self {
            Self::Roomcam => format!(r#"{{"type":"SIGNAL","data":{{"type":"offer","sdp":"{sdp}"}}}}"#),
            Self::Peerjs => {
                format!(r#"{{"type":"OFFER","dst":"r{room}s{}","payload":{{"sdp":"{sdp}"}}}}"#, seat ^ 1)
            }
            Self::Gstreamer => {
                // Only a producer may offer.
                let kind = if *seat == 0 { "offer" } else { "answer" };
                format!(r#"{{"type":"peer","sessionId":"{session}","sdp":{{"type":"{kind}","sdp":"{sdp}"}}}}"#)
            }
            Self::Matchbox => format!(r#"{{"Signal":{{"receiver":"{to}","data":{{"sdp":"{sdp}"}}}}}}"#),
        }
    }

    /// Understands a message as far as this program has to.
    ///
    /// # Errors
    /// If the server says that the connection ends.
    pub fn hear(self, message: &[u8]) -> Result<Heard, String> {
        let begins = |start: &str| message.starts_with(start.as_bytes());
        let hello = |key| Heard::Hello { id: text(message, key) };
        Ok(match self {
            Self::Roomcam if begins(r#"{"type":"ROOM","data":{"type":"SIGNAL""#) => signal(message),
            Self::Roomcam if begins(r#"{"type":"HELLO""#) => hello("data"),
            Self::Roomcam if begins(r#"{"type":"JOINED""#) => Heard::Joined { session: String::new() },
            Self::Roomcam | Self::Peerjs if begins(r#"{"type":"ERROR""#) => return Err(shown(message)),
            Self::Peerjs if begins(r#"{"type":"OFFER""#) => signal(message),
            Self::Peerjs if begins(r#"{"type":"OPEN""#) => hello("type"),
            Self::Gstreamer if begins(r#"{"type":"peer""#) => signal(message),
            Self::Gstreamer if begins(r#"{"type":"welcome""#) => hello("peerId"),
            Self::Gstreamer if begins(r#"{"type":"startSession""#) || begins(r#"{"type":"sessionStarted""#) => {
                Heard::Joined { session: text(message, "sessionId") }
            }
            Self::Gstreamer if begins(r#"{"type":"error""#) => Heard::Again,
            Self::Matchbox if begins(r#"{"Signal""#) => signal(message),
            Self::Matchbox if begins(r#"{"IdAssigned""#) => hello("IdAssigned"),
            _ => Heard::Other,
        })
    }
}

fn shown(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

/// The text behind a key; nothing, if it is not there.
fn text(message: &[u8], key: &str) -> String {
    let key = format!("\"{key}\":\"");
    let message = shown(message);
    let value = message.split_once(&key).and_then(|(_, rest)| rest.split_once('"'));
    value.map(|(value, _)| value.to_owned()).unwrap_or_default()
}

/// Servers wrap a signal in little: its number is near the end.
fn signal(message: &[u8]) -> Heard {
    let tail = &message[message.len().saturating_sub(256)..];
    let digits = tail.iter().rposition(|byte| *byte == NUMBER).and_then(|at| tail.get(at + 1..at + 1 + DIGITS));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.map_or(Heard::Other, |number| Heard::Signal { number })
}
