//! What to do while the primary runs: bring it to what is wanted, then its replicas, then carry out what was asked for.

use pilothouse_model::{OperationKind, Persistence, ReplicaSync, ReplicationFacts, Server, ServerId, ServerRole};

use crate::plan::Decision;
use crate::replicas::{self, ReplicaNeeds};
use crate::{Access, Applied, FailOver, Plan, RouteWish, ServerState, Step, Verdict};

impl Decision<'_> {
    /// The primary runs.
    pub(crate) fn with_primary(mut self, primary: &Server, seen: &ServerState) -> Plan {
        let Some(replication) = seen.replication.clone().filter(|_| !seen.loading) else {
            // One that was opened and gives no account of itself, as in a long script, is not one that starts: its clients stay.
            let busy = seen.verdict == Verdict::Busy || (seen.applied == Applied::Open && !seen.loading);
            let (reason, message) = if busy {
                ("PrimaryBusy", "the primary is busy")
            } else {
                ("Loading", "the primary loads its data")
            };
            self.not_ready(reason, message);
            let route = if busy { RouteWish::Unchanged } else { RouteWish::Held };
            let starts = replicas::starts(self.input, self.shard);
            return self.finish(starts.steps, route, message.to_owned());
        };
        let fed = self.input.database.fed_history().is_some();
        let spec = &self.input.database.spec;
        let mut steps = self.needs_of_primary(primary, seen, &replication);
        let open = seen.applied == Applied::Open && !spec.network.traffic_stopped;
        let route = if spec.network.traffic_stopped {
            RouteWish::Closed
        } else if open {
            RouteWish::Open(primary.id)
        } else {
            RouteWish::Unchanged
        };
        let primary_settled = steps.is_empty();
        let needs = replicas::needs(self.input, self.shard, primary, primary_settled);
        let ReplicaNeeds {
            steps: replica_steps,
            findings,
            in_sync,
            complete,
        } = needs;
        steps.extend(replica_steps);
        self.findings.extend(findings);
        if primary_settled && steps.is_empty() && !fed {
            steps.extend(self.requested(primary, seen, in_sync, complete));
        }
        let settled = steps.is_empty() && complete && primary_settled;
        self.serving(seen, complete);
        let sentence = match steps.first() {
            Some(step) => format!("next: {step}"),
            None if settled => "all is as wanted".to_owned(),
            None => "wait for a replica".to_owned(),
        };
        let idle_pause = self.input.policy.idle_pause;
        let mut plan = self.finish(steps, route, sentence);
        plan.settled = settled;
        if settled {
            plan.look_again = idle_pause;
        }
        plan
    }

    /// What the primary itself lacks.
    fn needs_of_primary(&self, primary: &Server, seen: &ServerState, replication: &ReplicationFacts) -> Vec<Step> {
        let spec = &self.input.database.spec;
        let follows = replication.role == ServerRole::Replica;
        // Nobody stands in front of the servers of a cluster: where connections are stopped, they stop them.
        let (wanted, access) = if spec.cluster && spec.network.traffic_stopped {
            (Applied::Closed, Access::Closed)
        } else {
            (Applied::Open, Access::Open)
        };
        let source = spec
            .replica_of
            .as_ref()
            .filter(|source| source.sync == ReplicaSync::Enabled);
        // An import has the primary follow a server of its own; whom it follows and what it becomes is then the import's business.
        let fed = self.input.database.fed_history().is_some();
        match (follows, source) {
            (true, None) if !fed => vec![Step::Release(primary.id)],
            _ if seen.applied != wanted => vec![Step::Apply(primary.id, access)],
            _ if fed => Vec::new(),
            (_, Some(_)) if !follows || !seen.source_applied => vec![Step::FollowSource(primary.id)],
            // Also while it follows a source elsewhere: its replicas then share that history.
            _ if !replication.syncing && replication.replication_id != self.shard.lineage.replication_id => {
                vec![Step::RecordLineage(primary.id)]
            }
            _ => Vec::new(),
        }
    }

    /// What an operation or a version asks of a database that is otherwise as wanted.
    fn requested(&self, primary: &Server, seen: &ServerState, in_sync: Option<ServerId>, complete: bool) -> Vec<Step> {
        let outdated = replicas::outdated(primary, seen);
        let operation = self.input.operation;
        let shards = &self.input.database.layout.shards;
        let first = shards.first().is_some_and(|shard| shard.id == self.shard.id);
        let failover = operation.filter(|operation| {
            let meant = operation.target.is_some() || first;
            meant
                && operation.kind == OperationKind::Failover
                && self.input.database.topology_epoch < operation.generation
        });
        if (outdated || failover.is_some())
            && let Some(candidate) = failover.and_then(|operation| operation.target).or(in_sync)
            && in_sync == Some(candidate)
        {
            let reason = if outdated {
                "the primary must restart"
            } else {
                "by request"
            }
            .to_owned();
            return vec![Step::FailOver(FailOver {
                candidate,
                old_primary: primary.id,
                graceful: true,
                reason,
            })];
        }
        if outdated {
            // Without files the data survives in a replica only: one that is on its way is waited for.
            let in_memory = self.input.database.spec.persistence == Persistence::Disabled;
            let awaited = in_memory && !complete;
            return if awaited {
                Vec::new()
            } else {
                vec![Step::Restart(primary.id)]
            };
        }
        // A cluster is emptied as a whole.
        let alone = !self.input.database.spec.cluster;
        if alone && operation.is_some_and(|operation| operation.kind == OperationKind::FlushDatabase) {
            return vec![Step::Flush];
        }
        Vec::new()
    }
}
