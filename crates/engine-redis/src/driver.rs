//! The products: an index of the files that do the work.

use async_trait::async_trait;
use pilothouse_engine::{
    BinaryProbe, Capabilities, Deadline, DiscoveredVersion, Engine, EngineError, ErrorClass, LaunchDescription,
    LostSource, ManagementAccess, ServerDirectory, ServerSettings, Session,
};
use pilothouse_model::{DatabaseSpec, EngineKind, EngineVersion, Persistence};

use crate::acl::Rule;
use crate::capabilities::{CAPABILITIES, CLUSTER_MEMORY_BYTES, MIN_MEMORY_BYTES, MIN_REPLICATED_MEMORY_BYTES};
use crate::session::RedisSession;
use crate::{error, launch, lost_source, tuning, users};

/// Redis or Valkey.
#[derive(Clone, Copy, Debug)]
pub struct RedisEngine {
    kind: EngineKind,
}

impl RedisEngine {
    /// `redis-server`.
    pub const fn redis() -> Self {
        Self {
            kind: EngineKind::Redis,
        }
    }

    /// `valkey-server`.
    pub const fn valkey() -> Self {
        Self {
            kind: EngineKind::Valkey,
        }
    }
}

#[async_trait]
impl Engine for RedisEngine {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn binary_probe(&self) -> BinaryProbe {
        launch::binary_probe(self.kind)
    }

    fn parse_version(&self, printed: &str) -> Option<DiscoveredVersion> {
        launch::parse_version(self.kind, printed)
    }

    fn validate(&self, spec: &DatabaseSpec) -> Result<(), EngineError> {
        validate_size(spec)?;
        validate_persistence(&spec.persistence)?;
        tuning::canonical(&spec.tuning).map_err(error::invalid)?;
        users::check_disabled(&spec.access.disabled_commands)
    }

    fn validate_acl_rule(&self, rule: &str) -> Result<(), EngineError> {
        Rule::parse(rule)
            .map(drop)
            .map_err(|why| error::invalid(why.to_string()))
    }

    fn reserved_logins(&self) -> &'static [&'static str] {
        users::RESERVED
    }

    fn explain_lost_source(&self, printed: &[String]) -> Option<LostSource> {
        lost_source::explain(printed)
    }

    fn launch(
        &self,
        version: EngineVersion,
        settings: &ServerSettings,
        directory: &ServerDirectory,
    ) -> LaunchDescription {
        launch::launch(self.kind, version, settings, directory)
    }

    async fn connect(&self, access: &ManagementAccess, deadline: Deadline) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(RedisSession::connect(access, deadline).await?))
    }
}

fn validate_size(spec: &DatabaseSpec) -> Result<(), EngineError> {
    if spec.shards != 1 && !spec.cluster {
        return Err(EngineError::new(
            ErrorClass::Unsupported,
            "several shards are supported only in a cluster",
        ));
    }
    let least = if spec.replicas == 0 {
        MIN_MEMORY_BYTES
    } else {
        MIN_REPLICATED_MEMORY_BYTES
    };
    let least = least + if spec.cluster { CLUSTER_MEMORY_BYTES } else { 0 };
    let each = spec.memory_bytes_per_server();
    if spec.memory_bytes > 0 && each < least {
        return Err(error::invalid(format!(
            "each server would get {each} bytes of memory and needs {least}"
        )));
    }
    Ok(())
}

fn validate_persistence(persistence: &Persistence) -> Result<(), EngineError> {
    let Persistence::Snapshot { rules } = persistence else {
        return Ok(());
    };
    // The server's own bounds: its counters are signed.
    let fits = |number: u64| (1..=i32::MAX as u64).contains(&number);
    if rules.is_empty() || !rules.iter().all(|rule| fits(rule.seconds) && fits(rule.writes)) {
        return Err(error::invalid(
            "snapshots need rules of at least one second and one write",
        ));
    }
    Ok(())
}
