//! Sockets that listen: on an address, or already when the program starts, as systemd passes them
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>): ports below 1024 without a privilege, and
//! a restart in which nobody is refused, since whoever comes meanwhile waits in the kernel.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::TcpSocket;

use crate::ServerError;

/// Connections that the kernel holds until they are accepted: a reconnect storm of thousands of cameras
/// must not be turned away to try again in three seconds. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// The `FileDescriptorName=` of the socket for [`crate::Config::metrics`].
const METRICS: &str = "metrics";

/// That of the socket for [`crate::Config::redirect`].
const REDIRECT: &str = "redirect";

/// What was passed. Each takes the place of an address in the configuration.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For clients.
    pub(crate) clients: Option<TcpListener>,
    /// For operators.
    pub(crate) metrics: Option<TcpListener>,
    /// For those who are sent on to HTTPS.
    pub(crate) redirect: Option<TcpListener>,
}

/// What is wrong with what was passed.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Not one that listens.
    #[error(
        "the socket {name:?} that was passed (LISTEN_FDS) cannot be used: {source}; its unit needs ListenStream= with an \
         address and port, and Accept=no"
    )]
    Unusable {
        /// Its `FileDescriptorName=`.
        name: String,
        /// What it is instead.
        source: io::Error,
    },
    /// There can be only one.
    #[error(
        "more than one socket for clients was passed (LISTEN_FDS), {0:?} is one too many; a socket unit of its own with \
         FileDescriptorName=metrics is for metrics, one with redirect for port 80, and [::]:443 is for IPv4 too"
    )]
    TooMany(String),
}

impl Sockets {
    /// Takes what systemd has passed; nothing, if it has not started us. To be called before there are threads: it takes the
    /// variables out of the environment.
    ///
    /// # Errors
    /// If one of them is of no use here.
    pub fn take() -> Result<Self, SocketsError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let unusable = |source| SocketsError::Unusable { name: name.to_owned(), source };
            let Some(socket) = passed.take_tcp_listener(index).map_err(unusable)? else { continue };
            let socket = listening(socket).map_err(unusable)?;
            let place = match name {
                METRICS => &mut sockets.metrics,
                REDIRECT => &mut sockets.redirect,
                _ => &mut sockets.clients,
            };
            if place.replace(socket).is_some() {
                return Err(SocketsError::TooMany(name.to_owned()));
            }
        }
        Ok(sockets)
    }
}

/// One that accepts connections, and with `Accept=yes` it would be a connection itself.
fn listening(socket: TcpListener) -> io::Result<TcpListener> {
    if !getsockopt(&socket, sockopt::AcceptConn)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The socket that was passed, or one on this address that `option` asked for; and where it is.
pub(crate) fn listener(
    passed: Option<TcpListener>,
    address: SocketAddr,
    option: &'static str,
) -> Result<(tokio::net::TcpListener, SocketAddr), ServerError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restart does not wait for the last connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = || {
        let listener = passed.map_or_else(listen, tokio::net::TcpListener::from_std)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listener().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::AddressInUse { address, option },
        _ => ServerError::Listen { address, option, source },
    })
}
