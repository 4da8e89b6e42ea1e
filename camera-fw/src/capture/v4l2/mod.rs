//! V4L2 capture devices: webcams, grabbers, whatever is a `/dev/video…`.
//!
//! ```text
//! cameras.rs      what is there, and what is no camera
//! device.rs       open ▶ input.rs ▶ controls.rs ▶ negotiation.rs ▶ formats.rs ▶ buffers.rs ▶ frames
//! ioctl.rs        every request to the kernel
//! ```
//!
//! A [`Frame`](crate::frame::Frame) of such a device is the driver's own buffer; dropping it queues the buffer again. The
//! mapping lives as long as the last frame, the stream as long as the [`Device`].

mod buffers;
mod cameras;
mod controls;
mod device;
mod formats;
mod input;
mod ioctl;
mod negotiation;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Gid, Group};

use super::CaptureError;
use super::inventory::CameraInfo;
use super::settings::Wanted;

pub(super) use cameras::cameras;
pub(super) use device::Device;

/// Which of its modes a camera would be used in, and why, in a sentence; nothing if none is usable.
pub fn mode_taken(camera: &CameraInfo, wanted: Wanted) -> Option<String> {
    negotiation::reason(&negotiation::ranked(&camera.modes, wanted, None), wanted)
}

/// The formats that are read, by their four characters, cheapest first.
pub fn formats_read() -> impl Iterator<Item = [u8; 4]> {
    formats::READABLE.iter().map(|readable| readable.fourcc.0)
}

fn device_error(path: &Path, action: &'static str, source: io::Error) -> CaptureError {
    let owned = path.to_owned();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => CaptureError::NoDevice { path: owned },
        Some(Errno::EBUSY) => CaptureError::Busy { path: owned },
        Some(Errno::EACCES | Errno::EPERM) => CaptureError::Permission { path: owned, group: group_of(path) },
        _ => CaptureError::Device { path: owned, action, source },
    }
}

/// The group that owns a node: who is in it may open it.
fn group_of(path: &Path) -> String {
    let Ok(node) = path.metadata() else { return "video".to_owned() };
    let group = Group::from_gid(Gid::from_raw(node.gid())).ok().flatten();
    group.map_or_else(|| node.gid().to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_become_advice() {
        let text = |errno: Errno| device_error(Path::new("/dev/video0"), "open", errno.into()).to_string();
        assert!(text(Errno::ENOENT).contains("there is no device /dev/video0"));
        assert!(text(Errno::EBUSY).contains("another program uses the camera"));
        assert!(text(Errno::EIO).contains("failed to open: Input/output error"), "{}", text(Errno::EIO));
    }

    #[test]
    fn a_missing_permission_names_the_group_that_has_it() {
        let mine = tempfile::NamedTempFile::new().unwrap();
        let owner = Group::from_gid(Gid::from_raw(mine.path().metadata().unwrap().gid())).unwrap().unwrap();
        let text = device_error(mine.path(), "open", Errno::EACCES.into()).to_string();
        assert!(text.contains(&format!("usermod -aG {} ", owner.name)), "{text}");
        assert_eq!(group_of(Path::new("/dev/video999")), "video");
    }
}
