//! What a person is told when a camera cannot be opened.

use std::fs::{metadata, read_dir};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Gid, Group, access};

use super::named;
use crate::capture::CaptureError;
use crate::capture::inventory::CameraInfo;

/// Where the kernel shows what cameras are made of.
const DEVICES: &str = "/dev";

/// The camera wanted is not among those that there are.
pub(super) fn not_found(there: Vec<CameraInfo>, wanted: Option<&str>) -> CaptureError {
    let there: Vec<_> = there.into_iter().map(|camera| camera.id).collect();
    match wanted {
        Some(_) if !there.is_empty() => CaptureError::UnknownModule { path: named(wanted), there: there.join(", ") },
        // libcamera keeps silent about what it may not look at.
        _ => forbidden(Path::new(DEVICES)).unwrap_or(CaptureError::NoModule),
    }
}

fn forbidden(devices: &Path) -> Option<CaptureError> {
    let nodes =
        read_dir(devices).ok()?.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"media"));
    let may_use = |path: &Path| access(path, AccessFlags::R_OK | AccessFlags::W_OK);
    let path = nodes.map(|node| node.path()).find(|path| may_use(path) == Err(Errno::EACCES))?;
    let owner = metadata(&path).ok().map(|data| Gid::from_raw(data.gid()));
    let group = owner.and_then(|group| Group::from_gid(group).ok().flatten());
    Some(CaptureError::Permission { path, group: group.map_or_else(|| "video".to_owned(), |group| group.name) })
}

/// What the camera itself refused.
pub(super) fn device_error(path: PathBuf, action: &'static str, source: io::Error) -> CaptureError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) => CaptureError::InUse { path },
        Some(Errno::ENODEV | Errno::ENXIO) => CaptureError::Gone { path },
        _ => CaptureError::Device { path, action, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_become_advice() {
        let text = |errno: Errno| device_error(named(Some("imx708")), "reserve it", errno.into()).to_string();
        assert!(text(Errno::EBUSY).contains("libcamera:imx708 is busy: another program uses the camera"));
        assert!(text(Errno::ENODEV).contains("libcamera:imx708 went away"));
        let other = text(Errno::EINVAL);
        assert!(other.contains("libcamera:imx708 failed to reserve it: Invalid argument"), "{other}");
    }

    #[test]
    fn no_camera_at_all_is_said_with_what_to_look_at() {
        let text = not_found(Vec::new(), None).to_string();
        for advice in ["ribbon cable", "camera_auto_detect=1", "dtoverlay", "camera-fw devices"] {
            assert!(text.contains(advice), "{text}");
        }
    }

    #[test]
    fn only_what_media_devices_forbid_is_a_matter_of_permission() {
        let folder = tempfile::tempdir().unwrap();
        assert!(forbidden(folder.path()).is_none());
        std::fs::write(folder.path().join("media0"), "").unwrap();
        assert!(forbidden(folder.path()).is_none(), "it is ours");
    }
}
