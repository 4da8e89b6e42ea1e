//! Certificates of an authority (ACME, RFC 8555): ordered, proven, kept, renewed.
//!
//! ```text
//! due ──▶ order ──▶ proof ──▶ certificate: kept, in use ──▶ two thirds of its time are over ──▶ due
//!                     └─ fails ──▶ said, a pause, twice as long each time ──▶ due
//! ```
//! The proof is this very port (TLS-ALPN-01, RFC 8737): the authority asks for it in a handshake of its own kind, which
//! nobody else's resembles. The crate does the order; when there is one is decided here, because its own second try
//! comes after a second: five in a row, and an authority that everybody uses hears nothing more for an hour.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::{AcmeConfig, EventOk, ResolvesServerCertAcme};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use self::desk::Desk;
use self::failure::Failure;
use super::{Certificate, TlsError, files, is_for, provider};
use crate::config::Acme;
use crate::settings::InEffect;

mod desk;
mod failure;

/// What the authority's handshakes ask to speak (RFC 8737 §6.2).
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// Longest pause after an order that failed.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// So often an order is begun anew when a request of it came too late; each has a dozen of them.
const STALE_ORDERS: usize = 8;

/// What to do about a certificate that was kept and cannot be used.
const KEPT: &str = "restore it, or remove it to have a new one ordered";

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

/// What is ordered, from whom, and the orders themselves.
#[derive(Debug)]
pub(super) struct Orders {
    acme: Acme,
    /// Where certificate and account are kept; one for each authority.
    folder: PathBuf,
    client: Arc<ClientConfig>,
    /// While an order is under way.
    proof: RwLock<Option<Arc<ResolvesServerCertAcme>>>,
    hurry: Notify,
}

impl Orders {
    /// Checks what there is, so that an order does not fail for want of it.
    pub(super) fn new(acme: Acme) -> Result<Self, TlsError> {
        let folder = acme.state_dir.join("acme").join(file_name(acme.directory.trim_start_matches("https://")));
        files::make_folder(&folder)?;
        let client = Arc::new(client(&acme)?);
        let orders = Self { acme, folder, client, proof: RwLock::default(), hurry: Notify::new() };
        read_account(&orders.account())?;
        Ok(orders)
    }

    /// The file of the certificate: its key, and then its chain, so that one is never there without the other.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The file of the account's key. Another contact is another account.
    fn account(&self) -> PathBuf {
        let contact = self.acme.contact.as_deref().map(|contact| format!("-{}", file_name(contact)));
        self.folder.join(format!("account{}.der", contact.unwrap_or_default()))
    }

    /// What was kept, if anything was.
    pub(super) fn load(&self) -> Result<Option<CertifiedKey>, TlsError> {
        let path = self.certificate();
        match path.try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => files::certified(&path, &path, KEPT).map(Some),
            Err(source) => Err(TlsError::Read { what: "certificate", path, source }),
        }
    }

    pub(super) fn are_for(&self, name: &str) -> bool {
        self.acme.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name))
    }

    /// What the authority wants to see, if it has just been asked to look.
    pub(super) fn proof(&self, question: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let proof = self.proof.read().unwrap_or_else(PoisonError::into_inner).clone();
        proof.and_then(|proof| proof.resolve(question))
    }

    /// Ends the pause after an order that failed.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Whether it is time for an order: there is no certificate, it lacks a name, or a third of its time is left.
    fn are_due(&self, key: Option<&CertifiedKey>, now: SystemTime) -> bool {
        let Some(key) = key else { return true };
        let due_at = || Some(validity(key.end_entity_cert().ok()?)?.renewal());
        due_at().is_none_or(|due_at| now >= due_at) || !self.acme.domains.iter().all(|domain| is_for(key, domain))
    }

    /// A new certificate, kept already.
    async fn certify(&self) -> Result<CertifiedKey, Failure> {
        for _ in 1..STALE_ORDERS {
            match self.order().await {
                Err(Failure::Stale) => debug!("a request came too late for the authority"),
                ordered => return ordered,
            }
        }
        self.order().await
    }

    /// One order, from beginning to end.
    async fn order(&self) -> Result<CertifiedKey, Failure> {
        let desk = Desk::new(self.account());
        let contact = self.acme.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let mut order = AcmeConfig::new_with_client_config(&self.acme.domains, Arc::clone(&self.client))
            .directory(&self.acme.directory)
            .contact(contact)
            .cache(desk.clone())
            .state();
        let _proof = Proof::show(&self.proof, order.resolver());
        let pem = loop {
            match order.next().await {
                Some(Ok(EventOk::CertCacheStore)) => break desk.issued().ok_or(Failure::Nothing)?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Failure::Nothing),
            }
        };
        let key = files::parse(&pem).map_err(|source| Failure::Unusable(source.to_string()))?;
        // What is due again at once would be ordered again and again.
        if self.are_due(Some(&key), SystemTime::now()) {
            return Err(Failure::Unusable("it has expired or lacks a name; is this machine's clock right?".to_owned()));
        }
        let path = self.certificate();
        // The disk takes its time.
        match spawn_blocking(move || files::write(&path, &pem, 0o600)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "the certificate is not kept, a restart orders another"),
            Err(error) => error!(%error, "the certificate is not kept, a restart orders another"),
        }
        Ok(key)
    }
}

/// Orders whenever it is time to, for ever.
pub(super) async fn keep_current(certificate: &Certificate, orders: &Orders, settings: &InEffect) {
    let mut failures: u32 = 0;
    loop {
        let limits = settings.now().limits.clone();
        let is_due =
            certificate.with_current(|current| orders.are_due(current.map(|current| &*current.key), SystemTime::now()));
        if !is_due {
            sleep(limits.certificate_check).await;
            continue;
        }
        info!(domains = orders.acme.domains.join(" "), directory = orders.acme.directory, "ordering a certificate");
        let ordered = timeout(limits.acme_order, orders.certify()).await;
        let failure = match ordered {
            Ok(Ok(key)) => {
                certificate.put_in_use(key);
                failures = 0;
                info!(certificate = %certificate.path.display(), "a certificate was issued and is in use");
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::TooLate(limits.acme_order),
        };
        let pause = limits.acme_retry.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX.max(limits.acme_retry));
        failures += 1;
        let again_in_s = pause.as_secs();
        if certificate.is_usable() {
            warn!(%failure, again_in_s, "the certificate is not renewed; the one before stays in use");
        } else {
            error!(%failure, again_in_s, "there is no certificate, so nobody can connect");
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = orders.hurry.notified() => failures = 0,
        }
    }
}

/// A proof that is shown until the order is over, however it ends.
struct Proof<'a>(&'a RwLock<Option<Arc<ResolvesServerCertAcme>>>);

impl<'a> Proof<'a> {
    fn show(place: &'a RwLock<Option<Arc<ResolvesServerCertAcme>>>, proof: Arc<ResolvesServerCertAcme>) -> Self {
        *place.write().unwrap_or_else(PoisonError::into_inner) = Some(proof);
        Self(place)
    }
}

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Validity {
    /// A third of its time before its end, which is what authorities ask for.
    fn renewal(self) -> SystemTime {
        self.end - self.end.duration_since(self.start).unwrap_or_default() / 3
    }
}

pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let time = |time: x509_parser::time::ASN1Time| {
        let since = Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default());
        SystemTime::UNIX_EPOCH + since
    };
    let validity = certificate.validity();
    Some(Validity { start: time(validity.not_before), end: time(validity.not_after) })
}

/// Whether this is the authority that looks, and no client.
pub(super) fn is_a_question(hello: &ClientHello<'_>) -> bool {
    rustls_acme::is_tls_alpn_challenge(hello)
}

/// How the authority is talked to: it has to prove who it is, too.
fn client(acme: &Acme) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match &acme.ca {
        Some(path) => {
            for certificate in files::read_certificates(path, "check --acme-ca")? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::Root { path: path.clone(), source: Box::new(source) })?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let reason = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
                return Err(TlsError::NoRoots { reason });
            }
        }
    }
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(client)
}

/// The account's key as it was kept, if it was.
fn read_account(path: &std::path::Path) -> Result<Option<Vec<u8>>, TlsError> {
    let key = match std::fs::read(path) {
        Ok(key) => key,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TlsError::Read { what: "account's key", path: path.to_owned(), source }),
    };
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
    rustls::crypto::ring::sign::any_ecdsa_type(&der)
        .map_err(|source| TlsError::Account { path: path.to_owned(), source: Box::new(source) })?;
    Ok(Some(key))
}

/// Letters that a file may have in its name anywhere.
fn file_name(text: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '@') { letter } else { '_' };
    text.chars().map(letter).collect()
}
