//! From what a person wrote to a running source; finds a camera again that was plugged in elsewhere.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::auto::Known;
use super::hotplug::Hotplug;
use super::inventory::CameraInfo;
use super::supervisor::{Opened, Opener};
use super::test_pattern::TestPattern;
use super::y4m::Y4mFile;
use super::{
    CameraSettings, CaptureError, DeviceOptions, Source, SourceSpec, auto, cameras, libcamera, open_device, v4l2,
};

/// Some cameras come without a change in `/dev`: behind the stand-in they are looked for this often all the same.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// Opens the source of the configuration, again and again.
#[derive(Debug)]
pub struct CameraOpener {
    spec: SourceSpec,
    settings: CameraSettings,
    /// The pattern takes the place of a camera that `auto` does not find.
    stand_in: bool,
    hotplug: Hotplug,
    /// The camera that was opened last.
    known: Option<Known>,
    looked: Instant,
}

impl CameraOpener {
    /// Nothing is opened yet.
    pub fn new(spec: SourceSpec, settings: CameraSettings, stand_in: bool) -> Self {
        Self { spec, settings, stand_in, hotplug: Hotplug::new(), known: None, looked: Instant::now() }
    }

    fn camera(&mut self, id: &str, cameras: &[CameraInfo]) -> Result<Opened, CaptureError> {
        let source = match id.parse() {
            Ok(SourceSpec::Libcamera(id)) => libcamera::open(id.as_deref(), &self.settings)?,
            _ => open_device(Path::new(id), &self.settings, DeviceOptions::default())?,
        };
        let real = real_path(Path::new(id));
        if let Some(known) = Known::of(&real.to_string_lossy(), cameras) {
            self.known = Some(known);
        }
        Ok(opened(source, id))
    }

    /// The device of this path, or the camera that it was when it last worked.
    fn device(&mut self, path: &Path) -> Result<Opened, CaptureError> {
        // libcamera's are no devices with a path, and looking for them takes its time.
        let cameras = v4l2::cameras();
        let id = self.again(&cameras).unwrap_or_else(|| path.display().to_string());
        self.camera(&id, &cameras)
    }

    /// Where the camera is now that worked last.
    fn again(&mut self, cameras: &[CameraInfo]) -> Option<String> {
        let known = self.known.as_mut()?;
        known.look_round(cameras);
        known.find(cameras).map(|camera| camera.id.clone())
    }

    /// The camera that worked last, else the best; if that is refused, the next best.
    fn best(&mut self) -> Result<Opened, CaptureError> {
        self.looked = Instant::now();
        let cameras = cameras();
        if let Some(id) = self.again(&cameras) {
            return self.camera(&id, &cameras);
        }
        let mut left = cameras.clone();
        let mut refusal = None;
        while let Some(choice) = auto::choose(&left) {
            match self.camera(&choice.id, &cameras) {
                Ok(opened) => {
                    tracing::info!(camera = %choice.id, why = %choice.why, "camera chosen");
                    return Ok(opened);
                }
                Err(error) => {
                    tracing::debug!(camera = %choice.id, %error, "a camera is passed over");
                    refusal.get_or_insert_with(|| error.to_string());
                }
            }
            left.retain(|camera| camera.id != choice.id);
        }
        if self.stand_in {
            return Ok(Opened { is_stand_in: true, ..self.pattern() });
        }
        // Whichever it was, another may come: it is waited for.
        let problem = || cameras.iter().find_map(|camera| camera.problem.clone());
        Err(refusal.or_else(problem).map_or(CaptureError::NoCamera, |reason| CaptureError::NoneUsable { reason }))
    }

    fn pattern(&self) -> Opened {
        opened(Box::new(TestPattern::new(self.settings.wanted)), "pattern")
    }
}

impl Opener for CameraOpener {
    fn open(&mut self) -> Result<Opened, CaptureError> {
        match self.spec.clone() {
            SourceSpec::Auto => self.best(),
            SourceSpec::Pattern => Ok(self.pattern()),
            SourceSpec::Y4m(path) => Ok(opened(Box::new(Y4mFile::open(&path)?), &path.display().to_string())),
            SourceSpec::Device(path) => self.device(&path),
            spec @ SourceSpec::Libcamera(_) => self.camera(&spec.to_string(), &[]),
        }
    }

    fn changed(&mut self, wait: Duration) -> bool {
        self.hotplug.changed(wait)
    }

    fn has_camera(&mut self) -> bool {
        if !self.hotplug.changed(Duration::ZERO) && self.looked.elapsed() < LOOK_ANYWAY {
            return false;
        }
        self.looked = Instant::now();
        auto::choose(&cameras()).is_some()
    }
}

fn opened(source: Box<dyn Source>, name: &str) -> Opened {
    Opened { source, name: name.to_owned(), is_stand_in: false }
}

/// Links such as `/dev/v4l/by-id/…` lead to a node.
fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
