//! Which TCP ports of a card are open, asked from outside, one after the other.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// More at once would only wait for the card.
const ASKING: usize = 32;
/// A card that throws the question away is silent for so long.
const SILENCE: Duration = Duration::from_millis(700);

/// What a card answered.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) open: Vec<u16>,
    /// Ports that said no.
    pub(crate) refused: usize,
    /// Ports that said nothing.
    pub(crate) silent: usize,
}

/// Asks every port from 1 to 65535. `scope` is the interface of a link-local address.
pub(crate) fn every_port(address: IpAddr, scope: u32) -> Result<Scanned> {
    let next = AtomicU32::new(1);
    let scanned = Mutex::new(Scanned::default());
    thread::scope(|threads| {
        for _ in 0..ASKING {
            threads.spawn(|| {
                while let Ok(port) = u16::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = ask(address, scope, port);
                    let mut scanned = scanned.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Answer::Open => scanned.open.push(port),
                        Answer::Refused => scanned.refused += 1,
                        Answer::Silent => scanned.silent += 1,
                    }
                }
            });
        }
    });
    let mut scanned = scanned.into_inner().unwrap_or_else(PoisonError::into_inner);
    scanned.open.sort_unstable();
    // A card that is not there has no open ports either.
    ensure!(scanned.refused + scanned.open.len() > 0, "{address} does not answer at all");
    Ok(scanned)
}

enum Answer {
    Open,
    Refused,
    Silent,
}

fn ask(address: IpAddr, scope: u32, port: u16) -> Answer {
    let target = match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
    };
    // A busy machine may lose a question, so silence is asked again.
    for _ in 0..2 {
        match TcpStream::connect_timeout(&target, SILENCE) {
            Ok(_) => return Answer::Open,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Answer::Refused,
            Err(_) => {}
        }
    }
    Answer::Silent
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn an_open_port_is_told_from_a_closed_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(ask(Ipv4Addr::LOCALHOST.into(), 0, port), Answer::Open));
        drop(listener);
        assert!(matches!(ask(Ipv4Addr::LOCALHOST.into(), 0, port), Answer::Refused));
    }
}
