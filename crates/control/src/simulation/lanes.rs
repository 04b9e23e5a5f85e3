//! Requests that wait in lanes: order, refusals, panics, and a crash at every point of their processing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_model::{Database, DatabaseName, Dialect, Operation, OperationPhase, Subject};
use serde_json::{Value, json};

use super::harness::{Harness, Wanted};
use super::in_runtime;
use crate::{Caller, Control, CreateDatabase, Pending, Processed, Processor, Refusal, RequestOptions, fault};

/// Creates the database that the request names; refuses, fails or panics when asked to.
struct Creator {
    control: Control,
    spec: pilothouse_model::DatabaseSpec,
    at_once: AtomicUsize,
    order: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Processor for Creator {
    async fn process(&self, pending: &Pending) -> Result<Processed, Refusal> {
        assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        let name = pending.body["name"].as_str().expect("a name").to_owned();
        self.order.lock().expect("no panic under the lock").push(name.clone());
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        match name.as_str() {
            "refused" => {
                return Err(Refusal {
                    code: "NAME_REFUSED".to_owned(),
                    message: "not this name".to_owned(),
                });
            }
            "asked" => return Ok(Processed::Answered(json!({"answer": 42}))),
            "nothing" => return Ok(Processed::Settled),
            "panic" => panic!("as asked"),
            _ => {}
        }
        let wanted = DatabaseName::parse(name.clone()).expect("a name");
        let settlement = pending.settlement(move |view| {
            let made = view.databases_named(None, &name).count();
            json!({ "made": made })
        });
        let caller = Caller {
            settles: Some(settlement),
            ..caller(&self.control)
        };
        let command = CreateDatabase {
            name: wanted,
            spec: self.spec.clone(),
            group: None,
            wire_id: None,
            documents: Vec::new(),
        };
        match self
            .control
            .create_database(&caller, command, RequestOptions::PROCESSED)
            .await
        {
            Ok(_) => Ok(Processed::Settled),
            Err(error) => Err(Refusal {
                code: "FAILED".to_owned(),
                message: error.to_string(),
            }),
        }
    }
}

fn caller(control: &Control) -> Caller {
    Caller {
        dialect: Dialect::RedisCloud,
        actor: "key:test".to_owned(),
        scope: crate::TenantScope::All,
        tenant: control.default_tenant(),
        settles: None,
    }
}

async fn submit(control: &Control, name: &str) -> Operation {
    let body = json!({ "name": name });
    control
        .submit(&caller(control), Subject::Installation, "createRequest", &body)
        .await
        .expect("durable")
}

fn serve(harness: &Harness) -> Arc<Mutex<Vec<String>>> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let creator = Creator {
        control: harness.control().clone(),
        spec: harness.spec(Wanted {
            replicas: 0,
            persistent: false,
        }),
        at_once: AtomicUsize::new(0),
        order: Arc::clone(&order),
    };
    harness.control().serve_lanes(Dialect::RedisCloud, Arc::new(creator));
    order
}

fn requests(control: &Control) -> Vec<Arc<Operation>> {
    control.requests(Dialect::RedisCloud, control.default_tenant())
}

/// Runs the lanes until every request has ended, or the armed crash point is reached: then `false`.
async fn work(control: &Control) -> bool {
    for _ in 0..50_000 {
        if fault::reached() {
            return false;
        }
        if requests(control).iter().all(|request| request.is_final()) {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    panic!("the lanes stand still: {:?}", requests(control));
}

fn answer(operation: &Operation) -> Option<&Value> {
    operation.request.as_ref()?.answer.as_ref()
}

#[test]
fn requests_are_processed_in_order_and_none_blocks_the_next() {
    in_runtime(async {
        let harness = Harness::new().await;
        let order = serve(&harness);
        let control = harness.control();
        let names = ["a", "refused", "panic", "nothing", "asked", "b"];
        for name in names {
            let operation = submit(control, name).await;
            assert_eq!(operation.phase, OperationPhase::Received);
        }
        assert!(work(control).await);
        assert_eq!(*order.lock().expect("no panic under the lock"), names);
        let ended = requests(control);
        let code = |at: usize| match &ended[at].phase {
            OperationPhase::Failed { code, .. } => code.as_str(),
            OperationPhase::Processed => "processed",
            other => panic!("{other:?} is no end"),
        };
        let codes: Vec<&str> = (0..names.len()).map(code).collect();
        assert_eq!(
            codes,
            [
                "processed",
                "NAME_REFUSED",
                Refusal::INTERNAL,
                Refusal::INTERNAL,
                "processed",
                "processed"
            ]
        );
        assert_eq!(
            answer(&ended[0]),
            Some(&json!({"made": 1})),
            "worked out of the state with the change in it"
        );
        assert_eq!(answer(&ended[4]), Some(&json!({"answer": 42})));
        assert_eq!(control.store().view().count::<Database>(), 2);
    });
}

#[test]
fn a_crash_at_any_point_loses_and_doubles_no_request() {
    let mut points = 0;
    loop {
        let reached = in_runtime(async {
            let mut harness = Harness::new().await;
            serve(&harness);
            let names = ["a", "refused", "b", "c"];
            fault::arm(None);
            for name in names {
                submit(harness.control(), name).await;
                // The worker runs only where this test lets it.
            }
            fault::arm(Some(points));
            let reached = !work(harness.control()).await;
            fault::arm(None);
            harness.control_lost().await;
            harness.control_back().await;
            serve(&harness);
            assert!(work(harness.control()).await);
            let view = harness.control().store().view();
            for name in ["a", "b", "c"] {
                assert_eq!(
                    view.databases_named(None, name).count(),
                    1,
                    "{name}, killed at point {points}"
                );
            }
            assert_eq!(view.count::<Database>(), 3);
            let ended = requests(harness.control());
            assert_eq!(ended.len(), names.len());
            for (name, request) in names.iter().zip(&ended) {
                let processed = request.phase == OperationPhase::Processed;
                assert_eq!(
                    processed,
                    *name != "refused",
                    "{name}, killed at point {points}: {:?}",
                    request.phase
                );
            }
            reached
        });
        if !reached {
            break;
        }
        points += 1;
    }
    assert!(points > 12, "only {points} points were passed");
}
