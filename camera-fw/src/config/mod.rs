//! From flags, environment and file to values that are already valid.
//!
//! Each layer may set any key; flags win over the environment (`CAMERA_FW_<KEY>`), the environment over the file, the
//! file over the defaults. What is wrong is said with the place it stands in.

mod name;
mod server_url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::capture::{CameraSettings, Controls, SourceSpec, Wanted, settings};
use crate::encoder::preset::PresetChoice;
use crate::encoder::{EncoderSettings, Kbps};
use crate::frame::Size;
use crate::privacy::SwitchLine;

pub use name::Name;
pub use server_url::ServerUrl;

const DEFAULT_SERVER: &str = "wss://localhost:8192";
const DEFAULT_NAME: &str = "Roomcam";

/// Everything that can be set, each key optional: one of the layers.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// WebSocket URL of the signaling server.
    pub server: Option<String>,
    /// PEM file with the certificate to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Where viewers find the page, if not at the server.
    pub page_url: Option<String>,
    /// `auto`, `/dev/videoN`, `libcamera`, `libcamera:ID`, `pattern` or `FILE.y4m`.
    pub source: Option<String>,
    /// `wait` or `pattern`: what `auto` does where there is no camera.
    pub no_camera: Option<String>,
    /// Input of a device that has several: its number or its name.
    pub input: Option<String>,
    /// Television standard of an analogue input.
    pub standard: Option<String>,
    /// Whether the camera begins paused.
    pub paused: Option<bool>,
    /// GPIO line of a switch that pauses: `CHIP:LINE`, with `:active-low` behind it if it pulls the line down.
    pub privacy_switch: Option<String>,
    /// LED that is lit while somebody watches: its folder in `/sys/class/leds`.
    pub led: Option<PathBuf>,
    /// `role` or `pair`.
    pub protocol: Option<String>,
    /// What the camera is called on its label.
    pub name: Option<String>,
    /// Folder of the identity.
    pub state_dir: Option<PathBuf>,
    /// Viewers at once.
    pub max_viewers: Option<i64>,
    /// `auto`, `zero2w`, `pi3`, `pi4`, `pi5` or `pc`: what the keys below are where they are not set.
    pub preset: Option<String>,
    /// Wanted width in pixels.
    pub width: Option<i64>,
    /// Wanted height in pixels.
    pub height: Option<i64>,
    /// Wanted frames a second.
    pub fps: Option<i64>,
    /// Video rate in kilobits a second.
    pub bitrate_kbps: Option<i64>,
    /// Encoder speed, 0 (slow, good) to 16 (fast, coarse).
    pub speed: Option<i64>,
    /// Encoding threads.
    pub threads: Option<i64>,
    /// Controls of the camera by name. Last: a table ends the list of keys.
    pub controls: Option<Controls>,
}

/// How the camera joins its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One camera, many viewers.
    Role,
    /// Two equal clients: one viewer.
    Pair,
}

/// Valid settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The signaling server.
    pub server: ServerUrl,
    /// Certificate to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Where viewers find the page; no fragment, ends with `/` or a path.
    pub page_url: String,
    /// Where pictures come from.
    pub source: SourceSpec,
    /// How to join.
    pub protocol: Protocol,
    /// What the camera is called on its label.
    pub name: Name,
    /// Folder of the identity.
    pub state_dir: PathBuf,
    /// Viewers at once.
    pub max_viewers: usize,
    /// The pattern is shown where `auto` finds no camera.
    pub stand_in: bool,
    /// What is asked of the camera.
    pub camera: CameraSettings,
    /// The camera begins paused.
    pub paused: bool,
    /// The switch that pauses.
    pub privacy_switch: Option<SwitchLine>,
    /// The LED that is lit while somebody watches.
    pub led: Option<PathBuf>,
    /// Where values that were not set came from.
    pub preset: PresetChoice,
    /// How the encoder begins.
    pub encoder: EncoderSettings,
}

/// What is wrong with the settings, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has an unknown key; the message of the parser names line and key.
    #[error("in the configuration file {}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        problem: String,
    },
    /// An environment variable is not what is needed.
    #[error("the environment variable {variable} is {value:?}; {needed} is needed")]
    Environment {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// What it should be.
        needed: &'static str,
    },
    /// A value is not possible.
    #[error("{key} = {value} is not possible: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was set.
        value: String,
        /// Why not, and what would be.
        problem: String,
    },
}

impl Layer {
    /// The layer of a file.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or has an unknown key.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.into(), problem: error.to_string().trim().to_owned() })
    }

    /// The layer of the environment, given as a lookup.
    ///
    /// # Errors
    /// If a number is none.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variable = |key: &str| format!("CAMERA_FW_{}", key.to_uppercase());
        let text = |key: &str| lookup(&variable(key)).filter(|value| !value.is_empty());
        let number = |key: &str| {
            let parsed = text(key).map(|value| value.trim().parse().map_err(|_| value));
            let refused = |value| ConfigError::Environment { variable: variable(key), value, needed: "a whole number" };
            parsed.transpose().map_err(refused)
        };
        let flag = |key: &str| match text(key).as_deref() {
            None => Ok(None),
            Some("true" | "1" | "yes") => Ok(Some(true)),
            Some("false" | "0" | "no") => Ok(Some(false)),
            Some(value) => {
                Err(ConfigError::Environment { variable: variable(key), value: value.into(), needed: "true or false" })
            }
        };
        let needed = "a list like brightness=40,focus=auto";
        let controls = text("controls").map(|list| {
            settings::controls_of(&list).ok_or_else(|| ConfigError::Environment {
                variable: variable("controls"),
                value: list,
                needed,
            })
        });
        Ok(Self {
            server: text("server"),
            ca: text("ca").map(PathBuf::from),
            page_url: text("page_url"),
            source: text("source"),
            no_camera: text("no_camera"),
            input: text("input"),
            standard: text("standard"),
            paused: flag("paused")?,
            privacy_switch: text("privacy_switch"),
            led: text("led").map(PathBuf::from),
            controls: controls.transpose()?,
            protocol: text("protocol"),
            name: text("name"),
            state_dir: text("state_dir").map(PathBuf::from),
            max_viewers: number("max_viewers")?,
            width: number("width")?,
            height: number("height")?,
            fps: number("fps")?,
            bitrate_kbps: number("bitrate_kbps")?,
            speed: number("speed")?,
            threads: number("threads")?,
            preset: text("preset"),
        })
    }

    /// This layer, and beneath it another.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            server: self.server.or(below.server),
            ca: self.ca.or(below.ca),
            page_url: self.page_url.or(below.page_url),
            source: self.source.or(below.source),
            no_camera: self.no_camera.or(below.no_camera),
            input: self.input.or(below.input),
            standard: self.standard.or(below.standard),
            paused: self.paused.or(below.paused),
            privacy_switch: self.privacy_switch.or(below.privacy_switch),
            led: self.led.or(below.led),
            controls: self.controls.or(below.controls),
            protocol: self.protocol.or(below.protocol),
            name: self.name.or(below.name),
            state_dir: self.state_dir.or(below.state_dir),
            max_viewers: self.max_viewers.or(below.max_viewers),
            width: self.width.or(below.width),
            height: self.height.or(below.height),
            fps: self.fps.or(below.fps),
            bitrate_kbps: self.bitrate_kbps.or(below.bitrate_kbps),
            speed: self.speed.or(below.speed),
            threads: self.threads.or(below.threads),
            preset: self.preset.or(below.preset),
        }
    }

    /// The settings that the layers come to.
    ///
    /// # Errors
    /// If a value is not possible; the first one in the order of the keys.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let server: ServerUrl = parsed("server", self.server.as_deref().unwrap_or(DEFAULT_SERVER))?;
        let page_url = match self.page_url {
            Some(url) => page_url(url)?,
            None => server.page_url(),
        };
        let protocol = match self.protocol.as_deref() {
            None | Some("role") => Protocol::Role,
            Some("pair") => Protocol::Pair,
            Some(other) => {
                return Err(impossible("protocol", format!("{other:?}"), "use role, or pair for pair-mode clients"));
            }
        };
        let max_viewers = within("max_viewers", self.max_viewers, 8, 1..=64)? as usize;
        let stand_in = match self.no_camera.as_deref() {
            None | Some("wait") => false,
            Some("pattern") => true,
            Some(other) => {
                return Err(impossible(
                    "no_camera",
                    format!("{other:?}"),
                    "use wait, or pattern to show the test pattern meanwhile",
                ));
            }
        };
        let preset: PresetChoice = parsed("preset", self.preset.as_deref().unwrap_or("auto"))?;
        let usual = preset.preset().values();
        let size = Size {
            width: within("width", self.width, usual.size.width.into(), 16..=4096)? as u32,
            height: within("height", self.height, usual.size.height.into(), 16..=4096)? as u32,
        };
        Ok(Config {
            server,
            ca: self.ca,
            page_url,
            source: parsed("source", self.source.as_deref().unwrap_or("auto"))?,
            stand_in,
            camera: CameraSettings {
                wanted: Wanted { size, fps: within("fps", self.fps, usual.fps.into(), 1..=120)? as u32 },
                input: self.input,
                standard: self.standard,
                controls: self.controls.unwrap_or_default(),
            },
            paused: self.paused.unwrap_or(false),
            privacy_switch: self.privacy_switch.map(|line| parsed("privacy_switch", &line)).transpose()?,
            led: self.led,
            protocol,
            name: parsed("name", self.name.as_deref().unwrap_or(DEFAULT_NAME))?,
            state_dir: self.state_dir.unwrap_or_else(default_state_dir),
            max_viewers: if protocol == Protocol::Pair { 1 } else { max_viewers },
            preset,
            encoder: EncoderSettings {
                bitrate: Kbps(within("bitrate_kbps", self.bitrate_kbps, usual.bitrate.0.into(), 50..=20_000)? as u32),
                speed: within("speed", self.speed, usual.speed.into(), 0..=16)? as u8,
                threads: within("threads", self.threads, usual.threads.into(), 1..=16)? as u32,
            },
        })
    }
}

impl Config {
    /// The settings as a configuration file.
    pub fn to_toml(&self) -> String {
        let layer = Layer {
            server: Some(self.server.to_string()),
            ca: self.ca.clone(),
            page_url: Some(self.page_url.clone()),
            source: Some(self.source.to_string()),
            no_camera: Some(if self.stand_in { "pattern" } else { "wait" }.into()),
            input: self.camera.input.clone(),
            standard: self.camera.standard.clone(),
            paused: Some(self.paused),
            privacy_switch: self.privacy_switch.as_ref().map(ToString::to_string),
            led: self.led.clone(),
            controls: Some(self.camera.controls.clone()).filter(|controls| !controls.is_empty()),
            protocol: Some(if self.protocol == Protocol::Role { "role" } else { "pair" }.into()),
            name: Some(self.name.to_string()),
            state_dir: Some(self.state_dir.clone()),
            max_viewers: Some(self.max_viewers as i64),
            width: Some(self.camera.wanted.size.width.into()),
            height: Some(self.camera.wanted.size.height.into()),
            fps: Some(self.camera.wanted.fps.into()),
            bitrate_kbps: Some(self.encoder.bitrate.0.into()),
            speed: Some(self.encoder.speed.into()),
            threads: Some(self.encoder.threads.into()),
            preset: Some(self.preset.to_string()),
        };
        toml::to_string(&layer).unwrap_or_else(|error| format!("# a path is not UTF-8: {error}\n"))
    }
}

fn page_url(url: String) -> Result<String, ConfigError> {
    let http = url.starts_with("https://") || url.starts_with("http://");
    match url.parse::<Uri>() {
        Ok(uri) if http && uri.host().is_some() && !url.contains('#') => {
            Ok(if uri.path() == "/" && !url.ends_with('/') { format!("{url}/") } else { url })
        }
        _ => {
            Err(impossible("page_url", format!("{url:?}"), "a page is written like https://host/ and has no fragment"))
        }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(key: &'static str, value: &str) -> Result<T, ConfigError> {
    value.parse().map_err(|problem: T::Err| impossible(key, format!("{value:?}"), problem.to_string()))
}

fn within(
    key: &'static str,
    value: Option<i64>,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, ConfigError> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(impossible(key, value.to_string(), format!("use {} to {}", range.start(), range.end())))
}

/// `value` as it would stand in the file: text in quotes, a number without.
fn impossible(key: &'static str, value: String, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value, problem: problem.into() }
}

/// systemd's state directory, else the XDG one, else one beside the program's user.
fn default_state_dir() -> PathBuf {
    let env = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    env("STATE_DIRECTORY")
        .or_else(|| env("XDG_STATE_HOME").map(|base| base.join("camera-fw")))
        .or_else(|| env("HOME").map(|home| home.join(".local/state/camera-fw")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/camera-fw"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Layer::from_file(file.path())?.resolve()
    }

    fn refusal(text: &str) -> String {
        file(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = file("").unwrap();
        assert_eq!(config.server.to_string(), "wss://localhost:8192");
        assert_eq!(config.page_url, "https://localhost:8192/");
        assert_eq!((config.source, config.protocol, config.max_viewers), (SourceSpec::Auto, Protocol::Role, 8));
        assert_eq!(config.camera.wanted, Wanted { size: Size { width: 720, height: 480 }, fps: 30 });
    }

    #[test]
    fn layers_go_one_over_the_other() {
        let env = |key: &str| match key {
            "CAMERA_FW_FPS" => Some("25".to_owned()),
            "CAMERA_FW_WIDTH" => Some("640".to_owned()),
            _ => None,
        };
        let flags = Layer { fps: Some(15), ..Layer::default() };
        let below = Layer { width: Some(320), height: Some(240), fps: Some(5), ..Layer::default() };
        let config = flags.over(Layer::from_env(env).unwrap()).over(below).resolve().unwrap();
        assert_eq!(config.camera.wanted, Wanted { size: Size { width: 640, height: 240 }, fps: 15 });
    }

    #[test]
    fn a_camera_is_described_in_file_and_environment() {
        let text = "no_camera = \"pattern\"\nstandard = \"PAL\"\npaused = true\nled = \"/sys/class/leds/ACT\"\n\
                    privacy_switch = \"gpiochip0:17:active-low\"\n\
                    [controls]\nbrightness = 40\nfocus = \"auto\"\nhflip = true\nexposure = 12.5\n";
        let config = file(text).unwrap();
        assert!(config.stand_in && config.paused);
        assert_eq!(config.camera.controls["exposure"], settings::Value::Float(12.5));
        assert_eq!(file(&config.to_toml()).unwrap(), config, "what is printed reads back");

        let env = |list: &'static str| Layer::from_env(move |key| (key == "CAMERA_FW_CONTROLS").then(|| list.into()));
        let list = "brightness=40, focus=auto,hflip=true,exposure=12.5";
        assert_eq!(env(list).unwrap().resolve().unwrap().camera.controls, config.camera.controls);
        let refused = env("brightness").unwrap_err().to_string();
        assert!(refused.contains("CAMERA_FW_CONTROLS") && refused.contains("like brightness=40"), "{refused}");
        let paused =
            Layer::from_env(|key| (key == "CAMERA_FW_PAUSED").then(|| "maybe".into())).unwrap_err().to_string();
        assert!(paused.contains("true or false"), "{paused}");
        assert!(refusal("no_camera = \"cry\"").contains("use wait, or pattern"));
        assert!(refusal("privacy_switch = \"17\"").contains("gpiochip0:17"));
    }

    #[test]
    fn what_is_printed_reads_back() {
        let config = file("server = \"wss://[::1]:9000/ws\"\nprotocol = \"pair\"\nsource = \"a.y4m\"").unwrap();
        assert_eq!(file(&config.to_toml()).unwrap(), config);
        assert_eq!(config.max_viewers, 1, "a pair has one viewer");
        assert_eq!(config.server.host(), "::1");
        assert_eq!(config.page_url, "https://[::1]:9000/");
    }

    #[test]
    fn faults_are_said_with_place_and_remedy() {
        let unknown = refusal("fps = 25\nfsp = 30\n");
        assert!(unknown.contains("line 2") && unknown.contains("fsp"), "{unknown}");
        let kind = refusal("fps = \"many\"\n");
        assert!(kind.contains("line 1") && kind.contains("fps"), "{kind}");
        assert_eq!(refusal("fps = 0"), "fps = 0 is not possible: use 1 to 120");
        assert!(refusal("source = \"film.mp4\"").contains("source = \"film.mp4\" is not possible"));
        assert!(refusal("protocol = \"both\"").contains("use role, or pair"));
        let number = Layer::from_env(|key| (key == "CAMERA_FW_FPS").then(|| "fast".into())).unwrap_err().to_string();
        assert!(number.contains("CAMERA_FW_FPS") && number.contains("fast"), "{number}");
        let missing = Layer::from_file(Path::new("/no/such.toml")).unwrap_err().to_string();
        assert!(missing.contains("/no/such.toml") && missing.contains("No such file"), "{missing}");
    }

    #[test]
    fn page_urls_are_checked() {
        let page = |url: &str| file(&format!("page_url = {url:?}")).map(|config| config.page_url);
        assert_eq!(page("https://view.example.org").unwrap(), "https://view.example.org/");
        assert_eq!(page("https://view.example.org/cam/").unwrap(), "https://view.example.org/cam/");
        assert!(page("view.example.org").is_err());
        assert!(page("https://view.example.org/#x").is_err());
    }
}
