//! `camera-fw devices`: the cameras of this machine for a person, or as JSON for a program.

use std::fmt::Write as _;

use serde::Serialize;

use crate::capture::auto::{Choice, choose};
use crate::capture::inventory::{CameraInfo, Sizes};
use crate::capture::{Wanted, mode_taken};

/// Rates of a size that are shown to a person; webcams list a dozen.
const RATES: usize = 4;

/// What there is, and what `source = "auto"` would do with it.
#[derive(Debug, Serialize)]
pub struct Listing {
    cameras: Vec<Listed>,
    /// The camera that `auto` takes, and why.
    auto: Option<Auto>,
}

#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    camera: CameraInfo,
    usable: bool,
    /// The mode in which it would be used with the present settings, and why.
    mode: Option<String>,
}

#[derive(Debug, Serialize)]
struct Auto {
    id: String,
    why: String,
}

impl Listing {
    /// A listing of these cameras; modes are those taken for this wish.
    pub fn new(cameras: Vec<CameraInfo>, wanted: Wanted) -> Self {
        let auto = choose(&cameras).map(|Choice { id, why }| Auto { id, why });
        let listed = |camera: CameraInfo| {
            let usable = camera.is_usable();
            Listed { mode: mode_taken(&camera, wanted).filter(|_| usable), usable, camera }
        };
        Self { cameras: cameras.into_iter().map(listed).collect(), auto }
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        text + "\n"
    }

    /// For a person.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for listed in &self.cameras {
            listed.describe(&mut text);
        }
        // Writing to a string does not fail.
        let _ = match &self.auto {
            Some(Auto { id, why }) => writeln!(text, "auto takes {id}: {why}."),
            None if self.cameras.is_empty() => {
                text += "No camera found. Plug one in, or stream the test pattern with --source pattern.\n";
                Ok(())
            }
            None => writeln!(
                text,
                "auto takes none of them, and waits for another; --source pattern streams the test pattern."
            ),
        };
        text
    }
}

impl Listed {
    fn describe(&self, text: &mut String) {
        let camera = &self.camera;
        let _ = writeln!(text, "{}  {}  ({}, {}, {})", camera.id, camera.name, camera.kind, camera.driver, camera.bus);
        if let Some(problem) = &camera.problem {
            let _ = writeln!(text, "    cannot be used: {problem}");
        }
        if !camera.signal {
            text.push_str("    no signal at its input\n");
        }
        if camera.inputs.len() > 1 {
            let _ = writeln!(text, "    inputs: {}", camera.inputs.join(", "));
        }
        for mode in camera.modes.iter().filter(|mode| mode.usable) {
            let _ = writeln!(text, "    {}  {}", mode.format, sizes(&mode.sizes));
        }
        let unread: Vec<_> = camera.modes.iter().filter(|mode| !mode.usable).map(|mode| mode.format.as_str()).collect();
        if !unread.is_empty() {
            let _ = writeln!(text, "    not read here: {}", unread.join(", "));
        }
        if !camera.controls.is_empty() {
            let controls = camera.controls.iter().map(|control| {
                let now = control.now.as_ref().map(|now| format!(" = {now}")).unwrap_or_default();
                format!("{}{now} ({})", control.name, control.takes)
            });
            let _ = writeln!(text, "    controls: {}", controls.collect::<Vec<_>>().join("; "));
        }
        if let Some(mode) = &self.mode {
            let _ = writeln!(text, "    used as: {mode}");
        }
        text.push('\n');
    }
}

fn sizes(sizes: &Sizes) -> String {
    match sizes {
        Sizes::Discrete(sizes) => {
            let each = sizes.iter().map(|(size, rates)| {
                let shown: Vec<_> = rates.iter().take(RATES).map(|rate| number(*rate)).collect();
                let more = if rates.len() > RATES { ", …" } else { "" };
                if shown.is_empty() { size.to_string() } else { format!("{size} ({}{more})", shown.join(", ")) }
            });
            each.collect::<Vec<_>>().join("  ")
        }
        Sizes::Range { min, max, fastest, .. } => {
            let fastest = fastest.map(|rate| format!(" (up to {})", number(rate))).unwrap_or_default();
            format!("{min} to {max}{fastest}")
        }
    }
}

/// 30, 29.97.
fn number(rate: f64) -> String {
    format!("{}", (rate * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::inventory::{ControlInfo, Kind, Mode};
    use crate::frame::Size;

    fn webcam() -> CameraInfo {
        let size = |width, height| Size { width, height };
        let mode = |format: &str, usable, sizes| Mode { format: format.into(), usable, sizes: Sizes::Discrete(sizes) };
        CameraInfo {
            id: "/dev/video0".into(),
            kind: Kind::V4l2,
            name: "HD Webcam".into(),
            driver: "uvcvideo".into(),
            bus: "usb-0000:01:00.0-1.2".into(),
            signal: true,
            modes: vec![
                mode(
                    "YUYV",
                    true,
                    vec![(size(640, 480), vec![30.0, 25.0, 20.0, 15.0, 10.0]), (size(1280, 720), vec![10.0])],
                ),
                mode("MJPG", true, vec![(size(1280, 720), vec![30.0, 15.0])]),
                mode("H264", false, vec![(size(1280, 720), vec![])]),
            ],
            controls: vec![ControlInfo {
                name: "brightness".into(),
                takes: "0 to 255".into(),
                now: Some("128".into()),
            }],
            inputs: Vec::new(),
            problem: None,
        }
    }

    const WANTED: Wanted = Wanted { size: Size { width: 1280, height: 720 }, fps: 30 };

    #[test]
    fn a_person_reads_what_a_camera_can_and_what_would_be_taken() {
        let text = Listing::new(vec![webcam()], WANTED).to_text();
        for line in [
            "/dev/video0  HD Webcam  (V4L2, uvcvideo, usb-0000:01:00.0-1.2)\n",
            "    YUYV  640x480 (30, 25, 20, 15, …)  1280x720 (10)\n",
            "    MJPG  1280x720 (30, 15)\n",
            "    not read here: H264\n",
            "    controls: brightness = 128 (0 to 255)\n",
            "    used as: MJPG 1280x720 at 30 fps",
            "\nauto takes /dev/video0: it is the only usable camera.\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn one_that_cannot_be_used_says_why() {
        let problem = Some("no permission to open it".to_owned());
        let text = Listing::new(vec![CameraInfo { problem, ..webcam() }], WANTED).to_text();
        assert!(text.contains("cannot be used: no permission") && !text.contains("used as"), "{text}");
        assert!(text.contains("auto takes none of them"), "{text}");
        assert!(Listing::new(Vec::new(), WANTED).to_text().contains("--source pattern"));
    }

    #[test]
    fn a_program_reads_json() {
        let json: serde_json::Value = serde_json::from_str(&Listing::new(vec![webcam()], WANTED).to_json()).unwrap();
        assert_eq!(json["auto"]["id"], "/dev/video0");
        assert_eq!(json["cameras"][0]["modes"][1]["sizes"]["discrete"][0][0]["width"], 1280);
        assert_eq!(json["cameras"][0]["usable"], true);
        let none: serde_json::Value = serde_json::from_str(&Listing::new(Vec::new(), WANTED).to_json()).unwrap();
        assert_eq!((none["auto"].is_null(), none["cameras"].as_array().map(Vec::len)), (true, Some(0)));
    }
}
