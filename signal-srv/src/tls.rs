//! The certificate and the TLS configuration: from files, self-signed, or none. Never a fallback from one to another.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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

/// Something to serve TLS with.
pub(crate) struct Loaded {
    pub(crate) acceptor: TlsAcceptor,
    /// The certificate's file.
    pub(crate) certificate: PathBuf,
}

/// What to do about files that the operator brought.
const BROUGHT: &str = "check --cert and --key";
/// What to do about files that the server made.
const MADE: &str = "restore them, or remove both to have them made anew";

/// Loads, and for `self-signed` makes or renews, what `tls` asks for. `None` if it is off.
pub(crate) fn load(tls: &Tls) -> Result<Option<Loaded>, TlsError> {
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
    let acceptor = acceptor(chain, private_key).map_err(unusable)?;
    Ok(Some(Loaded { acceptor, certificate }))
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // With tickets those who come back resume: a storm of reconnects costs no signatures.
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
