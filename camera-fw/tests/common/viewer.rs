//! A viewer that is no browser: role mode over a WebSocket, and the crate `webrtc` as it comes, which knows nothing of
//! the playout-delay extension.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rtc::interceptor::Registry;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use signal_proto::{
    Candidate, ClientMessage, Join, PeerId, Role, RoomEvent, RoomId, ServerMessage, Signal, decode_server,
    encode_client,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCPeerConnectionIceEvent, RTCSessionDescription, SettingEngineBuilder,
};

use super::PATIENCE;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One picture, put together from its packets.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    pub key: bool,
    pub timestamp: u32,
    pub bytes: usize,
}

pub struct Viewer {
    pictures: mpsc::Receiver<Picture>,
    track: Arc<dyn TrackRemote>,
    peer: Arc<dyn PeerConnection>,
    pub offer: String,
    pub answer: String,
    pump: tokio::task::JoinHandle<()>,
    socket: tokio::task::JoinHandle<()>,
}

struct Events {
    candidates: mpsc::UnboundedSender<RTCIceCandidateInit>,
    tracks: mpsc::UnboundedSender<Arc<dyn TrackRemote>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let _ = self.candidates.send(event.candidate.to_json().unwrap());
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.send(track);
    }
}

/// Joins the room as a viewer and waits for the camera's first signal.
pub async fn join(url: &str, room: RoomId) -> (Socket, PeerId, Signal) {
    let (mut socket, _) = connect_async(format!("{url}/ws")).await.unwrap();
    send(&mut socket, &ClientMessage::JoinOrCreate(Join::Role { room, role: Role::Viewer })).await;
    let (camera, signal) = signal(&mut socket).await;
    (socket, camera, signal)
}

async fn send(socket: &mut Socket, message: &ClientMessage<'_>) {
    socket.send(Message::Binary(encode_client(message))).await.unwrap();
}

/// The next signal of the camera.
pub async fn signal(socket: &mut Socket) -> (PeerId, Signal) {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("no signal came").unwrap().unwrap();
        let Message::Binary(bytes) = message else { continue };
        if let ServerMessage::Room(RoomEvent::Signal { peer, signal }) = decode_server(&bytes).unwrap() {
            return (peer, Signal::decode(signal).unwrap());
        }
    }
}

impl Viewer {
    /// Joins, answers the camera's offer, and waits for its track.
    pub async fn watch(url: &str, room: RoomId) -> Self {
        let (mut socket, camera, first) = join(url, room).await;
        let Signal::Offer(offer) = first else { panic!("the camera did not offer: {first:?}") };

        let (candidate_sender, mut candidates) = mpsc::unbounded_channel();
        let (track_sender, mut tracks) = mpsc::unbounded_channel();
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut engine).unwrap();
        let settings = SettingEngineBuilder::new().with_prflx_acceptance_min_wait(Some(Duration::ZERO)).build();
        let peer = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(Events { candidates: candidate_sender, tracks: track_sender }))
            .with_udp_addrs(vec!["0.0.0.0:0".to_owned()])
            .build()
            .await
            .unwrap();
        let peer: Arc<dyn PeerConnection> = Arc::new(peer);
        peer.set_remote_description(RTCSessionDescription::offer(offer.clone()).unwrap()).await.unwrap();
        let description = peer.create_answer(None).await.unwrap();
        let answer = description.sdp.clone();
        peer.set_local_description(description).await.unwrap();
        let to = Some(camera);
        let raw = Signal::Answer(answer.clone()).encode();
        send(&mut socket, &ClientMessage::Signal { to, signal: &raw }).await;

        let remote = peer.clone();
        let socket = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(candidate) = candidates.recv() => {
                        let candidate = Candidate {
                            candidate: candidate.candidate,
                            sdp_m_line_index: candidate.sdp_mline_index.unwrap_or(0),
                            sdp_mid: candidate.sdp_mid,
                        };
                        let raw = Signal::Candidate(candidate).encode();
                        send(&mut socket, &ClientMessage::Signal { to, signal: &raw }).await;
                    }
                    message = socket.next() => {
                        let Some(Ok(message)) = message else { return };
                        let Message::Binary(bytes) = message else { continue };
                        let Ok(ServerMessage::Room(RoomEvent::Signal { signal, .. })) = decode_server(&bytes) else { continue };
                        if let Ok(Signal::Candidate(candidate)) = Signal::decode(signal) {
                            let init = RTCIceCandidateInit {
                                candidate: candidate.candidate,
                                sdp_mid: candidate.sdp_mid,
                                sdp_mline_index: Some(candidate.sdp_m_line_index),
                                ..Default::default()
                            };
                            let _ = remote.add_ice_candidate(init).await;
                        }
                    }
                }
            }
        });

        let track = timeout(PATIENCE, tracks.recv()).await.expect("no track came").unwrap();
        let (picture_sender, pictures) = mpsc::channel(1024);
        let source = track.clone();
        let pump = tokio::spawn(async move {
            let (mut key, mut bytes) = (false, 0);
            while let Some(event) = source.poll().await {
                let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
                // Payload descriptor (RFC 7741 §4.2): S begins a frame; then the frame tag (RFC 6386 §9.1): P is 0 in a key frame.
                let [descriptor, tag, ..] = packet.payload[..] else { continue };
                if descriptor & 0x10 != 0 {
                    (key, bytes) = (tag & 1 == 0, 0);
                }
                bytes += packet.payload.len() - 1;
                if packet.header.marker {
                    let picture = Picture { key, timestamp: packet.header.timestamp, bytes };
                    if picture_sender.send(picture).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { pictures, track, peer, offer, answer, pump, socket }
    }

    pub async fn picture(&mut self) -> Picture {
        timeout(PATIENCE, self.pictures.recv()).await.expect("no picture came").expect("the track ended")
    }

    pub async fn pictures(&mut self, count: usize) -> Vec<Picture> {
        let mut pictures = Vec::new();
        while pictures.len() < count {
            pictures.push(self.picture().await);
        }
        pictures
    }

    /// Waits for the next key frame.
    pub async fn key_picture(&mut self) -> Picture {
        loop {
            let picture = self.picture().await;
            if picture.key {
                return picture;
            }
        }
    }

    /// Asks for a key frame.
    pub async fn send_pli(&self) {
        let media_ssrc = self.track.ssrcs().await[0];
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc };
        self.track.write_rtcp(vec![Box::new(pli)]).await.unwrap();
    }

    pub async fn leave(self) {
        self.socket.abort();
        self.peer.close().await.unwrap();
        self.pump.abort();
    }
}
