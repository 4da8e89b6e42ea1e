//! `roomcam.toml`: what a person sets. A key that is not possible costs itself alone, and is said with its line.

use std::io;
use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::files;
use super::lines::{self, Entry, Kind};
use super::problems::Problems;
use super::text;
use super::wifi::{Country, Network, Secret, Ssid};
use crate::config::Layer;

/// On the boot partition; Windows likes to add to names.
const NAMES: [&str; 2] = ["roomcam.toml", "roomcam.toml.txt"];

/// The settings: those of [`Layer`] but `state_dir`, which the image decides, and the appliance's own.
const KEYS: [(&str, Kind); 25] = [
    ("server", Kind::Text),
    ("page_url", Kind::Text),
    ("ca", Kind::Text),
    ("name", Kind::Text),
    ("wifi_ssid", Kind::Text),
    ("wifi_passphrase", Kind::Text),
    ("wifi_country", Kind::Text),
    ("wifi_hidden", Kind::Flag),
    ("show_code", Kind::Flag),
    ("source", Kind::Text),
    ("no_camera", Kind::Text),
    ("input", Kind::Text),
    ("standard", Kind::Text),
    ("width", Kind::Number),
    ("height", Kind::Number),
    ("fps", Kind::Number),
    ("bitrate_kbps", Kind::Number),
    ("preset", Kind::Text),
    ("speed", Kind::Number),
    ("threads", Kind::Number),
    ("max_viewers", Kind::Number),
    ("protocol", Kind::Text),
    ("paused", Kind::Flag),
    ("privacy_switch", Kind::Text),
    ("led", Kind::Text),
];

/// What is set, all of it possible.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The camera's own.
    pub(super) camera: Layer,
    pub(super) network: Option<Network>,
    pub(super) country: Option<Country>,
    /// The screen does not show the code.
    pub(super) hides_code: bool,
    file: &'static str,
    entries: Vec<Entry>,
}

impl Settings {
    /// Those of the boot partition; the defaults where nothing can be read.
    pub(super) fn load(boot: &Path, problems: &mut Problems) -> Self {
        let mut found = None;
        for name in NAMES {
            match files::read(&boot.join(name)) {
                Ok(bytes) if found.is_none() => found = Some((name, bytes)),
                Ok(_) => problems.add(format!("{name} does not count, because there is {} too; remove one", NAMES[0])),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => problems.add(format!("{name} cannot be read ({error}); write it anew")),
            }
        }
        let (file, text) = match found {
            None => (NAMES[0], String::new()),
            Some((name, bytes)) => {
                let decoded = text::decode(&bytes);
                if let Some(advice) = decoded.advice {
                    problems.add(format!("{name}: {advice}"));
                }
                (name, decoded.text)
            }
        };
        Self::parse(file, &text, problems)
    }

    fn parse(file: &'static str, text: &str, problems: &mut Problems) -> Self {
        let kind_of = |key: &str| KEYS.iter().find(|(name, _)| *name == key).map(|(_, kind)| *kind);
        let entries = lines::read(file, text, kind_of, unknown, problems);
        let mut settings = Self { file, entries, ..Self::default() };
        for entry in settings.entries.clone() {
            if let Err(problem) = settings.take(&entry) {
                problems.add(format!("{}, line {}: {problem}", settings.file, entry.line));
            }
        }
        settings.join(problems);
        if settings.written("server").is_none() {
            problems.add(format!(
                "no server is set, so nobody can watch yet; write into {} a line such as server = \"wss://cam.example.org:8192\"",
                NAMES[0]
            ));
        }
        settings
    }

    /// Takes what stands for itself; a setting of the camera, if with it all of them are possible.
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let key = entry.key.as_str();
        let taken = match &entry.value {
            Err(needed) => Err(format!("{key} {needed}")),
            Ok(value) if entry.is_control => self.control(key, value),
            Ok(value) => self.setting(key, value),
        };
        if taken.is_err() && !entry.is_control && matches!(key, "paused" | "privacy_switch") {
            // Who writes such a line wants to be sure not to be seen.
            self.camera.paused = Some(true);
            return taken.map_err(|problem| format!("{problem}. The camera begins paused until this is mended"));
        }
        taken
    }

    fn control(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let value = value.clone().try_into().map_err(|_| format!("{name} is not possible"))?;
        self.camera.controls.get_or_insert_default().insert(name.to_owned(), value);
        Ok(())
    }

    fn setting(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "wifi_country" => {
                let country = Country::new(value.as_str().unwrap_or_default());
                self.country = Some(country.map_err(|problem| format!("wifi_country {problem}"))?);
            }
            "show_code" => self.hides_code = *value == Value::Boolean(false),
            // They make sense together only.
            "wifi_ssid" | "wifi_passphrase" | "wifi_hidden" => {}
            key => self.with(key, value)?,
        }
        Ok(())
    }

    fn with(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let one = Layer::deserialize(Table::from_iter([(key.to_owned(), value.clone())]));
        let layer = one.map_err(|error| error.message().to_owned())?.over(self.camera.clone());
        layer.clone().resolve().map_err(|error| error.to_string())?;
        self.camera = layer;
        Ok(())
    }

    /// The network, if what belongs together is there and good. One with a bad passphrase is not taken for an open one.
    fn join(&mut self, problems: &mut Problems) {
        let Some(ssid) = self.written("wifi_ssid") else {
            for entry in ["wifi_passphrase", "wifi_hidden"].into_iter().filter_map(|key| self.written(key)) {
                let place = self.place(entry);
                problems
                    .add(format!("{place}: {} without wifi_ssid, the name of the network; add that line", entry.key));
            }
            return;
        };
        let text = |entry: &Entry| entry.value.as_ref().ok().and_then(|value| value.as_str().map(str::to_owned));
        let mut complain = |entry: &Entry, problem: &str| {
            problems.add(format!("{}: {} {problem}. There is no Wi-Fi until then", self.place(entry), entry.key));
        };
        // What could not be read was said.
        let name = text(ssid).map(|text| Ssid::new(&text).map_err(|problem| complain(ssid, &problem)));
        let secret = match self.written("wifi_passphrase") {
            None => Some(Ok(None)),
            Some(entry) => {
                text(entry).map(|text| Secret::new(&text).map(Some).map_err(|problem| complain(entry, &problem)))
            }
        };
        let is_hidden = self.written("wifi_hidden").is_some_and(|entry| entry.value == Ok(Value::Boolean(true)));
        if let (Some(Ok(ssid)), Some(Ok(secret))) = (name, secret) {
            self.network = Some(Network { ssid, secret, is_hidden });
        }
    }

    /// The line with the key, good or bad.
    fn written(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| !entry.is_control && entry.key == key)
    }

    fn place(&self, entry: &Entry) -> String {
        format!("{}, line {}", self.file, entry.line)
    }

    /// A problem with a key, which turned out later.
    pub(super) fn refuse(&self, key: &str, problem: &str, problems: &mut Problems) {
        let place = self.written(key).map_or_else(|| self.file.to_owned(), |entry| self.place(entry));
        problems.add(format!("{place}: {key} {problem}"));
    }
}

/// What to do about a key that is none.
fn unknown(key: &str) -> String {
    let is_word =
        key.len() <= 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if key == "state_dir" {
        return "state_dir is not set here; the camera keeps its identity on the card's data partition".into();
    }
    // What looks like no key may be anything, a passphrase as well.
    let named = if is_word && !key.is_empty() { key } else { "this" };
    let lower = key.to_ascii_lowercase().replace('-', "_");
    let near = KEYS.iter().map(|(name, _)| *name).find(|name| {
        *name == lower
            || distance(name, &lower) <= 2
            || (lower.len() > 3 && (name.contains(&lower) || lower.contains(*name)))
    });
    let meant = match lower.as_str() {
        _ if !is_word => None,
        "password" | "wifi_password" | "psk" | "wifi_psk" | "wifi_key" => Some("wifi_passphrase"),
        "wifi" | "wlan" | "network" => Some("wifi_ssid"),
        _ => near,
    };
    match meant {
        Some(name) => format!("{named} is no setting; do you mean {name}?"),
        None => {
            let keys: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
            format!("{named} is no setting; there are {}, and the section [controls]", keys.join(", "))
        }
    }
}

/// Letters to change, to add or to take away (Levenshtein's).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (at, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::capture::settings::Value as Control;

    fn parse(text: &str) -> (Settings, Vec<String>) {
        let mut problems = Problems::default();
        let settings = Settings::parse(NAMES[0], text, &mut problems);
        let said = problems.lines().iter().filter(|line| !line.starts_with("no server is set")).cloned().collect();
        (settings, said)
    }

    #[test]
    fn the_keys_are_the_camera_s_and_the_appliance_s() {
        let refusal = Layer::deserialize(Table::from_iter([("?".to_owned(), Value::Integer(1))])).unwrap_err();
        let known: Vec<&str> = refusal.message().split('`').skip(3).step_by(2).collect();
        assert!(known.len() > 20, "{refusal}");
        for key in known {
            let is_ours = KEYS.iter().any(|(name, _)| *name == key);
            assert_eq!(is_ours, !matches!(key, "state_dir" | "controls"), "{key}");
        }
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_a_word_about_the_server() {
        let mut problems = Problems::default();
        let settings = Settings::parse(NAMES[0], "", &mut problems);
        assert_eq!(settings.camera, Layer::default());
        assert!(settings.network.is_none() && settings.country.is_none() && !settings.hides_code);
        assert!(problems.lines()[0].contains("server = \"wss://") && problems.lines().len() == 1, "{problems:?}");
    }

    #[test]
    fn everything_that_can_be_set_is() {
        let (settings, problems) = parse(
            "server = \"wss://cam.example.org\"\nname = \"Küche\"\nwifi_ssid = \"Café 🏠\"\nwifi_passphrase = \"correct horse\"\n\
             wifi_country = \"de\"\nwifi_hidden = true\nshow_code = false\nfps = 25\npaused = true\n\
             [controls]\nbrightness = 40\nfocus = \"auto\"\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((settings.camera.fps, settings.camera.paused), (Some(25), Some(true)));
        assert_eq!(settings.camera.controls.unwrap()["focus"], Control::Text("auto".into()));
        assert!(settings.hides_code && settings.country.is_some());
        assert!(settings.network.is_some_and(|network| network.is_hidden && network.secret.is_some()));
    }

    #[test]
    fn a_bad_key_costs_itself_and_is_said_with_line_and_remedy() {
        for (bad, said) in [
            ("fps = 1000", "fps = 1000 is not possible: use 1 to 120"),
            ("width = 1", "use 16 to 4096"),
            ("server = \"https://cam.example.org\"", "must begin with wss://"),
            ("server = cam", "must begin with wss://"),
            ("page_url = \"cam.example.org\"", "https://host/"),
            ("name = \"a\\tb\"", "control character"),
            ("protocol = \"both\"", "use role"),
            ("preset = \"pi9\"", "preset = \"pi9\" is not possible"),
            ("source = \"film.mp4\"", "source"),
            ("fsp = 3", "fsp is no setting; do you mean fps?"),
            ("Server = \"x\"", "do you mean server?"),
            ("ssid = \"x\"", "do you mean wifi_ssid?"),
            ("wifi_password = \"x\"", "do you mean wifi_passphrase?"),
            ("bitrate = 3", "do you mean bitrate_kbps?"),
            ("colour = 3", "there are server, page_url"),
            ("state_dir = \"/x\"", "not set here"),
            ("wifi_country = \"Germany\"", "two letters"),
            ("wifi_passphrase = \"correct horse\"", "without wifi_ssid"),
            ("wifi_hidden = true", "without wifi_ssid"),
        ] {
            let (settings, problems) = parse(&format!("# remark\n{bad}\nheight = 240\n"));
            assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
            assert!(problems[0].starts_with("roomcam.toml, line 2: ") && problems[0].contains(said), "{problems:?}");
            assert_eq!(settings.camera, Layer { height: Some(240), ..Layer::default() }, "{bad}");
        }
    }

    #[test]
    fn a_network_with_a_bad_passphrase_is_not_taken_for_an_open_one() {
        for (text, said) in [
            ("wifi_ssid = \"home\"\nwifi_passphrase = \"short\"", "line 2: wifi_passphrase has 5 letters"),
            (
                "wifi_ssid = \"ssssssssssssssssssssssssssssssssss\"\nwifi_passphrase = \"longenough\"",
                "line 1: wifi_ssid has 34 bytes",
            ),
            ("wifi_ssid = \"home\"\nwifi_passphrase = [1]", "in quotes"),
        ] {
            let (settings, problems) = parse(text);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(said) && !problems[0].contains("short"), "{problems:?}");
            assert!(settings.network.is_none(), "{text}");
        }
        let (settings, _) = parse("wifi_ssid = \"inn\"");
        assert!(settings.network.is_some_and(|network| network.secret.is_none()));
    }

    #[test]
    fn what_should_keep_the_camera_closed_does_so_when_it_cannot_be_read() {
        for text in ["privacy_switch = \"17\"", "paused = perhaps", "privacy_switch = 17"] {
            let (settings, problems) = parse(text);
            assert_eq!(settings.camera.paused, Some(true), "{text}");
            assert!(problems[0].contains("begins paused"), "{problems:?}");
        }
    }

    #[test]
    fn both_names_are_read_and_two_files_are_said() {
        let boot = tempfile::tempdir().unwrap();
        let load = || {
            let mut problems = Problems::default();
            (Settings::load(boot.path(), &mut problems).camera.fps, problems.lines().join("\n"))
        };
        fs::write(boot.path().join(NAMES[1]), "\u{feff}fps = 5\r\nserver = x").unwrap();
        let (fps, problems) = load();
        assert!(fps == Some(5) && problems.starts_with("roomcam.toml.txt, line 2"), "{problems}");
        fs::write(boot.path().join(NAMES[0]), "fps = 6").unwrap();
        let (fps, problems) = load();
        assert!(fps == Some(6) && problems.contains("roomcam.toml.txt does not count"), "{problems}");
        fs::write(boot.path().join(NAMES[0]), vec![b'#'; 100_000]).unwrap();
        assert!(load().1.contains("roomcam.toml cannot be read (it is longer than 64 KiB)"));
        fs::remove_file(boot.path().join(NAMES[0])).unwrap();
        fs::create_dir(boot.path().join(NAMES[0])).unwrap();
        assert!(load().1.contains("roomcam.toml cannot be read"));
    }
}
