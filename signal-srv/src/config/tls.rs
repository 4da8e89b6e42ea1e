//! Where the certificate comes from: its modes, and the keys that belong to each of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Let's Encrypt (RFC 8555 §7.1.1).
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// As many names as a certificate of Let's Encrypt has at most.
const MOST_DOMAINS: usize = 100;

/// Longer than any that there is, and with what is added to it still the name of a folder.
const LONGEST_URL: usize = 200;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Made by the server and kept.
    SelfSigned {
        /// Where `cert.pem` and `key.pem` are kept.
        state_dir: PathBuf,
    },
    /// Brought by the operator.
    Files {
        /// The chain, PEM.
        cert: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
    /// Ordered from an authority (RFC 8555), renewed, and kept.
    Acme(Acme),
    /// Plain HTTP.
    Off,
}

/// An order to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names of this server, at least one.
    pub domains: Vec<String>,
    /// To whom the authority may write.
    pub contact: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Who vouches for the authority's own address, PEM; without it those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Its folder `acme` keeps certificates and accounts.
    pub state_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    SelfSigned,
    Files,
    Acme,
    Off,
}

/// A name that an authority can vouch for after a look at this server. Checked while it is read, so that the error knows
/// the line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Domain(String);

/// As they were given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Domains(pub(super) Vec<Domain>);

/// A mail address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Contact(String);

/// `https://…`: ACME is spoken over TLS alone (RFC 8555 §6.1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct AcmeUrl(String);

/// The keys that say where the certificate comes from.
#[derive(Debug, Default)]
pub(super) struct TlsKeys {
    pub(super) tls: Option<TlsMode>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) domains: Option<Domains>,
    pub(super) contact: Option<Contact>,
    pub(super) directory: Option<AcmeUrl>,
    pub(super) ca: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
}

impl TlsKeys {
    /// Fills in the defaults and checks what belongs together.
    pub(super) fn decide(
        self,
        listen: SocketAddr,
        behind_proxy: bool,
        default_state_dir: impl FnOnce() -> Option<PathBuf>,
    ) -> Result<Tls, ConfigError> {
        if self.tls.is_none() && (self.cert.is_some() || self.key.is_some()) {
            return Err(ConfigError::FilesUnused);
        }
        let has_order =
            self.domains.is_some() || self.contact.is_some() || self.directory.is_some() || self.ca.is_some();
        if self.tls.is_none() && has_order {
            return Err(ConfigError::AcmeUnused);
        }
        let state_dir = self.state_dir;
        let state_dir = || state_dir.or_else(default_state_dir).ok_or(ConfigError::NoStateDir);
        Ok(match self.tls.unwrap_or(TlsMode::SelfSigned) {
            TlsMode::SelfSigned => Tls::SelfSigned { state_dir: state_dir()? },
            TlsMode::Files => Tls::Files {
                cert: self.cert.ok_or(ConfigError::FileMissing("--cert"))?,
                key: self.key.ok_or(ConfigError::FileMissing("--key"))?,
            },
            TlsMode::Acme => Tls::Acme(Acme {
                domains: self.domains.ok_or(ConfigError::DomainMissing)?.decide()?,
                contact: self.contact.map(String::from),
                directory: self.directory.map_or_else(|| LETS_ENCRYPT.to_owned(), String::from),
                ca: self.ca,
                state_dir: state_dir()?,
            }),
            TlsMode::Off if listen.ip().is_loopback() || behind_proxy => Tls::Off,
            TlsMode::Off => return Err(ConfigError::PlainText(listen)),
        })
    }
}

impl From<&Tls> for TlsKeys {
    fn from(tls: &Tls) -> Self {
        match tls.clone() {
            Tls::SelfSigned { state_dir } => {
                Self { tls: Some(TlsMode::SelfSigned), state_dir: Some(state_dir), ..Self::default() }
            }
            Tls::Files { cert, key } => {
                Self { tls: Some(TlsMode::Files), cert: Some(cert), key: Some(key), ..Self::default() }
            }
            Tls::Acme(acme) => Self {
                tls: Some(TlsMode::Acme),
                domains: Some(Domains(acme.domains.into_iter().map(Domain).collect())),
                contact: acme.contact.map(Contact),
                directory: Some(AcmeUrl(acme.directory)),
                ca: acme.ca,
                state_dir: Some(acme.state_dir),
                ..Self::default()
            },
            Tls::Off => Self { tls: Some(TlsMode::Off), ..Self::default() },
        }
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        let what = if name.contains('*') {
            "a wildcard, which takes another proof than this server can give; name each of its names"
        } else if !name.is_ascii() {
            "not how DNS writes it; use its form with xn--"
        } else {
            match ServerName::try_from(name.as_str()) {
                Ok(ServerName::DnsName(_)) if !name.ends_with('.') => return Ok(Self(name)),
                Ok(ServerName::IpAddress(_)) => "an address; it takes a name",
                _ => "not a name such as cam.example.org",
            }
        };
        Err(format!("{text:?} is {what}"))
    }
}

impl Domains {
    /// Each of them once.
    fn decide(self) -> Result<Vec<String>, ConfigError> {
        let mut names: Vec<String> = Vec::new();
        for Domain(name) in self.0 {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match names.len() {
            0 => Err(ConfigError::DomainMissing),
            1..=MOST_DOMAINS => Ok(names),
            number => Err(ConfigError::TooManyDomains(number, MOST_DOMAINS)),
        }
    }
}

impl FromStr for Contact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b',' | b'?' | b'"' | b'<' | b'>');
        let has_parts = text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'));
        if has_parts && text.len() <= LONGEST_URL && text.bytes().all(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no mail address such as ops@example.org"))
        }
    }
}

impl FromStr for AcmeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = |uri: Uri| {
            uri.scheme_str() == Some("https")
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        };
        if text.len() <= LONGEST_URL && text.parse().is_ok_and(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no directory of an authority; it begins with https://, as does {LETS_ENCRYPT}"))
        }
    }
}

/// How each of them is read from and written to a file.
macro_rules! texts {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    )*};
}

texts!(Domain, Contact, AcmeUrl);
