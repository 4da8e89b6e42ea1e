//! Whether the server is worth sending clients to, as `/readyz` says it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::tls::Certificate;

/// What it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    pub(crate) shutdown: CancellationToken,
    /// None if TLS is off.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

impl Readiness {
    /// Why it is not, if it is not.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.shutdown.is_cancelled() {
            return Some("stopping\n");
        }
        match &self.certificate {
            Some(certificate) if !certificate.is_usable() => Some("no certificate, or one that has expired\n"),
            _ => None,
        }
    }
}
