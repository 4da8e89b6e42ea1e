//! What reaches a server on the open internet before there is a client: bytes that are no TLS, requests that are no WebSocket,
//! connections without a purpose. All of it ends by itself, and in time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use rustls::pki_types::ServerName;
use signal_proto::ErrorCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::ground::{CONNECTIONS_PER_ADDRESS, Ground, ROOMS_PER_ADDRESS, fresh_room};
use super::mischief::{Mischief, misbehave};
use crate::client::{Client, NAME, PATIENCE};

/// Kinds of strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Bytes that are no TLS.
    NoTls,
    /// A handshake with something wrong in it.
    BadHello,
    /// A handshake byte by byte.
    HelloDrip,
    /// A connection in which nothing is said.
    Silent,
    /// The same within TLS.
    SilentInTls,
    /// A request byte by byte.
    RequestDrip,
    /// Requests that are none.
    BadRequest,
    /// A page of somebody else.
    ForeignPage,
    /// Somebody who looks at the page, and goes in the middle of it.
    Visitor,
    /// A WebSocket that joins no room.
    Idler,
    /// One who breaks the rules before joining.
    Unjoined,
    /// More connections than an address may have.
    Hog,
    /// More rooms than an address may make.
    Builder,
    /// Three for two places.
    Race,
    /// The other kind of client in a room.
    WrongMode,
}

impl Stranger {
    pub(super) const ALL: [Self; 15] = [
        Self::NoTls,
        Self::BadHello,
        Self::HelloDrip,
        Self::Silent,
        Self::SilentInTls,
        Self::RequestDrip,
        Self::BadRequest,
        Self::ForeignPage,
        Self::Visitor,
        Self::Idler,
        Self::Unjoined,
        Self::Hog,
        Self::Builder,
        Self::Race,
        Self::WrongMode,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::NoTls => "no TLS",
            Self::BadHello => "bad handshake",
            Self::HelloDrip => "handshake byte by byte",
            Self::Silent => "silent connection",
            Self::SilentInTls => "silent connection in TLS",
            Self::RequestDrip => "request byte by byte",
            Self::BadRequest => "bad request",
            Self::ForeignPage => "foreign page",
            Self::Visitor => "visitor of the page",
            Self::Idler => "client that does not join",
            Self::Unjoined => "mischief before a join",
            Self::Hog => "too many connections",
            Self::Builder => "too many rooms",
            Self::Race => "race for the last place",
            Self::WrongMode => "client of the other mode",
        }
    }
}

/// One after the other, until it is time to leave; `tour`: these to begin with.
pub(super) async fn run(ground: &Ground, mut rng: Rng, tour: &[Stranger]) -> Result<()> {
    for stranger in tour {
        visit(*stranger, ground, &mut rng).await?;
    }
    while !ground.is_over() {
        let stranger = Stranger::ALL[rng.usize(0..Stranger::ALL.len())];
        visit(stranger, ground, &mut rng).await?;
        super::ground::pause(&mut rng, 10..200).await;
    }
    Ok(())
}

async fn visit(stranger: Stranger, ground: &Ground, rng: &mut Rng) -> Result<()> {
    ground.tally.count(stranger.name());
    let visit = async {
        match stranger {
            Stranger::NoTls => no_tls(ground, rng).await,
            Stranger::BadHello => bad_hello(ground, rng).await,
            Stranger::HelloDrip => {
                let stream = ground.door.stream(ground.address()).await?;
                drip(stream, &hello()?, rng).await
            }
            Stranger::Silent => to_the_end(ground.door.stream(ground.address()).await?).await.map(drop),
            Stranger::SilentInTls => to_the_end(ground.door.secured(ground.address()).await?).await.map(drop),
            Stranger::RequestDrip => {
                let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nX: {}\r\n\r\n", "y".repeat(4000));
                drip(ground.door.secured(ground.address()).await?, request.as_bytes(), rng).await
            }
            Stranger::BadRequest => bad_request(ground, rng).await,
            Stranger::ForeignPage => foreign_page(ground).await,
            Stranger::Visitor => visitor(ground, rng).await,
            Stranger::Idler => idler(ground).await,
            Stranger::Unjoined => {
                let (mischief, client) = (Mischief::any(rng), ground.client(ground.address()).await?);
                // Nobody tells it when it is gone: it has joined nothing.
                let (_tell, gone) = oneshot::channel();
                misbehave(mischief, client, None, gone, rng.fork()).await
            }
            Stranger::Hog => hog(ground).await,
            Stranger::Builder => builder(ground, rng).await,
            Stranger::Race => race(ground, rng).await,
            Stranger::WrongMode => wrong_mode(ground, rng).await,
        }
    };
    visit.await.with_context(|| stranger.name().to_owned())
}

/// Reads to the end, which is the server's to make.
async fn to_the_end(mut stream: impl AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    // A reset, and an end of TLS without its alert, are ends too.
    drop(timeout(PATIENCE, stream.read_to_end(&mut all)).await.context("the server does not end the connection")?);
    Ok(all)
}

/// Writes byte by byte, too slowly for anybody to wait for it.
async fn drip(stream: impl AsyncRead + tokio::io::AsyncWrite, bytes: &[u8], rng: &mut Rng) -> Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let dripping = async {
        for byte in bytes {
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            sleep(Duration::from_millis(rng.u64(100..300))).await;
        }
        // The end of the connection is the reader's to see.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = dripping => Ok(()),
        ended = to_the_end(reader) => ended.map(drop),
    }
}

async fn no_tls(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let mut stream = ground.door.stream(ground.address()).await?;
    let bytes: Vec<u8> = match rng.u8(0..4) {
        0 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        1 => (0..rng.usize(1..5000)).map(|_| rng.u8(..)).collect(),
        // A record of TLS, with nothing of it inside.
        2 => [0x16, 3, 1, 0x40, 0].into_iter().chain((0..0x4000).map(|_| rng.u8(..))).collect(),
        _ => vec![0x16; rng.usize(1..5000)],
    };
    // The server may have had enough in the middle of it.
    let _ = timeout(PATIENCE, stream.write_all(&bytes)).await.context("bytes are not taken in time")?;
    to_the_end(stream).await.map(drop)
}

/// The first bytes of a client.
fn hello() -> Result<Vec<u8>> {
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(config.into(), ServerName::try_from(NAME)?)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    Ok(bytes)
}

async fn bad_hello(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let mut stream = ground.door.stream(ground.address()).await?;
    let mut bytes = hello()?;
    match rng.u8(0..3) {
        0 => bytes.truncate(rng.usize(1..bytes.len())),
        1 => {
            for _ in 0..rng.u8(1..5) {
                let at = rng.usize(0..bytes.len());
                bytes[at] = rng.u8(..);
            }
        }
        // The server's answer is not taken up.
        _ => {}
    }
    let _ = timeout(PATIENCE, stream.write_all(&bytes)).await.context("bytes are not taken in time")?;
    if rng.bool() {
        return Ok(());
    }
    to_the_end(stream).await.map(drop)
}

async fn bad_request(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let host = "Host: localhost\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let requests = [
        (format!("GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n"), "404"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("\r\n\r\n\r\n\r\nwhat?\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(9000)), "431"),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(100)), "431"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 100000000000\r\n\r\nx"), "405"),
        (format!("GET /ws HTTP/1.1\r\n{host}{upgrade}{key}\r\n"), "426"),
        (format!("GET /ws HTTP/1.1\r\n{host}{upgrade}Sec-WebSocket-Version: 12\r\n{key}\r\n"), "426"),
        (format!("GET /ws HTTP/1.1\r\n{host}{upgrade}Sec-WebSocket-Version: 13\r\n\r\n"), "426"),
        (format!("DELETE /index.html HTTP/1.1\r\n{host}\r\n"), "405"),
    ];
    let (request, status) = &requests[rng.usize(0..requests.len())];
    let mut stream = ground.door.secured(ground.address()).await?;
    let sent = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    };
    let _ = timeout(PATIENCE, sent).await.context("a request is not taken in time")?;
    let answer = to_the_end(stream).await?;
    let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    ensure!(
        head == format!("HTTP/1.1 {status}"),
        "{:?} is answered with {head:?}, not {status}",
        &request[..request.len().min(60)]
    );
    Ok(())
}

async fn foreign_page(ground: &Ground) -> Result<()> {
    let mut stream = ground.door.secured(ground.address()).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {NAME}\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    timeout(PATIENCE, stream.write_all(request.as_bytes())).await.context("a request is not taken in time")??;
    let answer = to_the_end(stream).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 403"), "a foreign page is let in");
    Ok(())
}

async fn visitor(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let mut stream = ground.door.secured(ground.address()).await?;
    for _ in 0..rng.u8(1..5) {
        let path = ["/", "/index.html", "/healthz", "/readyz", "/nothing"][rng.usize(0..5)];
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        timeout(PATIENCE, stream.write_all(request.as_bytes())).await.context("a request is not taken in time")??;
        let mut some = [0; 512];
        let read = timeout(PATIENCE, stream.read(&mut some)).await.context("no answer in time")??;
        ensure!(read > 0, "no answer");
    }
    Ok(())
}

async fn idler(ground: &Ground) -> Result<()> {
    let mut client = ground.client(ground.address()).await?;
    let end = client.end().await?;
    ensure!(end == (Some(ErrorCode::JoinTimeout), Some(1008)), "one that joins nothing is answered with {end:?}");
    Ok(())
}

async fn hog(ground: &Ground) -> Result<()> {
    let from = ground.address();
    let mut open = Vec::new();
    let begun = Instant::now();
    while let Ok(socket) = ground.door.socket(from).await {
        open.push(socket);
        ensure!(open.len() <= CONNECTIONS_PER_ADDRESS, "an address has more connections than it may");
    }
    // Those that came first may have been refused meanwhile, for they join nothing.
    let all_there = begun.elapsed() > Duration::from_secs(4) || open.len() == CONNECTIONS_PER_ADDRESS;
    ensure!(all_there, "an address is refused with {} connections", open.len());
    Ok(())
}

async fn builder(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let from = ground.address();
    let mut inside = Vec::new();
    for number in 1..=ROOMS_PER_ADDRESS + 1 {
        let mut client = ground.client(from).await?;
        let room = fresh_room(rng);
        let join = if rng.bool() {
            signal_proto::Join::Pair { room }
        } else {
            signal_proto::Join::Role { room, role: signal_proto::Role::Viewer }
        };
        let is_one_too_many = number > ROOMS_PER_ADDRESS;
        match client.join(join).await? {
            Ok(_) => ensure!(!is_one_too_many, "an address makes more rooms than it may"),
            Err(ErrorCode::TooManyRooms) if is_one_too_many => {}
            Err(code) => bail!("room {number} of an address is refused: {code}"),
        }
        inside.push(client);
    }
    Ok(())
}

/// Two are let in, whoever they are, and the third is told why not.
async fn race(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let (room, from) = (fresh_room(rng), ground.address());
    let enter = async || -> Result<_> {
        let mut client = ground.client(from).await?;
        let answer = client.join(signal_proto::Join::Pair { room }).await?;
        Ok((client, answer))
    };
    let (a, b, c) = tokio::join!(enter(), enter(), enter());
    let all = [a?, b?, c?];
    let let_in = all.iter().filter(|(_, answer)| answer.is_ok()).count();
    let full = all.iter().filter(|(_, answer)| matches!(answer, Err(ErrorCode::RoomFull))).count();
    ensure!((let_in, full) == (2, 1), "of three for two places {let_in} are let in, {full} are told that it is full");
    Ok(())
}

async fn wrong_mode(ground: &Ground, rng: &mut Rng) -> Result<()> {
    let (room, from) = (fresh_room(rng), ground.address());
    let joins =
        [signal_proto::Join::Pair { room }, signal_proto::Join::Role { room, role: signal_proto::Role::Camera }];
    let first = rng.usize(0..2);
    let mut there = ground.client(from).await?;
    ensure!(there.join(joins[first]).await?.is_ok(), "the first is not let in");
    let mut other: Client = ground.client(from).await?;
    let answer = other.join(joins[1 - first]).await?;
    ensure!(matches!(answer, Err(ErrorCode::RoomMode)), "a client of the other mode is answered with {answer:?}");
    Ok(())
}
