//! The decision itself: what a database needs next.

use std::time::Duration;

use pilothouse_model::{Condition, ConditionKind, ProcessState, ServerId, ServerRole, Shard, ShardId, SlotSet, Truth};

use crate::conditions::{Finding, dated};
use crate::replicas::{self};
use crate::{Applied, PlanInput, ServerState, Verdict, cluster};

/// One effect. Every one is idempotent: carried out twice, or half and then again, it leads to the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look for a process of the server, prove its identity and watch it.
    Adopt(ServerId),
    /// Start the server, fenced.
    Start(ServerId),
    /// End what is left of an earlier process of the server: children that hold its directory, or a process of ours that must go.
    Clear(ServerId, &'static str),
    /// Make the server the first primary of its shard.
    Establish(ServerId),
    /// Bring a running server's files and live settings to what is wanted, with clients let in or not.
    Apply(ServerId, Access),
    /// Record what is known of the primary's history.
    RecordLineage(ServerId),
    /// Make the primary, which says it follows somebody, follow nobody.
    Release(ServerId),
    /// Make the primary follow the database elsewhere that was asked for.
    FollowSource(ServerId),
    /// Make a replica follow the primary.
    Attach {
        /// Who follows.
        replica: ServerId,
        /// Whom.
        primary: ServerId,
    },
    /// Record that the replica finished its first sync and may be promoted.
    MarkSynced(ServerId),
    /// Record that the replica may not be promoted.
    MarkUnsynced(ServerId),
    /// Make the candidate the primary.
    FailOver(FailOver),
    /// Finish or abandon a promotion that was begun and whose outcome is not recorded.
    ResolveIntent {
        /// Who was to become primary.
        candidate: ServerId,
        /// The candidate had been promoted.
        promoted: bool,
    },
    /// Restart a running server deliberately: it runs another version or incarnation than is wanted.
    Restart(ServerId),
    /// Remove a server that is leaving: process, directory, place in the layout.
    Remove(ServerId),
    /// Record that all copies of the data are gone and somebody must choose.
    DeclareRecovery(String),
    /// Give the creation up: end and erase what was made of it, record why.
    AbandonCreation(String),
    /// Introduce servers of a cluster to each other.
    Meet {
        /// Who is told.
        server: ServerId,
        /// Of whom.
        peers: Vec<ServerId>,
    },
    /// Make a server forget others that left the cluster.
    Forget {
        /// Who forgets.
        server: ServerId,
        /// Whom, by the names that servers of a cluster have for each other.
        nodes: Vec<String>,
    },
    /// Make a primary the owner of slots that nobody owns.
    ClaimSlots {
        /// The primary.
        server: ServerId,
        /// The slots.
        slots: SlotSet,
    },
    /// Record which shard owns which slots: they moved, and the record does not say so yet.
    RecordSlots(Vec<(ShardId, SlotSet)>),
    /// Move slots with their keys from one primary to another.
    MoveSlots {
        /// Who gives.
        from: ServerId,
        /// Who takes.
        to: ServerId,
        /// The slots.
        slots: Vec<u16>,
    },
    /// Carry out what the operation asks for beyond the spec: empty the database.
    Flush,
    /// Remove everything: the database is to be deleted.
    Delete,
}

/// Whether clients may use a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody but our own account.
    Closed,
    /// Clients, and replicas.
    Open,
}

/// A promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailOver {
    /// Who becomes primary.
    pub candidate: ServerId,
    /// Who was.
    pub old_primary: ServerId,
    /// The old primary answers: hold its writes back and wait for the candidate to have them all.
    pub graceful: bool,
    /// Why, one sentence.
    pub reason: String,
}

/// Where connections shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteWish {
    /// To this server.
    Open(ServerId),
    /// Nowhere yet: held.
    Held,
    /// Nowhere: closed.
    Closed,
    /// The endpoint is given up.
    Absent,
    /// As it is.
    Unchanged,
}

/// What to do next, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do now; several may be done at once, in any order.
    pub steps: Vec<Step>,
    /// Where connections shall go.
    pub route: RouteWish,
    /// What holds.
    pub conditions: Vec<Condition>,
    /// All that was asked for is so.
    pub settled: bool,
    /// What was decided, one sentence.
    pub sentence: String,
    /// When to look again if nothing wakes the loop before.
    pub look_again: Duration,
}

/// Decides what the database needs next.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let database = input.database;
    if database.deleted_at.is_some() {
        return simple(
            input,
            vec![Step::Delete],
            RouteWish::Absent,
            "remove everything".to_owned(),
        );
    }
    if let Some(error) = &database.creation_error {
        let finding = Finding::new(ConditionKind::Ready, Truth::False, "CreationFailed", error.clone());
        let mut plan = simple(
            input,
            Vec::new(),
            RouteWish::Absent,
            "creation failed: nothing to do".to_owned(),
        );
        plan.conditions = dated(vec![finding], &database.conditions, input.now);
        return plan;
    }
    if database.needs_recovery {
        let why = "all copies of the data are gone or cannot be loaded; choose with the recover action";
        let finding = Finding::new(ConditionKind::RecoveryNeeded, Truth::True, "DataLost", why);
        let mut plan = simple(
            input,
            Vec::new(),
            RouteWish::Held,
            "wait for somebody to choose".to_owned(),
        );
        plan.conditions = dated(vec![finding], &database.conditions, input.now);
        return plan;
    }
    let unknown = unknown_processes(input);
    if !unknown.is_empty() {
        let sentence = "look for processes that run".to_owned();
        return simple(input, unknown, RouteWish::Unchanged, sentence);
    }
    if database.spec.cluster && !database.layout.shards.is_empty() {
        return cluster::plan(input);
    }
    match database.layout.shards.first() {
        Some(shard) => Decision {
            input,
            shard,
            findings: Vec::new(),
        }
        .decide(),
        None => simple(
            input,
            Vec::new(),
            RouteWish::Held,
            "no layout: nothing to do".to_owned(),
        ),
    }
}

fn unknown_processes(input: &PlanInput<'_>) -> Vec<Step> {
    let servers = input.database.layout.servers();
    servers
        .filter(|server| state(input, server.id).process == ProcessState::Unknown)
        .map(|server| Step::Adopt(server.id))
        .collect()
}

fn simple(input: &PlanInput<'_>, steps: Vec<Step>, route: RouteWish, sentence: String) -> Plan {
    let look_again = if steps.is_empty() {
        input.policy.idle_pause
    } else {
        Duration::ZERO
    };
    Plan {
        steps,
        route,
        conditions: input.database.conditions.clone(),
        settled: false,
        sentence,
        look_again,
    }
}

pub(crate) fn state(input: &PlanInput<'_>, server: ServerId) -> ServerState {
    input.servers.get(&server).cloned().unwrap_or_else(ServerState::unknown)
}

/// A decision about one shard in the making.
pub(crate) struct Decision<'a> {
    pub(crate) input: &'a PlanInput<'a>,
    pub(crate) shard: &'a Shard,
    pub(crate) findings: Vec<Finding>,
}

impl Decision<'_> {
    /// What the shard needs next.
    pub(crate) fn decide(self) -> Plan {
        if let Some(reason) = self.creation_given_up() {
            return self.finish(
                vec![Step::AbandonCreation(reason.clone())],
                RouteWish::Absent,
                format!("give the creation up: {reason}"),
            );
        }
        if let Some(intent) = &self.shard.lineage.intent {
            let promoted = state(self.input, intent.candidate)
                .replication
                .is_some_and(|replication| {
                    let before = replication.previous_replication_id.as_str();
                    replication.role == ServerRole::Primary
                        && (before == self.shard.lineage.replication_id
                            || Some(before) == self.input.database.fed_history())
                });
            return self.finish(
                vec![Step::ResolveIntent {
                    candidate: intent.candidate,
                    promoted,
                }],
                RouteWish::Held,
                "resolve a promotion whose outcome is not recorded".to_owned(),
            );
        }
        let Some(primary) = self.shard.primary().cloned() else {
            return self.establish();
        };
        let seen = state(self.input, primary.id);
        if seen.is_dead() || seen.verdict == Verdict::Hung {
            return self.without_primary(&primary, &seen);
        }
        self.with_primary(&primary, &seen)
    }

    /// Why the creation is given up, if it is.
    fn creation_given_up(&self) -> Option<String> {
        let database = self.input.database;
        if database.was_active {
            return None;
        }
        let attempts = self.input.policy.creation_start_attempts;
        let failing = database
            .layout
            .servers()
            .map(|server| state(self.input, server.id).starts);
        if let Some(starts) = failing.into_iter().find(|starts| starts.failures >= attempts) {
            return Some(starts.last_failure);
        }
        let since = self
            .input
            .operation
            .map_or(database.created_at, |operation| operation.received_at);
        (self.input.now.since(since) > self.input.policy.creation_deadline)
            .then(|| format!("not ready within {} s", self.input.policy.creation_deadline.as_secs()))
    }

    /// No primary was ever named: start everything, then name the first server.
    fn establish(self) -> Plan {
        let starts = replicas::starts(self.input, self.shard);
        if !starts.steps.is_empty() {
            return self.finish(starts.steps, RouteWish::Held, "start the servers".to_owned());
        }
        let first = self.shard.servers.iter().find(|server| !server.leaving);
        match first {
            Some(server) if state(self.input, server.id).serves() => {
                let step = Step::Establish(server.id);
                self.finish(vec![step], RouteWish::Held, "name the first primary".to_owned())
            }
            _ => self.finish(
                Vec::new(),
                RouteWish::Held,
                "wait for the first server to answer".to_owned(),
            ),
        }
    }

    pub(crate) fn not_ready(&mut self, reason: &'static str, message: &str) {
        self.findings
            .push(Finding::new(ConditionKind::Ready, Truth::False, reason, message));
    }

    pub(crate) fn serving(&mut self, seen: &ServerState, complete: bool) {
        if self.input.database.spec.network.traffic_stopped {
            self.not_ready("TrafficStopped", "connections were stopped by request");
            return;
        }
        // A database that never was active becomes ready only when a failover would work; later a lost replica degrades it.
        let was_active = self.input.database.was_active;
        // Open by its own account: adopted after a restart of ours, or about to get other settings.
        let open = seen.applied == Applied::Open || (was_active && seen.open == Some(true));
        // A server of a cluster refuses commands until it has heard of the others, or waited for them.
        let answers = !self.input.database.spec.cluster || seen.cluster.as_ref().map_or(was_active, |view| view.serves);
        let ready = open && answers && (complete || was_active);
        let finding = if ready {
            Finding::new(
                ConditionKind::Ready,
                Truth::True,
                "Serving",
                "clients can write and read at the endpoint",
            )
        } else {
            Finding::new(
                ConditionKind::Ready,
                Truth::False,
                "Starting",
                "not everything that was asked for is in place",
            )
        };
        self.findings.push(finding);
    }

    pub(crate) fn finish(mut self, steps: Vec<Step>, route: RouteWish, sentence: String) -> Plan {
        if self.shard.servers.len() > 1 {
            let hosts: std::collections::BTreeSet<_> = self.shard.servers.iter().map(|server| server.host).collect();
            if hosts.len() < self.shard.servers.len() {
                let message = "primary and replica share a host: its loss is the loss of both";
                self.findings.push(Finding::new(
                    ConditionKind::SharedHost,
                    Truth::True,
                    "SingleHost",
                    message,
                ));
            }
        }
        let look_again = if steps.is_empty() { self.pause() } else { Duration::ZERO };
        let conditions = dated(self.findings, &self.input.database.conditions, self.input.now);
        Plan {
            steps,
            route,
            conditions,
            settled: false,
            sentence,
            look_again,
        }
    }

    /// How long to wait when there is nothing to do but wait: until a start is allowed again, else briefly.
    fn pause(&self) -> Duration {
        let busy = self.input.policy.busy_pause;
        self.shard
            .servers
            .iter()
            .filter(|server| state(self.input, server.id).is_dead())
            .filter_map(|server| state(self.input, server.id).starts.not_before)
            .map(|not_before| not_before.since(self.input.now).max(busy))
            .min()
            .unwrap_or_else(|| if self.input.database.was_active { busy * 2 } else { busy })
    }
}
