//! A UDP relay between camera and viewer that counts what passes, by kind (RFC 7983 §7).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// Datagrams that the camera sent, by kind.
#[derive(Debug, Default)]
pub struct Counts {
    pub stun: AtomicUsize,
    pub dtls: AtomicUsize,
    pub media: AtomicUsize,
}

/// Lives as long as the test; both ends know only it.
#[derive(Clone)]
pub struct Relay {
    port: u16,
    viewer: Arc<Mutex<Option<SocketAddr>>>,
    counts: Arc<Counts>,
}

impl Relay {
    pub async fn new() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let relay = Self { port, viewer: Arc::default(), counts: Arc::default() };
        tokio::spawn(relay.clone().run(socket));
        relay
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the viewer really is.
    pub fn forward_to(&self, viewer: SocketAddr) {
        self.viewer.lock().unwrap().get_or_insert(viewer);
    }

    /// Media packets that the camera has sent, RTCP included.
    pub fn media(&self) -> usize {
        self.counts.media.load(Ordering::Relaxed)
    }

    /// DTLS records' datagrams that the camera has sent.
    pub fn dtls(&self) -> usize {
        self.counts.dtls.load(Ordering::Relaxed)
    }

    async fn run(self, socket: UdpSocket) {
        let mut buffer = [0; 2048];
        let mut camera = None;
        loop {
            // A port that was closed meanwhile is reported here; it is no reason to stop.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let viewer = *self.viewer.lock().unwrap();
            if Some(from) == viewer {
                if let Some(camera) = camera {
                    let _ = socket.send_to(&buffer[..length], camera).await;
                }
                continue;
            }
            camera = Some(from);
            let counter = match buffer[0] {
                0..=3 => &self.counts.stun,
                20..=63 => &self.counts.dtls,
                _ => &self.counts.media,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            if let Some(viewer) = viewer {
                let _ = socket.send_to(&buffer[..length], viewer).await;
            }
        }
    }
}
