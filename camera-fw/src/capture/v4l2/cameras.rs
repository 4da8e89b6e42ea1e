//! The capture devices of this machine, told from everything else that is a `/dev/video…`.

use std::fs;
use std::path::{Path, PathBuf};

use v4l::v4l_sys::{
    V4L2_CAP_IO_MC, V4L2_CAP_META_CAPTURE, V4L2_CAP_META_OUTPUT, V4L2_CAP_STREAMING, V4L2_CAP_VIDEO_CAPTURE,
    V4L2_CAP_VIDEO_CAPTURE_MPLANE, V4L2_CAP_VIDEO_M2M, V4L2_CAP_VIDEO_M2M_MPLANE, V4L2_CAP_VIDEO_OUTPUT,
    V4L2_CAP_VIDEO_OUTPUT_MPLANE,
};

use super::formats::readable;
use super::ioctl::{Api, Capability, FourCc, FrameSize, Input, Node};
use super::{controls, device_error, input};
use crate::capture::auto::SERIAL;
use crate::capture::inventory::{CameraInfo, Kind, Mode, Sizes};

/// Where the kernel lists them.
const CLASS: &str = "/sys/class/video4linux";

const RAW: &str =
    "it gives what the sensor sees, without colours; libcamera makes pictures of it: use --source libcamera";

/// The cameras of this machine, by number. What is no camera is left out, and the log says why at the level debug.
pub(in crate::capture) fn cameras() -> Vec<CameraInfo> {
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let mut nodes: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?, entry.path())))
        .collect();
    nodes.sort();
    nodes
        .into_iter()
        .filter_map(|(number, class)| camera(&PathBuf::from(format!("/dev/video{number}")), &class))
        .collect()
}

fn camera(path: &Path, class: &Path) -> Option<CameraInfo> {
    match Node::open(path) {
        Ok(node) => match describe(&node, path, class) {
            Ok(camera) => Some(camera),
            Err(reason) => {
                tracing::debug!(device = %path.display(), reason, "not a camera");
                None
            }
        },
        // It cannot say what it is. A camera's further nodes are metadata, as a rule.
        Err(_) if attribute(class, "index").is_some_and(|index| index != "0") => None,
        Err(error) => Some(CameraInfo {
            id: path.display().to_string(),
            kind: Kind::V4l2,
            name: attribute(class, "name").unwrap_or_default(),
            driver: String::new(),
            bus: place(path.display().to_string(), class),
            signal: false,
            modes: Vec::new(),
            controls: Vec::new(),
            inputs: Vec::new(),
            problem: Some(device_error(path, "open", error).to_string()),
        }),
    }
}

fn describe(node: &Node, path: &Path, class: &Path) -> Result<CameraInfo, String> {
    let (capability, api) = identify(node)?;
    let modes = modes(node, api);
    let inputs = input::list(node);
    if let Some(reason) = stage_of_a_pipeline(&capability, &modes, &inputs) {
        return Err(reason.to_owned());
    }
    let current = node.input().ok().and_then(|index| inputs.iter().find(|input| input.index == index));
    let several = inputs.len() > 1 || inputs.iter().any(|input| input.standards != 0);
    let settable = controls::list(node).into_iter().filter(controls::Control::is_settable);
    Ok(CameraInfo {
        id: path.display().to_string(),
        kind: Kind::V4l2,
        signal: current.is_none_or(|input| input::trouble(input).is_none()),
        controls: settable.map(|control| control.info()).collect(),
        inputs: if several { inputs.iter().map(input::describe).collect() } else { Vec::new() },
        bus: place(capability.bus, class),
        name: capability.name,
        driver: capability.driver,
        modes,
        problem: None,
    })
}

/// Who a node is and how it is spoken to, or why it captures nothing.
pub(super) fn identify(node: &Node) -> Result<(Capability, Api), String> {
    let capability = node.capability().map_err(|_| "it does not answer as a V4L2 device".to_owned())?;
    let api = api(capability.flags)?;
    Ok((capability, api))
}

fn api(flags: u32) -> Result<Api, &'static str> {
    let is = |bits: u32| flags & bits != 0;
    if is(V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE) {
        return Err("it turns pictures into others (an encoder, a decoder or a scaler)");
    }
    let api = if is(V4L2_CAP_VIDEO_CAPTURE) {
        Api::Single
    } else if is(V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
        Api::Multi
    } else if is(V4L2_CAP_META_CAPTURE | V4L2_CAP_META_OUTPUT) {
        return Err("it carries data about pictures and no pictures");
    } else if is(V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE) {
        return Err("it is an output");
    } else {
        return Err("it captures no video");
    };
    if is(V4L2_CAP_STREAMING) { Ok(api) } else { Err("it cannot stream into mapped memory") }
}

/// Why a node that captures is no camera by itself: it is a stage of a pipeline that has to be set up as a whole.
fn stage_of_a_pipeline(capability: &Capability, modes: &[Mode], inputs: &[Input]) -> Option<&'static str> {
    if !modes.is_empty() && modes.iter().all(|mode| is_raw(&mode.format)) {
        Some(RAW)
    } else if capability.flags & V4L2_CAP_IO_MC != 0 {
        Some("it is a stage of a pipeline, which libcamera sets up as a whole: use --source libcamera")
    } else if inputs.is_empty() {
        Some("it has no input: it gives back pictures that it is given")
    } else {
        None
    }
}

/// What a sensor gives: one colour to a pixel (`RGGB`, `pBAA`, `BG10`).
fn is_raw(format: &str) -> bool {
    match format.as_bytes() {
        b"BA81" | b"GBRG" | b"GRBG" | b"RGGB" | b"BYR2" => true,
        [b'B', b'A' | b'G', b'1', _] | [b'G', b'B' | b'R', b'1', _] | [b'R', b'G', b'1', _] => true,
        // Packed, and compressed in two ways.
        [b'p' | b'a' | b'b', b'B' | b'G' | b'g' | b'R', ..] => true,
        _ => false,
    }
}

/// Everything that it gives.
pub(super) fn modes(node: &Node, api: Api) -> Vec<Mode> {
    let mode = |fourcc: FourCc| {
        let format = fourcc.to_string();
        Mode { usable: readable(&format).is_some(), sizes: sizes(node, fourcc), format }
    };
    node.formats(api).into_iter().map(mode).collect()
}

fn sizes(node: &Node, fourcc: FourCc) -> Sizes {
    let rates = |size| {
        let intervals = node.intervals(fourcc, size).into_iter();
        let known = intervals.filter(|interval| interval.0 > 0 && interval.1 > 0);
        let mut rates: Vec<_> = known.map(|interval| f64::from(interval.1) / f64::from(interval.0)).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        rates
    };
    let sizes = node.sizes(fourcc);
    if let Some(FrameSize::Stepwise { min, max, step }) = sizes.first() {
        return Sizes::Range { min: *min, max: *max, step: *step, fastest: rates(*min).first().copied() };
    }
    let discrete = sizes.into_iter().filter_map(|size| match size {
        FrameSize::Discrete(size) => Some((size, rates(size))),
        FrameSize::Stepwise { .. } => None,
    });
    Sizes::Discrete(discrete.collect())
}

/// Where it is plugged in and, where it has one, its serial number: what a new number does not change.
fn place(bus: String, class: &Path) -> String {
    let mut place = bus;
    if let Some(index) = attribute(class, "index").filter(|index| index != "0") {
        place += &format!(" node {index}");
    }
    // The node belongs to an interface of a USB device, and that has the number.
    let device = fs::canonicalize(class.join("device")).ok();
    if let Some(serial) = device.and_then(|interface| attribute(interface.parent()?, "serial")) {
        place += &format!("{SERIAL}{serial}");
    }
    place
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn capability(driver: &str, flags: u32) -> Capability {
        Capability { driver: driver.into(), name: String::new(), bus: String::new(), flags }
    }

    fn modes(formats: &[&str]) -> Vec<Mode> {
        let mode = |format: &&str| Mode {
            format: (*format).into(),
            usable: readable(format).is_some(),
            sizes: Sizes::Discrete(Vec::new()),
        };
        formats.iter().map(mode).collect()
    }

    fn one_input() -> Vec<Input> {
        vec![Input { index: 0, name: "Camera 1".into(), kind: 2, status: 0, capabilities: 0, standards: 0 }]
    }

    #[test]
    fn nodes_are_told_apart_by_what_they_can() {
        assert_eq!(api(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING), Ok(Api::Single), "uvcvideo");
        assert_eq!(api(V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_STREAMING), Ok(Api::Multi));
        for (flags, reason) in [
            (V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING, "data about pictures"),
            (V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING, "into others"),
            (V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_STREAMING, "an output"),
            (V4L2_CAP_VIDEO_CAPTURE, "cannot stream"),
            (0, "no video"),
        ] {
            assert!(api(flags).unwrap_err().contains(reason), "{flags:#x}");
        }
    }

    #[test]
    fn stages_of_the_pi_s_pipelines_are_no_cameras() {
        let is_stage = |driver, flags, formats: &[&str], inputs: &[Input]| {
            stage_of_a_pipeline(&capability(driver, flags), &modes(formats), inputs).is_some()
        };
        assert!(is_stage("unicam", 0, &["pBAA", "pgAA", "RG10"], &one_input()));
        assert!(is_stage("rp1-cfe", V4L2_CAP_IO_MC, &["pBAA", "YUYV"], &one_input()));
        assert!(is_stage("bcm2835-isp", 0, &["YUYV", "YU12", "NV12"], &[]));
        assert!(is_stage("pispbe", 0, &["YU12"], &[]));
        assert!(!is_stage("uvcvideo", 0, &["YUYV", "MJPG"], &one_input()));
        assert!(!is_stage("unicam", 0, &["UYVY", "RGB3"], &one_input()), "an HDMI receiver at the same connector");
    }

    #[test]
    fn raw_formats_are_known_by_their_names() {
        for format in ["RGGB", "BA81", "BG10", "GB12", "BA10", "GR16", "RG14", "pBAA", "pgCC", "bRA8"] {
            assert!(is_raw(format), "{format}");
        }
        for format in ["RGB3", "BGR4", "GREY", "YUYV", "MJPG", "NV12", "RGBP"] {
            assert!(!is_raw(format), "{format}");
        }
    }

    #[test]
    fn a_camera_keeps_its_place_under_another_number() {
        let sys = tempfile::tempdir().unwrap();
        let usb = sys.path().join("devices/usb1/1-2");
        let interface = usb.join("1-2:1.0");
        fs::create_dir_all(&interface).unwrap();
        fs::write(usb.join("serial"), "A1B2C3\n").unwrap();
        let node = |name: &str, index: &str| {
            let class = sys.path().join(name);
            fs::create_dir_all(&class).unwrap();
            symlink(&interface, class.join("device")).unwrap();
            fs::write(class.join("index"), index).unwrap();
            place("usb-xhci-2".into(), &class)
        };
        assert_eq!(node("video0", "0\n"), "usb-xhci-2 serial A1B2C3");
        assert_eq!(node("video4", "0\n"), "usb-xhci-2 serial A1B2C3");
        assert_eq!(node("video5", "1\n"), "usb-xhci-2 node 1 serial A1B2C3");
        let platform = sys.path().join("video9");
        fs::create_dir_all(&platform).unwrap();
        assert_eq!(place("platform:vivid-000".into(), &platform), "platform:vivid-000");
    }

    #[test]
    fn what_does_not_answer_is_no_camera() {
        let null = Node::open(Path::new("/dev/null")).unwrap();
        assert_eq!(identify(&null).unwrap_err(), "it does not answer as a V4L2 device");
    }
}
