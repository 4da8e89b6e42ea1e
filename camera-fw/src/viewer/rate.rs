//! What a viewer's receiver reports back: its calls for key frames, passed on to the encoder.
//!
//! PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) do not reach a local track's events in the crate, so an interceptor
//! at the application's end of the chain reads them from the incoming RTCP. Retransmission is the crate's own business.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use crate::encoder::Command;
use crate::fanout::EncoderCommands;

/// Its place in the chain: after everything that handles RTCP for its own purposes.
pub(super) const SLOT: usize = 60_000;

/// Passes packets through and key frame requests on.
pub(super) struct KeyframeRequests {
    commands: EncoderCommands,
    incoming: VecDeque<TaggedPacket>,
    outgoing: VecDeque<TaggedPacket>,
}

impl KeyframeRequests {
    pub(super) fn new(commands: EncoderCommands) -> Self {
        Self { commands, incoming: VecDeque::new(), outgoing: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            let wanted = packets.iter().any(|packet| {
                let packet = packet.as_any();
                packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
            });
            if wanted {
                tracing::debug!("the viewer asks for a key frame");
                self.commands.send(Command::ForceKeyframe);
            }
        }
        self.incoming.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.incoming.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.outgoing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outgoing.pop_front()
    }
}

impl Interceptor for KeyframeRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
