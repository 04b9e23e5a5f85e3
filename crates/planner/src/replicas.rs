//! What the servers of a shard besides its primary need.

use std::time::Duration;

use pilothouse_model::{
    ConditionKind, DatabaseSpec, ProcessState, ReplicationFacts, Server, ServerId, ServerRole, Shard, Truth,
};

use crate::conditions::Finding;
use crate::plan::{Access, Step, state};
use crate::{Applied, PlanInput, ServerState, Verdict};

/// Steps to start servers that do not run, and what was found on the way.
#[derive(Default)]
pub(crate) struct StartNeeds {
    pub(crate) steps: Vec<Step>,
    pub(crate) findings: Vec<Finding>,
}

/// What the replicas need.
pub(crate) struct ReplicaNeeds {
    pub(crate) steps: Vec<Step>,
    pub(crate) findings: Vec<Finding>,
    /// A replica that could take over now without loss.
    pub(crate) in_sync: Option<ServerId>,
    /// Every replica that was asked for is in sync, and no server is leaving or outdated.
    pub(crate) complete: bool,
}

/// A link to the primary that is silent for longer than this is not in sync, whatever it says.
const LINK_SILENCE_MAX: Duration = Duration::from_secs(30);

/// It runs another version or incarnation than is wanted.
pub(crate) fn outdated(server: &Server, seen: &ServerState) -> bool {
    seen.runs()
        && (seen.version.is_some_and(|version| version != server.version)
            || seen
                .incarnation
                .is_some_and(|incarnation| incarnation != server.incarnation))
}

/// Starts every server of the shard that does not run and may start now.
pub(crate) fn starts(input: &PlanInput<'_>, shard: &Shard) -> StartNeeds {
    let mut needs = StartNeeds::default();
    for server in shard.servers.iter().filter(|server| !server.leaving) {
        needs.steps.extend(start(input, server));
        needs.findings.extend(crash_loop(input, server));
    }
    needs
}

/// Starts the server if it does not run and may start now.
pub(crate) fn start(input: &PlanInput<'_>, server: &Server) -> Vec<Step> {
    let seen = state(input, server.id);
    match seen.process {
        ProcessState::Leftover => vec![Step::Clear(
            server.id,
            "children of an earlier process hold the directory",
        )],
        ProcessState::Absent if seen.starts.not_before.is_none_or(|at| at <= input.now) => vec![Step::Start(server.id)],
        _ => Vec::new(),
    }
}

fn crash_loop(input: &PlanInput<'_>, server: &Server) -> Option<Finding> {
    let starts = state(input, server.id).starts;
    (starts.failures >= 2).then(|| {
        let message = format!(
            "server {} ended {} times in a row: {}",
            server.id, starts.failures, starts.last_failure
        );
        Finding::new(ConditionKind::CrashLooping, Truth::True, "StartsFail", message)
    })
}

/// What the replicas need while the primary runs. Before the primary is settled nobody is attached to it.
pub(crate) fn needs(input: &PlanInput<'_>, shard: &Shard, primary: &Server, primary_settled: bool) -> ReplicaNeeds {
    let mut needs = ReplicaNeeds {
        steps: Vec::new(),
        findings: Vec::new(),
        in_sync: None,
        complete: true,
    };
    for server in shard.replicas() {
        if server.leaving {
            needs.complete = false;
            needs.steps.push(Step::Remove(server.id));
            continue;
        }
        let seen = state(input, server.id);
        needs.findings.extend(crash_loop(input, server));
        match need(input, shard, primary, server, &seen, primary_settled) {
            Need::Nothing => needs.in_sync = needs.in_sync.or(Some(server.id)),
            Need::Step(step) => {
                needs.complete = false;
                needs.steps.push(step);
            }
            Need::Patience(why) => {
                needs.complete = false;
                let message = format!("replica {}: {why}", server.id);
                needs.findings.push(Finding::new(
                    ConditionKind::Degraded,
                    Truth::True,
                    "ReplicaNotInSync",
                    message,
                ));
            }
        }
    }
    needs
}

enum Need {
    Nothing,
    Step(Step),
    Patience(&'static str),
}

fn need(
    input: &PlanInput<'_>,
    shard: &Shard,
    primary: &Server,
    server: &Server,
    seen: &ServerState,
    primary_settled: bool,
) -> Need {
    let synced = shard.lineage.synced.contains(&server.id);
    if seen.is_dead() {
        // Recorded at once, and before it starts: it comes up with whatever its files hold, and must sync before it counts again.
        if synced {
            return Need::Step(Step::MarkUnsynced(server.id));
        }
        return match start(input, server).pop() {
            Some(step) => Need::Step(step),
            None => Need::Patience("waits before it is started again"),
        };
    }
    if seen.verdict == Verdict::Hung {
        let clear = Step::Clear(server.id, "the replica does not answer");
        return Need::Step(if synced { Step::MarkUnsynced(server.id) } else { clear });
    }
    if outdated(server, seen) {
        return Need::Step(if synced {
            Step::MarkUnsynced(server.id)
        } else {
            Step::Restart(server.id)
        });
    }
    let Some(replication) = seen.replication.as_ref().filter(|_| !seen.loading) else {
        return Need::Patience("does not answer yet");
    };
    let (wanted, access) = access(&input.database.spec, synced);
    if seen.applied != wanted {
        return Need::Step(Step::Apply(server.id, access));
    }
    if !primary_settled {
        return Need::Patience("waits for the primary");
    }
    let spec = &input.database.spec;
    let follows = follows(replication, spec, primary);
    if !follows && synced && replication.role == ServerRole::Primary {
        return Need::Step(Step::MarkUnsynced(server.id));
    }
    if !follows && spec.cluster && !can_attach(seen, &state(input, primary.id)) {
        return Need::Patience("waits until it knows its primary");
    }
    if !follows {
        return Need::Step(Step::Attach {
            replica: server.id,
            primary: primary.id,
        });
    }
    let quiet = replication
        .link_silence
        .is_some_and(|silence| silence > LINK_SILENCE_MAX);
    if replication.syncing && synced {
        return Need::Step(Step::MarkUnsynced(server.id));
    }
    if replication.link_up != Some(true) || replication.syncing || quiet {
        return Need::Patience("is not in sync");
    }
    if synced {
        Need::Nothing
    } else {
        Need::Step(Step::MarkSynced(server.id))
    }
}

/// Clients of a cluster ask any of its servers where a key is, and may read from replicas. Elsewhere replicas are ours alone.
const fn access(spec: &DatabaseSpec, synced: bool) -> (Applied, Access) {
    if spec.cluster && synced && !spec.network.traffic_stopped {
        (Applied::Open, Access::Open)
    } else {
        (Applied::Closed, Access::Closed)
    }
}

fn follows(replication: &ReplicationFacts, spec: &DatabaseSpec, primary: &Server) -> bool {
    let port = if spec.encrypts_links() {
        primary.ports.tls
    } else {
        primary.ports.plain
    };
    let source = replication.source.as_deref();
    replication.role == ServerRole::Replica
        && source.and_then(|source| source.rsplit(':').next()) == Some(port.to_string().as_str())
}

/// A server of a cluster follows only whom it knows, and only when it owns nothing itself: one that was the primary learns from the others
/// that it is not any more.
fn can_attach(replica: &ServerState, primary: &ServerState) -> bool {
    let (Some(view), Some(theirs)) = (&replica.cluster, &primary.cluster) else {
        return false;
    };
    let known = |node: &str| view.peers.iter().any(|peer| peer.node == node && !peer.handshake);
    view.slots.is_empty() && known(&theirs.node)
}
