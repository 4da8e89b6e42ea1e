//! The sockets of a connection, closed to strangers.
//!
//! The crate hands everything that is not STUN to DTLS and SRTP, whoever sent it. Somebody who knows neither code nor ICE
//! password could so disturb the DTLS handshake, with a ClientHello of his own at the right moment (RFC 8826 §4.1 has the
//! attacker on the network). ICE knows better who belongs to the session: it answers only those checks that have the right
//! password (RFC 8445 §7.3), and talks to a TURN server with requests of its own. So a datagram that is no STUN (RFC 7983
//! §7), or that TURN says to come from a peer (RFC 8656 §11.4), is taken only from an address that was sent a check's
//! success, or a request of TURN, before. Checks do not count: they go to candidates, and a name among those may be answered
//! for by anybody in the network. Nor do errors: some are sent before the password was looked at.
//!
//! Media is not slowed down: only what is received is looked up, and of what is sent only STUN is noted.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, Transmit,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Addresses that one socket has sent STUN to: candidates of one viewer, few of them.
const ADDRESSES: usize = 64;
/// STUN begins with 0 to 3 (RFC 7983 §7).
const STUN: std::ops::RangeInclusive<u8> = 0..=3;
/// Types of STUN messages (RFC 8489 §5) that say nothing of whom they go to: a check, a keep-alive, a check's refusal.
const TO_ANYBODY: [[u8; 2]; 3] = [[0x00, 0x01], [0x00, 0x11], [0x01, 0x11]];
/// What a TURN server forwards.
const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
/// Names of browsers are resolved through a socket of its own, where nothing is STUN.
const MDNS_PORT: u16 = 5353;

/// A runtime whose UDP sockets are closed to strangers; everything else is as it was.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Arc<dyn Runtime>);

impl Runtime for Guarded {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.0.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let is_mdns = socket.local_addr()?.port() == MDNS_PORT;
        let socket = self.0.wrap_udp_socket(socket)?;
        Ok(if is_mdns { socket } else { Arc::new(GuardedSocket { socket, known: Mutex::default() }) })
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.0.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, address: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.0.connect_tcp(address)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.0.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.0.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.0.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.0.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        self.0.yield_now()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

#[derive(Debug)]
struct GuardedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    known: Mutex<Vec<SocketAddr>>,
}

impl GuardedSocket {
    fn note(&self, address: SocketAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&address) {
            return;
        }
        if known.len() == ADDRESSES {
            known.remove(0);
        }
        known.push(address);
    }

    /// Whether a message is to be taken: it may hold several datagrams of one sender (GRO), each `stride` bytes long.
    fn takes(&self, content: &[u8], meta: &RecvMeta) -> bool {
        content.chunks(meta.stride.max(1)).all(is_stun_for_all)
            || self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&meta.addr)
    }
}

/// STUN that anybody may send: ICE judges it by its password.
fn is_stun_for_all(datagram: &[u8]) -> bool {
    datagram.first().is_none_or(|byte| STUN.contains(byte)) && !datagram.starts_with(&DATA_INDICATION)
}

impl AsyncUdpSocket for GuardedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let is_stun = transmit.contents.first().is_some_and(|byte| STUN.contains(byte));
        if is_stun && !TO_ANYBODY.iter().any(|kind| transmit.contents.starts_with(kind)) {
            self.note(transmit.destination);
        }
        self.socket.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = match self.socket.poll_recv(cx, buffers, meta) {
                Poll::Ready(Ok(received)) => received,
                other => return other,
            };
            let mut kept = 0;
            for index in 0..received {
                let length = meta[index].len;
                if !self.takes(&buffers[index][..length], &meta[index]) {
                    continue;
                }
                if kept < index {
                    let (before, after) = buffers.split_at_mut(index);
                    before[kept][..length].copy_from_slice(&after[0][..length]);
                    meta[kept] = meta[index];
                }
                kept += 1;
            }
            // Nothing but strangers: as if nothing had come.
            if kept > 0 || received == 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What arrives in one go: from whom, and what.
    type Batch = Vec<(SocketAddr, Vec<u8>)>;

    #[derive(Debug, Default)]
    struct Scripted(Mutex<Vec<Batch>>);

    impl AsyncUdpSocket for Scripted {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(address(1))
        }

        fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(transmit.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let mut waiting = self.0.lock().unwrap();
            if waiting.is_empty() {
                return Poll::Pending;
            }
            let batch = waiting.remove(0);
            for (index, (from, content)) in batch.iter().enumerate() {
                buffers[index][..content.len()].copy_from_slice(content);
                meta[index].addr = *from;
                meta[index].len = content.len();
                meta[index].stride = content.len().min(4);
            }
            Poll::Ready(Ok(batch.len()))
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn received(socket: &GuardedSocket) -> Vec<(u16, Vec<u8>)> {
        let mut storage = [[0; 16]; 4];
        let mut buffers: Vec<IoSliceMut<'_>> = storage.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let mut meta = [RecvMeta::default(); 4];
        let mut cx = Context::from_waker(Waker::noop());
        match socket.poll_recv(&mut cx, &mut buffers, &mut meta) {
            Poll::Ready(count) => (0..count.unwrap())
                .map(|index| (meta[index].addr.port(), buffers[index][..meta[index].len].to_vec()))
                .collect(),
            Poll::Pending => vec![],
        }
    }

    fn send(socket: &GuardedSocket, to: u16, contents: &[u8]) {
        let transmit = Transmit { destination: address(to), ecn: None, contents, segment_size: None, src_ip: None };
        assert!(socket.poll_send(&mut Context::from_waker(Waker::noop()), &transmit).is_ready());
    }

    #[test]
    fn strangers_are_heard_with_stun_alone() {
        let stun = |from| (address(from), vec![1, 1, 0, 0]);
        let hello = |from| (address(from), vec![22, 254, 253, 0]);
        let relayed = |from| (address(from), vec![0, 0x17, 0, 0]);
        let scripted = Scripted::default();
        *scripted.0.lock().unwrap() = vec![
            vec![hello(7), hello(8)],
            vec![stun(7), hello(8), stun(9), hello(7)],
            vec![hello(8), hello(7), stun(9)],
            vec![(address(8), [stun(8).1, hello(8).1].concat()), hello(9), hello(7)],
            vec![relayed(9), relayed(7), hello(6)],
        ];
        let socket = GuardedSocket { socket: Arc::new(scripted), known: Mutex::default() };
        // The first batch is as if it had not come.
        assert_eq!(received(&socket), [(7, stun(7).1), (9, stun(9).1)]);
        send(&socket, 7, &[1, 1, 0, 0]);
        send(&socket, 8, &[128, 96, 0, 0]);
        for kind in TO_ANYBODY {
            send(&socket, 6, &kind);
        }
        assert_eq!(received(&socket), [(7, hello(7).1), (9, stun(9).1)]);
        assert_eq!(received(&socket), [(7, hello(7).1)]);
        assert_eq!(
            received(&socket),
            [(7, relayed(7).1)],
            "neither what was relayed by strangers, nor whom ICE only checks"
        );
        assert_eq!(received(&socket), []);
    }

    #[test]
    fn it_remembers_a_bounded_number() {
        let socket = GuardedSocket { socket: Arc::new(Scripted::default()), known: Mutex::default() };
        for port in 1..=1000 {
            send(&socket, port, &[1, 1, 0, 0]);
        }
        assert_eq!(socket.known.lock().unwrap().len(), ADDRESSES);
        assert_eq!(socket.known.lock().unwrap().last(), Some(&address(1000)));
    }
}
