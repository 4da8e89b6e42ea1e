//! The certificate and the TLS configuration: from files, self-signed, ordered from an authority, or none. Never a fallback
//! from one to another, and never to plain text.
//!
//! A certificate is looked after while the server runs: files that change are loaded anew, a self-signed one and one of an
//! authority are renewed. Handshakes from then on use the new one, connections that are there go on; one that cannot be used is said, and the one
//! before stays.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::acme::Orders;
use crate::Tls;
use crate::settings::InEffect;

pub(crate) mod acme;
mod files;
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
    /// What was kept of an account with an authority is no key.
    #[error("{} is no account key: {source}; restore it, or remove it to have a new account made", path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<rustls::Error>,
    },
    /// Who should vouch for the authority is no certificate.
    #[error("a certificate in {} cannot be used: {source}; check --acme-ca", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<rustls::Error>,
    },
    /// Nobody is known who could vouch for the authority.
    #[error(
        "the system trusts no certificate authority that could vouch for the one of --tls acme{reason}; install \
             ca-certificates, or name a file with --acme-ca"
    )]
    NoRoots {
        /// What went wrong, if anything did.
        reason: String,
    },
    /// The machine's addresses cannot be listed.
    #[error("cannot list the network addresses of this machine: {0}")]
    Addresses(#[source] io::Error),
}

/// A self-signed certificate is looked at this often: it is renewed weeks before it expires.
const RENEWAL_CHECK: Duration = Duration::from_secs(12 * 60 * 60);

/// Beyond any certificate, and within what clocks can count.
const FAR_AWAY: Duration = Duration::from_secs(1 << 40);

/// The certificate that handshakes use, and where the next one will come from.
#[derive(Debug)]
pub(crate) struct Certificate {
    source: Source,
    /// Its file.
    pub(crate) path: PathBuf,
    /// None yet, if one is ordered that was not there before.
    current: RwLock<Option<InUse>>,
    looked: Mutex<Looked>,
}

#[derive(Debug)]
enum Source {
    SelfSigned { state_dir: PathBuf },
    Files { cert: PathBuf, key: PathBuf },
    Acme(Orders),
}

#[derive(Debug)]
struct InUse {
    key: Arc<CertifiedKey>,
    /// Clients refuse it from then on.
    expires: SystemTime,
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
    /// Loads, and for `self-signed` makes or renews, what `tls` asks for. `None` if it is off. With `acme` there need not be
    /// one yet.
    pub(crate) fn load(tls: &Tls) -> Result<Option<Arc<Self>>, TlsError> {
        let source = match tls.clone() {
            Tls::Off => return Ok(None),
            Tls::SelfSigned { state_dir } => Source::SelfSigned { state_dir },
            Tls::Files { cert, key } => Source::Files { cert, key },
            Tls::Acme(acme) => Source::Acme(Orders::new(acme)?),
        };
        let looked = Mutex::new(Looked { at: Instant::now(), stamps: source.stamps() });
        let (path, key) = source.load()?;
        let current = RwLock::new(key.map(InUse::new));
        Ok(Some(Arc::new(Self { source, path, current, looked })))
    }

    /// What takes connections with it, now and after every change.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let config = || {
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            if matches!(self.source, Source::Acme(_)) {
                config.alpn_protocols.push(acme::PROTOCOL.to_vec());
            }
            // With tickets those who come back resume: a storm of reconnects costs no signatures.
            config.ticketer = ring::Ticketer::new()?;
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        config().map_err(TlsError::Provider)
    }

    /// Whether there is one that has not expired.
    pub(crate) fn is_usable(&self) -> bool {
        self.with_current(|current| current.is_some_and(|current| SystemTime::now() < current.expires))
    }

    /// Whether it is, or will be, for this name or address.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        match &self.source {
            Source::Acme(orders) => orders.are_for(name),
            Source::SelfSigned { .. } | Source::Files { .. } => {
                self.with_current(|current| current.is_some_and(|current| current.is_for(name)))
            }
        }
    }

    fn with_current<T>(&self, what: impl FnOnce(Option<&InUse>) -> T) -> T {
        what(self.current.read().unwrap_or_else(PoisonError::into_inner).as_ref())
    }

    fn put_in_use(&self, key: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(InUse::new(key));
    }

    /// Loads it anew, whether it has changed or not; an order that failed is tried again at once.
    ///
    /// # Errors
    /// If it cannot be used; then the one before stays.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let stamps = self.source.stamps();
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Looked { at: Instant::now(), stamps };
        if let Source::Acme(orders) = &self.source {
            orders.hurry();
        }
        if let (_, Some(key)) = self.source.load()? {
            self.put_in_use(key);
        }
        Ok(())
    }

    /// Sees to it, until the shutdown, that it is the one that it should be.
    pub(crate) async fn keep_current(self: Arc<Self>, settings: Arc<InEffect>, shutdown: CancellationToken) {
        if let Source::Acme(orders) = &self.source {
            tokio::select! {
                () = acme::keep_current(&self, orders, &settings) => {}
                () = shutdown.cancelled() => {}
            }
            return;
        }
        loop {
            tokio::select! {
                () = sleep(settings.now().limits.certificate_check) => {}
                () = shutdown.cancelled() => return,
            }
            let looked_after = Arc::clone(&self);
            // Files can be on a disk that takes its time.
            match tokio::task::spawn_blocking(move || looked_after.look_after()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => info!(certificate = %self.path.display(), "the certificate was loaded anew"),
                Ok(Err(error)) => error!(%error, "the new certificate cannot be used; the one before stays in use"),
                Err(error) => error!(%error, "looking after the certificate failed"),
            }
        }
    }

    /// Loads it anew if its files have changed, or if it is time to see whether it has to be renewed. Whether it has, is
    /// the answer.
    ///
    /// # Errors
    /// As [`reload`](Self::reload); said once for each change.
    fn look_after(&self) -> Result<bool, TlsError> {
        let is_due = {
            let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            match self.source {
                Source::SelfSigned { .. } => looked.at.elapsed() >= RENEWAL_CHECK,
                Source::Files { .. } => looked.stamps != self.source.stamps(),
                Source::Acme(_) => false,
            }
        };
        if is_due { self.reload().map(|()| true) } else { Ok(false) }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match &self.source {
            Source::Acme(orders) if acme::is_a_question(&hello) => orders.proof(hello),
            _ => self.with_current(|current| current.map(|current| Arc::clone(&current.key))),
        }
    }
}

impl Source {
    /// Taken before the files are read: a change in between is seen the next time.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let Self::Files { cert, key } = self else { return Vec::new() };
        let stamp = |path: &PathBuf| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        vec![stamp(cert), stamp(key)]
    }

    /// The certificate's file, and what is in it and in the key's.
    fn load(&self) -> Result<(PathBuf, Option<CertifiedKey>), TlsError> {
        match self {
            Self::Files { cert, key } => Ok((cert.clone(), Some(files::certified(cert, key, BROUGHT)?))),
            Self::SelfSigned { state_dir } => {
                let (certificate, key) = self_signed::prepare(state_dir)?;
                let certified = files::certified(&certificate, &key, MADE)?;
                Ok((certificate, Some(certified)))
            }
            Self::Acme(orders) => Ok((orders.certificate(), orders.load()?)),
        }
    }
}

impl InUse {
    fn new(key: CertifiedKey) -> Self {
        // One whose dates cannot be read is for the clients to judge.
        let end = || Some(acme::validity(key.end_entity_cert().ok()?)?.end);
        let expires = end().unwrap_or(SystemTime::UNIX_EPOCH + FAR_AWAY);
        Self { key: Arc::new(key), expires }
    }

    fn is_for(&self, name: &str) -> bool {
        is_for(&self.key, name)
    }
}

fn is_for(key: &CertifiedKey, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
