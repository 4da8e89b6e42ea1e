//! One open, streaming device.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::buffers::Buffers;
use super::cameras::{self, identify};
use super::formats::{half_pictures, layout, names};
use super::input::{self, InputError};
use super::ioctl::{Api, Filled, Format, FourCc, Fraction, Node};
use super::negotiation::{self, Choice};
use super::{controls, device_error};
use crate::capture::inventory::Mode;
use crate::capture::timestamp::{self, FrameCounter};
use crate::capture::{CameraSettings, CaptureError, Delivery, DeviceOptions, Source};
use crate::frame::{DeviceBuffers, Frame, Layout};

/// Streams until it is dropped.
pub(in crate::capture) struct Device {
    path: PathBuf,
    buffers: Arc<Buffers>,
    layout: Layout,
    fps: f64,
    counter: FrameCounter,
}

impl Device {
    /// Opens the device in the mode nearest to what is wanted, and starts it.
    pub(in crate::capture) fn open(
        path: &Path,
        settings: &CameraSettings,
        options: DeviceOptions,
    ) -> Result<Self, CaptureError> {
        let failed = |action| move |source| device_error(path, action, source);
        let node = Node::open(path).map_err(failed("open"))?;
        let (_, api) = identify(&node).map_err(|problem| CaptureError::NotACamera { path: path.into(), problem })?;
        input::select(&node, settings.input.as_deref(), settings.standard.as_deref()).map_err(|error| match error {
            InputError::Unknown(problem) => CaptureError::Input { path: path.into(), problem },
            InputError::Refused(action, source) => device_error(path, action, source),
        })?;
        // Before the format: to turn a picture can change what a sensor gives.
        controls::apply(&node, &settings.controls);

        let modes = cameras::modes(&node, api);
        let ranked = negotiation::ranked(&modes, settings.wanted, options.format.map(FourCc));
        let (choice, granted) = grant(&node, api, &ranked, options.stride)
            .map_err(failed("set its format"))?
            .ok_or_else(|| CaptureError::Format { path: path.into(), offered: offered(&modes), readable: names() })?;
        if let Some(order) = half_pictures(granted.field) {
            return Err(CaptureError::Fields { path: path.into(), order: order.to_owned() });
        }
        let layout = layout(choice.readable, &granted)
            .ok_or_else(|| io::Error::other("the driver tells of fewer planes than the format has"))
            .map_err(failed("set its format"))?;
        let wanted_rate = f64::from(settings.wanted.fps);
        let rate = choice.rate.unwrap_or(wanted_rate);
        let told = node.set_interval(api, interval(rate)).ok().flatten();
        let fps = told.map_or(rate, |Fraction(numerator, denominator)| f64::from(denominator) / f64::from(numerator));

        let buffers = Arc::new(Buffers::map(node, api).map_err(failed("map its buffers"))?);
        buffers.queue_all().map_err(failed("queue a buffer"))?;
        buffers.start().map_err(failed("start streaming"))?;
        let why = negotiation::reason(&ranked, settings.wanted).unwrap_or_default();
        tracing::info!(device = %path.display(), format = %granted.fourcc, size = %layout.size, fps, why, "camera started");
        Ok(Self { path: path.into(), buffers, layout, fps, counter: FrameCounter::default() })
    }

    fn error(&self, action: &'static str, source: io::Error) -> CaptureError {
        if source.raw_os_error() == Some(Errno::ENODEV as i32) {
            return CaptureError::Gone { path: self.path.clone() };
        }
        CaptureError::Device { path: self.path.clone(), action, source }
    }

    fn frame(&mut self, filled: &Filled) -> Delivery {
        let captured_at = filled.captured.map_or_else(Instant::now, timestamp::at);
        let sequence = self.counter.next(filled.sequence);
        let mut layout = self.layout;
        for plane in &mut layout.planes {
            plane.offset += filled.begins[plane.part];
        }
        let buffers: Arc<dyn DeviceBuffers> = self.buffers.clone();
        match Frame::device(buffers, filled.index, filled.used, layout, captured_at, sequence) {
            Ok(frame) if !filled.damaged => Delivery::Frame(frame),
            // The driver marks a damaged picture, or USB lost a part of it: the next one is 33 ms away.
            Ok(_) | Err(_) => {
                tracing::trace!(sequence = sequence.number, "a damaged frame was skipped");
                Delivery::Damaged
            }
        }
    }
}

impl Source for Device {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        self.fps
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(self.buffers.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Delivery::Nothing),
            Ok(_) => {}
            Err(errno) => return Err(self.error("wait for a frame", errno.into())),
        }
        let told = descriptors[0].revents().unwrap_or(PollFlags::POLLERR);
        match self.buffers.dequeue() {
            Ok(filled) => Ok(self.frame(&filled)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Unplugged: nothing will come any more. Failed: the same, but the device is there.
                if told.contains(PollFlags::POLLHUP) {
                    Err(self.error("deliver a frame", Errno::ENODEV.into()))
                } else if told.contains(PollFlags::POLLERR) {
                    Err(self.error("deliver a frame", Errno::EIO.into()))
                } else {
                    Ok(Delivery::Nothing)
                }
            }
            Err(error) => Err(self.error("deliver a frame", error)),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.buffers.stop() {
            tracing::debug!(%error, "the camera did not stop streaming");
        }
    }
}

/// The first of these modes that the driver grants. It may grant another size, but not another format.
fn grant(node: &Node, api: Api, ranked: &[Choice], stride: u32) -> io::Result<Option<(Choice, Format)>> {
    let mut refused = Vec::new();
    for choice in ranked {
        let fourcc = choice.readable.fourcc;
        if refused.contains(&fourcc) {
            continue;
        }
        match node.set_format(api, fourcc, choice.size, stride) {
            Ok(granted) if granted.fourcc == fourcc && granted.size.area() > 0 => return Ok(Some((*choice, granted))),
            Ok(_) => refused.push(fourcc),
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => refused.push(fourcc),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn offered(modes: &[Mode]) -> String {
    let names: Vec<_> = modes.iter().map(|mode| mode.format.as_str()).collect();
    if names.is_empty() { "no format".to_owned() } else { format!("{} only", names.join(", ")) }
}

/// The time between two frames at this rate.
fn interval(rate: f64) -> Fraction {
    if (rate - rate.round()).abs() < 1e-6 {
        return Fraction(1, rate as u32);
    }
    // 29.97 is 30000/1001; others are told in thousandths.
    let ntsc = (rate * 1.001).round();
    if (ntsc / 1.001 - rate).abs() < 1e-3 {
        Fraction(1001, ntsc as u32 * 1000)
    } else {
        Fraction(1000, (rate * 1000.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_intervals() {
        assert_eq!(interval(30.0), Fraction(1, 30));
        assert_eq!(interval(30000.0 / 1001.0), Fraction(1001, 30000));
        assert_eq!(interval(7.5), Fraction(1000, 7500));
    }
}
