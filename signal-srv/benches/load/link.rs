//! One WebSocket of a client, as cheap as can be: the generator must not be what is measured.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dialect::{DIGITS, NUMBER};
use crate::tls;

pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
const PONG: u8 = 10;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const CONNECT: Duration = Duration::from_secs(60);

pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Target {
    pub server: SocketAddr,
    pub tls: Option<TlsConnector>,
    /// Bytes that the kernel takes in for a client that does not read; its own choice, unless given.
    pub receive_buffer: Option<u32>,
}

type Boxed = Box<dyn Stream>;

pub struct Link {
    stream: Boxed,
    received: BytesMut,
}

/// A message or control frame of the server; it does not fragment.
pub struct Frame {
    pub opcode: u8,
    pub payload: Bytes,
}

/// A message as it goes over the wire, of which only the number changes.
#[derive(Debug, Clone)]
pub struct Prepared {
    frame: Vec<u8>,
    number_at: usize,
}

impl Target {
    /// A connection without a WebSocket.
    pub async fn reach(&self, client: usize, source: Ipv4Addr) -> io::Result<Link> {
        let socket = TcpSocket::new_v4()?;
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        socket.bind(SocketAddr::from((source, 0)))?;
        let stream = socket.connect(self.server).await?;
        stream.set_nodelay(true)?;
        let stream: Boxed = match &self.tls {
            None => Box::new(stream),
            Some(connector) => {
                let name = tls::name(client).map_err(io::Error::other)?;
                Box::new(connector.connect(name, stream).await?)
            }
        };
        Ok(Link { stream, received: BytesMut::new() })
    }

    pub async fn connect(&self, client: usize, source: Ipv4Addr, path: &str) -> io::Result<Link> {
        let attempt = async {
            let mut link = self.reach(client, source).await?;
            link.upgrade(path).await?;
            Ok(link)
        };
        timeout(CONNECT, attempt).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl Link {
    /// The opening handshake; the answer's proof is not this program's business.
    async fn upgrade(&mut self, path: &str) -> io::Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.write(request.as_bytes()).await?;
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.received.split_to(end + 4);
                if head.starts_with(b"HTTP/1.1 101") {
                    return Ok(());
                }
                let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                return Err(io::Error::other(line));
            }
            self.read().await?;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn read(&mut self) -> io::Result<()> {
        self.received.reserve(4096);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next frame. Nothing is lost if this is dropped half-way.
    pub async fn next(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = parse(&mut self.received) {
                if self.received.is_empty() {
                    self.received = BytesMut::new();
                }
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    pub async fn send(&mut self, message: &Prepared) -> io::Result<()> {
        self.write(&message.frame).await
    }

    /// The bare stream.
    pub fn split(self) -> (ReadHalf<Boxed>, WriteHalf<Boxed>) {
        tokio::io::split(self.stream)
    }

    /// Sends it with the next [`flush`](Self::flush), if not before.
    pub async fn put(&mut self, message: &Prepared) -> io::Result<()> {
        self.stream.write_all(&message.frame).await
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    pub async fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        self.write(&frame(PONG, payload)).await
    }
}

impl Prepared {
    pub fn new(opcode: u8, message: &str) -> Self {
        let header = frame(opcode, message.as_bytes()).len() - message.len();
        let number_at = message.bytes().rposition(|byte| byte == NUMBER).map_or(0, |at| header + at + 1);
        Self { frame: frame(opcode, message.as_bytes()), number_at }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// Writes the number into the masked bytes.
    pub fn number(&mut self, number: u64) {
        let length = self.frame.len();
        let header = header_length(length);
        let mut rest = number;
        for at in (self.number_at..self.number_at + DIGITS).rev() {
            self.frame[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            self.frame[at] ^= MASK[(at - header) % 4];
            rest /= 10;
        }
    }
}

/// Of a masked frame that is so long altogether.
const fn header_length(frame: usize) -> usize {
    if frame <= 6 + 125 { 6 } else { 8 }
}

/// A whole masked frame (RFC 6455 §5.2), of up to 65,535 bytes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Takes a frame off the front, if it is all there.
fn parse(received: &mut BytesMut) -> Option<Frame> {
    let (first, second) = (*received.first()?, *received.get(1)?);
    let (header, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*received.get(2)?, *received.get(3)?]))),
        127 => {
            let length: [u8; 8] = received.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    if received.len() < header + length {
        return None;
    }
    received.advance(header);
    Some(Frame { opcode: first & 0x0f, payload: received.split_to(length).freeze() })
}
