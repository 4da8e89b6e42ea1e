//! Which camera is meant when nobody says which: pure, from the inventory alone.

use super::inventory::{CameraInfo, Kind};

/// What stands before the serial number in a camera's bus.
pub(super) const SERIAL: &str = " serial ";

/// A camera of the inventory, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What `source` would take.
    pub id: String,
    /// One sentence without its full stop.
    pub why: String,
}

/// The camera that `source = "auto"` takes, if there is one that can be used.
///
/// A camera of libcamera first: it is a module that somebody screwed into this very device. Then V4L2: one whose input
/// has a signal before one whose has not, a camera before a grabber with several inputs, and the lower number.
pub fn choose(cameras: &[CameraInfo]) -> Option<Choice> {
    let usable: Vec<_> = cameras.iter().filter(|camera| camera.is_usable()).collect();
    let best = *usable.iter().min_by_key(|camera| rank(camera))?;
    let why = match (best.kind, usable.iter().find(|camera| rank(camera) != rank(best) && camera.id != best.id)) {
        (_, None) if usable.len() == 1 => "it is the only usable camera".to_owned(),
        (Kind::Libcamera, _) => "it is the first camera of libcamera, which goes before V4L2".to_owned(),
        (Kind::V4l2, Some(other)) if best.signal && !other.signal => {
            format!("it has a signal, which {} has not", other.id)
        }
        (Kind::V4l2, Some(other)) if best.inputs.len() <= 1 && other.inputs.len() > 1 => {
            format!("it is a camera, {} a device with several inputs", other.id)
        }
        (Kind::V4l2, _) => format!("it is the first of {} usable cameras", usable.len()),
    };
    Some(Choice { id: best.id.clone(), why })
}

/// The least is the best. Nodes are compared by the length of their name first: video10 comes after video9.
fn rank(camera: &CameraInfo) -> (bool, bool, bool, usize, &str) {
    let is_v4l2 = camera.kind == Kind::V4l2;
    (is_v4l2, !camera.signal, camera.inputs.len() > 1, if is_v4l2 { camera.id.len() } else { 0 }, &camera.id)
}

/// A camera that streamed, and what was beside it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// It.
    pub(super) camera: CameraInfo,
    /// The buses of the other cameras that were there with it, or were there still when it was missed.
    others: Vec<String>,
    was_missed: bool,
}

impl Known {
    /// The camera of this id among those that are there.
    pub(super) fn of(id: &str, cameras: &[CameraInfo]) -> Option<Self> {
        let camera = cameras.iter().find(|camera| camera.id == id)?.clone();
        let others = cameras.iter().filter(|other| other.id != id).map(|other| other.bus.clone()).collect();
        Some(Self { camera, others, was_missed: false })
    }

    /// When it has just been lost, whatever is there is another one: nobody plugs a camera in elsewhere in that moment.
    pub(super) fn look_round(&mut self, cameras: &[CameraInfo]) {
        if !std::mem::replace(&mut self.was_missed, true) {
            let others = cameras.iter().map(|camera| &camera.bus).filter(|bus| **bus != self.camera.bus);
            self.others.extend(others.cloned());
        }
    }

    /// The camera again, wherever it is now: by its bus, else by its name and serial number.
    pub(super) fn find<'a>(&self, cameras: &'a [CameraInfo]) -> Option<&'a CameraInfo> {
        let lost = &self.camera;
        let usable = || cameras.iter().filter(|camera| camera.kind == lost.kind && camera.is_usable());
        let same_bus = usable().find(|camera| camera.bus == lost.bus);
        // In another socket: where there is no serial number, what it calls itself is all there is. A twin that was there
        // beside it is not it.
        let who =
            |camera: &CameraInfo| (camera.name.clone(), camera.driver.clone(), serial(&camera.bus).map(str::to_owned));
        let same_name = || usable().find(|camera| who(camera) == who(lost) && !self.others.contains(&camera.bus));
        same_bus.or_else(same_name)
    }
}

/// The serial number in a camera's bus, if it has one.
fn serial(bus: &str) -> Option<&str> {
    Some(bus.split_once(SERIAL)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::inventory::{Mode, Sizes};

    fn camera(id: &str) -> CameraInfo {
        let mode = Mode { format: "YUYV".into(), usable: true, sizes: Sizes::Discrete(Vec::new()) };
        CameraInfo {
            id: id.into(),
            kind: if id.starts_with("libcamera") { Kind::Libcamera } else { Kind::V4l2 },
            name: "Webcam".into(),
            driver: "uvcvideo".into(),
            bus: format!("usb of {id}"),
            signal: true,
            modes: vec![mode],
            controls: Vec::new(),
            inputs: Vec::new(),
            problem: None,
        }
    }

    fn chosen(cameras: &[CameraInfo]) -> (String, String) {
        choose(cameras).map(|choice| (choice.id, choice.why)).unwrap()
    }

    #[test]
    fn libcamera_goes_first_and_the_lower_number_before_the_higher() {
        let cameras = ["/dev/video10", "/dev/video9", "libcamera:ov5647"].map(camera);
        assert_eq!(chosen(&cameras).0, "libcamera:ov5647");
        let (id, why) = chosen(&cameras[..2]);
        assert_eq!((id.as_str(), why.as_str()), ("/dev/video9", "it is the first of 2 usable cameras"));
        assert_eq!(chosen(&cameras[..1]).1, "it is the only usable camera");
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn what_cannot_be_used_does_not_count() {
        let busy = CameraInfo { problem: Some("it is busy".into()), ..camera("/dev/video0") };
        let mut raw = camera("/dev/video1");
        raw.modes[0].usable = false;
        assert_eq!(choose(&[busy.clone(), raw.clone()]), None);
        assert_eq!(chosen(&[busy, raw, camera("/dev/video2")]).0, "/dev/video2");
    }

    #[test]
    fn a_signal_counts_more_than_a_number_and_a_camera_more_than_a_grabber() {
        let silent = CameraInfo { signal: false, ..camera("/dev/video0") };
        let (id, why) = chosen(&[silent, camera("/dev/video1")]);
        assert_eq!((id.as_str(), why.as_str()), ("/dev/video1", "it has a signal, which /dev/video0 has not"));
        let grabber = CameraInfo { inputs: vec!["Composite".into(), "S-Video".into()], ..camera("/dev/video0") };
        let (id, why) = chosen(&[grabber, camera("/dev/video1")]);
        assert_eq!(id, "/dev/video1");
        assert!(why.contains("several inputs"), "{why}");
    }

    #[test]
    fn a_lost_camera_is_found_by_its_bus_then_by_its_name() {
        let lost = camera("/dev/video0");
        let mut known = Known::of("/dev/video0", &[lost.clone(), camera("/dev/video8")]).unwrap();
        known.look_round(&[camera("/dev/video8"), camera("/dev/video9")]);
        known.look_round(&[camera("/dev/video5")]);
        let moved = CameraInfo { bus: lost.bus, ..camera("/dev/video3") };
        let found = |cameras: &[CameraInfo]| known.find(cameras).map(|camera| camera.id.clone());
        let another = CameraInfo { name: "Other".into(), bus: "elsewhere".into(), ..camera("/dev/video0") };
        assert_eq!(found(&[another.clone(), moved]).as_deref(), Some("/dev/video3"));
        assert_eq!(found(&[another]), None, "another one in its place");
        assert_eq!(found(&[camera("/dev/video5")]).as_deref(), Some("/dev/video5"), "in another socket");
        assert_eq!(found(&[camera("/dev/video8")]), None, "its twin, which was there all the time");
        assert_eq!(found(&[camera("/dev/video9")]), None, "its twin, which was there when it was missed");
        let twin = |serial: &str| [CameraInfo { bus: format!("usb-2{SERIAL}{serial}"), ..camera("/dev/video5") }];
        let numbered = CameraInfo { bus: format!("usb-1{SERIAL}77"), ..camera("/dev/video0") };
        let numbered = Known { camera: numbered, others: Vec::new(), was_missed: false };
        assert!(numbered.find(&twin("78")).is_none(), "another one of the same make");
        assert!(numbered.find(&twin("77")).is_some());
        let stranger = CameraInfo { name: "Other".into(), ..camera("/dev/video5") };
        assert_eq!(found(&[stranger]), None);
        let gone = CameraInfo { problem: Some("no permission".into()), ..camera("/dev/video0") };
        assert_eq!(found(&[gone]), None);
    }
}
