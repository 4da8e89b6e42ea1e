//! A client of the wire protocol that knows docs/protocol.md alone, and a server process to talk to.

#![allow(unreachable_pub, reason = "shared by the test files")]
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod authority;
pub mod tls;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signal_srv::{Config, Limits, Server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub mod cluster;

/// Long enough for a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn room(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// A server for this machine alone.
pub async fn server() -> Server {
    server_with(Limits::default()).await
}

/// For tests that send as fast as they can, and are about something else.
pub fn unhurried() -> Limits {
    let unlimited = u32::MAX as usize;
    Limits {
        messages_per_second: unlimited,
        message_burst: unlimited,
        bytes_per_second: unlimited,
        byte_burst: unlimited,
        ..Limits::default()
    }
}

pub async fn server_with(limits: Limits) -> Server {
    Server::spawn(Config { limits, ..Config::default() }).await.unwrap()
}

/// Stops the server and checks the books: whoever came has left.
pub async fn stop(server: Server) {
    server.shutdown();
    let stats = within(server.join()).await.unwrap();
    assert_eq!(stats.joins, stats.leaves, "each join has one leave");
}

pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("something took too long")
}

#[derive(Debug)]
pub struct Client<S = MaybeTlsStream<TcpStream>> {
    pub socket: WebSocketStream<S>,
    pub id: String,
}

impl Client {
    /// Connects and takes the `HELLO`.
    pub async fn connect(server: &Server) -> Self {
        Self::connect_to(&format!("{}/ws", server.url().replacen("http", "ws", 1))).await
    }

    pub async fn connect_to(url: &str) -> Self {
        let (socket, _) = within(connect_async(url)).await.unwrap();
        Self::greeted(socket).await
    }

    pub async fn pair(server: &Server, room: &str) -> Self {
        let mut client = Self::connect(server).await;
        client.join(json!(room)).await;
        client
    }

    /// Joins a role room; the second part is the data of `JOINED`.
    pub async fn role(server: &Server, room: &str, role: &str) -> (Self, Value) {
        let mut client = Self::connect(server).await;
        let joined = client.join(json!({"room": room, "role": role})).await;
        (client, joined)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn greeted(socket: WebSocketStream<S>) -> Self {
        let mut client = Self { socket, id: String::new() };
        let hello = client.next().await;
        assert_eq!(hello["type"], "HELLO");
        client.id = hello["data"].as_str().unwrap().to_owned();
        client
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_message(Message::binary(message.to_string())).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// Joins and gives the data of `JOINED`.
    pub async fn join(&mut self, data: Value) -> Value {
        self.send(&json!({"type": "JOIN_OR_CREATE", "data": data})).await;
        let joined = self.next().await;
        assert_eq!(joined["type"], "JOINED", "{joined}");
        joined["data"].clone()
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        self.next_or_close().await.expect("the server closed the connection")
    }

    /// The next message, or the code with which the server closed.
    pub async fn next_or_close(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => return Ok(serde_json::from_slice(&bytes).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(other)) => panic!("the server sent {other:?}"),
                Some(Err(error)) => panic!("the connection broke instead of being closed: {error}"),
                None => return Err(None),
            }
        }
    }

    /// The next message is this one.
    pub async fn expect(&mut self, message: Value) {
        assert_eq!(self.next().await, message);
    }

    pub async fn expect_room(&mut self, event: &str, data: Value) {
        self.expect(json!({"type": "ROOM", "data": {"type": event, "data": data}})).await;
    }

    pub async fn expect_signal(&mut self, from: &str, signal: Value) {
        self.expect_room("SIGNAL", json!({"peer": from, "signal": signal})).await;
    }

    /// The next things are `ERROR` with this code, a close frame with that code, the end.
    pub async fn expect_refusal(mut self, code: &str, close: u16) {
        let error = self.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("ERROR"), &json!(code)), "{error}");
        assert!(!error["data"].as_str().unwrap().is_empty());
        assert_eq!(self.next_or_close().await, Err(Some(close)));
        assert!(within(self.socket.next()).await.is_none_or(|message| message.is_err()));
    }

    pub async fn close(mut self) {
        within(self.socket.close(None)).await.unwrap();
        while within(self.socket.next()).await.is_some_and(|message| message.is_ok()) {}
    }
}

/// Both are in one pair room, and the next thing that each hears is the other: nothing else has reached them.
pub async fn talk(one: &mut Client, other: &mut Client) {
    let signal = json!({"candidate": "c", "sdpMLineIndex": 0});
    one.send(&json!({"type": "SIGNAL", "data": signal})).await;
    other.expect_signal(&one.id, signal.clone()).await;
    other.send(&json!({"type": "SIGNAL", "data": signal})).await;
    one.expect_signal(&other.id, signal).await;
}

/// The same for a camera and a viewer of a role room.
pub async fn talk_in_roles(one: &mut Client, other: &mut Client) {
    let signal = json!({"candidate": "c", "sdpMLineIndex": 0});
    one.send(&json!({"type": "SIGNAL", "to": other.id, "data": signal})).await;
    other.expect_signal(&one.id, signal.clone()).await;
    other.send(&json!({"type": "SIGNAL", "to": one.id, "data": signal})).await;
    one.expect_signal(&other.id, signal).await;
}

/// The program itself, with its log.
#[derive(Debug)]
pub struct Program {
    pub child: Child,
    /// Its lines, read by a thread: a full pipe would stop the program.
    log: Receiver<String>,
    /// What was taken of the log so far.
    seen: String,
}

impl Program {
    pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signal-srv"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command
    }

    pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::spawn(Self::command(arguments))
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, log, seen: String::new() }
    }

    /// Reads the log up to a line with this in it. The end of the log fails the test.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else { panic!("no {text:?} in the log:\n{}", self.seen) };
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Where it listens.
    pub fn url(&mut self) -> String {
        let line = self.wait_for("listening");
        if let Ok(line) = serde_json::from_str::<Value>(&line) {
            return line["url"].as_str().unwrap().to_owned();
        }
        let url = line.split_once("url=").unwrap().1;
        url.split_whitespace().next().unwrap().to_owned()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// Reads the rest of the log and waits for the end.
    pub fn finish(mut self) -> (ExitStatus, String) {
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
