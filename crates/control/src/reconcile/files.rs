//! The files of a server: its configuration and its certificates. Each is written whole or not at all.

use pilothouse_engine::{ServerDirectory, ServerSettings};
use pilothouse_model::Server;

use super::{Record, StepError};
use crate::Control;

impl Control {
    /// Writes everything that a start of the server reads.
    pub(super) async fn write_files(
        &self,
        record: &Record,
        server: &Server,
        settings: &ServerSettings,
    ) -> Result<(), StepError> {
        let engine = self.0.engines.get(record.spec.engine).ok_or(StepError::Outdated)?;
        let directory = ServerDirectory {
            root: self.0.runtime.directory(server.id),
        };
        self.write_certificates(record, server).await?;
        for file in engine.launch(server.version, settings, &directory).files {
            self.0
                .runtime
                .write_file(server.id, file.path, file.content.into_bytes())
                .await?;
        }
        Ok(())
    }

    /// Writes the certificates that the settings name.
    pub(super) async fn write_certificates(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        for (path, content) in self.settings_files(record, server)? {
            self.0
                .runtime
                .write_file(server.id, path.into(), content.into_bytes())
                .await?;
        }
        Ok(())
    }
}
