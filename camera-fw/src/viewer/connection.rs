//! One WebRTC peer connection that sends one VP8 track: everything that touches the crate `webrtc`.
//!
//! The connection sends what it is given and reports what happens; when to do what is `session.rs`'s business. Its
//! callbacks run on the crate's own driver task, so they only drop a value into a channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{NackResponderBuilder, Registry, SenderReportBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine};
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader as _;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use signal_proto::{Candidate, IceServer};
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCIceServer, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::RtpSender;
use webrtc::runtime::default_runtime;

use super::rate::{self, KeyframeRequests};
use super::sdp::{explicit, extension_id, receiving, without_related_address};
use super::socket::Guarded;
use crate::encoder::EncodedFrame;
use crate::fanout::EncoderCommands;

/// STUN and TURN URLs that are used: each costs every connection a socket's worth of requests.
const ICE_URLS: usize = 8;

/// RTP clock of video (RFC 7741 §4.1), in Hz.
const CLOCK_RATE: u64 = 90_000;

/// VP8 payload per packet: with RTP header and extension, SRTP tag, UDP and IPv6 headers it stays under 1280 bytes, the
/// least that every IPv6 path carries (RFC 8200 §5).
const PAYLOAD_BYTES: usize = 1160;

const PAYLOAD_TYPE: u8 = 96;
const RTX_PAYLOAD_TYPE: u8 = 97;

/// Tells the receiver to show each frame at once; a browser buffers some 10 to 30 ms otherwise.
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Minimum and maximum delay, 12 bits each: zero and zero.
const NO_DELAY: Bytes = Bytes::from_static(&[0, 0, 0]);

/// Without an answer to ICE's checks for so long, the viewer is unreachable; for so much longer, gone (RFC 7675 allows
/// 30 s); between two checks.
const DISCONNECTED: Duration = Duration::from_secs(5);
const FAILED: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Candidates of one connection: a few for each interface and server.
const CANDIDATES: usize = 64;

/// The crate refused. Its own message may hold addresses, so it is kept out of logs: only the step is shown.
#[derive(Debug, thiserror::Error)]
#[error("the connection could not {action}")]
pub(super) struct ConnectionError {
    action: &'static str,
    source: webrtc::error::Error,
}

fn failed(action: &'static str) -> impl Fn(webrtc::error::Error) -> ConnectionError {
    move |source| ConnectionError { action, source }
}

/// How far the transport is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Not yet, or not just now.
    Pending,
    /// Media can flow.
    Connected,
    /// For good.
    Failed,
}

/// What a connection reports.
#[derive(Debug)]
pub(super) enum ConnectionEvent {
    /// It found a candidate of its own.
    Candidate(Candidate),
    /// The transport changed.
    Transport(Transport),
}

/// A peer connection with one track.
pub(super) struct Connection {
    peer: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    stream: RtpStream,
    candidates: mpsc::Receiver<Candidate>,
    transport: watch::Receiver<Transport>,
}

impl Connection {
    /// Opens a connection that will offer, or answer with, one VP8 track.
    pub(super) async fn open(ice_servers: &[IceServer], commands: EncoderCommands) -> Result<Self, ConnectionError> {
        let (candidate_sender, candidates) = mpsc::channel(CANDIDATES);
        let (transport_sender, transport) = watch::channel(Transport::Pending);
        let events = Arc::new(Events { candidates: candidate_sender, transport: transport_sender });
        let peer = build(ice_servers, &commands, &events).await?;

        let stream = RtpStream::random();
        let coding = RTCRtpCodingParameters {
            ssrc: Some(stream.ssrc),
            rtx: Some(RTCRtpRtxParameters { ssrc: random_u32() }),
            ..Default::default()
        };
        let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec: vp8(), ..Default::default() };
        let name = || "camera".to_owned();
        let track = MediaStreamTrack::new(name(), "video".to_owned(), name(), RtpCodecKind::Video, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let transceiver = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![name()],
            send_encodings: Vec::new(),
        };
        peer.add_transceiver_from_track(track.clone() as Arc<dyn TrackLocal>, Some(transceiver))
            .await
            .map_err(failed("add its track"))?;
        let no_sender = || failed("find its sender")(webrtc::error::Error::Other("no sender".into()));
        let sender = peer.get_senders().await.into_iter().next().ok_or_else(no_sender)?;
        Ok(Self { peer, track, sender, stream, candidates, transport })
    }

    /// An offer, in place as the local description; candidates follow.
    pub(super) async fn create_offer(&self) -> Result<String, ConnectionError> {
        let offer = self.peer.create_offer(None).await.map_err(failed("make an offer"))?;
        let sdp = offer.sdp.clone();
        self.peer.set_local_description(offer).await.map_err(failed("apply its own offer"))?;
        Ok(sdp)
    }

    /// Puts the viewer's answer in place.
    pub(super) async fn accept_answer(&mut self, sdp: String) -> Result<(), ConnectionError> {
        let playout_delay = extension_id(&sdp, PLAYOUT_DELAY);
        let answer = RTCSessionDescription::answer(sdp).map_err(failed("read the answer"))?;
        self.peer.set_remote_description(answer).await.map_err(failed("apply the answer"))?;
        self.negotiated(playout_delay).await
    }

    /// Puts the viewer's offer in place and answers it.
    pub(super) async fn accept_offer(&mut self, sdp: String) -> Result<String, ConnectionError> {
        let playout_delay = extension_id(&sdp, PLAYOUT_DELAY);
        let no_video = || failed("answer an offer that wants no video")(webrtc::error::Error::Other(String::new()));
        let sdp = receiving(&sdp).ok_or_else(no_video)?;
        let offer = RTCSessionDescription::offer(sdp).map_err(failed("read the offer"))?;
        self.peer.set_remote_description(offer).await.map_err(failed("apply the offer"))?;
        let answer = self.peer.create_answer(None).await.map_err(failed("make an answer"))?;
        let sdp = explicit(&answer.sdp);
        self.peer.set_local_description(answer).await.map_err(failed("apply its own answer"))?;
        self.negotiated(playout_delay).await?;
        Ok(sdp)
    }

    /// Payload type and extension as both sides have them now. Sending an extension that the viewer does not know
    /// would fail every packet.
    async fn negotiated(&mut self, playout_delay: Option<u8>) -> Result<(), ConnectionError> {
        let parameters = self.sender.get_parameters().await.map_err(failed("read its parameters"))?;
        let codecs = parameters.rtp_parameters.codecs;
        let is_vp8 = |codec: &&RTCRtpCodecParameters| codec.rtp_codec.mime_type.eq_ignore_ascii_case(MIME_TYPE_VP8);
        self.stream.payload_type = codecs.iter().find(is_vp8).map_or(PAYLOAD_TYPE, |codec| codec.payload_type);
        self.stream.playout_delay = playout_delay;
        Ok(())
    }

    /// Adds a candidate of the viewer. One that cannot be used (a name that does not resolve, a protocol not spoken
    /// here) is not a failure: others follow.
    pub(super) async fn add_candidate(&self, candidate: Candidate) {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: Some(candidate.sdp_m_line_index),
            ..Default::default()
        };
        if self.peer.add_ice_candidate(init).await.is_err() {
            tracing::debug!("a candidate of the viewer was not usable");
        }
    }

    /// The next thing that happens by itself. Safe to cancel.
    pub(super) async fn event(&mut self) -> ConnectionEvent {
        tokio::select! {
            Some(candidate) = self.candidates.recv() => ConnectionEvent::Candidate(candidate),
            Ok(()) = self.transport.changed() => ConnectionEvent::Transport(*self.transport.borrow_and_update()),
            else => std::future::pending().await,
        }
    }

    /// Sends one frame, in as many RTP packets as it takes.
    pub(super) async fn send(&mut self, frame: &EncodedFrame) -> Result<(), ConnectionError> {
        let timestamp = self.stream.timestamp(frame.captured_at);
        let payloads =
            self.stream.payloader.payload(PAYLOAD_BYTES, &frame.data).map_err(failed("packetize a frame"))?;
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.into_iter().enumerate() {
            let packet = self.stream.packet(payload, timestamp, index == last)?;
            self.track.write_rtp(packet).await.map_err(failed("send a packet"))?;
        }
        Ok(())
    }

    /// Closes the connection and waits for its driver.
    pub(super) async fn close(self) {
        if self.peer.close().await.is_err() {
            tracing::debug!("the connection did not close in order");
        }
    }
}

async fn build(
    ice_servers: &[IceServer],
    commands: &EncoderCommands,
    events: &Arc<Events>,
) -> Result<Arc<dyn PeerConnection>, ConnectionError> {
    // Every interface of both families, and names of browsers (RFC 8828 §5.1.1 hides their addresses) resolved by
    // mDNS. Where the machine has no IPv6, or no route to join the multicast group, go on with less.
    let all: &[&str] = &["0.0.0.0:0", "[::]:0"];
    let attempts = [
        (all, MulticastDnsMode::QueryOnly),
        (&all[..1], MulticastDnsMode::QueryOnly),
        (&all[..1], MulticastDnsMode::Disabled),
    ];
    let mut outcome = Err(failed("begin")(webrtc::error::Error::Other("no attempt".into())));
    for (addresses, mdns) in attempts {
        let (media_engine, registry) = media(commands)?;
        let settings = SettingEngineBuilder::new()
            // Browsers hide their candidates behind names: do not wait for better than peer-reflexive ones.
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_multicast_dns_mode(mdns)
            .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEPALIVE))
            .build();
        let configuration = RTCConfigurationBuilder::new().with_ice_servers(usable(ice_servers)).build();
        let runtime =
            default_runtime().ok_or_else(|| failed("begin")(webrtc::error::Error::Other("no runtime".into())))?;
        let built = PeerConnectionBuilder::new()
            .with_runtime(Arc::new(Guarded(runtime)))
            .with_configuration(configuration)
            .with_media_engine(media_engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(events.clone())
            .with_udp_addrs(addresses.iter().map(|address| (*address).to_owned()).collect())
            .build()
            .await;
        match built {
            Ok(peer) => return Ok(Arc::new(peer)),
            Err(error) => outcome = Err(failed("begin")(error)),
        }
    }
    outcome
}

/// The servers that the crate can use. One that it cannot would keep it from connecting at all; most viewers need none.
fn usable(ice_servers: &[IceServer]) -> Vec<RTCIceServer> {
    let urls = ice_servers.iter().flat_map(|server| server.urls.iter().map(move |url| (server, url)));
    let single = urls.map(|(server, url)| RTCIceServer {
        urls: vec![url.clone()],
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    });
    let (usable, others): (Vec<_>, Vec<_>) = single.partition(|server| server.urls().is_ok());
    if !others.is_empty() || usable.len() > ICE_URLS {
        tracing::warn!(
            left_out = others.len() + usable.len().saturating_sub(ICE_URLS),
            "ICE servers of the signaling server"
        );
    }
    usable.into_iter().take(ICE_URLS).collect()
}

/// VP8 with retransmission, reports, and calls for key frames.
fn media(commands: &EncoderCommands) -> Result<(MediaEngine, Registry), ConnectionError> {
    let mut engine = MediaEngine::default();
    let rtx = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: CLOCK_RATE as u32,
        sdp_fmtp_line: format!("apt={PAYLOAD_TYPE}"),
        ..Default::default()
    };
    for (rtp_codec, payload_type) in [(vp8(), PAYLOAD_TYPE), (rtx, RTX_PAYLOAD_TYPE)] {
        engine
            .register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)
            .map_err(failed("register its codecs"))?;
    }
    let playout_delay = RTCRtpHeaderExtensionCapability { uri: PLAYOUT_DELAY.to_owned() };
    engine
        .register_header_extension(playout_delay, RtpCodecKind::Video, None)
        .map_err(failed("register its header extension"))?;
    // The camera only sends: it answers calls for lost packets and reports, and does neither of its own.
    let registry = Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::SenderReport, SenderReportBuilder::new().build())
        .with(Slot::from(rate::SLOT), KeyframeRequests::new(commands.clone()));
    Ok((engine, registry))
}

fn vp8() -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.to_owned(),
        clock_rate: CLOCK_RATE as u32,
        rtcp_feedback: vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")],
        ..Default::default()
    }
}

/// Sequence numbers and time stamps of one track (RFC 3550 §5.1).
struct RtpStream {
    ssrc: u32,
    payload_type: u8,
    playout_delay: Option<u8>,
    sequence_number: u16,
    first_timestamp: u32,
    started: Option<Instant>,
    payloader: Vp8Payloader,
}

impl RtpStream {
    fn random() -> Self {
        Self {
            ssrc: random_u32(),
            payload_type: PAYLOAD_TYPE,
            playout_delay: None,
            sequence_number: random_u32() as u16,
            first_timestamp: random_u32(),
            started: None,
            payloader: Vp8Payloader::default(),
        }
    }

    /// The time of capture on the stream's clock, exact whatever the pace of the source.
    fn timestamp(&mut self, captured_at: Instant) -> u32 {
        let started = *self.started.get_or_insert(captured_at);
        let elapsed = captured_at.saturating_duration_since(started).as_micros() as u64;
        self.first_timestamp.wrapping_add((elapsed * CLOCK_RATE / 1_000_000) as u32)
    }

    fn packet(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<Packet, ConnectionError> {
        let mut header = Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number: self.sequence_number,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        self.sequence_number = self.sequence_number.wrapping_add(1);
        if let Some(id) = self.playout_delay {
            header.set_extension(id, NO_DELAY).map_err(failed("set a header extension"))?;
        }
        Ok(Packet { header, payload })
    }
}

fn random_u32() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Callbacks of the crate.
struct Events {
    candidates: mpsc::Sender<Candidate>,
    transport: watch::Sender<Transport>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else { return };
        let candidate = Candidate {
            candidate: without_related_address(&init.candidate),
            sdp_m_line_index: init.sdp_mline_index.unwrap_or(0),
            sdp_mid: init.sdp_mid.or_else(|| Some("0".to_owned())),
        };
        if self.candidates.try_send(candidate).is_err() {
            tracing::debug!("a candidate too many was dropped");
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        tracing::debug!(%state, "connection");
        let transport = match state {
            RTCPeerConnectionState::Connected => Transport::Connected,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => Transport::Failed,
            _ => Transport::Pending,
        };
        self.transport.send_replace(transport);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_the_time_of_capture() {
        let mut stream = RtpStream { sequence_number: u16::MAX, first_timestamp: u32::MAX, ..RtpStream::random() };
        let start = Instant::now();
        assert_eq!(stream.timestamp(start), u32::MAX);
        assert_eq!(stream.timestamp(start + Duration::from_millis(100)), 8_999);
        let first = stream.packet(Bytes::from_static(b"x"), 0, false).unwrap();
        stream.playout_delay = Some(5);
        let second = stream.packet(Bytes::from_static(b"x"), 0, true).unwrap();
        assert_eq!((first.header.sequence_number, second.header.sequence_number), (u16::MAX, 0));
        assert_eq!((first.header.get_extension(5), second.header.get_extension(5)), (None, Some(NO_DELAY)));
        assert!(second.header.marker);
    }

    #[test]
    fn ice_servers_that_cannot_be_used_are_left_out() {
        let server = |urls: &[&str], credential: Option<&str>| IceServer {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            username: credential.map(str::to_owned),
            credential: credential.map(str::to_owned),
        };
        let bad = ["stun:[::1", "stun:127.0.0.1:99999", "stun:a b", "http://a", "", "turn:no.credentials"];
        let good = ["stun:192.0.2.1", "turn:turn.example.org:3478?transport=udp", "turns:[2001:db8::1]:5349"];
        let servers = [server(&bad, None), server(&good, Some("x")), server(&["stun:h"; 20], None)];
        let urls: Vec<String> = usable(&servers).into_iter().flat_map(|server| server.urls).collect();
        assert_eq!(urls[..3], good);
        assert_eq!(urls.len(), ICE_URLS);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_offer_has_vp8_with_feedback_and_the_extension() {
        let (sender, _orders) = std::sync::mpsc::sync_channel(8);
        let connection = Connection::open(&[], EncoderCommands::new(sender)).await.unwrap();
        let sdp = connection.create_offer().await.unwrap();
        for line in ["VP8/90000", "rtx/90000", "nack pli", "ccm fir", "a=sendonly", PLAYOUT_DELAY] {
            assert!(sdp.contains(line), "{line}\n{sdp}");
        }
        connection.close().await;
    }
}
