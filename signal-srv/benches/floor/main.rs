//! The floor: what the libraries under `signal-srv` cost when nothing else is done with them.
//!
//! tokio-tungstenite over tokio-rustls with a read buffer of 4 KiB, rooms of two in a map, a signal passed on by
//! cutting it out of its message. No limits, no metrics, no log, no page, no JSON. It speaks as much of
//! docs/protocol.md as `load` says; `cargo xtask bench signal` measures both servers in one run.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Messages of up to 64 KiB and their envelope, as `signal-srv` has it.
const MESSAGE_BYTES: usize = 65_536;
const HANDSHAKES: Duration = Duration::from_secs(30);
/// Messages that wait for one client; one more is thrown away.
const WAITING: usize = 64;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    /// Certificate chain, PEM; without it nothing is encrypted
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
}

/// Who is in a room: an id, and where to put what goes there.
type Place = (String, Sender<Bytes>);
type Rooms = Arc<Mutex<HashMap<String, Vec<Place>>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let acceptor = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => Some(acceptor(cert, key)?),
        _ => None,
    };
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(arguments.listen)?;
    let listener = socket.listen(4096)?;
    eprintln!("listening url={}", listener.local_addr()?);
    let rooms = Rooms::default();
    let mut connections = 0_u64;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections += 1;
        let id = format!("{connections:08x}-0000-0000-0000-000000000000");
        let (acceptor, rooms) = (acceptor.clone(), Arc::clone(&rooms));
        tokio::spawn(async move {
            // Whatever ends it, only this connection ends.
            let _ = accept(stream, acceptor, id, rooms).await;
        });
    }
}

fn acceptor(cert: &PathBuf, key: &PathBuf) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert).context("certificate")?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key).context("key")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(stream: TcpStream, acceptor: Option<TlsAcceptor>, id: String, rooms: Rooms) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    // In boxes what the handshakes need is gone when they are through, and not a part of the task for ever.
    match acceptor {
        Some(acceptor) => {
            let stream = Box::pin(timeout(HANDSHAKES, acceptor.accept(stream))).await??;
            Box::pin(serve(stream, id, rooms)).await
        }
        None => Box::pin(serve(stream, id, rooms)).await,
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, id: String, rooms: Rooms) -> anyhow::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_BYTES + 8192)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let mut socket = Box::pin(timeout(HANDSHAKES, accept_async_with_config(stream, Some(config)))).await??;
    socket.send(Message::binary(format!(r#"{{"type":"HELLO","data":"{id}"}}"#))).await?;
    let Some(Message::Binary(message)) = socket.next().await.transpose()? else { return Ok(()) };
    let Some(room) = between(&message, br#"{"type":"JOIN_OR_CREATE","data":""#, b"\"}") else { return Ok(()) };
    let room = String::from_utf8(room.to_vec())?;
    let (sender, mut inbox) = channel(WAITING);
    enter(&rooms, &room, &id, sender);
    let outcome = async {
        socket.send(Message::binary(Bytes::from_static(br#"{"type":"JOINED"}"#))).await?;
        loop {
            match either(&mut socket, &mut inbox).await {
                Some(Ok(Message::Binary(message))) => {
                    if let Some(signal) = between(&message, br#"{"type":"SIGNAL","data":"#, b"}") {
                        relay(&rooms, &room, &id, signal);
                    }
                }
                Some(Ok(Message::Frame(_) | Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }
    .await;
    leave(&rooms, &room, &id);
    outcome
}

/// The next message of the client; meanwhile what is for it is sent.
async fn either<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut tokio_tungstenite::WebSocketStream<S>,
    inbox: &mut Receiver<Bytes>,
) -> Option<anyhow::Result<Message>> {
    loop {
        tokio::select! {
            incoming = socket.next() => return incoming.map(|message| message.map_err(Into::into)),
            Some(message) = inbox.recv() => {
                if let Err(error) = socket.send(Message::Binary(message)).await {
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

fn between<'a>(message: &'a [u8], start: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    message.strip_prefix(start)?.strip_suffix(end)
}

fn enter(rooms: &Rooms, room: &str, id: &str, sender: Sender<Bytes>) {
    let event = format!(r#"{{"type":"ROOM","data":{{"type":"JOIN","data":{{"peer":"{id}"}}}}}}"#);
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    let places = rooms.entry(room.to_owned()).or_default();
    tell(places, id, &event.into());
    places.push((id.to_owned(), sender));
}

fn leave(rooms: &Rooms, room: &str, id: &str) {
    let event = format!(r#"{{"type":"ROOM","data":{{"type":"LEAVE","data":{{"peer":"{id}"}}}}}}"#);
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(places) = rooms.get_mut(room) else { return };
    places.retain(|(other, _)| other != id);
    tell(places, id, &event.into());
    if places.is_empty() {
        rooms.remove(room);
    }
}

fn relay(rooms: &Rooms, room: &str, id: &str, signal: &[u8]) {
    let start = format!(r#"{{"type":"ROOM","data":{{"type":"SIGNAL","data":{{"peer":"{id}","signal":"#);
    let event = [start.as_bytes(), signal, b"}}}"].concat();
    let rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(places) = rooms.get(room) {
        tell(places, id, &event.into());
    }
}

/// A client that does not read misses what does not fit.
fn tell(places: &[Place], from: &str, event: &Bytes) {
    for (_, sender) in places.iter().filter(|(id, _)| id != from) {
        let _ = sender.try_send(event.clone());
    }
}
