//! Before the agent starts: from the boot partition to what the programs read, quickly.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::boot::Boot;
use super::home::{Home, Owner};
use super::present::LABEL;
use super::problems::Problems;
use super::settings::Settings;
use super::{ApplianceError, Prepare, files, provisioning, reset, ssh, wifi};
use crate::config::Layer;
use crate::{led, signaling};

/// In the run folder.
pub(super) const CAMERA: &str = "camera.toml";
const CERTIFICATE: &str = "ca.pem";
const NOTES: &str = "present.toml";

const LIGHTS: &str = "sys/class/leds";

/// What [`super::present`] has to know besides the camera's settings.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The code may be on the screen.
    pub(super) shows_code: bool,
    /// It is the same after the next start, so a label is worth its ink.
    pub(super) lasts: bool,
}

impl Notes {
    pub(super) fn load(run: &Path) -> Self {
        let text = fs::read_to_string(run.join(NOTES)).unwrap_or_default();
        toml::from_str(&text).unwrap_or(Self { shows_code: false, lasts: false })
    }
}

/// Does all of it. What goes wrong with one thing leaves the others alone.
///
/// # Errors
/// If the agent cannot be started at all: its user is unknown, or not even RAM can be written.
pub fn prepare(arguments: &Prepare) -> Result<(), ApplianceError> {
    let folders = &arguments.folders;
    let (boot, run) = (Boot::new(&folders.boot), folders.run.as_path());
    let owner = Owner::of(arguments.user.as_deref())?;
    let mut problems = Problems::default();
    fs::create_dir_all(run).map_err(ApplianceError::write(run))?;

    let settings = Settings::load(boot.folder(), &mut problems);
    let outcome = wifi::write(run, settings.network.as_ref(), settings.country.as_ref());
    note("the network for Wi-Fi", outcome, &mut problems);
    let outcome = ssh::write(boot.folder(), run, &mut problems);
    note("the keys for ssh", outcome, &mut problems);

    reset::obey(&boot, &folders.data, LABEL, &mut problems);
    let offered = provisioning::find(&boot, &mut problems);
    let places = (&boot, folders.data.as_path(), run);
    let home = Home::prepare(places, offered.as_ref(), owner, &folders.root, &mut problems)?;

    let layer = Layer {
        ca: certificate(&settings, boot.folder(), run, &mut problems),
        led: light(&settings, &folders.root.join(LIGHTS), owner, &mut problems),
        state_dir: Some(home.folder),
        ..settings.camera
    };
    let path = run.join(CAMERA);
    let text = toml::to_string(&layer).map_err(|error| ApplianceError::write(&path)(io::Error::other(error)))?;
    files::put(&path, &text, 0o640, owner.group()).map_err(ApplianceError::write(&path))?;

    let notes = Notes { shows_code: !settings.hides_code, lasts: home.lasts };
    let outcome = files::put(&run.join(NOTES), &toml::to_string(&notes).unwrap_or_default(), 0o644, None);
    note("what belongs on the screen", outcome, &mut problems);
    problems.store(run).map_err(ApplianceError::write(run))?;
    tracing::info!(problems = problems.lines().len(), "prepared");
    Ok(())
}

fn note(what: &str, outcome: io::Result<()>, problems: &mut Problems) {
    if let Err(error) = outcome {
        problems.add(format!("{what} cannot be passed on ({error}); switch the camera off and on"));
    }
}

/// The certificate to trust, where the agent can read it.
fn certificate(settings: &Settings, boot: &Path, run: &Path, problems: &mut Problems) -> Option<PathBuf> {
    let name = settings.camera.ca.as_ref()?;
    let (source, copy) = (boot.join(name), run.join(CERTIFICATE));
    if let Err(problem) = signaling::check_certificate(&source) {
        let problem = format!("names {}, which cannot be used: {problem}", name.display());
        settings.refuse("ca", &problem, problems);
        return None;
    }
    let copied = fs::read(&source).and_then(|bytes| files::put(&copy, &bytes, 0o644, None));
    copied.map_err(|error| settings.refuse("ca", &format!("cannot be passed on ({error})"), problems)).ok()?;
    Some(copy)
}

/// The LED of the settings. It is made the agent's, as is the board's own, which the agent takes where none is set.
fn light(settings: &Settings, lights: &Path, owner: Owner, problems: &mut Problems) -> Option<PathBuf> {
    let wanted = settings.camera.led.clone();
    let folder = wanted.clone().unwrap_or_else(|| led::OWN.into());
    if !folder.join("brightness").exists() {
        if wanted.is_some() {
            let names = fs::read_dir(lights).into_iter().flatten();
            let mut names: Vec<String> = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let (folder, lights) = (folder.display(), lights.display());
            settings.refuse("led", &format!("= \"{folder}\" is not there; in {lights} there are: {there}"), problems);
        }
        return None;
    }
    if let Some(group) = owner.group() {
        for file in ["brightness", "trigger"].map(|name| folder.join(name)) {
            if let Err(error) = give(&file, group) {
                tracing::warn!(%error, file = %file.display(), "the agent may not be able to switch the LED");
            }
        }
    }
    wanted
}

fn give(file: &Path, group: u32) -> io::Result<()> {
    chown(file, None, Some(group))?;
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o664))
}
