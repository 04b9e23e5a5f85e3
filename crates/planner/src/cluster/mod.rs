//! A cluster: every shard is decided about as if it stood alone, then comes what they need together.

mod balance;
#[cfg(test)]
mod tests;
mod topology;

use std::time::Duration;

use pilothouse_model::{Condition, ConditionKind, OperationKind, Shard, Truth};

use crate::plan::{Decision, state};
use crate::{Plan, PlanInput, RouteWish, Step};

/// Decides what a cluster needs next.
pub(crate) fn plan(input: &PlanInput<'_>) -> Plan {
    let mut plans = Vec::new();
    for shard in &input.database.layout.shards {
        let plan = of_shard(input, shard);
        // What ends or stops the whole database is not mixed with anything.
        if plan.steps.iter().any(concerns_all) {
            return plan;
        }
        plans.push(plan);
    }
    let shards_settled = plans.iter().all(|plan| plan.settled);
    let together = topology::needs(input, shards_settled);
    let mut merged = merge(plans);
    let flush = input
        .operation
        .is_some_and(|operation| operation.kind == OperationKind::FlushDatabase);
    if !together.steps.is_empty() {
        if merged.steps.is_empty() {
            merged.sentence = together.sentence;
        }
        merged.steps.extend(together.steps);
    } else if merged.settled && together.whole && flush {
        merged.steps.push(Step::Flush);
        merged.sentence = Step::Flush.to_string();
    } else if merged.settled && !together.whole {
        merged.sentence = together.sentence;
    }
    merged.settled &= together.whole && merged.steps.is_empty();
    if !merged.steps.is_empty() {
        merged.look_again = Duration::ZERO;
    } else if !merged.settled {
        merged.look_again = merged.look_again.min(input.policy.busy_pause);
    }
    // Who asks any of its servers must be led to all of them before it is called ready for the first time.
    if !together.whole && !input.database.was_active {
        for condition in &mut merged.conditions {
            if condition.kind == ConditionKind::Ready && condition.truth == Truth::True {
                condition.truth = Truth::False;
                condition.reason = "Forming".to_owned();
                condition.message = "the servers do not know all of each other yet".to_owned();
            }
        }
    }
    merged
}

/// A shard that is leaving and owns nothing any more is taken down; every other one is looked after.
fn of_shard(input: &PlanInput<'_>, shard: &Shard) -> Plan {
    let decision = Decision {
        input,
        shard,
        findings: Vec::new(),
    };
    let empty = shard.slots.is_empty()
        && shard
            .lineage
            .primary
            .and_then(|primary| state(input, primary).cluster)
            .is_none_or(|seen| seen.slots.is_empty());
    if shard.leaving && empty {
        let steps = shard.servers.iter().map(|server| Step::Remove(server.id)).collect();
        return decision.finish(steps, RouteWish::Unchanged, format!("remove shard {}", shard.id));
    }
    decision.decide()
}

const fn concerns_all(step: &Step) -> bool {
    matches!(step, Step::AbandonCreation(_) | Step::DeclareRecovery(_))
}

fn merge(plans: Vec<Plan>) -> Plan {
    let mut merged = Plan {
        steps: Vec::new(),
        route: RouteWish::Unchanged,
        conditions: Vec::new(),
        settled: true,
        sentence: "all is as wanted".to_owned(),
        look_again: Duration::MAX,
    };
    let mut told = false;
    for plan in plans {
        // The sentence of the first shard that has something to do, else of the first that waits.
        let newsworthy = !plan.steps.is_empty() && merged.steps.is_empty();
        if newsworthy || (!plan.settled && !told) {
            merged.sentence = plan.sentence;
            told = true;
        }
        merged.settled &= plan.settled;
        merged.look_again = merged.look_again.min(plan.look_again);
        merged.route = route(merged.route, plan.route);
        merged.steps.extend(plan.steps);
        for condition in plan.conditions {
            add(&mut merged.conditions, condition);
        }
    }
    merged
}

/// Any primary that is open can lead clients to all others.
const fn route(one: RouteWish, other: RouteWish) -> RouteWish {
    match (one, other) {
        (RouteWish::Open(_), _) => one,
        (_, RouteWish::Open(_)) => other,
        (RouteWish::Unchanged, _) => other,
        _ => one,
    }
}

/// One condition of each kind: the worse one.
fn add(conditions: &mut Vec<Condition>, new: Condition) {
    let bad = match new.kind {
        ConditionKind::Ready => Truth::False,
        _ => Truth::True,
    };
    match conditions.iter_mut().find(|known| known.kind == new.kind) {
        Some(known) if known.truth != bad && new.truth == bad => *known = new,
        Some(_) => {}
        None => conditions.push(new),
    }
}
