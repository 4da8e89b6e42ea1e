//! A viewer that is no browser: sealed signaling, and the crate `webrtc` as it comes, which knows nothing of the
//! playout-delay extension. It can be told to misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::Registry;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use signal_proto::seal::Code;
use signal_proto::{ByeReason, Candidate, Signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};

use super::PATIENCE;
use super::relay::Relay;
use super::room::Session;

/// One picture, put together from its packets.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    pub key: bool,
    pub timestamp: u32,
    pub bytes: usize,
}

/// How a viewer answers.
#[derive(Clone, Copy)]
pub struct Manners {
    /// Who it is in the DTLS handshake.
    pub role: RTCDtlsRole,
    /// What becomes of its answer before it is sealed.
    pub answer: fn(&str) -> String,
    /// Whether its packets take the way through a relay that counts them.
    pub relayed: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self { role: RTCDtlsRole::Client, answer: str::to_owned, relayed: false }
    }
}

/// A viewer that has answered the camera's offer; pictures may come, or not.
pub struct Peering {
    pub offer: String,
    pub answer: String,
    pub relay: Option<Relay>,
    peer: Arc<dyn PeerConnection>,
    tracks: mpsc::UnboundedReceiver<Arc<dyn TrackRemote>>,
    state: watch::Receiver<RTCPeerConnectionState>,
    /// Where the camera says that it can be reached.
    pub addresses: mpsc::UnboundedReceiver<SocketAddr>,
    /// What the camera said at the end.
    bye: watch::Receiver<Option<ByeReason>>,
    signaling: tokio::task::JoinHandle<()>,
}

struct Events {
    candidates: mpsc::UnboundedSender<RTCIceCandidateInit>,
    tracks: mpsc::UnboundedSender<Arc<dyn TrackRemote>>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let _ = self.candidates.send(event.candidate.to_json().unwrap());
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.send(track);
    }
}

impl Peering {
    /// Takes the camera's offer and answers it.
    pub async fn open(mut session: Session, manners: Manners) -> Self {
        let first = session.receive().await.expect("the camera left");
        let Signal::Offer(offer) = first else { panic!("the camera did not offer: {first:?}") };
        let offer = offer.0;

        let (candidate_sender, candidates) = mpsc::unbounded_channel();
        let (track_sender, tracks) = mpsc::unbounded_channel();
        let (state_sender, state) = watch::channel(RTCPeerConnectionState::New);
        let events = Events { candidates: candidate_sender, tracks: track_sender, state: state_sender };
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut engine).unwrap();
        let settings = SettingEngineBuilder::new()
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_answering_dtls_role(manners.role)
            .build();
        let peer = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(events))
            .with_udp_addrs(vec!["0.0.0.0:0".to_owned()])
            .build()
            .await
            .unwrap();
        let peer: Arc<dyn PeerConnection> = Arc::new(peer);
        peer.set_remote_description(RTCSessionDescription::offer(offer.clone()).unwrap()).await.unwrap();
        let description = peer.create_answer(None).await.unwrap();
        let answer = (manners.answer)(&description.sdp);
        peer.set_local_description(description).await.unwrap();
        session.send(&Signal::Answer(answer.clone().into())).await;

        let relay = if manners.relayed { Some(Relay::new().await) } else { None };
        let (address_sender, addresses) = mpsc::unbounded_channel();
        let (bye_sender, bye) = watch::channel(None);
        let exchange = Exchange {
            session,
            peer: peer.clone(),
            candidates,
            relay: relay.clone(),
            addresses: address_sender,
            bye: bye_sender,
        };
        let signaling = tokio::spawn(exchange.run());
        Self { offer, answer, relay, peer, tracks, state, addresses, bye, signaling }
    }

    /// Waits for the camera's track.
    pub async fn watch(mut self) -> Viewer {
        let track = timeout(PATIENCE, self.tracks.recv()).await.expect("no track came").unwrap();
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
        Viewer { pictures, track, pump, peering: self }
    }

    /// Waits until the camera says goodbye, and how.
    pub async fn bye(&mut self) -> ByeReason {
        let said = timeout(PATIENCE, self.bye.wait_for(Option::is_some)).await.expect("no goodbye came");
        said.expect("the signaling ended without a goodbye").unwrap()
    }

    /// Waits until the connection is up, as far as this end can tell.
    pub async fn connected(&mut self) {
        let up = self.state.wait_for(|state| *state == RTCPeerConnectionState::Connected);
        timeout(PATIENCE, up).await.expect("no connection came up").unwrap();
    }

    /// Whether a track came.
    pub fn has_track(&self) -> bool {
        !self.tracks.is_empty()
    }

    pub async fn close(self) {
        self.signaling.abort();
        self.peer.close().await.unwrap();
    }
}

/// The exchange of candidates after the answer.
struct Exchange {
    session: Session,
    peer: Arc<dyn PeerConnection>,
    candidates: mpsc::UnboundedReceiver<RTCIceCandidateInit>,
    relay: Option<Relay>,
    addresses: mpsc::UnboundedSender<SocketAddr>,
    bye: watch::Sender<Option<ByeReason>>,
}

impl Exchange {
    async fn run(mut self) {
        loop {
            tokio::select! {
                Some(candidate) = self.candidates.recv() => self.found(candidate).await,
                signal = self.session.next() => match signal {
                    Some(Signal::Candidate(candidate)) => self.heard(candidate).await,
                    Some(Signal::Bye(reason)) => { self.bye.send_replace(Some(reason)); }
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }

    async fn found(&mut self, candidate: RTCIceCandidateInit) {
        let mut line = candidate.candidate;
        if let Some(relay) = &self.relay {
            let Some(own) = address(&line).filter(SocketAddr::is_ipv4) else { return };
            relay.forward_to(own);
            let (own, relayed) = (own.port().to_string(), relay.port().to_string());
            let words: Vec<&str> = line.split(' ').map(|word| if word == own { &relayed } else { word }).collect();
            line = words.join(" ");
        }
        let sdp_m_line_index = candidate.sdp_mline_index.unwrap_or(0);
        let candidate = Candidate { candidate: line, sdp_m_line_index, sdp_mid: candidate.sdp_mid };
        self.session.send(&Signal::Candidate(candidate)).await;
    }

    async fn heard(&self, candidate: Candidate) {
        if let Some(address) = address(&candidate.candidate) {
            let _ = self.addresses.send(address);
        }
        // With a relay, all that this end knows of the camera is the relay.
        if self.relay.is_none() {
            let init = RTCIceCandidateInit {
                candidate: candidate.candidate,
                sdp_mid: candidate.sdp_mid,
                sdp_mline_index: Some(candidate.sdp_m_line_index),
                ..Default::default()
            };
            let _ = self.peer.add_ice_candidate(init).await;
        }
    }
}

/// The address in a candidate line (RFC 8839 §5.1): fields 5 and 6.
fn address(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split(' ').skip(4);
    let (ip, port) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(SocketAddr::new(ip, port))
}

/// A viewer with a track.
pub struct Viewer {
    pictures: mpsc::Receiver<Picture>,
    track: Arc<dyn TrackRemote>,
    pump: tokio::task::JoinHandle<()>,
    pub peering: Peering,
}

impl Viewer {
    /// Joins, proves the code, answers the camera's offer, and waits for its track.
    pub async fn watch(url: &str, code: &Code) -> Self {
        let session = Session::start(url, code).await;
        Peering::open(session, Manners::default()).await.watch().await
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
        self.peering.close().await;
        self.pump.abort();
    }
}
