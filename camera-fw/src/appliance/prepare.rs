//! Before the agent starts: from the boot partition to what the programs read, quickly.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::boot::Boot;
use super::home::{Home, Owner};
use super::present::LABEL;
use super::problems::Problems;
use super::settings::Settings;
use super::{ApplianceError, Prepare, files, provisioning, reset, ssh, wifi};
use crate::capture::SourceSpec;
use crate::config::Layer;
use crate::privacy::SwitchLine;
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

    switch(&settings, &folders.root, owner, &mut problems);
    let layer = Layer {
        ca: certificate(&settings, boot.folder(), run, &mut problems),
        source: source(&settings, &mut problems),
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
    let copy = run.join(CERTIFICATE);
    let copied = files::read(&boot.join(name)).and_then(|bytes| files::put(&copy, &bytes, 0o644, None));
    let problem = match (copied, signaling::check_certificate(&copy)) {
        (Ok(()), Ok(())) => return Some(copy),
        (Ok(()), Err(error)) => format!("cannot be used: {}; it must hold a certificate in PEM form", error.problem()),
        (Err(error), _) => format!("cannot be read ({error}); the file stands beside the settings"),
    };
    settings.refuse("ca", &format!("= \"{}\" {problem}", name.display()), problems);
    let _ = fs::remove_file(copy);
    None
}

/// The source, unless it is a film that is not there: the agent would give up at once, again and again.
fn source(settings: &Settings, problems: &mut Problems) -> Option<String> {
    let source = settings.camera.source.clone()?;
    let is_film = matches!(source.parse(), Ok(SourceSpec::Y4m(_)));
    if is_film && !Path::new(&source).is_file() {
        settings.refuse(
            "source",
            &format!("= \"{source}\" is not there; without this line the camera is found by itself"),
            problems,
        );
        return None;
    }
    Some(source)
}

/// The switch that closes the camera is made the agent's. Without it the agent does not start, as it should.
fn switch(settings: &Settings, root: &Path, owner: Owner, problems: &mut Problems) {
    let Some(Ok(line)) = settings.camera.privacy_switch.as_deref().map(str::parse::<SwitchLine>) else { return };
    let chip = line.chip();
    let device = root.join(chip.strip_prefix("/").unwrap_or(&chip));
    if !device.exists() {
        let there = names(&root.join("dev"), "gpiochip");
        let problem =
            format!("= \"{line}\" is not there (in /dev there are: {there}); until it is, the camera does not start");
        return settings.refuse("privacy_switch", &problem, problems);
    }
    owner.share(&device);
}

/// What is in a folder, for people.
fn names(folder: &Path, prefix: &str) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The LED of the settings. It is made the agent's, as is the board's own, which the agent takes where none is set.
fn light(settings: &Settings, lights: &Path, owner: Owner, problems: &mut Problems) -> Option<PathBuf> {
    let wanted = settings.camera.led.clone();
    let folder = wanted.clone().unwrap_or_else(|| led::OWN.into());
    if !folder.join("brightness").exists() {
        if wanted.is_some() {
            let there = names(lights, "");
            let (folder, lights) = (folder.display(), lights.display());
            settings.refuse("led", &format!("= \"{folder}\" is not there; in {lights} there are: {there}"), problems);
        }
        return None;
    }
    for file in ["brightness", "trigger"] {
        owner.share(&folder.join(file));
    }
    wanted
}
