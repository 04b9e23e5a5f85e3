//! The gateway process: started, watched and started again by us, and left running when we stop.

use std::time::Duration;

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::LaunchRequest;

use crate::{Control, ControlError};

/// The id under which the runtime knows the gateway; no server ever has it.
pub const GATEWAY_PROCESS: ServerId = ServerId::from_bytes(*b"pilothouse-gatew");

/// Pause after a start of the gateway that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Whether the id is the gateway's.
pub(crate) fn is_gateway(server: ServerId) -> bool {
    server == GATEWAY_PROCESS
}

impl Control {
    /// Starts the gateway, or finds the one that runs, and keeps one running until control stops. `request.server` is
    /// [`GATEWAY_PROCESS`].
    pub async fn keep_gateway(&self, request: LaunchRequest) -> Result<(), ControlError> {
        self.ensure_gateway(&request).await?;
        let control = self.clone();
        self.0.tasks.spawn(async move {
            let stopped = control.0.tasks.stopped().clone();
            loop {
                tokio::select! {
                    () = control.0.gateway_exited.notified() => {}
                    () = stopped.cancelled() => return,
                }
                tracing::warn!("the gateway ended and is started again");
                while let Err(error) = control.ensure_gateway(&request).await {
                    tracing::error!(%error, "the gateway does not start");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY_PAUSE) => {}
                        () = stopped.cancelled() => return,
                    }
                }
            }
        });
        Ok(())
    }

    async fn ensure_gateway(&self, request: &LaunchRequest) -> Result<(), ControlError> {
        let (process, _) = self
            .0
            .runtime
            .adopt(request.server)
            .await
            .map_err(ControlError::internal)?;
        if matches!(process, ProcessState::Running { .. }) {
            return Ok(());
        }
        self.0
            .runtime
            .launch(request.clone())
            .await
            .map(|_| ())
            .map_err(ControlError::internal)
    }
}
