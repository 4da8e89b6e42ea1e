//! Whether the server is worth sending clients to, as `/readyz` says it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::tls::Certificate;

/// What it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    pub(crate) shutdown: CancellationToken,
    /// None if TLS is off.
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) hub: Arc<Hub>,
}

impl Readiness {
    /// Why it is not, if it is not.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.shutdown.is_cancelled() {
            return Some("stopping\n");
        }
        if self.certificate.as_ref().is_some_and(|certificate| !certificate.is_usable()) {
            return Some("no certificate, or one that has expired\n");
        }
        (!self.hub.is_ready()).then_some("no way to the other servers of the cluster\n")
    }
}
