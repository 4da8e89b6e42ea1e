//! The network of the settings, as iwd reads it: iwd.network(5) and iwd.config(5).

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

use super::files;

/// Of a network's name: bytes (IEEE 802.11, 9.4.2.2).
const NAME_BYTES: usize = 32;
const FOLDER: &str = "iwd";
const CONFIG: &str = "iwd.conf";

/// The name of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ssid(String);

/// What lets into a network. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Passphrase(String),
    /// What follows from passphrase and name: 64 hex digits.
    Key(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A network to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) ssid: Ssid,
    /// Without one the network is open.
    pub(super) secret: Option<Secret>,
    pub(super) is_hidden: bool,
}

/// Two letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Country(String);

impl Ssid {
    pub(super) fn new(name: &str) -> Result<Self, String> {
        match name.len() {
            0 => Err("has no letters".into()),
            1..=NAME_BYTES => Ok(Self(name.to_owned())),
            length => Err(format!(
                "has {length} bytes, and the name of a network has {NAME_BYTES} at most (an umlaut takes two, an emoji four)"
            )),
        }
    }

    /// As the file is called. Letters are ASCII's alone; everything else is written as digits, and a name with it as a
    /// whole.
    fn file_stem(&self) -> String {
        if self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-')) {
            return self.0.clone();
        }
        self.0.bytes().fold("=".to_owned(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }
}

impl Secret {
    /// What is wrong never quotes it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Key(text.to_ascii_lowercase()));
        }
        // IEEE 802.11, J.4.1.
        if let Some(odd) = text.chars().find(|letter| !matches!(letter, ' '..='~')) {
            let what = if odd.is_control() { "a control character" } else { "a letter that is none of ASCII's" };
            return Err(format!(
                "has {what}, and the passphrase of a network has plain letters, digits and signs; a backslash is \
                 written in 'such quotes'"
            ));
        }
        match text.len() {
            8..=63 => Ok(Self::Passphrase(text.to_owned())),
            length => {
                Err(format!("has {length} letters, and the passphrase of a network has 8 to 63 (or is 64 hex digits)"))
            }
        }
    }
}

impl Country {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let code = text.trim().to_ascii_uppercase();
        if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Ok(Self(code));
        }
        Err("takes the two letters of a country (ISO 3166), such as \"DE\" or \"US\"".into())
    }
}

impl Network {
    fn file_name(&self) -> String {
        format!("{}.{}", self.ssid.file_stem(), if self.secret.is_some() { "psk" } else { "open" })
    }

    fn content(&self) -> String {
        let mut content = String::new();
        if let Some(secret) = &self.secret {
            let (key, value) = match secret {
                Secret::Passphrase(passphrase) => ("Passphrase", escaped(passphrase)),
                Secret::Key(key) => ("PreSharedKey", key.clone()),
            };
            let _ = writeln!(content, "[Security]\n{key}={value}");
        }
        if self.is_hidden {
            content.push_str("[Settings]\nHidden=true\n");
        }
        content
    }
}

/// Spaces at either end would be taken for none.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\");
    let inner = value.trim_matches(' ');
    let (before, after) =
        (value.len() - value.trim_start_matches(' ').len(), value.len() - value.trim_end_matches(' ').len());
    format!("{}{inner}{}", "\\s".repeat(before), "\\s".repeat(if inner.is_empty() { 0 } else { after }))
}

/// Writes what iwd reads, and removes the networks of an earlier call. Without a network there is no file of general
/// settings either, by which the image knows that iwd is not needed.
pub(super) fn write(run: &Path, network: Option<&Network>, country: Option<&Country>) -> io::Result<()> {
    let folder = run.join(FOLDER);
    files::folder(&folder, 0o700)?;
    let name = network.map(Network::file_name);
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_network = path.extension().is_some_and(|extension| extension == "psk" || extension == "open");
        if is_network && path.file_name().and_then(|name| name.to_str()) != name.as_deref() {
            fs::remove_file(path)?;
        }
    }
    if let (Some(network), Some(name)) = (network, name) {
        let path = folder.join(name);
        // Not beside it under a name of its own: a network may be called anything.
        fs::write(&path, "")?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(&path, network.content())?;
    }
    let config = run.join(CONFIG);
    if network.is_none() {
        return match fs::remove_file(config) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let general = country.map_or_else(String::new, |Country(code)| format!("[General]\nCountry={code}\n"));
    files::put(&config, &general, 0o644, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(ssid: &str, secret: Option<&str>) -> Network {
        Network {
            ssid: Ssid::new(ssid).unwrap(),
            secret: secret.map(|text| Secret::new(text).unwrap()),
            is_hidden: false,
        }
    }

    #[test]
    fn files_are_named_as_iwd_wants_them() {
        for (ssid, name) in [
            ("My Home_5-G", "My Home_5-G.psk"),
            ("Café", "=436166c3a9.psk"),
            ("🏠", "=f09f8fa0.psk"),
            ("a.b", "=612e62.psk"),
            ("=41", "=3d3431.psk"),
            ("../x", "=2e2e2f78.psk"),
        ] {
            assert_eq!(network(ssid, Some("12345678")).file_name(), name);
        }
        assert_eq!(network("Inn", None).file_name(), "Inn.open");
        assert!(Ssid::new(&"x".repeat(32)).is_ok() && Ssid::new(&"🏠".repeat(8)).is_ok());
        assert!(Ssid::new(&"ü".repeat(17)).unwrap_err().contains("34 bytes"));
        assert!(Ssid::new("").is_err());
    }

    #[test]
    fn contents_are_written_as_iwd_reads_them() {
        assert_eq!(network("x", Some("correct horse")).content(), "[Security]\nPassphrase=correct horse\n");
        let key = "ABCDEF01".repeat(8);
        assert_eq!(network("x", Some(&key)).content(), format!("[Security]\nPreSharedKey={}\n", key.to_lowercase()));
        let hidden = Network { is_hidden: true, ..network("x", None) };
        assert_eq!(hidden.content(), "[Settings]\nHidden=true\n");
        for (passphrase, written) in [
            ("  two before", "\\s\\stwo before"),
            ("one after ", "one after\\s"),
            ("back\\slash", "back\\\\slash"),
            ("        ", "\\s\\s\\s\\s\\s\\s\\s\\s"),
            ("#;[x]=\"'", "#;[x]=\"'"),
        ] {
            assert_eq!(network("x", Some(passphrase)).content(), format!("[Security]\nPassphrase={written}\n"));
        }
    }

    #[test]
    fn passphrases_and_countries_are_checked() {
        for good in ["12345678", &"x".repeat(63), &"aB".repeat(32)] {
            assert!(Secret::new(good).is_ok(), "{good}");
        }
        for (bad, remedy) in [
            ("1234567", "7 letters"),
            (&*"y".repeat(64), "64 letters"),
            ("passwört1", "ASCII"),
            ("back\u{8}slash", "'such quotes'"),
        ] {
            let refusal = Secret::new(bad).unwrap_err();
            assert!(refusal.contains(remedy) && !refusal.contains(bad), "{refusal}");
        }
        assert_eq!(Country::new("de"), Ok(Country("DE".into())));
        for bad in ["Germany", "D", "D1", "ÄÖ"] {
            assert!(Country::new(bad).unwrap_err().contains("such as"), "{bad}");
        }
        assert_eq!(format!("{:?}", Secret::new("12345678").unwrap()), "Secret");
    }

    #[test]
    fn there_is_one_network_at_most() {
        let run = tempfile::tempdir().unwrap();
        let names = || {
            let folder = fs::read_dir(run.path().join(FOLDER)).unwrap();
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        write(run.path(), Some(&network("one", Some("12345678"))), None).unwrap();
        write(run.path(), Some(&network("two", Some("12345678"))), Country::new("at").ok().as_ref()).unwrap();
        assert_eq!(names(), ["two.psk"]);
        assert_eq!(fs::read_to_string(run.path().join(CONFIG)).unwrap(), "[General]\nCountry=AT\n");
        write(run.path(), None, None).unwrap();
        assert!(names().is_empty());
        assert!(!run.path().join(CONFIG).exists());
    }
}
