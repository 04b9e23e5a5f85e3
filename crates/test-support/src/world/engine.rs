//! The world as an engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_engine::{
    BinaryProbe, Capabilities, Deadline, DiscoveredVersion, Engine, EngineError, ErrorClass, Fence, LaunchDescription,
    Load, ManagementAccess, Peer, Reply, ServerDirectory, ServerSettings, Session, SnapshotState, SyncSource,
};
use pilothouse_model::{
    DatabaseSpec, EngineKind, EngineVersion, Liveness, Persistence, ReplicationFacts, ServerFacts, ServerId, ServerRole,
};

use super::{Process, State, World, runtime};

/// The version that every server of the world runs.
const VERSION: EngineVersion = EngineVersion::new(7, 0, 15);

#[async_trait]
impl Engine for World {
    fn kind(&self) -> EngineKind {
        EngineKind::Redis
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            users: true,
            schemas: false,
            replication: true,
            slots: false,
            live_memory: true,
            external_source: true,
            min_memory_bytes: 1 << 20,
        }
    }

    fn binary_probe(&self) -> BinaryProbe {
        BinaryProbe {
            binary: "redis-server",
            arguments: &["--version"],
            package: "redis-server",
        }
    }

    fn parse_version(&self, printed: &str) -> Option<DiscoveredVersion> {
        let version = EngineVersion::parse(printed).ok()?;
        Some(DiscoveredVersion {
            version,
            compatible: version,
        })
    }

    fn validate(&self, _spec: &DatabaseSpec) -> Result<(), EngineError> {
        Ok(())
    }

    fn validate_acl_rule(&self, rule: &str) -> Result<(), EngineError> {
        if rule.is_empty() {
            Err(EngineError::new(ErrorClass::Invalid, "an empty rule"))
        } else {
            Ok(())
        }
    }

    fn launch(
        &self,
        _version: EngineVersion,
        settings: &ServerSettings,
        _directory: &ServerDirectory,
    ) -> LaunchDescription {
        let persistent = u8::from(settings.persistence != Persistence::Disabled);
        LaunchDescription {
            files: Vec::new(),
            directories: Vec::new(),
            arguments: vec![
                format!("port={}", settings.ports.plain),
                format!("persistent={persistent}"),
            ],
            environment: Vec::new(),
        }
    }

    async fn connect(&self, access: &ManagementAccess, _deadline: Deadline) -> Result<Box<dyn Session>, EngineError> {
        let state = self.lock();
        let found = state
            .servers
            .iter()
            .find(|(id, _)| runtime::directory(**id).join("admin.sock") == access.socket);
        let (id, pid) = found
            .and_then(|(id, server)| Some((*id, server.process.as_ref().filter(|process| !process.stopped)?.pid)))
            .ok_or_else(|| lost("nobody listens"))?;
        Ok(Box::new(SimSession {
            world: self.clone(),
            server: id,
            pid,
        }))
    }
}

fn lost(why: &str) -> EngineError {
    EngineError::new(ErrorClass::Transient, why)
}

/// A connection to a process of the world; void once that process has ended.
struct SimSession {
    world: World,
    server: ServerId,
    pid: u32,
}

impl SimSession {
    fn with<T>(&self, ask: impl FnOnce(&mut State, ServerId) -> T) -> Result<T, EngineError> {
        let mut state = self.world.lock();
        let process = state
            .servers
            .get(&self.server)
            .and_then(|server| server.process.as_ref());
        match process {
            Some(process) if process.pid == self.pid && !process.stopped => Ok(ask(&mut state, self.server)),
            Some(_) => Err(lost("no reply in time")),
            None => Err(lost("the connection was closed")),
        }
    }

    fn process<T>(&self, ask: impl FnOnce(&mut Process) -> T) -> Result<T, EngineError> {
        self.with(|state, id| {
            let outcome = state
                .servers
                .get_mut(&id)
                .and_then(|server| server.process.as_mut())
                .map(ask);
            state.links();
            outcome
        })?
        .ok_or_else(|| lost("the process is gone"))
    }
}

fn facts(process: &Process, online_replicas: u32) -> ReplicationFacts {
    let follows = process.source_port.is_some();
    ReplicationFacts {
        role: if follows {
            ServerRole::Replica
        } else {
            ServerRole::Primary
        },
        replication_id: process.data.history.clone(),
        previous_replication_id: process.data.previous.clone(),
        offset: process.data.offset(),
        source: process.source_port.map(|port| format!("127.0.0.1:{port}")),
        link_up: follows.then_some(process.link_up),
        syncing: process.syncing,
        link_silence: follows.then_some(Duration::ZERO),
        online_replicas,
        sync: None,
    }
}

#[async_trait]
impl Session for SimSession {
    async fn probe(&mut self, _deadline: Deadline) -> Result<Liveness, EngineError> {
        self.process(|_| Liveness::Ok)
    }

    async fn observe(&mut self, deadline: Deadline) -> Result<ServerFacts, EngineError> {
        let replication = self.replication(deadline).await?;
        let write_bytes = self.with(|state, _| state.write_bytes)?;
        self.process(|process| ServerFacts {
            version: VERSION,
            run_id: process.pid.to_string(),
            pid: process.pid,
            uptime: Duration::from_secs(1),
            replication,
            loading: None,
            used_memory_bytes: (1 << 20) + process.data.offset() * write_bytes,
            keys: process.data.offset(),
            fenced: process.fence != Fence::Open,
            raw: Arc::default(),
        })
    }

    async fn replication(&mut self, _deadline: Deadline) -> Result<ReplicationFacts, EngineError> {
        self.with(|state, id| {
            // A look takes time: replication goes on meanwhile, and a server that lost its source reads what it still has.
            state.replicate();
            let followers = state
                .followers
                .iter()
                .filter_map(|follower| state.process_of(*follower));
            let online = followers
                .filter(|process| process.source_server == Some(id) && process.link_up)
                .count();
            let process = state.servers.get_mut(&id).and_then(|server| server.process.as_mut());
            process.map(|process| {
                let seen = facts(process, u32::try_from(online).unwrap_or(u32::MAX));
                if process.source_server.is_none() {
                    process.read_received();
                }
                seen
            })
        })?
        .ok_or_else(|| lost("the process is gone"))
    }

    async fn load(&mut self, _deadline: Deadline) -> Result<Load, EngineError> {
        self.process(|_| Load::default())
    }

    async fn apply(&mut self, settings: &ServerSettings, _deadline: Deadline) -> Result<bool, EngineError> {
        self.with(|state, id| {
            let persistent = settings.persistence != Persistence::Disabled;
            let Some(server) = state.servers.get_mut(&id) else {
                return false;
            };
            server.persistent = persistent;
            let Some(process) = server.process.as_mut() else {
                return false;
            };
            process.fence = settings.fence;
            let changed = process.settings.as_ref() != Some(settings);
            process.settings = Some(settings.clone());
            server.disk = if persistent { Some(process.data.clone()) } else { None };
            state.links();
            changed
        })
    }

    async fn persistent(&mut self, _deadline: Deadline) -> Result<bool, EngineError> {
        self.process(|_| true)
    }

    async fn fence(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|process| process.fence = Fence::Closed)
    }

    async fn promote(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.with(|state, id| {
            let history = state.new_history();
            let Some(process) = state.servers.get_mut(&id).and_then(|server| server.process.as_mut()) else {
                return;
            };
            if process.source_port.take().is_some() {
                // As in reality: what was received and not read is lost with the link.
                process.received.clear();
                process.source_server = None;
                process.link_up = false;
                process.syncing = false;
                process.data.previous = std::mem::replace(&mut process.data.history, history);
            }
        })
    }

    async fn attach(&mut self, primary: &Peer, _deadline: Deadline) -> Result<(), EngineError> {
        let port = primary.port;
        self.with(|state, id| state.followers.insert(id))?;
        self.process(|process| {
            if process.source_port != Some(port) {
                process.source_port = Some(port);
                process.source_server = None;
                process.link_up = false;
                process.syncing = false;
                process.received.clear();
            }
        })
    }

    async fn mark_stream(&mut self, _deadline: Deadline) -> Result<u64, EngineError> {
        self.process(|process| {
            if process.source_port.is_none() {
                process.data.mark();
            }
            process.data.offset()
        })
    }

    async fn relink(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|process| process.unfed_steps = 0)
    }

    async fn follow_external(&mut self, _source: &SyncSource, _deadline: Deadline) -> Result<(), EngineError> {
        Err(EngineError::new(
            ErrorClass::Unsupported,
            "the world has nothing outside",
        ))
    }

    async fn pause_writes(&mut self, _millis: u64, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|process| process.paused = true)
    }

    async fn resume_writes(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|process| process.paused = false)
    }

    async fn disconnect_clients(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|_| ())
    }

    async fn flush(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|process| process.data.writes.clear())
    }

    async fn begin_snapshot(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.with(|state, id| {
            if let Some(server) = state.servers.get_mut(&id) {
                server.snapshot = server.process.as_ref().map(|process| process.data.to_file());
            }
        })
    }

    async fn snapshot_state(&mut self, _deadline: Deadline) -> Result<SnapshotState, EngineError> {
        self.process(|_| SnapshotState::Done("dump.rdb".into()))
    }

    async fn compact_log(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.process(|_| ())
    }

    async fn execute(&mut self, command: &[Vec<u8>], _deadline: Deadline) -> Result<Reply, EngineError> {
        let ping = command.first().is_some_and(|word| word.eq_ignore_ascii_case(b"ping"));
        self.process(|_| Reply::Status(if ping { "PONG" } else { "OK" }.to_owned()))
    }

    async fn shutdown(&mut self, _deadline: Deadline) -> Result<(), EngineError> {
        self.with(|state, id| state.end(id, "exit code 0"))
    }
}
