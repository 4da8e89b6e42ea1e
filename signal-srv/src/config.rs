//! File, environment and flags → values that are valid already.
//!
//! Precedence: flags, then `SIGNAL_SRV_<KEY>` in the environment, then the file, then the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};
use signal_proto::IceServer;
use signal_proto::limits::ROLE_VIEWERS_DEFAULT;

use crate::Limits;
use crate::client::Proxies;
use crate::cluster::{ClusterAddress, GivenAddress};
use crate::logging::LogFormat;
use crate::origin::Origins;

use self::ice::UsableIceServer;
use self::limits::LimitKeys;
pub use self::tls::{Acme, Tls};
use self::tls::{AcmeUrl, Contact, Domain, Domains, TlsKeys, TlsMode};

mod ice;
mod limits;
mod tls;

/// What the environment's keys begin with.
const PREFIX: &str = "SIGNAL_SRV_";

const DEFAULT_PORT: u16 = 8192;

/// More viewers than one room can reasonably have: one camera's uplink serves far fewer.
const MOST_VIEWERS: usize = 1000;

/// What a server does, decided.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Where operators find the metrics; nowhere, unless they say.
    pub metrics: Option<SocketAddr>,
    /// How to encrypt.
    pub tls: Tls,
    /// Where those who come without encryption are sent on to it; nowhere, unless the operator says.
    pub redirect: Option<SocketAddr>,
    /// Whether a proxy in front does TLS.
    pub behind_proxy: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Proxies,
    /// From where pages may connect.
    pub origins: Origins,
    /// Most viewers in a role room.
    pub max_viewers: usize,
    /// STUN and TURN servers for the clients of role rooms.
    pub ice_servers: Vec<IceServer>,
    /// Level or filter of the log.
    pub log: String,
    /// How its lines look.
    pub log_format: LogFormat,
    /// The Redis through which several servers are one; alone, unless they say.
    pub cluster: Option<Cluster>,
    /// Time-outs, sizes and rates.
    pub limits: Limits,
}

/// How to reach the other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The Redis, or Valkey, that all of them share.
    pub address: ClusterAddress,
    /// Who vouches for its certificate, if not the authorities of the system; PEM.
    pub authority: Option<PathBuf>,
}

impl Default for Config {
    /// A server for this machine alone: plain HTTP on loopback, on a port that is free.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            metrics: None,
            tls: Tls::Off,
            redirect: None,
            behind_proxy: false,
            trusted_proxies: Proxies::default(),
            origins: Origins::default(),
            max_viewers: ROLE_VIEWERS_DEFAULT,
            ice_servers: Vec::new(),
            log: "info".into(),
            log_format: LogFormat::Text,
            cluster: None,
            limits: Limits::default(),
        }
    }
}

/// The command line.
#[derive(Debug, Default, Parser)]
#[command(
    name = "signal-srv",
    version,
    about = "Roomcam's signaling server: brings cameras and viewers together, and serves the viewer page.",
    after_help = "Every option but --config and --print-config is also a key of the configuration file (TOML, '_' for \
                  '-', a list 'domains' for --domain) and an environment variable (SIGNAL_SRV_LISTEN, …). Flags come before the environment, the \
                  environment before the file. More keys: max_viewers, ice_servers, trusted_proxies, origins, and the \
                  table [limits] (SIGNAL_SRV_LIMITS_CONNECTIONS, …); --print-config shows them all."
)]
pub struct Flags {
    /// Address and port to listen on [default: 0.0.0.0:8192]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address and port for /metrics, in plain HTTP: for the operator's network alone [default: none]
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Where the certificate comes from; 'off' only on loopback or with --behind-proxy [default: self-signed]
    #[arg(long, value_name = "MODE")]
    tls: Option<TlsMode>,
    /// Certificate chain, PEM, for --tls files
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key, PEM, for --tls files
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A name of this server, for --tls acme; several times for several
    #[arg(long = "domain", value_name = "NAME")]
    domains: Vec<Domain>,
    /// Mail address that the authority may write to, for --tls acme [default: none]
    #[arg(long, value_name = "MAIL")]
    acme_contact: Option<Contact>,
    /// The authority's directory, for --tls acme [default: Let's Encrypt]
    #[arg(long, value_name = "URL")]
    acme_directory: Option<AcmeUrl>,
    /// Who vouches for the authority's own address, PEM, for --tls acme [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    acme_ca: Option<PathBuf>,
    /// Address and port, usually of port 80, where plain HTTP is sent on to HTTPS [default: none]
    #[arg(long, value_name = "ADDR")]
    redirect: Option<SocketAddr>,
    /// Where the certificate is kept that the server made or ordered [default: $STATE_DIRECTORY, $XDG_STATE_HOME/signal-srv or
    /// ~/.local/state/signal-srv]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A proxy in front does TLS
    #[arg(long)]
    behind_proxy: bool,
    /// Redis or Valkey (redis://, rediss:// for TLS, redis+unix://) through which several servers are one [default: none]
    #[arg(long, value_name = "URL")]
    cluster: Option<GivenAddress>,
    /// Certificate authority of a rediss:// with a certificate of its own, PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    cluster_ca: Option<PathBuf>,
    /// Level (error, warn, info, debug, trace) or filter of the log [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// One JSON object a line for programs, or text for people [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that is in effect, as TOML, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// The keys, from one source or merged, and as they are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domains: Option<Domains>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acme_contact: Option<Contact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acme_directory: Option<AcmeUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acme_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_proxy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_proxies: Option<Proxies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<Origins>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_viewers: Option<MaxViewers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<GivenAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ice_servers: Option<Vec<UsableIceServer>>,
    /// The last: in TOML a table ends the keys before it.
    #[serde(default, skip_serializing_if = "LimitKeys::is_empty")]
    limits: LimitKeys,
}

/// From 1 to [`MOST_VIEWERS`]. Checked while it is read, so that the error knows the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "usize", into = "usize")]
struct MaxViewers(usize);

/// How the value of an environment variable is read.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// As a TOML value.
    Toml,
}

const KEYS: [(&str, Form); 20] = [
    ("listen", Form::Text),
    ("metrics", Form::Text),
    ("tls", Form::Text),
    ("cert", Form::Text),
    ("key", Form::Text),
    ("domains", Form::Toml),
    ("acme_contact", Form::Text),
    ("acme_directory", Form::Text),
    ("acme_ca", Form::Text),
    ("redirect", Form::Text),
    ("state_dir", Form::Text),
    ("behind_proxy", Form::Toml),
    ("trusted_proxies", Form::Toml),
    ("origins", Form::Toml),
    ("max_viewers", Form::Toml),
    ("cluster", Form::Text),
    ("cluster_ca", Form::Text),
    ("log", Form::Text),
    ("log_format", Form::Text),
    ("ice_servers", Form::Toml),
];

/// Why there is no valid configuration. Always the operator's to correct.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not TOML, or has a key or value that it must not have.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, column, key.
        source: Box<toml::de::Error>,
    },
    /// A value in the environment is wrong.
    #[error("the environment variable {variable} is wrong: {reason}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// `tls = "off"` where everybody could listen in.
    #[error(
        "--tls off is for loopback only, and {0} is not: without TLS everybody on the way reads room codes. Use --tls \
         self-signed or --tls files, listen on 127.0.0.1, or say --behind-proxy if a proxy in front does TLS"
    )]
    PlainText(SocketAddr),
    /// `tls = "files"` without the files.
    #[error("--tls files needs --cert FILE and --key FILE; {0} is missing")]
    FileMissing(&'static str),
    /// Files without `tls = "files"`.
    #[error("--cert and --key are used with --tls files only; add it, or leave them out")]
    FilesUnused,
    /// `tls = "acme"` without a name.
    #[error("--tls acme needs --domain NAME (in a file: domains = [\"NAME\"]): what the certificate is to be for")]
    DomainMissing,
    /// More names than a certificate has.
    #[error("--tls acme is for {1} domains at most, and there are {0}")]
    TooManyDomains(usize, usize),
    /// An order without `tls = "acme"`.
    #[error("--domain and --acme-… are used with --tls acme only; add it, or leave them out")]
    AcmeUnused,
    /// A redirect to what is not there.
    #[error("--redirect sends clients on to HTTPS, which --tls off does not serve; leave one of the two out")]
    NothingToRedirectTo,
    /// There is no Redis at what was given. Not repeated: it may hold a password.
    #[error("--cluster cannot be used: {0}")]
    Cluster(String),
    /// An authority for a Redis that there is not.
    #[error("--cluster-ca is used with --cluster rediss://… only; add that, or leave it out")]
    AuthorityUnused,
    /// A node would be taken for dead between two signs of life.
    #[error(
        "limits.cluster_lease_s must be four times limits.cluster_timeout_s at least: a node that waits for Redis once would \
         be taken for dead"
    )]
    ShortLease,
    /// Nowhere to keep the certificate.
    #[error("there is no directory for the certificate: $HOME is not set; name one with --state-dir")]
    NoStateDir,
}

impl Config {
    /// Reads what flags, environment and file say.
    ///
    /// # Errors
    /// If any of it is wrong; the text says where and what to do.
    pub fn load(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let path = flags.config.clone().or_else(|| variable("SIGNAL_SRV_CONFIG").map(PathBuf::from));
        let file = path.as_deref().map(from_file).transpose()?.unwrap_or_default();
        let keys = from_flags(flags).or(from_environment(variable)?).or(file);
        keys.decide(|| default_state_dir(variable))
    }

    /// The configuration as a file would say it, credentials left out.
    pub fn to_toml(&self) -> String {
        let TlsKeys { tls, cert, key, domains, contact, directory, ca, state_dir } = TlsKeys::from(&self.tls);
        let redacted = |server: &IceServer| IceServer {
            credential: server.credential.as_ref().map(|_| "redacted".to_owned()),
            ..server.clone()
        };
        let keys = Keys {
            listen: Some(self.listen),
            metrics: self.metrics,
            tls,
            cert,
            key,
            domains,
            acme_contact: contact,
            acme_directory: directory,
            acme_ca: ca,
            redirect: self.redirect,
            state_dir,
            behind_proxy: Some(self.behind_proxy),
            trusted_proxies: Some(self.trusted_proxies.clone()),
            origins: Some(self.origins.clone()),
            max_viewers: Some(MaxViewers(self.max_viewers)),
            cluster: self.cluster.as_ref().map(|cluster| GivenAddress::from(&cluster.address)),
            cluster_ca: self.cluster.as_ref().and_then(|cluster| cluster.authority.clone()),
            log: Some(self.log.clone()),
            log_format: Some(self.log_format),
            ice_servers: Some(self.ice_servers.iter().map(redacted).map(UsableIceServer).collect()),
            limits: LimitKeys::from(&self.limits),
        };
        // Only a path that is not UTF-8 cannot be written as TOML.
        toml::to_string(&keys).unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
    }
}

impl Keys {
    /// These keys, and those of `other` that these lack.
    fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            metrics: self.metrics.or(other.metrics),
            tls: self.tls.or(other.tls),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            domains: self.domains.or(other.domains),
            acme_contact: self.acme_contact.or(other.acme_contact),
            acme_directory: self.acme_directory.or(other.acme_directory),
            acme_ca: self.acme_ca.or(other.acme_ca),
            redirect: self.redirect.or(other.redirect),
            state_dir: self.state_dir.or(other.state_dir),
            behind_proxy: self.behind_proxy.or(other.behind_proxy),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            origins: self.origins.or(other.origins),
            max_viewers: self.max_viewers.or(other.max_viewers),
            cluster: self.cluster.or(other.cluster),
            cluster_ca: self.cluster_ca.or(other.cluster_ca),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            ice_servers: self.ice_servers.or(other.ice_servers),
            limits: self.limits.or(other.limits),
        }
    }

    /// Fills in the defaults and checks what depends on more than one key.
    fn decide(self, default_state_dir: impl FnOnce() -> Option<PathBuf>) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into());
        let behind_proxy = self.behind_proxy.unwrap_or(false);
        let keys = TlsKeys {
            tls: self.tls,
            cert: self.cert,
            key: self.key,
            domains: self.domains,
            contact: self.acme_contact,
            directory: self.acme_directory,
            ca: self.acme_ca,
            state_dir: self.state_dir,
        };
        let tls = keys.decide(listen, behind_proxy, default_state_dir)?;
        let redirect = self.redirect;
        if redirect.is_some() && tls == Tls::Off {
            return Err(ConfigError::NothingToRedirectTo);
        }
        let max_viewers = self.max_viewers.map_or(ROLE_VIEWERS_DEFAULT, usize::from);
        let ice_servers = self.ice_servers.unwrap_or_default().into_iter().map(IceServer::from).collect();
        let log = self.log.unwrap_or_else(|| "info".to_owned());
        let log_format = self.log_format.unwrap_or_default();
        // A proxy that does our TLS is on this machine, unless the operator says where it is.
        let nearby = || if behind_proxy { Proxies::on_this_machine() } else { Proxies::default() };
        let trusted_proxies = self.trusted_proxies.unwrap_or_else(nearby);
        let origins = self.origins.unwrap_or_default();
        let limits = self.limits.decide();
        let metrics = self.metrics;
        let cluster = match (self.cluster, self.cluster_ca) {
            (Some(given), authority) => {
                Some(Cluster { address: given.read().map_err(ConfigError::Cluster)?, authority })
            }
            (None, None) => None,
            (None, Some(_)) => return Err(ConfigError::AuthorityUnused),
        };
        if cluster.is_some() && limits.cluster_lease < limits.cluster_timeout * 4 {
            return Err(ConfigError::ShortLease);
        }
        Ok(Config {
            listen,
            metrics,
            tls,
            redirect,
            behind_proxy,
            trusted_proxies,
            origins,
            max_viewers,
            ice_servers,
            log,
            log_format,
            cluster,
            limits,
        })
    }
}

impl TryFrom<usize> for MaxViewers {
    type Error = String;

    fn try_from(number: usize) -> Result<Self, String> {
        let range = 1..=MOST_VIEWERS;
        if range.contains(&number) { Ok(Self(number)) } else { Err(format!("max_viewers can be 1 to {MOST_VIEWERS}")) }
    }
}

impl From<MaxViewers> for usize {
    fn from(viewers: MaxViewers) -> Self {
        viewers.0
    }
}

fn from_flags(flags: &Flags) -> Keys {
    Keys {
        listen: flags.listen,
        metrics: flags.metrics,
        tls: flags.tls,
        cert: flags.cert.clone(),
        key: flags.key.clone(),
        domains: (!flags.domains.is_empty()).then(|| Domains(flags.domains.clone())),
        acme_contact: flags.acme_contact.clone(),
        acme_directory: flags.acme_directory.clone(),
        acme_ca: flags.acme_ca.clone(),
        redirect: flags.redirect,
        state_dir: flags.state_dir.clone(),
        behind_proxy: flags.behind_proxy.then_some(true),
        cluster: flags.cluster.clone(),
        cluster_ca: flags.cluster_ca.clone(),
        log: flags.log.clone(),
        log_format: flags.log_format,
        ..Keys::default()
    }
}

fn from_file(path: &Path) -> Result<Keys, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::File { path: path.to_owned(), source: Box::new(source) })
}

/// One key at a time, so that an error can name the variable.
fn from_environment<'a>(variable: impl Fn(&str) -> Option<&'a String>) -> Result<Keys, ConfigError> {
    let mut keys = Keys::default();
    for (key, form) in KEYS {
        let name = format!("{PREFIX}{}", key.to_uppercase());
        let Some(value) = variable(&name) else { continue };
        let read = match form {
            Form::Text => toml::Table::from_iter([(key.to_owned(), toml::Value::String(value.clone()))]).try_into(),
            Form::Toml => toml::from_str(&format!("{key} = {value}")),
        };
        let read: Keys =
            read.map_err(|error| ConfigError::Environment { variable: name, reason: error.message().to_owned() })?;
        keys = keys.or(read);
    }
    for key in LimitKeys::NAMES {
        let name = format!("{PREFIX}LIMITS_{}", key.to_uppercase());
        let Some(value) = variable(&name) else { continue };
        let read: Keys = toml::from_str(&format!("limits.{key} = {value}"))
            .map_err(|error| ConfigError::Environment { variable: name, reason: error.message().to_owned() })?;
        keys = keys.or(read);
    }
    Ok(keys)
}

/// systemd's `StateDirectory=`, else where the XDG base directory specification puts state.
fn default_state_dir<'a>(variable: impl Fn(&str) -> Option<&'a String>) -> Option<PathBuf> {
    let systemd = variable("STATE_DIRECTORY").and_then(|dirs| dirs.split(':').next()).map(PathBuf::from);
    let xdg = || variable("XDG_STATE_HOME").map(|dir| Path::new(dir).join("signal-srv"));
    let home = || variable("HOME").map(|dir| Path::new(dir).join(".local/state/signal-srv"));
    systemd.or_else(xdg).or_else(home)
}

#[cfg(test)]
mod tests;
