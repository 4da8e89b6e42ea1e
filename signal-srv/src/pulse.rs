//! Whether the server lives: it answers itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::metrics::Metrics;

/// Where the task that accepts connections is asked, and where it is to answer.
pub(crate) type Question = oneshot::Sender<()>;

/// How often it is tried again whether the rooms can be looked at.
const AGAIN: Duration = Duration::from_millis(10);

/// Whether the server does what it is there for, and how much of it.
#[derive(Debug, Clone)]
pub struct Pulse {
    pub(crate) accept: mpsc::Sender<Question>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
}

impl Pulse {
    /// Returns once the task that accepts connections has answered and the rooms could be looked at. For ever, if not.
    pub async fn feel(&self) {
        let (answer, answered) = oneshot::channel();
        let accepts = self.accept.send(answer).await.is_ok() && answered.await.is_ok();
        // Once the server stops nothing is accepted any more.
        if !accepts && !self.shutdown.is_cancelled() {
            return std::future::pending().await;
        }
        while self.hub.is_busy() {
            sleep(AGAIN).await;
        }
    }

    /// One line for an operator.
    pub fn status(&self) -> String {
        let (clients, rooms) = (self.metrics.websockets.get(), self.metrics.rooms.get());
        let doing = if self.shutdown.is_cancelled() { "stopping, " } else { "" };
        format!("{doing}{clients} clients in {rooms} rooms")
    }
}
