//! Looking for processes that run already: after a restart of the control plane, and after every end of a process.

use std::time::{Duration, Instant};

use pilothouse_model::{ProcessState, Server};

use super::{Record, StepError};
use crate::{Control, health};

/// How long a stray server may take to end when it is asked to.
const STRAY_TIMEOUT: Duration = Duration::from_secs(2);

impl Control {
    /// Proves the identity of the server's process, if there is one, and watches it.
    pub(super) async fn adopt(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let (process, running) = self.0.runtime.adopt(server.id).await?;
        let memory = self.0.memories.of(server.id);
        {
            let mut known = memory.lock();
            match running {
                Some(running) if known.running == Some(running) => return Ok(()),
                Some(running) => known.process_runs(running),
                None => known.process_gone(process),
            }
        }
        *memory.session.lock().await = None;
        if running.is_some() {
            health::watch(self, record, server, &memory);
        }
        Ok(())
    }

    /// Ends a server that somebody else started in our directory: it knows our secret, so it can be told to end. What it wrote since is
    /// not saved: it served nobody, because servers start fenced.
    pub(super) async fn end_stray(&self, record: &Record, server: &Server) {
        let deadline = Instant::now() + STRAY_TIMEOUT;
        let Ok(mut session) = self.connect(record, server, deadline).await else {
            return;
        };
        tracing::warn!(server = %server.id, "a server that we did not start runs in our directory: it is told to end");
        if let Err(error) = session.shutdown(deadline).await {
            tracing::debug!(server = %server.id, %error, "the stray server ended its connection");
        }
    }

    /// Forgets what was known of a process that ended.
    pub(crate) fn process_ended(&self, server: pilothouse_model::ServerId, pid: u32) -> bool {
        let memory = self.0.memories.of(server);
        let mut known = memory.lock();
        if known.running.is_none_or(|running| running.pid != pid) {
            return false;
        }
        let state = self.0.runtime.state(server);
        let state = if matches!(state, ProcessState::Running { .. }) {
            ProcessState::Unknown
        } else {
            state
        };
        known.process_gone(state);
        true
    }
}
