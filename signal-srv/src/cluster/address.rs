//! Where the Redis of a cluster is. The address holds its password, and shows itself without.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

/// `redis://`, `rediss://` (TLS) or `redis+unix://`.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterAddress(String);

/// An address as somebody wrote it. It is looked at when it is too late for whoever read it, file or command line, to repeat
/// it in an error.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct GivenAddress(String);

/// Why Redis cannot be spoken to as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The file with the authority cannot be read.
    #[error("cannot read the certificate authority of --cluster-ca, {}: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// It is none, or the address is not one for TLS.
    #[error("--cluster-ca {} cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No client can be made.
    #[error("--cluster cannot be used: {0}")]
    Client(String),
}

impl ClusterAddress {
    /// A client of that Redis, which trusts the authorities of the system, or the one in `authority`.
    pub(super) fn client(&self, authority: Option<&Path>) -> Result<redis::Client, ClusterError> {
        let unusable = |error: redis::RedisError| ClusterError::Client(said(&error));
        let info = self.0.as_str().into_connection_info().map_err(unusable)?;
        // Push messages beside replies.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let Some(path) = authority else { return redis::Client::open(info).map_err(unusable) };
        let pem = std::fs::read(path).map_err(|source| ClusterError::Authority { path: path.to_owned(), source })?;
        let refused = |reason: String| ClusterError::Unusable { path: path.to_owned(), reason };
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(refused("--cluster does not begin with rediss://".to_owned()));
        }
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
            return Err(refused("there is no certificate in it, in PEM form".to_owned()));
        }
        redis::Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
            .map_err(|error| refused(said(&error)))
    }

    /// Whether what is said to Redis can be read on the way.
    pub(super) fn is_in_the_open(&self) -> bool {
        match self.0.as_str().into_connection_info().map(|info| info.addr().clone()) {
            Ok(ConnectionAddr::Tcp(host, _)) => {
                host != "localhost" && !host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback())
            }
            _ => false,
        }
    }
}

/// What the client of Redis says, in one line.
pub(super) fn said(error: &redis::RedisError) -> String {
    error.to_string().replace(['\r', '\n'], " ")
}

impl FromStr for ClusterAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not repeated: it may hold a password.
        let url = redis::parse_redis_url(text)
            .ok_or("the address of Redis begins with redis://, rediss:// (TLS) or redis+unix://")?;
        if url.fragment().is_some() {
            return Err("the address of Redis has no '#': TLS is never without a look at the certificate".to_owned());
        }
        text.into_connection_info()
            .map_err(|error| format!("the address of Redis cannot be used: {}", said(&error)))?;
        Ok(Self(text.to_owned()))
    }
}

impl GivenAddress {
    pub(crate) fn read(&self) -> Result<ClusterAddress, String> {
        self.0.parse()
    }
}

impl FromStr for GivenAddress {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl From<&ClusterAddress> for GivenAddress {
    fn from(address: &ClusterAddress) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Debug for GivenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenAddress(…)")
    }
}

impl fmt::Display for ClusterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mut url) = redis::parse_redis_url(&self.0) else { return f.write_str("redacted") };
        if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
            return f.write_str("redacted");
        }
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(key, value)| {
                let is_secret = !matches!(key.as_ref(), "db" | "user" | "protocol");
                (key.into_owned(), if is_secret { "redacted".to_owned() } else { value.into_owned() })
            })
            .collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().clear().extend_pairs(pairs);
        }
        write!(f, "{url}")
    }
}

impl fmt::Debug for ClusterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_itself_without_its_password() {
        for (address, shown) in [
            ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2"),
            ("rediss://user:pa%20ss@cache.example.org", "rediss://user:redacted@cache.example.org"),
            ("redis://:secret@[::1]:7", "redis://:redacted@[::1]:7"),
            ("redis+unix:///run/r.sock?db=1&pass=secret", "redis+unix:///run/r.sock?db=1&pass=redacted"),
        ] {
            let parsed: ClusterAddress = address.parse().unwrap();
            assert_eq!((parsed.to_string(), format!("{parsed:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for address in ["http://:secret@x", "secret", "rediss://:secret@h/#insecure", "redis://:secret@h/notadb"] {
            let error = address.parse::<ClusterAddress>().unwrap_err();
            assert!(error.contains("address of Redis") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_tls_and_this_machine_are_out_of_the_open() {
        let open = |address: &str| address.parse::<ClusterAddress>().unwrap().is_in_the_open();
        assert!(open("redis://192.0.2.1"));
        assert!(open("redis://cache.example.org"));
        assert!(!open("rediss://192.0.2.1"));
        assert!(!open("redis://127.0.0.1:1"));
        assert!(!open("redis://localhost"));
        assert!(!open("redis+unix:///run/r.sock"));
    }
}
