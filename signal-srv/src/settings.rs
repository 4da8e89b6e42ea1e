//! What can be changed while the server runs. A connection keeps what was in effect when it came.

use std::sync::{Arc, PoisonError, RwLock};

use crate::client::Proxies;
use crate::origin::Origins;
use crate::{Config, Limits};

/// How connections are treated.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) proxies: Proxies,
    pub(crate) origins: Origins,
}

/// Those that are in effect.
#[derive(Debug)]
pub(crate) struct InEffect(RwLock<Arc<Settings>>);

impl InEffect {
    pub(crate) fn new(config: &Config) -> Self {
        Self(RwLock::new(Settings::of(config)))
    }

    pub(crate) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, config: &Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Settings::of(config);
    }
}

impl Settings {
    fn of(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            limits: config.limits.clone(),
            proxies: config.trusted_proxies.clone(),
            origins: config.origins.clone(),
        })
    }
}
