//! Validation of what is asked for, the same for create, update and dry run.

use pilothouse_engine::Capabilities;
use pilothouse_model::{AclRule, DatabaseSpec, Role};
use pilothouse_planner::{SpecField, validate};
use pilothouse_store::View;

use crate::{Control, ControlError, Field};

impl Control {
    /// Checks a spec against its own rules, the engine and the records it refers to, and whether its version is installed. Changes nothing.
    pub(crate) fn check_spec(&self, view: &View, spec: &DatabaseSpec) -> Result<(), ControlError> {
        self.check_spec_of_present(view, spec)?;
        self.installed(spec.engine, spec.version).map(drop)
    }

    /// As [`Control::check_spec`] for a database that exists with that version: its package may have been replaced since.
    pub(crate) fn check_spec_of_present(&self, view: &View, spec: &DatabaseSpec) -> Result<(), ControlError> {
        let engine = self
            .0
            .engines
            .get(spec.engine)
            .ok_or_else(|| ControlError::invalid(Field::Engine, format!("{} is not offered", spec.engine)))?;
        let capabilities: Capabilities = engine.capabilities();
        validate(spec, capabilities.min_memory_bytes).map_err(|error| {
            let field = match error.field {
                SpecField::Memory => Field::Memory,
                SpecField::Shards => Field::Shards,
                SpecField::Replicas => Field::Replicas,
                SpecField::Persistence => Field::Persistence,
                SpecField::Port => Field::Port,
                SpecField::Backup => Field::Backup,
                SpecField::SourceAllow => Field::SourceAllow,
                SpecField::ReplicaOf => Field::ReplicaSource,
            };
            ControlError::invalid(field, error.why)
        })?;
        if spec.replicas > 0 && !self.0.settings.single_host_replicas {
            let why = "a replica needs a second host, and placement.single_host_replicas is off";
            return Err(ControlError::invalid(Field::Replicas, why));
        }
        for binding in &spec.access.bindings {
            if view.get::<Role>(&binding.role).is_none() || view.get::<AclRule>(&binding.rule).is_none() {
                return Err(ControlError::invalid(
                    Field::Bindings,
                    "a role or ACL rule that is bound does not exist",
                ));
            }
        }
        engine
            .validate(spec)
            .map_err(|error| ControlError::invalid(Field::Tuning, error.message))?;
        self.serving(spec.engine, spec.version).map(drop)
    }
}
