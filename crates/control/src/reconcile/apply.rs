//! Settings: brought to a running server, then to the files that its next start reads.

use std::time::Instant;

use pilothouse_engine::{EngineError, ErrorClass, Fence, ServerSettings};
use pilothouse_model::Server;
use pilothouse_planner::Access;

use super::act::STEP_TIMEOUT;
use super::{Record, StepError};
use crate::Control;

impl Control {
    /// Brings live settings and files of a running server to what is wanted.
    pub(super) async fn apply(&self, record: &Record, server: &Server, access: Access) -> Result<(), StepError> {
        let applied = self.apply_live(record, server, access).await?;
        let unfenced = ServerSettings {
            fence: Fence::Closed,
            ..applied
        };
        let memory = self.0.memories.of(server.id);
        if memory.lock().files.as_ref() != Some(&unfenced) {
            self.write_files(record, server, &unfenced).await?;
            memory.lock().files = Some(unfenced);
        }
        if let Some(applied) = &mut memory.lock().applied {
            applied.on_disk = true;
        }
        Ok(())
    }

    /// Brings only the live settings of a running server to what is wanted: where clients wait, the files come later. They are needed at a
    /// start, and a start writes them anew.
    pub(super) async fn apply_live(
        &self,
        record: &Record,
        server: &Server,
        access: Access,
    ) -> Result<ServerSettings, StepError> {
        let fence = match access {
            Access::Open => Fence::Open,
            Access::Closed => Fence::Closed,
        };
        let revision = self.store().view().revision().0;
        let settings = self.server_settings(record, server, fence)?;
        let memory = self.0.memories.of(server.id);
        let deadline = Instant::now() + STEP_TIMEOUT;
        let running = memory.lock().running;
        self.bring_certificates(record, server, &settings).await?;
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().apply(&settings, deadline).await;
        kept.settle(outcome)?;
        // Persistence that was just turned on must hold before the files say so: a start from files that promise a log which is not
        // written yet would come up empty.
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().persistent(deadline).await;
        if !kept.settle(outcome)? {
            return Err(EngineError::new(ErrorClass::Transient, "the data is still being written to disk").into());
        }
        let mut known = memory.lock();
        if known.running == running {
            known.applied = Some(crate::memory::AppliedSettings {
                settings: settings.clone(),
                revision,
                on_disk: false,
            });
            // Roles and settings may have changed what it says of itself.
            known.facts_at = None;
        }
        Ok(settings)
    }

    /// The server reads the certificates when it is told their names, so these come before its settings.
    async fn bring_certificates(
        &self,
        record: &Record,
        server: &Server,
        settings: &ServerSettings,
    ) -> Result<(), StepError> {
        let memory = self.0.memories.of(server.id);
        let on_disk = memory.lock().files.clone();
        if on_disk.as_ref().is_some_and(|files| files.tls == settings.tls) {
            return Ok(());
        }
        match self.write_certificates(record, server).await {
            // Nobody knows what lies there, after a restart of ours: most likely what is wanted. The server tells when it is not.
            Err(error) if on_disk.is_none() => {
                tracing::warn!(server = %server.id, %error, "the certificates could not be written again");
                Ok(())
            }
            outcome => outcome,
        }
    }
}
