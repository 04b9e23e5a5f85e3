//! A management connection to one running server: an index of the files that do the work.

use async_trait::async_trait;
use pilothouse_engine::{
    Deadline, EngineError, ErrorClass, HandOver, Load, ManagementAccess, Peer, Reply, ServerSettings, Session,
    SnapshotState, SyncSource,
};
use pilothouse_model::{ClusterFacts, Liveness, ReplicationFacts, ServerFacts, SlotSet};

use crate::backup::Snapshot;
use crate::client::{Client, Command};
use crate::live::Applied;
use crate::users::MANAGEMENT_LOGIN;
use crate::{backup, cluster, command, error, live, probe, replication, schemas, users};

/// One connection and what is remembered along with it.
pub(crate) struct RedisSession {
    client: Client,
    /// For commands that run on a connection of their own.
    access: ManagementAccess,
    /// So that a second `apply` sends nothing.
    applied: Applied,
    /// So that the snapshot that was asked for is not taken for another.
    snapshot: Option<Snapshot>,
}

impl RedisSession {
    /// Connects and logs in.
    pub(crate) async fn connect(access: &ManagementAccess, deadline: Deadline) -> Result<Self, EngineError> {
        Ok(Self {
            client: Client::connect(&access.socket, MANAGEMENT_LOGIN, &access.secret, deadline).await?,
            access: access.clone(),
            applied: Applied::default(),
            snapshot: None,
        })
    }
}

#[async_trait]
impl Session for RedisSession {
    async fn probe(&mut self, deadline: Deadline) -> Result<Liveness, EngineError> {
        self.client.ping(deadline).await
    }

    async fn observe(&mut self, deadline: Deadline) -> Result<ServerFacts, EngineError> {
        probe::observe(&mut self.client, deadline).await
    }

    async fn replication(&mut self, deadline: Deadline) -> Result<ReplicationFacts, EngineError> {
        replication::replication(&mut self.client, deadline).await
    }

    async fn load(&mut self, deadline: Deadline) -> Result<Load, EngineError> {
        probe::load(&mut self.client, deadline).await
    }

    async fn apply(&mut self, settings: &ServerSettings, deadline: Deadline) -> Result<bool, EngineError> {
        live::apply(&mut self.client, &mut self.applied, settings, deadline).await
    }

    async fn fence(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        users::fence(&mut self.client, deadline).await
    }

    async fn promote(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        if self.access.cluster {
            cluster::take_over(&mut self.client, deadline).await
        } else {
            replication::promote(&mut self.client, deadline).await
        }
    }

    async fn attach(&mut self, primary: &Peer, deadline: Deadline) -> Result<(), EngineError> {
        if self.access.cluster {
            cluster::attach(&mut self.client, &self.applied, primary, deadline).await
        } else {
            replication::attach(&mut self.client, &self.applied, primary, deadline).await
        }
    }

    async fn mark_stream(&mut self, deadline: Deadline) -> Result<u64, EngineError> {
        replication::mark_stream(&mut self.client, deadline).await
    }

    async fn relink(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        replication::relink(&mut self.client, deadline).await
    }

    async fn follow_external(&mut self, source: &SyncSource, deadline: Deadline) -> Result<(), EngineError> {
        if self.access.cluster {
            let message = "a server of a cluster cannot follow a database elsewhere";
            return Err(EngineError::new(ErrorClass::Unsupported, message));
        }
        replication::follow_external(&mut self.client, source, deadline).await
    }

    async fn pause_writes(&mut self, millis: u64, deadline: Deadline) -> Result<(), EngineError> {
        replication::pause_writes(&mut self.client, millis, deadline).await
    }

    async fn resume_writes(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        replication::resume_writes(&mut self.client, deadline).await
    }

    async fn disconnect_clients(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        users::disconnect_clients(&mut self.client, deadline).await
    }

    async fn flush(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        schemas::flush(&mut self.client, deadline).await
    }

    async fn begin_snapshot(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        self.snapshot = Some(backup::begin(&mut self.client, deadline).await?);
        Ok(())
    }

    async fn snapshot_state(&mut self, deadline: Deadline) -> Result<SnapshotState, EngineError> {
        let (state, snapshot) = backup::state(&mut self.client, self.snapshot, deadline).await?;
        self.snapshot = snapshot;
        Ok(state)
    }

    async fn persistent(&mut self, deadline: Deadline) -> Result<bool, EngineError> {
        backup::persistent(&mut self.client, &mut self.applied.first_snapshot, deadline).await
    }

    async fn compact_log(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        backup::compact_log(&mut self.client, deadline).await
    }

    async fn execute(&mut self, command: &[Vec<u8>], deadline: Deadline) -> Result<Reply, EngineError> {
        command::execute(&self.access, command, deadline).await
    }

    async fn cluster(&mut self, deadline: Deadline) -> Result<ClusterFacts, EngineError> {
        cluster::facts(&mut self.client, deadline).await
    }

    async fn meet(&mut self, peers: &[Peer], deadline: Deadline) -> Result<(), EngineError> {
        cluster::meet(&mut self.client, peers, deadline).await
    }

    async fn forget(&mut self, nodes: &[String], deadline: Deadline) -> Result<(), EngineError> {
        cluster::forget(&mut self.client, nodes, deadline).await
    }

    async fn claim_slots(&mut self, slots: &SlotSet, deadline: Deadline) -> Result<(), EngineError> {
        cluster::claim(&mut self.client, slots, deadline).await
    }

    async fn import_slots(&mut self, slots: &[u16], from: &str, deadline: Deadline) -> Result<(), EngineError> {
        cluster::import(&mut self.client, slots, from, deadline).await
    }

    async fn hand_over(&mut self, slots: &[u16], to: &Peer, deadline: Deadline) -> Result<Vec<HandOver>, EngineError> {
        cluster::hand_over(&mut self.client, slots, to, deadline).await
    }

    async fn take_slots(&mut self, slots: &[u16], own: &str, deadline: Deadline) -> Result<(), EngineError> {
        cluster::take(&mut self.client, slots, own, deadline).await
    }

    async fn export_slots(&mut self, slots: &[u16], to: &str, deadline: Deadline) -> Result<(), EngineError> {
        cluster::export(&mut self.client, slots, to, deadline).await
    }

    async fn move_keys(
        &mut self,
        slots: &[u16],
        to: &Peer,
        until: Deadline,
        deadline: Deadline,
    ) -> Result<bool, EngineError> {
        cluster::move_keys(&mut self.client, slots, to, until, deadline).await
    }

    async fn assign_slots(&mut self, slots: &[u16], owner: &str, deadline: Deadline) -> Result<(), EngineError> {
        cluster::assign(&mut self.client, slots, owner, deadline).await
    }

    async fn shutdown(&mut self, deadline: Deadline) -> Result<(), EngineError> {
        match self.client.part(&Command::new(["SHUTDOWN"]), deadline).await? {
            Some(Reply::Error(text)) => Err(error::from_server(&text)),
            _ => Ok(()),
        }
    }
}
