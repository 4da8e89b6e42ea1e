//! What camera and viewer say to each other through the server.
//!
//! The server never looks in here. A description or a candidate has the form that a browser's
//! `JSON.stringify` gives to `RTCSessionDescription` and `RTCIceCandidate`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Redacted;
use crate::limits::{CANDIDATE_BYTES, SDP_BYTES};

/// A session description (RFC 8866). It holds addresses and fingerprints, so it does not show itself.
pub type Sdp = Redacted<String>;

/// One step of a negotiation.
#[derive(Clone, PartialEq, Eq)]
pub enum Signal {
    /// `{"type":"start"}`: the viewer, proven by this, wants the picture. Sealed only.
    Start,
    /// `{"type":"offer","sdp":…}` (RFC 8829 §4.1.8)
    Offer(Sdp),
    /// `{"type":"answer","sdp":…}`
    Answer(Sdp),
    /// `{"candidate":…,"sdpMLineIndex":…,"sdpMid":…}` (RFC 8840 §4)
    Candidate(Candidate),
    /// `{"type":"bye","reason":…}`: the sender ends the session. Role mode only.
    Bye(ByeReason),
    /// `{"type":"picture","state":…}`: the camera says whether it has a picture. Sealed only.
    Picture(PictureState),
}

/// A trickled ICE candidate. An empty line means that there are no more (RFC 8838 §9.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The candidate line, with or without `candidate:` in front.
    pub candidate: String,
    /// Index of the media section; 0 where the sender left it out, for there is only one.
    pub sdp_m_line_index: u16,
    /// Id of the media section.
    pub sdp_mid: Option<String>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The camera serves as many viewers as it may.
    Busy,
    /// The camera stops.
    Stopping,
    /// The negotiation or the connection failed.
    Failed,
    /// The viewer had enough, or a reason newer than this program.
    #[serde(other)]
    Left,
}

/// Whether a camera has a picture. The session stays up whatever it says; frames simply do not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureState {
    /// It has.
    Live,
    /// Somebody at the camera has switched the picture off.
    Paused,
    /// Its sensor is unplugged, does not answer, or is not there yet; or a state newer than this program.
    #[serde(other)]
    Lost,
}

/// Why a signal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Not an object, or a member of the wrong type.
    #[error("the signal is malformed: {0}")]
    Malformed(#[source] serde_json::Error),
    /// None of the forms.
    #[error("the signal is neither a start, an offer, an answer, a candidate, a bye nor a picture state")]
    Unknown,
    /// The description or the candidate is too long.
    #[error("the {what} has {length} bytes, {limit} are allowed")]
    TooLong {
        /// `sdp` or `candidate`.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// The union of all forms. Unknown members are let pass: browsers add their own (`usernameFragment`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    sdp: Option<String>,
    candidate: Option<String>,
    sdp_m_line_index: Option<u16>,
    sdp_mid: Option<String>,
    reason: Option<ByeReason>,
    state: Option<PictureState>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Out<'a> {
    Description {
        #[serde(rename = "type")]
        kind: &'static str,
        sdp: &'a str,
    },
    Candidate {
        candidate: &'a str,
        #[serde(rename = "sdpMLineIndex")]
        sdp_m_line_index: u16,
        #[serde(rename = "sdpMid")]
        sdp_mid: &'a Option<String>,
    },
    Bye {
        #[serde(rename = "type")]
        kind: &'static str,
        reason: ByeReason,
    },
    Picture {
        #[serde(rename = "type")]
        kind: &'static str,
        state: PictureState,
    },
    Start {
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

impl Signal {
    /// Reads a signal.
    ///
    /// # Errors
    /// If it is none of the forms, or longer than [`crate::limits`] allows.
    pub fn decode(raw: &RawValue) -> Result<Self, SignalError> {
        Self::decode_slice(raw.get().as_bytes())
    }

    /// Reads a signal from the bytes of its JSON.
    ///
    /// # Errors
    /// As [`Signal::decode`].
    pub fn decode_slice(json: &[u8]) -> Result<Self, SignalError> {
        let form: Form<'_> = serde_json::from_slice(json).map_err(SignalError::Malformed)?;
        let within = |what, text: String, limit| match text.len() {
            length if length > limit => Err(SignalError::TooLong { what, length, limit }),
            _ => Ok(text),
        };
        match (form.kind.as_deref(), form.sdp, form.candidate) {
            (Some("offer"), Some(sdp), _) => Ok(Self::Offer(within("sdp", sdp, SDP_BYTES)?.into())),
            (Some("answer"), Some(sdp), _) => Ok(Self::Answer(within("sdp", sdp, SDP_BYTES)?.into())),
            (Some("start"), _, _) => Ok(Self::Start),
            (Some("bye"), _, _) => Ok(Self::Bye(form.reason.unwrap_or(ByeReason::Left))),
            (Some("picture"), _, _) => Ok(Self::Picture(form.state.unwrap_or(PictureState::Lost))),
            (_, None, Some(candidate)) => Ok(Self::Candidate(Candidate {
                candidate: within("candidate", candidate, CANDIDATE_BYTES)?,
                sdp_m_line_index: form.sdp_m_line_index.unwrap_or(0),
                sdp_mid: form.sdp_mid.map(|mid| within("candidate", mid, CANDIDATE_BYTES)).transpose()?,
            })),
            _ => Err(SignalError::Unknown),
        }
    }

    /// Writes a signal.
    pub fn encode(&self) -> Box<RawValue> {
        let out = match self {
            Self::Start => Out::Start { kind: "start" },
            Self::Offer(sdp) => Out::Description { kind: "offer", sdp },
            Self::Answer(sdp) => Out::Description { kind: "answer", sdp },
            Self::Candidate(Candidate { candidate, sdp_m_line_index, sdp_mid }) => {
                Out::Candidate { candidate, sdp_m_line_index: *sdp_m_line_index, sdp_mid }
            }
            Self::Bye(reason) => Out::Bye { kind: "bye", reason: *reason },
            Self::Picture(state) => Out::Picture { kind: "picture", state: *state },
        };
        serde_json::value::to_raw_value(&out).expect("a signal serializes")
    }

    /// What it is, for a log: never what is in it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Offer(_) => "offer",
            Self::Answer(_) => "answer",
            Self::Candidate(_) => "candidate",
            Self::Bye(_) => "bye",
            Self::Picture(_) => "picture",
        }
    }
}

/// SDP and candidates hold addresses and fingerprints: a log gets the name alone.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({})", self.name())
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Candidate(redacted)")
    }
}
