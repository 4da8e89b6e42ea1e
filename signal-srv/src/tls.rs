//! The certificate and the TLS configuration: from files, self-signed, or none. Never a fallback from one to another.
//!
//! A certificate is looked after while the server runs: files that change are loaded anew, a self-signed one is renewed.
//! Handshakes from then on use the new one, connections that are there go on; one that cannot be used is said, and the one
//! before stays.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::Tls;

mod self_signed;

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Read {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is not PEM, or holds something else.
    #[error("{} holds no {what} in PEM form: {source}; {advice}", path.display())]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The files are read but do not work, for example because they do not belong together.
    #[error("the certificate {} and the key {} cannot be used: {source}; {advice}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: Box<rustls::Error>,
        /// What to do.
        advice: &'static str,
    },
    /// The TLS library refuses its own defaults, or has no random numbers.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[source] rcgen::Error),
    /// A self-signed certificate is there without its key.
    #[error("{} is there but its key {} is missing: restore the key, or remove the certificate to have both made anew",
        certificate.display(), key.display())]
    KeyMissing {
        /// The certificate's file.
        certificate: PathBuf,
        /// Where its key should be.
        key: PathBuf,
    },
    /// A self-signed certificate cannot be kept.
    #[error("cannot write {}: {source}; choose a directory that can be written to with --state-dir", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The machine's addresses cannot be listed.
    #[error("cannot list the network addresses of this machine: {0}")]
    Addresses(#[source] io::Error),
}

/// A self-signed certificate is looked at this often: it is renewed weeks before it expires.
const RENEWAL_CHECK: Duration = Duration::from_secs(12 * 60 * 60);

/// The certificate that handshakes use, and where the next one will come from.
#[derive(Debug)]
pub(crate) struct Certificate {
    source: Tls,
    /// Its file.
    pub(crate) path: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    looked: Mutex<Looked>,
}

/// When it was looked at, and what the files were like.
#[derive(Debug)]
struct Looked {
    at: Instant,
    stamps: Vec<Option<Stamp>>,
}

/// A file that was replaced or written to has another.
type Stamp = (SystemTime, u64);

/// What to do about files that the operator brought.
const BROUGHT: &str = "check --cert and --key";
/// What to do about files that the server made.
const MADE: &str = "restore them, or remove both to have them made anew";

impl Certificate {
    /// Loads, and for `self-signed` makes or renews, what `tls` asks for. `None` if it is off.
    pub(crate) fn load(tls: &Tls) -> Result<Option<Arc<Self>>, TlsError> {
        let stamps = stamps(tls);
        let Some((path, key)) = load(tls)? else { return Ok(None) };
        let looked = Mutex::new(Looked { at: Instant::now(), stamps });
        Ok(Some(Arc::new(Self { source: tls.clone(), path, current: RwLock::new(Arc::new(key)), looked })))
    }

    /// What takes connections with it, now and after every change.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let config = || {
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            // With tickets those who come back resume: a storm of reconnects costs no signatures.
            config.ticketer = ring::Ticketer::new()?;
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        config().map_err(TlsError::Provider)
    }

    /// Loads it anew, whether it has changed or not.
    ///
    /// # Errors
    /// If it cannot be used; then the one before stays.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let stamps = stamps(&self.source);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Looked { at: Instant::now(), stamps };
        if let Some((_, key)) = load(&self.source)? {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        }
        Ok(())
    }

    /// Loads it anew if its files have changed, or if it is time to see whether it has to be renewed. Whether it has, is
    /// the answer.
    ///
    /// # Errors
    /// As [`reload`](Self::reload); said once for each change.
    pub(crate) fn look_after(&self) -> Result<bool, TlsError> {
        let is_due = {
            let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            match self.source {
                Tls::SelfSigned { .. } => looked.at.elapsed() >= RENEWAL_CHECK,
                Tls::Files { .. } => looked.stamps != stamps(&self.source),
                Tls::Off => false,
            }
        };
        if is_due { self.reload().map(|()| true) } else { Ok(false) }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Taken before the files are read: a change in between is seen the next time.
fn stamps(tls: &Tls) -> Vec<Option<Stamp>> {
    let Tls::Files { cert, key } = tls else { return Vec::new() };
    let stamp = |path: &PathBuf| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    vec![stamp(cert), stamp(key)]
}

/// The certificate's file, and what is in it and in the key's.
fn load(tls: &Tls) -> Result<Option<(PathBuf, CertifiedKey)>, TlsError> {
    let (certificate, key, advice) = match tls {
        Tls::Off => return Ok(None),
        Tls::Files { cert, key } => (cert.clone(), key.clone(), BROUGHT),
        Tls::SelfSigned { state_dir } => {
            let (certificate, key) = self_signed::prepare(state_dir)?;
            (certificate, key, MADE)
        }
    };
    let chain = read_certificates(&certificate, advice)?;
    let private_key = read_key(&key, advice)?;
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.clone(),
        key: key.clone(),
        source: Box::new(source),
        advice,
    };
    // That they belong together is checked here.
    let certified = CertifiedKey::from_der(chain, private_key, &provider()).map_err(unusable)?;
    Ok(Some((certificate, certified)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_certificates(path: &Path, advice: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let bytes = read(what, path)?;
    let pem = |source| TlsError::Pem { what, path: path.to_owned(), source, advice };
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(pem)?;
    if chain.is_empty() { Err(pem(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn read_key(path: &Path, advice: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "private key";
    let bytes = read(what, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| TlsError::Pem {
        what,
        path: path.to_owned(),
        source,
        advice,
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

/// An address that others may reach this machine under: not loopback, and not link-local IPv6, which
/// browsers cannot open.
fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unspecified() && !address.is_unicast_link_local(),
    }
}
