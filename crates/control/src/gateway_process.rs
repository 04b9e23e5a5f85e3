//! The gateway process: started, watched and started again by us, left running when we stop, and followed by a successor when it runs
//! another program than ours.
//!
//! The runtime knows one process of each id at a time, and in a handover there are two. So the gateway has two ids, and lives under
//! either; a successor is started under the other one.

mod hung;

use std::time::{Duration, Instant};

use pilothouse_model::{EventDraft, ProcessState, ServerId, Severity, Subject};
use pilothouse_runtime::{LaunchRequest, RuntimeError};

use crate::{Control, ControlError};

/// The id under which the runtime knows the first gateway; no server ever has it.
pub const GATEWAY_PROCESS: ServerId = ServerId::from_bytes(*b"pilothouse-gatew");

/// Both ids of gateways. The second is that of a successor, and of its successor's predecessor.
pub const GATEWAY_PROCESSES: [ServerId; 2] = [GATEWAY_PROCESS, ServerId::from_bytes(*b"pilothouse-gatex")];

/// Pause after a start of the gateway that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long the end of a gateway that hangs may take.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a handover may take. A gateway that does not answer ends it much earlier; this bounds one with very many connections.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(60);

/// Lines of the log of a successor that a failed handover tells.
const LOG_LINES: usize = 3;

/// Whether the id is a gateway's.
pub(crate) fn is_gateway(server: ServerId) -> bool {
    GATEWAY_PROCESSES.contains(&server)
}

impl Control {
    /// Starts the gateway, or finds the one that runs, and keeps one running and answering until control stops. True when this call
    /// started it.
    /// `request.server` is [`GATEWAY_PROCESS`], and the arguments ask it to take over from whichever gateway serves.
    pub async fn keep_gateway(&self, request: LaunchRequest) -> Result<bool, ControlError> {
        let started = self.ensure_gateway(&request).await?;
        let control = self.clone();
        self.0.tasks.spawn(async move {
            let stopped = control.0.tasks.stopped().clone();
            let _ = stopped.run_until_cancelled(control.watch_gateway(&request)).await;
        });
        Ok(started)
    }

    /// Brings back every gateway that ends, and ends every one that hangs. For ever.
    async fn watch_gateway(&self, request: &LaunchRequest) {
        loop {
            let (kind, what) = tokio::select! {
                () = self.0.gateway_exited.notified() => ("gateway-ended", "The gateway ended unasked".to_owned()),
                hung = self.hung_gateway() => {
                    tracing::error!(gateways = ?hung.processes, how = hung.how, "the gateway hangs and is ended");
                    self.end_gateways(&hung.processes, Instant::now() + KILL_PATIENCE).await;
                    ("gateway-hung", format!("The gateway {} and was ended", hung.how))
                }
            };
            // False for a predecessor that has handed over, a successor that could not take over, and one that was brought back already.
            if self.bring_back_gateway(request).await {
                tracing::warn!(why = what, "the gateway was started again");
                let message = format!("{what}. It was started again; connections through it have to be made anew.");
                self.report_gateway(kind, Severity::Warning, message).await;
            }
        }
    }

    /// Tries until a gateway runs; says whether it had to be started.
    async fn bring_back_gateway(&self, request: &LaunchRequest) -> bool {
        let mut attempts: u32 = 0;
        loop {
            match self.ensure_gateway(request).await {
                Ok(started) => return started,
                Err(error) => {
                    attempts = attempts.saturating_add(1);
                    // At growing intervals: it may be a full disk that our log is on.
                    if attempts.is_power_of_two() {
                        tracing::error!(
                            reason = detail(error),
                            attempts,
                            "the gateway does not start; trying again"
                        );
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Starts a successor of the running gateway and waits until one of the two has ended: the old one when the handover was carried
    /// out, the new one when not. Connections stay in either case. A handover that an earlier control plane began is waited for instead.
    ///
    /// # Errors
    /// When the successor ended, or neither did in time, with what it said last. The old gateway goes on then.
    pub async fn replace_gateway(&self, request: &LaunchRequest) -> Result<(), ControlError> {
        let deadline = Instant::now() + HANDOVER_PATIENCE;
        let [first, second] = GATEWAY_PROCESSES;
        let (old, new, both) = match (self.is_running(first).await?, self.is_running(second).await?) {
            (true, both) => (first, second, both),
            (false, true) => (second, first, false),
            (false, false) => return self.ensure_gateway(request).await.map(drop),
        };
        let runtime = &self.0.runtime;
        if !both {
            let mut successor = request.clone();
            successor.server = new;
            runtime.launch(successor).await.map_err(ControlError::internal)?;
        }
        // Both wait for events and may be dropped.
        let ended = tokio::select! {
            ended = runtime.wait_released(old, deadline) => ended.map(|()| old),
            ended = runtime.wait_released(new, deadline) => ended.map(|()| new),
        };
        match ended {
            Ok(ended) if ended == old => Ok(()),
            Ok(_) => {
                let said = runtime.log_tail(new, LOG_LINES).await.unwrap_or_default().join(" | ");
                Err(ControlError::internal(format!("the successor ended: {said}")))
            }
            Err(RuntimeError::Timeout { .. }) => Err(ControlError::internal("neither gateway ended in time")),
            Err(error) => Err(ControlError::internal(error)),
        }
    }

    /// Ends every gateway and waits for that, at most until `deadline`. For a start that failed and had started one. To be called when
    /// control has stopped, since it would start another one.
    pub async fn end_gateway(&self, deadline: Instant) {
        self.end_gateways(&GATEWAY_PROCESSES, deadline).await;
    }

    async fn end_gateways(&self, gateways: &[ServerId], deadline: Instant) {
        for gateway in gateways {
            if let Err(error) = self.0.runtime.kill(*gateway, deadline).await {
                tracing::warn!(%error, "the gateway cannot be ended");
            }
        }
    }

    /// Writes down how the replacement of the gateway went, for whoever reads events.
    pub async fn report_gateway(&self, kind: &str, severity: Severity, message: String) {
        let draft = EventDraft {
            kind: kind.to_owned(),
            severity,
            subject: Subject::Installation,
            tenant: None,
            actor: "gateway".to_owned(),
            operation: None,
            message,
            facts: serde_json::Value::Null,
        };
        if let Err(error) = self.record_event(draft).await {
            tracing::warn!(?error, "an event of the gateway could not be stored");
        }
    }

    /// Starts the gateway when none runs; says whether it did.
    async fn ensure_gateway(&self, request: &LaunchRequest) -> Result<bool, ControlError> {
        let mut free = None;
        for gateway in GATEWAY_PROCESSES {
            match self.process_of(gateway).await? {
                ProcessState::Running { .. } => return Ok(false),
                ProcessState::Absent => free = free.or(Some(gateway)),
                // Something of it still lives under that id; the other one may be free.
                ProcessState::Leftover | ProcessState::Unknown => {}
            }
        }
        let mut request = request.clone();
        request.server = free.unwrap_or(request.server);
        let launched = self.0.runtime.launch(request).await;
        launched.map(|_| true).map_err(ControlError::internal)
    }

    async fn is_running(&self, gateway: ServerId) -> Result<bool, ControlError> {
        Ok(matches!(self.process_of(gateway).await?, ProcessState::Running { .. }))
    }

    async fn process_of(&self, gateway: ServerId) -> Result<ProcessState, ControlError> {
        let adopted = self.0.runtime.adopt(gateway).await;
        adopted.map(|(process, _)| process).map_err(ControlError::internal)
    }
}

/// What is wrong, for the log.
fn detail(error: ControlError) -> String {
    match error {
        ControlError::Internal { detail } => detail,
        other => other.to_string(),
    }
}
