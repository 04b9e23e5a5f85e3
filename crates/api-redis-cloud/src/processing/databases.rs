//! Databases of subscriptions (specification §4, §10).

use pilothouse_control::{
    Caller, CreateDatabase, DatabaseView, Processed, RequestOptions, UpdateDatabase, UpgradeDatabase,
};
use pilothouse_model::{DatabaseName, DatabaseSpec, Lifecycle, Subject, TlsMode};
use serde_json::{Value, json};

use super::subscriptions::{check_pending, find, find_active};
use super::view::Subscription;
use super::{Outcome, Task};
use crate::documents::{self, DatabaseDocument};
use crate::error::TaskError;
use crate::ids;
use crate::translate::database::{self as asked, Around};
use crate::translate::{show, size};
use crate::wire::database::{DatabaseRequest, Throughput, ThroughputBy};

pub(super) async fn create(task: &Task<'_>) -> Outcome {
    let request: DatabaseRequest = task.typed()?;
    let found = find_active(task)?;
    let mut drafted = asked::create(&request, &around(task, &found)?)?;
    check_name(&found, drafted.name.as_str(), None)?;
    if request.dry_run == Some(true) {
        let region = found.document.as_ref().map_or("us-east-1", |document| &document.region);
        let price = show::price(drafted.name.as_str(), region, &drafted.spec);
        return Ok(Processed::Answered(json!({ "resource": { "pricing": [price] } })));
    }
    drafted.document.steps = growth(task, &found, drafted.spec.memory_bytes);
    drafted.document.holds_subscription = drafted.document.steps > 0;
    if drafted.document.holds_subscription {
        check_pending(task, Some(found.number))?;
    }
    make(task, &found, drafted).await
}

/// Makes a database that was checked; the task is answered in the commit that makes it.
pub(super) async fn make(task: &Task<'_>, found: &Subscription, drafted: asked::Drafted) -> Outcome {
    prepare(task, &drafted.spec, None).await?;
    let caller = settling_creation(task, found, &drafted.name);
    let command = CreateDatabase {
        name: drafted.name,
        spec: drafted.spec,
        group: found.id,
        wire_id: None,
        documents: vec![drafted.document.write()?],
    };
    task.app
        .control()
        .create_database(&caller, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

/// The caller of a command that makes a database of that name: the task is answered with its number.
fn settling_creation(task: &Task<'_>, found: &Subscription, name: &DatabaseName) -> Caller {
    let (number, group, name) = (found.number, found.id, name.clone());
    let tenant = task.pending.operation.tenant;
    task.settling_with(move |view| {
        let made = view
            .databases_named(Some(tenant), name.as_str())
            .filter(|database| database.group == group && database.deleted_at.is_none())
            .last()
            .map(|database| database.id);
        let made = made.and_then(|id| view.wire_number(ids::DATABASE, &Subject::Database(id)));
        json!({ "resourceId": made, "additionalResourceId": number })
    })
}

/// What a database must find when it comes: a certificate to show with TLS, and a place that takes its backups. A place is tried when it is
/// named, not first when a backup is due.
pub(super) async fn prepare(
    task: &Task<'_>,
    wanted: &DatabaseSpec,
    before: Option<&DatabaseSpec>,
) -> Result<(), TaskError> {
    if wanted.network.tls == TlsMode::Enabled {
        task.app.ensure_endpoint_certificate().await?;
    }
    let place = |spec: &DatabaseSpec| spec.backup.as_ref().map(|backup| backup.location.clone());
    match &wanted.backup {
        Some(backup) if backup.enabled && before.and_then(place).as_ref() != Some(&backup.location) => {
            Ok(task.app.control().check_writable(&backup.location).await?)
        }
        _ => Ok(()),
    }
}

/// Steps of capacity that the subscription must grow by to hold so many bytes more.
fn growth(task: &Task<'_>, found: &Subscription, more: u64) -> u32 {
    let Some(document) = &found.document else { return 0 };
    let grown: u32 = found
        .databases
        .iter()
        .filter_map(|view| documents::database(task.app.control(), view.database.id))
        .map(|document| document.steps)
        .sum();
    let needed = size::steps(found.bytes() + more, task.app.options().capacity_step_gb);
    needed.saturating_sub(document.steps.saturating_add(grown))
}

pub(super) fn around<'a>(task: &'a Task<'_>, found: &'a Subscription) -> Result<Around<'a>, TaskError> {
    let allowed = found.document.as_ref().map(asked::allowed).transpose()?;
    Ok(Around {
        control: task.app.control(),
        allowed: allowed.unwrap_or_default(),
        plan: found.fixed.as_ref().map(|fixed| &fixed.plan),
    })
}

pub(super) fn check_name(found: &Subscription, name: &str, but: Option<&DatabaseView>) -> Result<(), TaskError> {
    let taken = found
        .databases
        .iter()
        .filter(|view| view.database.deleted_at.is_none())
        .filter(|view| but.is_none_or(|but| but.database.id != view.database.id))
        .any(|view| view.database.name.as_str() == name);
    if taken {
        let why = format!("subscription {} has a database {name} already", found.number);
        return Err(TaskError::new("DATABASE_NAME_EXISTS", why));
    }
    Ok(())
}

/// The database that the task is about, in the subscription that it is about.
pub(super) fn locate(task: &Task<'_>, found: &Subscription) -> Result<DatabaseView, TaskError> {
    let number = task.database.unwrap_or(0);
    found
        .databases
        .iter()
        .find(|view| ids::of_database(task.app.control(), view.database.id) == number)
        .cloned()
        .ok_or_else(|| {
            let why = format!("there is no database {number} in subscription {}", found.number);
            TaskError::new("DATABASE_NOT_FOUND", why)
        })
}

/// One that may be changed now (§4, V5 and V6).
pub(super) fn locate_active(task: &Task<'_>) -> Result<(Subscription, DatabaseView), TaskError> {
    let found = find_active(task)?;
    let view = locate(task, &found)?;
    if view.lifecycle != Lifecycle::Active {
        let state = crate::state::database(&view);
        let why = format!("database {} is {state}", task.database.unwrap_or(0));
        return Err(TaskError::new("DATABASE_NOT_ACTIVE", why));
    }
    Ok((found, view))
}

pub(super) fn answer(task: &Task<'_>) -> Value {
    json!({ "resourceId": task.database, "additionalResourceId": task.subscription })
}

/// What this API knows of a database; of one that was made elsewhere, what it would say of a new one.
pub(super) fn known(task: &Task<'_>, view: &DatabaseView) -> DatabaseDocument {
    documents::database(task.app.control(), view.database.id).unwrap_or_else(|| DatabaseDocument {
        throughput: Throughput {
            by: ThroughputBy::OperationsPerSecond,
            value: 1000,
        },
        resp_version: "resp2".to_owned(),
        auto_minor_version_upgrade: true,
        alerts: Vec::new(),
        source_ip: view
            .database
            .spec
            .network
            .source_allow
            .iter()
            .map(ToString::to_string)
            .collect(),
        steps: 0,
        holds_subscription: false,
        tags: Vec::new(),
        protocol: None,
    })
}

pub(super) async fn update(task: &Task<'_>) -> Outcome {
    let request: DatabaseRequest = task.typed()?;
    let (found, view) = locate_active(task)?;
    let database = &view.database;
    let drafted = asked::update(&request, database, &known(task, &view), &around(task, &found)?)?;
    check_name(&found, drafted.name.as_str(), Some(&view))?;
    let room = |spec: &DatabaseSpec| spec.memory_bytes / (1 + u64::from(spec.replicas));
    if room(&drafted.spec) < room(&database.spec) && show::used_bytes(&view) > room(&drafted.spec) {
        return Err(TaskError::new(
            "DATABASE_SIZE_SMALLER_THAN_USAGE",
            "the data would not fit any more",
        ));
    }
    if request.dry_run == Some(true) {
        let region = found.document.as_ref().map_or("us-east-1", |document| &document.region);
        let price = show::price(drafted.name.as_str(), region, &drafted.spec);
        return Ok(Processed::Answered(json!({ "resource": { "pricing": [price] } })));
    }
    prepare(task, &drafted.spec, Some(&database.spec)).await?;
    let command = UpdateDatabase {
        name: drafted.name,
        spec: drafted.spec,
        expected_generation: database.generation,
        documents: vec![drafted.document.write()?],
    };
    let caller = task.settling(answer(task));
    task.app
        .control()
        .update_database(&caller, database.id, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

pub(super) async fn delete(task: &Task<'_>) -> Outcome {
    let found = find(task)?;
    let view = locate(task, &found)?;
    // What could not be made or is lost can always be removed, whatever its subscription waits for.
    let broken = matches!(view.lifecycle, Lifecycle::CreationFailed | Lifecycle::Recovery);
    if !broken {
        locate_active(task)?;
    }
    let caller = task.settling(answer(task));
    task.app
        .control()
        .delete_database(&caller, view.database.id, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

pub(super) async fn flush(task: &Task<'_>) -> Outcome {
    let (_, view) = locate_active(task)?;
    let caller = task.settling(answer(task));
    task.app
        .control()
        .flush_database(&caller, view.database.id, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}

pub(super) async fn upgrade(task: &Task<'_>) -> Outcome {
    let (_, view) = locate_active(task)?;
    let wanted = task
        .body
        .get("targetRedisVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let invalid = |why: &str| TaskError::new("DATABASE_UPGRADE_INVALID_REDIS_VERSION", why);
    let version = asked::version(Some(wanted), task.app.control()).map_err(|error| invalid(&error.description))?;
    if version <= view.database.spec.version {
        return Err(invalid("the database runs this version or a newer one"));
    }
    let command = UpgradeDatabase {
        version: Some(version),
        force_restart: false,
        may_discard_data: false,
    };
    let caller = task.settling(answer(task));
    task.app
        .control()
        .upgrade_database(&caller, view.database.id, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}
