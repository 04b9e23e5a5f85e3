//! Operations: looking at them, waiting for them, and writing them.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_model::{
    DatabaseId, Operation, OperationId, OperationKind, OperationPhase, OperationResult, ServerId, Subject, TenantId,
    Timestamp,
};
use pilothouse_store::{Transaction, Urgency};

use crate::{Caller, Control, TenantScope};

/// How many operations a list gives.
const LISTED_MAX: usize = 1000;
/// How many final operations are kept; clients poll an operation for minutes after its end.
const KEPT_MAX: usize = 2000;
/// How many are removed in one commit.
const PRUNED_AT_ONCE: usize = 50;
/// Time between two looks for operations that are not kept.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// A final operation is kept for at least this long, whatever comes after it: clients wait in loops of ten minutes.
const KEPT_FOR: Duration = Duration::from_secs(3600);

impl Control {
    /// An operation within the caller's reach.
    pub fn operation(&self, caller: &Caller, id: OperationId) -> Option<Arc<Operation>> {
        let view = self.store().view();
        let operation = view.get::<Operation>(&id)?;
        within(caller, operation).then(|| Arc::clone(&operation.record))
    }

    /// Operations on databases within the caller's reach, newest first, at most 1,000. What waits in lanes are [`Control::requests`].
    pub fn operations(&self, caller: &Caller) -> Vec<Arc<Operation>> {
        let view = self.store().view();
        let mut found: Vec<Arc<Operation>> = view
            .all::<Operation>()
            .filter(|operation| operation.kind != OperationKind::Request && within(caller, operation))
            .map(|operation| Arc::clone(&operation.record))
            .collect();
        found.reverse();
        found.truncate(LISTED_MAX);
        found
    }

    /// Operations on a database, newest first.
    pub fn operations_of(&self, caller: &Caller, database: DatabaseId) -> Vec<Arc<Operation>> {
        let mut found = self.operations(caller);
        found.retain(|operation| operation.subject == Subject::Database(database));
        found
    }

    /// Waits until the operation is final, at most for `patience`, and returns it as it then is. Cancel-safe.
    pub async fn wait_operation(&self, id: OperationId, patience: Duration) -> Option<Arc<Operation>> {
        let mut revisions = self.store().revisions();
        let look = || {
            self.store()
                .view()
                .get::<Operation>(&id)
                .map(|operation| Arc::clone(&operation.record))
        };
        let finished = async {
            loop {
                match look() {
                    Some(operation) if !operation.is_final() => {}
                    other => return other,
                }
                if revisions.changed().await.is_err() {
                    return look();
                }
            }
        };
        match tokio::time::timeout(patience, finished).await {
            Ok(operation) => operation,
            Err(_) => look(),
        }
    }
}

/// Removes the oldest final operations where there are too many, until control stops.
pub(crate) fn start_pruning(control: &Control) {
    let control = control.clone();
    let tasks = control.0.tasks.clone();
    tasks.spawn(async move {
        let stopped = control.0.tasks.stopped().clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(PRUNE_INTERVAL) => {}
                () = stopped.cancelled() => return,
            }
            while control.prune_operations().await {}
        }
    });
}

impl Control {
    /// Removes some of the oldest final operations where there are too many; returns whether there are more to remove.
    async fn prune_operations(&self) -> bool {
        let view = self.store().view();
        let excess = view.count::<Operation>().saturating_sub(KEPT_MAX);
        let now = self.now();
        let old: Vec<OperationId> = view
            .all::<Operation>()
            .take(excess)
            .filter(|operation| operation.is_final() && now.since(operation.changed_at) > KEPT_FOR)
            .map(|operation| operation.id)
            .take(PRUNED_AT_ONCE)
            .collect();
        drop(view);
        let more = old.len() == PRUNED_AT_ONCE;
        let pruned = self.transact(Urgency::Normal, move |transaction| {
            for id in &old {
                transaction.delete::<Operation>(id);
            }
            Ok(())
        });
        pruned.await.is_ok() && more
    }
}

fn within(caller: &Caller, operation: &Operation) -> bool {
    match &caller.scope {
        TenantScope::All => true,
        TenantScope::Only(tenants) => tenants.contains(&operation.tenant),
    }
}

/// An operation that was validated, planned and reserved in the same commit that receives it.
pub(crate) fn processed(
    caller: &Caller,
    tenant: TenantId,
    kind: OperationKind,
    database: DatabaseId,
    generation: u64,
    target: Option<ServerId>,
    now: Timestamp,
) -> Operation {
    Operation {
        id: OperationId::new(),
        tenant,
        dialect: caller.dialect,
        actor: caller.actor.clone(),
        kind,
        subject: Subject::Database(database),
        generation,
        target,
        request: None,
        phase: OperationPhase::Processed,
        result: None,
        step: String::new(),
        progress: 0,
        received_at: now,
        changed_at: now,
        ended_at: None,
    }
}

/// Ends a request that changed nothing.
pub(crate) fn refuse(operation: &mut Operation, refusal: crate::Refusal, now: Timestamp) {
    operation.phase = OperationPhase::Failed {
        code: refusal.code,
        message: refusal.message,
    };
    operation.changed_at = now;
    operation.ended_at = Some(now);
}

/// Ends an operation, once.
pub(crate) fn finish(transaction: &mut Transaction<'_>, id: OperationId, result: OperationResult, now: Timestamp) {
    let Some(operation) = transaction
        .view()
        .get::<Operation>(&id)
        .map(|operation| operation.record.as_ref().clone())
    else {
        return;
    };
    if operation.is_final() {
        return;
    }
    let progress = if result == OperationResult::Succeeded {
        100
    } else {
        operation.progress
    };
    let ended_at = Some(now);
    transaction.put(Operation {
        result: Some(result),
        progress,
        changed_at: now,
        ended_at,
        step: String::new(),
        ..operation
    });
}
