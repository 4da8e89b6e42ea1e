//! From flags, environment and file to values that are already valid.
//!
//! Each layer may set any key; flags win over the environment (`CAMERA_FW_<KEY>`), the environment over the file, the
//! file over the defaults. What is wrong is said with the place it stands in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::capture::{SourceSpec, Wanted};
use crate::encoder::{EncoderSettings, Kbps};
use crate::frame::Size;

const DEFAULT_SERVER: &str = "wss://localhost:8192";
const DEFAULT_PORT: u16 = 8192;
const DEFAULT_NAME: &str = "Roomcam";

/// The longest name: what fits on a label.
const NAME_LETTERS: usize = 60;

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
    /// `pattern`, `FILE.y4m` or `/dev/videoN`.
    pub source: Option<String>,
    /// `role` or `pair`.
    pub protocol: Option<String>,
    /// What the camera is called on its label.
    pub name: Option<String>,
    /// Folder of the identity.
    pub state_dir: Option<PathBuf>,
    /// Viewers at once.
    pub max_viewers: Option<i64>,
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
    /// Size and rate wanted from the source.
    pub wanted: Wanted,
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
    /// An environment variable is no number where one is needed.
    #[error("the environment variable {variable} is {value:?}; a whole number is needed")]
    Environment {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
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
            parsed.transpose().map_err(|value| ConfigError::Environment { variable: variable(key), value })
        };
        Ok(Self {
            server: text("server"),
            ca: text("ca").map(PathBuf::from),
            page_url: text("page_url"),
            source: text("source"),
            protocol: text("protocol"),
            name: text("name"),
            state_dir: text("state_dir").map(PathBuf::from),
            max_viewers: number("max_viewers")?,
            width: number("width")?,
            height: number("height")?,
            fps: number("fps")?,
            bitrate_kbps: number("bitrate_kbps")?,
            speed: number("speed")?,
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
            protocol: self.protocol.or(below.protocol),
            name: self.name.or(below.name),
            state_dir: self.state_dir.or(below.state_dir),
            max_viewers: self.max_viewers.or(below.max_viewers),
            width: self.width.or(below.width),
            height: self.height.or(below.height),
            fps: self.fps.or(below.fps),
            bitrate_kbps: self.bitrate_kbps.or(below.bitrate_kbps),
            speed: self.speed.or(below.speed),
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
        let size = Size {
            width: within("width", self.width, 720, 16..=4096)? as u32,
            height: within("height", self.height, 480, 16..=4096)? as u32,
        };
        Ok(Config {
            server,
            ca: self.ca,
            page_url,
            source: parsed("source", self.source.as_deref().unwrap_or("pattern"))?,
            protocol,
            name: parsed("name", self.name.as_deref().unwrap_or(DEFAULT_NAME))?,
            state_dir: self.state_dir.unwrap_or_else(default_state_dir),
            max_viewers: if protocol == Protocol::Pair { 1 } else { max_viewers },
            wanted: Wanted { size, fps: within("fps", self.fps, 30, 1..=120)? as u32 },
            encoder: EncoderSettings {
                bitrate: Kbps(within("bitrate_kbps", self.bitrate_kbps, 1_000, 50..=20_000)? as u32),
                speed: within("speed", self.speed, 10, 0..=16)? as u8,
                threads: 1,
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
            protocol: Some(if self.protocol == Protocol::Role { "role" } else { "pair" }.into()),
            name: Some(self.name.to_string()),
            state_dir: Some(self.state_dir.clone()),
            max_viewers: Some(self.max_viewers as i64),
            width: Some(self.wanted.size.width.into()),
            height: Some(self.wanted.size.height.into()),
            fps: Some(self.wanted.fps.into()),
            bitrate_kbps: Some(self.encoder.bitrate.0.into()),
            speed: Some(self.encoder.speed.into()),
        };
        toml::to_string(&layer).unwrap_or_else(|error| format!("# a path is not UTF-8: {error}\n"))
    }
}

/// What a camera is called: one line of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(letter) = text.chars().find(|letter| is_control(*letter)) {
            return Err(format!("it has the control character U+{:04X}; a name is one line of letters", letter as u32));
        }
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match name.chars().count() {
            0 => Err("a name has at least one letter".into()),
            1..=NAME_LETTERS => Ok(Self(name)),
            count => Err(format!("it has {count} letters, and a label has room for {NAME_LETTERS}")),
        }
    }
}

/// Those that move other letters about (UAX #9) count too: a label would not say what was typed.
fn is_control(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The WebSocket URL of a signaling server: scheme, host, port and path, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl ServerUrl {
    /// Whether the connection is encrypted (`wss`).
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port, 8192 where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn page_url(&self) -> String {
        format!("{}://{}:{}/", if self.tls { "https" } else { "http" }, self.host, self.port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", if self.tls { "wss" } else { "ws" }, self.host, self.port, self.path)
    }
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXAMPLE: &str = "a server is written like wss://host:8192";
        if text.contains(['?', '#', '@']) {
            return Err("it must not have a query, a fragment or a user; write it like wss://host:8192");
        }
        let uri: Uri = text.parse().map_err(|_| EXAMPLE)?;
        let tls = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err("it must begin with wss:// (ws:// on this machine only); write it like wss://host:8192"),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(EXAMPLE)?.to_owned();
        let port = match uri.port_u16() {
            Some(port) if port > 0 => port,
            None if uri.authority().is_some_and(|authority| authority.as_str() == host) => DEFAULT_PORT,
            _ => return Err("its port must be 1 to 65535; write it like wss://host:8192"),
        };
        let path = if uri.path() == "/" { String::new() } else { uri.path().to_owned() };
        let url = Self { tls, host, port, path };
        if !tls && !is_loopback(url.host()) {
            return Err("without TLS (ws://) only a server on this machine is possible; use wss://");
        }
        Ok(url)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
        assert_eq!((config.source, config.protocol, config.max_viewers), (SourceSpec::Pattern, Protocol::Role, 8));
        assert_eq!(config.wanted, Wanted { size: Size { width: 720, height: 480 }, fps: 30 });
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
        assert_eq!(config.wanted, Wanted { size: Size { width: 640, height: 240 }, fps: 15 });
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
    fn server_urls_are_checked() {
        for good in [
            "ws://127.0.0.1:8192",
            "ws://localhost",
            "ws://[::1]:80/ws",
            "wss://cam.example.org",
            "wss://192.0.2.1:1/x",
        ] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for (bad, advice) in [
            ("", "like wss://host:8192"),
            ("cam.example.org", "begin with wss://"),
            ("https://cam.example.org", "begin with wss://"),
            ("ws://cam.example.org", "use wss://"),
            ("ws://192.168.1.2:8192", "use wss://"),
            ("wss://user@host", "query, a fragment or a user"),
            ("wss://host/?room=1", "query, a fragment or a user"),
            ("wss://host:99999", "1 to 65535"),
            ("wss://host:0", "1 to 65535"),
            ("wss://host:", "1 to 65535"),
            ("wss://", "like wss://host:8192"),
        ] {
            let refusal = bad.parse::<ServerUrl>().unwrap_err();
            assert!(refusal.contains(advice), "{bad}: {refusal}");
        }
        assert_eq!("wss://host/".parse::<ServerUrl>().unwrap().to_string(), "wss://host:8192");
    }

    #[test]
    fn page_urls_are_checked() {
        let page = |url: &str| file(&format!("page_url = {url:?}")).map(|config| config.page_url);
        assert_eq!(page("https://view.example.org").unwrap(), "https://view.example.org/");
        assert_eq!(page("https://view.example.org/cam/").unwrap(), "https://view.example.org/cam/");
        assert!(page("view.example.org").is_err());
        assert!(page("https://view.example.org/#x").is_err());
    }

    #[test]
    fn a_name_is_one_line_of_at_most_sixty_letters() {
        let name = |text: &str| text.parse::<Name>().map(|name| name.0);
        assert_eq!(name("  Living\u{3000} room "), Ok("Living room".into()));
        assert_eq!(name(&"ü".repeat(60)), Ok("ü".repeat(60)));
        assert!(name(&"ü".repeat(61)).unwrap_err().contains("61 letters"));
        for empty in ["", "   "] {
            assert!(name(empty).unwrap_err().contains("at least one"));
        }
        for (text, control) in [("a\tb", "U+0009"), ("a\nb", "U+000A"), ("\u{7f}", "U+007F"), ("a\u{202e}b", "U+202E")]
        {
            assert!(name(text).unwrap_err().contains(control), "{text:?}");
        }
    }
}
