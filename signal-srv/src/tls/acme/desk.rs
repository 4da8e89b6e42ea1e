//! Where an order finds the account, and leaves the account and the certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustls_acme::{AccountCache, CertCache};
use tokio::task::spawn_blocking;

use super::{TlsError, files, read_account};

/// The crate's own cache makes files that everybody can read, and not always whole ones.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    account: PathBuf,
    issued: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Desk {
    pub(super) fn new(account: PathBuf) -> Self {
        Self { account, issued: Arc::default() }
    }

    /// The certificate, its key first, in PEM form.
    pub(super) fn issued(&self) -> Option<Vec<u8>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl CertCache for Desk {
    type EC = TlsError;

    /// An order is for a new one.
    async fn load_cert(&self, _domains: &[String], _directory_url: &str) -> Result<Option<Vec<u8>>, TlsError> {
        Ok(None)
    }

    async fn store_cert(&self, _domains: &[String], _directory_url: &str, cert: &[u8]) -> Result<(), TlsError> {
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner) = Some(cert.to_owned());
        Ok(())
    }
}

#[async_trait]
impl AccountCache for Desk {
    type EA = TlsError;

    async fn load_account(&self, _contact: &[String], _directory_url: &str) -> Result<Option<Vec<u8>>, TlsError> {
        let path = self.account.clone();
        blocking(move || read_account(&path)).await
    }

    async fn store_account(&self, _contact: &[String], _directory_url: &str, account: &[u8]) -> Result<(), TlsError> {
        let (path, account) = (self.account.clone(), account.to_owned());
        blocking(move || files::write(&path, &account, 0o600)).await
    }
}

/// The disk takes its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TlsError> + Send + 'static,
) -> Result<T, TlsError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
