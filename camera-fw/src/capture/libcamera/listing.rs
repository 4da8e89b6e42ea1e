//! The cameras that libcamera knows, for the inventory.

use std::path::{Path, PathBuf};

use ::libcamera::camera::Camera;
use ::libcamera::camera_manager::CameraManager;
use ::libcamera::properties;
use ::libcamera::stream::StreamRole;
use nix::sys::stat::{major, minor};

use super::format::{self, Readable};
use super::{PREFIX, controls};
use crate::capture::inventory::{CameraInfo, Kind, Mode, Sizes};

/// Everything that there is.
pub(super) fn all(manager: &CameraManager) -> Vec<CameraInfo> {
    let cameras = manager.cameras();
    (0..cameras.len()).filter_map(|index| cameras.get(index)).map(|camera| describe(&camera)).collect()
}

/// The camera to open: the one with this id, or the first that V4L2 does not serve better.
pub(super) fn find(manager: &CameraManager, id: Option<&str>) -> Option<Camera<'static>> {
    let cameras = manager.cameras();
    let mut all: Vec<Camera<'static>> = (0..cameras.len()).filter_map(|index| cameras.get(index)).collect();
    let index = match id {
        Some(id) => all.iter().position(|camera| camera.id() == id)?,
        None => all.iter().position(|camera| served_by_v4l2(camera).is_none()).unwrap_or(0),
    };
    (index < all.len()).then(|| all.swap_remove(index))
}

fn describe(camera: &Camera<'_>) -> CameraInfo {
    let id = camera.id();
    let known = controls::known(camera);
    let problem = served_by_v4l2(camera).map(|node| format!("V4L2 serves it better, as {}", node.display()));
    CameraInfo {
        id: format!("{PREFIX}:{id}"),
        kind: Kind::Libcamera,
        name: camera.properties().get::<properties::Model>().map_or_else(|_| id.to_owned(), |model| model.0),
        driver: PREFIX.to_owned(),
        // libcamera's ids say where in the machine a camera is, not when it was found.
        bus: id.to_owned(),
        signal: true,
        modes: modes(camera, controls::fastest(&known)),
        controls: controls::offered(&known),
        inputs: Vec::new(),
        problem,
    }
}

fn modes(camera: &Camera<'_>, fastest: Option<f64>) -> Vec<Mode> {
    let Some(configuration) = camera.generate_configuration(&[StreamRole::VideoRecording]) else { return Vec::new() };
    let Some(stream) = configuration.get(0) else { return Vec::new() };
    let formats = stream.formats();
    let describe = |format| {
        let range = formats.range(format);
        let (min, max) = (format::ours(range.min), format::ours(range.max));
        // A range without steps is only what a list of sizes lies in.
        let sizes = if range.h_step == 0 || range.v_step == 0 || min == max {
            let sizes = formats.sizes(format).into_iter().map(|size| (format::ours(size), Vec::from_iter(fastest)));
            Sizes::Discrete(sizes.collect())
        } else {
            Sizes::Range { min, max, step: (range.h_step, range.v_step), fastest }
        };
        Mode { format: format::name(format), usable: Readable::new(format).is_some(), sizes }
    };
    formats.pixel_formats().into_iter().map(describe).collect()
}

/// The V4L2 node of a USB camera: its driver does all the work, and libcamera would only stand between.
fn served_by_v4l2(camera: &Camera<'_>) -> Option<PathBuf> {
    let properties::SystemDevices(numbers) = camera.properties().get().ok()?;
    numbers.into_iter().find_map(|number| usb_camera(Path::new("/sys/dev/char"), number.cast_unsigned()))
}

/// The node with this device number, if the driver behind it is that of USB cameras.
fn usb_camera(devices: &Path, number: u64) -> Option<PathBuf> {
    let device = devices.join(format!("{}:{}", major(number), minor(number)));
    let driver = device.join("device/driver").canonicalize().ok()?;
    let node = device.canonicalize().ok()?;
    (driver.file_name()? == "uvcvideo").then(|| Path::new("/dev").join(node.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::create_dir_all;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_usb_camera_is_known_by_its_driver() {
        let sys = tempfile::tempdir().unwrap();
        let at = |path: &str| sys.path().join(path);
        for (node, number, driver) in [("video0", "81:0", "uvcvideo"), ("video1", "81:1", "unicam")] {
            create_dir_all(at(&format!("devices/{node}"))).unwrap();
            create_dir_all(at(&format!("drivers/{driver}"))).unwrap();
            create_dir_all(at(&format!("devices/interface-of-{node}"))).unwrap();
            symlink(at(&format!("drivers/{driver}")), at(&format!("devices/interface-of-{node}/driver"))).unwrap();
            symlink(at(&format!("devices/interface-of-{node}")), at(&format!("devices/{node}/device"))).unwrap();
            create_dir_all(at("char")).unwrap();
            symlink(at(&format!("devices/{node}")), at(&format!("char/{number}"))).unwrap();
        }
        let number = |minor| nix::sys::stat::makedev(81, minor);
        assert_eq!(usb_camera(&at("char"), number(0)), Some("/dev/video0".into()));
        assert_eq!(usb_camera(&at("char"), number(1)), None);
        assert_eq!(usb_camera(&at("char"), number(2)), None);
    }
}
