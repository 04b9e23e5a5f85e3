//! Lanes: requests that were answered when they were durable, processed one at a time in the order of their acceptance (design §5).
//!
//! A lane is one tenant's requests through one API. Processing a request is one commit: what it changes and that it was processed become
//! durable together, so that a request which was being processed when the program died is processed again from its start, and nothing
//! happens twice.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_model::{
    Dialect, EventDraft, Operation, OperationId, OperationKind, OperationPhase, OperationResult, Request, Secret,
    Severity, Subject, TenantId,
};
use pilothouse_store::{Lane, Transaction, Urgency, View};
use serde_json::Value;
use tokio::sync::Notify;

use crate::{Caller, Control, ControlError, fault, operations};

/// How long processing may take: it starts no server and waits for none.
const PROCESSING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a lane rests after the store refused to record something.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What an API does with its requests. Given to [`Control::serve_lanes`].
#[async_trait]
pub trait Processor: Send + Sync + 'static {
    /// Validates, plans and commits one request. A command that changes anything is called with a [`Caller`] whose `settles` is
    /// [`Pending::settlement`], at most one such command for a request.
    async fn process(&self, pending: &Pending) -> Result<Processed, Refusal>;
}

/// A request whose turn it is.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its record.
    pub operation: Arc<Operation>,
    /// What is asked, as it was submitted.
    pub body: Value,
}

impl Pending {
    /// What the command that carries the request out commits along with its change. `answer` is worked out of the state with the change
    /// in it, wire ids included.
    pub fn settlement(&self, answer: impl Fn(&View) -> Value + Send + Sync + 'static) -> Settlement {
        Settlement {
            request: self.operation.id,
            answer: Arc::new(answer),
        }
    }
}

/// How the processing of a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Processed {
    /// A command committed the settlement.
    Settled,
    /// Nothing was to be changed; this is the answer.
    Answered(Value),
}

/// Why a request was refused. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A word for programs, the API's own.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// The end of a request, committed with what the request changes.
#[derive(Clone)]
pub struct Settlement {
    request: OperationId,
    answer: Arc<dyn Fn(&View) -> Value + Send + Sync>,
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settlement of {}", self.request)
    }
}

impl Settlement {
    /// Ends the request in the commit of its change. Refused when the request is not being processed any more: then the change must not
    /// happen either.
    pub(crate) fn settle(
        &self,
        transaction: &mut Transaction<'_>,
        now: pilothouse_model::Timestamp,
    ) -> Result<(), ControlError> {
        let found = transaction.view().get::<Operation>(&self.request);
        let processing = found.filter(|operation| operation.phase == OperationPhase::Processing);
        let mut operation = processing
            .map(|operation| operation.record.as_ref().clone())
            .ok_or_else(|| ControlError::Conflict("the request is not being processed any more".to_owned()))?;
        let answer = (self.answer)(transaction.view());
        operation.phase = OperationPhase::Processed;
        operation.result = Some(OperationResult::Succeeded);
        operation.progress = 100;
        operation.changed_at = now;
        operation.ended_at = Some(now);
        if let Some(request) = &mut operation.request {
            request.answer = Some(answer);
        }
        transaction.append_event(now, event(&operation, Severity::Info, "processed", "was processed"));
        transaction.put(operation);
        Ok(())
    }
}

/// The lanes that are being served.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<Lane, Arc<Notify>>>);

impl Lanes {
    /// Tells the worker of a lane that something waits; returns its bell where the lane has no worker yet.
    fn ring(&self, lane: Lane) -> Option<Arc<Notify>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = lanes.get(&lane) {
            bell.notify_one();
            return None;
        }
        let bell = Arc::new(Notify::new());
        lanes.insert(lane, Arc::clone(&bell));
        Some(bell)
    }
}

impl Control {
    /// Commits a change that a caller asked for, and the end of the request that it settles.
    pub(crate) async fn commit<T: Send>(
        &self,
        caller: &Caller,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, ControlError> + Send,
    ) -> Result<T, ControlError> {
        let now = self.now();
        let settles = caller.settles.clone();
        self.transact(Urgency::Normal, move |transaction| {
            let changed = change(transaction)?;
            if let Some(settlement) = settles {
                settlement.settle(transaction, now)?;
            }
            Ok(changed)
        })
        .await
    }

    /// Makes a request durable and puts it at the end of the caller's lane. `command` is the API's word for it.
    pub async fn submit(
        &self,
        caller: &Caller,
        subject: Subject,
        command: &str,
        body: &Value,
    ) -> Result<Operation, ControlError> {
        let now = self.now();
        let request = Request {
            command: command.to_owned(),
            body: self.seal(&Secret::new(body.to_string())),
            answer: None,
        };
        let (dialect, tenant, actor) = (caller.dialect, caller.tenant, caller.actor.clone());
        let operation = self
            .transact(Urgency::Normal, move |transaction| {
                let operation = Operation {
                    // Made here, where commits are in order: ids are the order of acceptance.
                    id: OperationId::new(),
                    tenant,
                    dialect,
                    actor,
                    kind: OperationKind::Request,
                    subject,
                    generation: 0,
                    target: None,
                    request: Some(request),
                    phase: OperationPhase::Received,
                    result: None,
                    step: String::new(),
                    progress: 0,
                    received_at: now,
                    changed_at: now,
                    ended_at: None,
                };
                transaction.append_event(now, event(&operation, Severity::Info, "received", "was received"));
                transaction.put(operation.clone());
                Ok(operation)
            })
            .await?;
        self.ring((dialect, tenant));
        Ok(operation)
    }

    /// Has the requests of an API processed from now on, those first that were left from before.
    pub fn serve_lanes(&self, dialect: Dialect, processor: Arc<dyn Processor>) {
        self.0
            .processors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dialect, processor);
        let waiting: Vec<Lane> = self
            .store()
            .view()
            .busy_lanes()
            .filter(|lane| lane.0 == dialect)
            .collect();
        for lane in waiting {
            self.ring(lane);
        }
    }

    /// The requests of a tenant through an API, oldest first.
    pub fn requests(&self, dialect: Dialect, tenant: TenantId) -> Vec<Arc<Operation>> {
        let view = self.store().view();
        view.operations_of_tenant(tenant)
            .filter(|operation| operation.dialect == dialect && operation.kind == OperationKind::Request)
            .map(|operation| Arc::clone(&operation.record))
            .collect()
    }

    fn ring(&self, lane: Lane) {
        let processors = self.0.processors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(processor) = processors.get(&lane.0).cloned() else {
            return;
        };
        drop(processors);
        if let Some(bell) = self.0.lanes.ring(lane) {
            let control = self.clone();
            self.0
                .tasks
                .spawn(async move { control.work_lane(lane, &processor, &bell).await });
        }
    }

    async fn work_lane(&self, lane: Lane, processor: &Arc<dyn Processor>, bell: &Notify) {
        let stopped = self.0.tasks.stopped().clone();
        while !stopped.is_cancelled() {
            let next = self
                .store()
                .view()
                .requests_in_lane(lane)
                .next()
                .map(|operation| Arc::clone(&operation.record));
            let worked = match next {
                Some(operation) => self.work_request(&operation, processor).await,
                None => {
                    tokio::select! {
                        () = bell.notified() => {}
                        () = stopped.cancelled() => return,
                    }
                    Ok(())
                }
            };
            if let Err(error) = worked {
                tracing::error!(dialect = %lane.0, tenant = %lane.1, %error, "a request waits: its progress cannot be recorded");
                tokio::select! {
                    () = tokio::time::sleep(STORE_PAUSE) => {}
                    () = stopped.cancelled() => return,
                }
            }
        }
    }

    async fn work_request(
        &self,
        operation: &Arc<Operation>,
        processor: &Arc<dyn Processor>,
    ) -> Result<(), ControlError> {
        fault::point("request-before-processing").await;
        let operation = Arc::new(self.begin_request(operation.id).await?);
        fault::point("request-processing").await;
        let outcome = match self.pending(&operation) {
            Ok(pending) => guarded(processor, pending).await,
            Err(error) => Err(internal(&error.to_string())),
        };
        fault::point("request-processed").await;
        self.end_request(operation.id, outcome).await
    }

    fn pending(&self, operation: &Arc<Operation>) -> Result<Pending, ControlError> {
        let request = operation
            .request
            .as_ref()
            .ok_or_else(|| ControlError::internal("a request without what was asked"))?;
        let text = self.open(&request.body)?;
        let body = serde_json::from_str(text.expose())
            .map_err(|error| ControlError::internal(format!("a request that is no JSON: {error}")))?;
        Ok(Pending {
            operation: Arc::clone(operation),
            body,
        })
    }

    async fn begin_request(&self, id: OperationId) -> Result<Operation, ControlError> {
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            let mut operation = waiting(transaction.view(), id)?;
            if operation.phase != OperationPhase::Processing {
                operation.phase = OperationPhase::Processing;
                operation.changed_at = now;
                transaction.put(operation.clone());
            }
            Ok(operation)
        })
        .await
    }

    /// Records how a request ended, unless the command that carried it out did.
    async fn end_request(&self, id: OperationId, outcome: Result<Processed, Refusal>) -> Result<(), ControlError> {
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            let Ok(mut operation) = waiting(transaction.view(), id) else {
                return Ok(());
            };
            match outcome {
                Ok(Processed::Answered(answer)) => {
                    let settlement = Settlement {
                        request: id,
                        answer: Arc::new(move |_| answer.clone()),
                    };
                    return settlement.settle(transaction, now);
                }
                Ok(Processed::Settled) => {
                    let refusal = internal("it was said to be carried out, and nothing was committed");
                    operations::refuse(&mut operation, refusal, now);
                }
                Err(refusal) => operations::refuse(&mut operation, refusal, now),
            }
            let why = match &operation.phase {
                OperationPhase::Failed { message, .. } => format!("was refused: {message}"),
                _ => "was refused".to_owned(),
            };
            transaction.append_event(now, event(&operation, Severity::Warning, "refused", &why));
            transaction.put(operation);
            Ok(())
        })
        .await
    }
}

/// How it stands with a request, for the log of its tenant.
fn event(operation: &Operation, severity: Severity, how: &str, what: &str) -> EventDraft {
    let command = operation
        .request
        .as_ref()
        .map_or("", |request| request.command.as_str());
    EventDraft {
        kind: format!("request-{how}"),
        severity,
        subject: operation.subject,
        tenant: Some(operation.tenant),
        actor: operation.actor.clone(),
        operation: Some(operation.id),
        message: format!("{command} {what}"),
        facts: serde_json::json!({ "command": command }),
    }
}

/// A request that has not ended.
fn waiting(view: &View, id: OperationId) -> Result<Operation, ControlError> {
    view.get::<Operation>(&id)
        .filter(|operation| !operation.is_final())
        .map(|operation| operation.record.as_ref().clone())
        .ok_or_else(|| ControlError::Conflict("the request has ended".to_owned()))
}

/// Processes a request so that neither a panic nor a hang holds up those behind it.
async fn guarded(processor: &Arc<dyn Processor>, pending: Pending) -> Result<Processed, Refusal> {
    let processor = Arc::clone(processor);
    let mut work = tokio::task::JoinSet::new();
    work.spawn(async move { processor.process(&pending).await });
    match tokio::time::timeout(PROCESSING_TIMEOUT, work.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(Some(Err(error))) => Err(internal(&error.to_string())),
        Ok(None) => Err(internal("nothing was done")),
        Err(_) => Err(internal("it took too long")),
    }
}

fn internal(detail: &str) -> Refusal {
    tracing::error!(detail, "a request could not be processed");
    Refusal {
        code: Refusal::INTERNAL.to_owned(),
        message: "the request could not be processed; the log of the control plane says why".to_owned(),
    }
}

impl Refusal {
    /// The code of failures that are ours.
    pub const INTERNAL: &'static str = "internal";
}
