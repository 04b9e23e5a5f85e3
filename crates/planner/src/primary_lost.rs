//! What to do when the primary is dead or hung: a replica takes over, or it comes back from its own files.

use pilothouse_model::{ConditionKind, ProcessState, Server, Truth};

use crate::conditions::Finding;
use crate::failover::candidate;
use crate::plan::{Decision, state};
use crate::replicas;
use crate::{FailOver, Plan, RouteWish, ServerState, Step};

impl Decision<'_> {
    /// The primary is dead or hung.
    pub(crate) fn without_primary(mut self, primary: &Server, seen: &ServerState) -> Plan {
        let how = if seen.is_dead() { "ended" } else { "does not answer" };
        if let Some(candidate) = candidate(self.shard, self.input.database.fed_history(), self.input.servers) {
            let reason = format!("the primary {} {how}", primary.id);
            let sentence = format!("{reason}: promote {candidate}");
            let step = FailOver {
                candidate,
                old_primary: primary.id,
                graceful: false,
                reason,
            };
            self.not_ready("PrimaryLost", "the primary is gone, a replica takes over");
            return self.finish(vec![Step::FailOver(step)], RouteWish::Held, sentence);
        }
        if !seen.is_dead() {
            let message = "the primary does not answer, and no replica could take its place: it is left alone";
            self.findings.push(Finding::new(
                ConditionKind::Unresponsive,
                Truth::True,
                "PrimaryHung",
                message,
            ));
            self.not_ready("PrimaryHung", message);
            return self.finish(Vec::new(), RouteWish::Unchanged, message.to_owned());
        }
        self.not_ready("PrimaryDown", "the primary is down and restarts from its own files");
        if seen.process == ProcessState::Leftover {
            let step = Step::Clear(primary.id, "children of the primary still hold its directory");
            return self.finish(
                vec![step],
                RouteWish::Held,
                "end what is left of the primary".to_owned(),
            );
        }
        // Before it was active nobody had data in it: a creation that was being given up may have erased the files already.
        let promised = self.input.database.was_active && self.shard.lineage.restartable;
        if promised && seen.data_bytes == Some(0) {
            return self.primary_lost_its_files(primary);
        }
        let starts = replicas::starts(self.input, self.shard);
        self.findings.extend(starts.findings);
        let sentence = "restart the primary in place: no replica in sync could take over".to_owned();
        self.finish(starts.steps, RouteWish::Held, sentence)
    }

    /// The files that should bring the primary's data back are gone: a copy takes over, or somebody must choose.
    fn primary_lost_its_files(self, primary: &Server) -> Plan {
        let copy = self.shard.replicas().find(|server| {
            self.shard.lineage.synced.contains(&server.id)
                && (state(self.input, server.id).data_bytes.is_some_and(|bytes| bytes > 0)
                    || state(self.input, server.id).runs())
        });
        let Some(copy) = copy else {
            let why = format!("the files of the primary {} are gone and no copy is left", primary.id);
            return self.finish(vec![Step::DeclareRecovery(why.clone())], RouteWish::Held, why);
        };
        let seen = state(self.input, copy.id);
        let reason = format!("the primary {} lost its files", primary.id);
        let steps = if seen.serves() {
            let (candidate, old_primary) = (copy.id, primary.id);
            vec![Step::FailOver(FailOver {
                candidate,
                old_primary,
                graceful: false,
                reason: reason.clone(),
            })]
        } else if seen.runs() {
            Vec::new()
        } else {
            replicas::start(self.input, copy)
        };
        self.finish(
            steps,
            RouteWish::Held,
            format!("{reason}: bring back the copy on {}", copy.id),
        )
    }
}
