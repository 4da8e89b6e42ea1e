//! Roomcam's agent on the device: camera to VP8 to WebRTC, one encode for many viewers.
//!
//! Three paths run through the crate; its modules are their stages.
//!
//! **Frame** [`capture`] → [`frame`] → slot of one, newest wins ([`pipeline`]) → [`encoder`] → [`fanout`] → [`viewer`]
//! → network. The encoder reads the camera's own buffer wherever the format allows. No viewer, no encoding; one encode
//! for all viewers. A camera that fails or goes away is opened again ([`capture::supervisor`]) while viewers stay.
//!
//! **Signal** server → [`signaling`] → [`agent`] → [`viewer`]: who is in the room; who proves the code of the [`identity`];
//! then offers, answers and candidates, sealed; and back.
//!
//! **Control** A viewer's call for a key frame → bounded commands → the encode thread, where requests are merged. A
//! stop → viewers → signaling → threads. A person's wish to pause ([`privacy`]) → the capture thread; whether there is
//! a picture → every viewer's session, and the [`led`].
//!
//! On a card for a Raspberry Pi, `appliance` (feature `appliance`) stands before and after all that: it turns what people
//! put on the boot partition into the configuration, and shows label, code and errors.
//!
//! | owner | owns | in | out |
//! |---|---|---|---|
//! | thread `capture` | the source, its mappings | stop and pause flags | slot of one, state of the picture |
//! | thread `libcamera` | libcamera's manager, camera and requests ([`capture::libcamera`]) | events (64) | frames (one a buffer) |
//! | thread `encode` | the libvpx context | slot, commands (64) | ring (30 frames) |
//! | task signaling | the WebSocket | signals (64, and 16 a viewer) | events (64) |
//! | task per viewer | session, peer connection | ring, inputs (128) | commands, signals |
//! | [`agent::run`] | all of the above | events, failures, stop | inputs |
//!
//! Every channel is bounded: media is dropped when it is late, a peer that cannot keep up with signaling loses its
//! session. Nothing but this crate's own messages reaches the log; codes, SDP and candidates are in none of them.

pub mod agent;
#[cfg(feature = "appliance")]
pub mod appliance;
pub mod capture;
pub mod code;
pub mod config;
pub mod devices;
pub mod encoder;
pub mod fanout;
pub mod frame;
pub mod health;
pub mod identity;
pub mod label;
pub mod led;
mod marks;
pub mod pipeline;
pub mod privacy;
mod private_file;
pub mod signaling;
pub mod viewer;
