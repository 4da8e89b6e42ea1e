//! What clients of the different servers say.

use clap::ValueEnum;

/// A WebSocket opcode (RFC 6455 §5.2).
pub const BINARY: u8 = 2;

/// In front of the number of a signal, wherever a server puts it.
pub const NUMBER: &[u8] = b"\"number\":\"";
/// Digits of a number.
pub const DIGITS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// docs/protocol.md, pair mode
    Roomcam,
}

/// What a message of the server means to a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The first message: time to join.
    Hello { id: String },
    /// In the room.
    Joined,
    /// A signal of the other one, by its number.
    Signal { number: u64 },
    /// Something about the room.
    Other,
}

impl Dialect {
    /// The kind of message that clients send.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Roomcam => BINARY,
        }
    }

    /// Where the WebSocket is.
    pub fn path(self, _room: usize, _seat: usize) -> String {
        match self {
            Self::Roomcam => "/ws".to_owned(),
        }
    }

    /// What is sent after the first message; nothing, where that one means to be in already.
    pub fn join(self, room: usize) -> Option<String> {
        match self {
            Self::Roomcam => Some(format!(r#"{{"type":"JOIN_OR_CREATE","data":"{room:064x}"}}"#)),
        }
    }

    /// A signal of `size` bytes, number 0, to the other one in the room.
    pub fn signal(self, _from: &str, _to: &str, size: usize) -> String {
        let empty = r#"{"sdp":"","number":"0000000000000000"}"#.len();
        let filling = "v=0 ".repeat(size.saturating_sub(empty) / 4);
        let signal = format!(r#"{{"sdp":"{filling}","number":"{:0>DIGITS$}"}}"#, 0);
        match self {
            Self::Roomcam => format!(r#"{{"type":"SIGNAL","data":{signal}}}"#),
        }
    }

    /// Understands a message as far as this program has to.
    ///
    /// # Errors
    /// If the server says that the connection ends.
    pub fn hear(self, message: &[u8]) -> Result<Heard, String> {
        let begins = |start: &str| message.starts_with(start.as_bytes());
        Ok(match self {
            Self::Roomcam if begins(r#"{"type":"ROOM","data":{"type":"SIGNAL""#) => signal(message),
            Self::Roomcam if begins(r#"{"type":"HELLO""#) => Heard::Hello { id: String::new() },
            Self::Roomcam if begins(r#"{"type":"JOINED""#) => Heard::Joined,
            Self::Roomcam if begins(r#"{"type":"ERROR""#) => return Err(String::from_utf8_lossy(message).into_owned()),
            Self::Roomcam => Heard::Other,
        })
    }
}

fn signal(message: &[u8]) -> Heard {
    number(message).map_or(Heard::Other, |number| Heard::Signal { number })
}

/// Servers wrap a signal in little: its number is near the end.
fn number(message: &[u8]) -> Option<u64> {
    let tail = &message[message.len().saturating_sub(256)..];
    let at = tail.windows(NUMBER.len()).rposition(|window| window == NUMBER)? + NUMBER.len();
    std::str::from_utf8(tail.get(at..at + DIGITS)?).ok()?.parse().ok()
}
