//! A client: TLS, the WebSocket, the protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use signal_proto::{ClientMessage, ErrorCode, Join, Joined, PeerId, ServerMessage, decode_server, encode_client};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Longer than anything takes that does not hang, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The name that certificates are asked for.
pub const NAME: &str = "localhost";

/// A TLS connection to the server.
pub type Secured = TlsStream<TcpStream>;

/// A WebSocket to the server.
pub type Socket = WebSocketStream<Secured>;

/// The way in: where the server is and whom to trust. Clones resume each other's TLS sessions.
#[derive(Clone)]
pub struct Door {
    /// Where the server listens.
    pub address: SocketAddr,
    tls: TlsConnector,
}

impl Door {
    /// Trusts the authorities in the file `roots` alone.
    ///
    /// # Errors
    /// If the file holds no certificates.
    pub fn new(address: SocketAddr, roots: &Path) -> Result<Self> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(roots).context("cannot read the authority's certificate")? {
            store
                .add(certificate.context("not a certificate in PEM form")?)
                .context("not an authority's certificate")?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { address, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A TCP connection from `from`: all of 127.0.0.0/8 is this machine, and each address a client to the server.
    ///
    /// # Errors
    /// If it cannot be had in time.
    pub async fn stream(&self, from: Ipv4Addr) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4().context("no socket")?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).with_context(|| format!("cannot bind {from}"))?;
        let stream = timeout(PATIENCE, socket.connect(self.address)).await.context("no TCP connection in time")?;
        let stream = stream.context("no TCP connection")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(stream)
    }

    /// The same with TLS.
    ///
    /// # Errors
    /// If it cannot be had in time.
    pub async fn secured(&self, from: Ipv4Addr) -> Result<Secured> {
        let stream = self.stream(from).await?;
        let name = ServerName::try_from(NAME).context("the name is one")?;
        timeout(PATIENCE, self.tls.connect(name, stream)).await.context("no TLS in time")?.context("no TLS")
    }

    /// The same with a WebSocket.
    ///
    /// # Errors
    /// If it cannot be had in time, or is refused.
    pub async fn socket(&self, from: Ipv4Addr) -> Result<Socket> {
        let stream = self.secured(from).await?;
        let request = format!("wss://{NAME}/ws").into_client_request().context("the request is one")?;
        // As small as the server's, for there may be many of us.
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let upgraded = timeout(PATIENCE, client_async_with_config(request, stream, Some(config)));
        let (socket, _) = upgraded.await.context("no WebSocket in time")?.context("no WebSocket")?;
        Ok(socket)
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Somebody with an id.
#[derive(Debug)]
pub struct Client {
    /// What it talks through.
    pub socket: Socket,
    /// What the server calls it.
    pub peer: PeerId,
}

impl Client {
    /// Connects and takes the `HELLO`.
    ///
    /// # Errors
    /// If the server does not let it in, or greets in another way.
    pub async fn connect(door: &Door, from: Ipv4Addr) -> Result<Self> {
        let mut socket = door.socket(from).await?;
        let Some(bytes) = next(&mut socket).await? else { bail!("closed before HELLO") };
        match decode_server(&bytes).context("not a message")? {
            ServerMessage::Hello(peer) => Ok(Self { socket, peer }),
            other => bail!("{} before HELLO", name(&other)),
        }
    }

    /// Joins: what `JOINED` says, or why not.
    ///
    /// # Errors
    /// If the answer is neither.
    pub async fn join(&mut self, join: Join) -> Result<Result<Option<Joined>, ErrorCode>> {
        self.send(encode_client(&ClientMessage::JoinOrCreate(join))).await?;
        let Some(bytes) = next(&mut self.socket).await? else { bail!("closed before JOINED") };
        match decode_server(&bytes).context("not a message")? {
            ServerMessage::Joined(joined) => Ok(Ok(joined)),
            ServerMessage::Error { code, .. } => Ok(Err(code)),
            other => bail!("{} before JOINED", name(&other)),
        }
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// If it is not taken in time.
    pub async fn send(&mut self, message: Bytes) -> Result<()> {
        let sent = timeout(PATIENCE, self.socket.send(Message::Binary(message)));
        sent.await.context("a message is not taken in time")?.context("a message is not taken")
    }

    /// Reads to the end: the code of the `ERROR` and of the close frame, where there are any.
    ///
    /// # Errors
    /// If the end does not come in time. A connection that breaks has ended.
    pub async fn end(&mut self) -> Result<(Option<ErrorCode>, Option<u16>)> {
        let (mut error, mut close) = (None, None);
        let read = async {
            while let Some(Ok(message)) = self.socket.next().await {
                match message {
                    Message::Binary(bytes) => {
                        if let Ok(ServerMessage::Error { code, .. }) = decode_server(&bytes) {
                            ensure!(error.replace(code).is_none(), "a second ERROR");
                        }
                    }
                    Message::Close(frame) => close = frame.map(|frame| frame.code.into()),
                    _ => {}
                }
            }
            Ok(())
        };
        timeout(PATIENCE, read).await.context("the server does not end the connection")??;
        Ok((error, close))
    }

    /// Closes in order, and waits until the server has done its part: then it has left the room, too.
    ///
    /// # Errors
    /// If the end does not come in time.
    pub async fn close(mut self) -> Result<()> {
        // Where the server was faster there is nothing to close any more.
        let _ = timeout(PATIENCE, self.socket.close(None)).await;
        self.end().await.map(|_| ())
    }
}

/// The next binary message; `None` at the end of the connection.
async fn next(socket: &mut Socket) -> Result<Option<Bytes>> {
    loop {
        match timeout(PATIENCE, socket.next()).await.context("no message in time")? {
            Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
            Some(Ok(Message::Close(_))) | None => return Ok(None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error).context("the connection broke"),
        }
    }
}

/// What a message is, without what is in it.
pub fn name(message: &ServerMessage<'_>) -> String {
    match message {
        ServerMessage::Hello(_) => "HELLO".to_owned(),
        ServerMessage::Joined(_) => "JOINED".to_owned(),
        ServerMessage::Room(_) => "ROOM".to_owned(),
        ServerMessage::Error { code, .. } => format!("ERROR {code}"),
    }
}
