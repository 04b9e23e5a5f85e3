//! Subscriptions: made with their databases, changed, removed (specification §4, §9, §13).

use std::time::Duration;

use pilothouse_control::{Caller, CreateDatabase, CreateGroup, GroupChange, Processed};
use pilothouse_model::{Cidr, DatabaseName, Subject};
use serde_json::{Value, json};

use super::databases::prepare;
use super::view::{Subscription, subscription, subscriptions};
use super::{Outcome, Task};
use crate::call::Family;
use crate::documents::{self, SubscriptionDocument};
use crate::error::TaskError;
use crate::ids;
use crate::state;
use crate::translate::database::{self as asked, Around};
use crate::translate::{show, size, subscription as wanted};
use crate::wire::database::DatabaseRequest;
use crate::wire::subscription::SubscriptionRequest;

/// How long a removed subscription is shown as `deleting`: one client looks for that word only after ten seconds (§4, V9).
const FAREWELL: Duration = Duration::from_secs(15);

pub(super) async fn create(task: &Task<'_>) -> Outcome {
    let request: SubscriptionRequest = task.typed()?;
    let cloud_accounts = documents::cloud_accounts(task.app.control(), task.pending.operation.tenant);
    let mut document = wanted::create(&request, &cloud_accounts)?;
    let around = Around {
        control: task.app.control(),
        allowed: asked::allowed(&document)?,
        plan: None,
    };
    let plan = plan(&request, &around)?;
    let bytes: u64 = plan.iter().map(|drafted| drafted.spec.memory_bytes).sum();
    if request.dry_run == Some(true) {
        let pricing = plan
            .iter()
            .map(|drafted| show::price(drafted.name.as_str(), &document.region, &drafted.spec));
        return Ok(Processed::Answered(
            json!({ "resource": { "pricing": pricing.collect::<Vec<Value>>() } }),
        ));
    }
    check_pending(task, None)?;
    for drafted in &plan {
        prepare(task, &drafted.spec, None).await?;
    }
    document.steps = size::steps(bytes, task.app.options().capacity_step_gb);
    let databases = plan
        .into_iter()
        .map(|mut drafted| {
            drafted.document.holds_subscription = true;
            Ok(CreateDatabase {
                name: drafted.name,
                spec: drafted.spec,
                group: None,
                wire_id: None,
                documents: vec![drafted.document.write()?],
            })
        })
        .collect::<Result<Vec<_>, TaskError>>()?;
    let caller = settling_group(task);
    let command = CreateGroup {
        name: request
            .name
            .unwrap_or_else(|| format!("subscription-{}", task.pending.operation.id)),
        source_allow: around.allowed,
        documents: vec![document.write()?],
        databases,
    };
    task.app.control().create_group(&caller, command).await?;
    Ok(Processed::Settled)
}

/// The databases that the subscription begins with.
fn plan(request: &SubscriptionRequest, around: &Around<'_>) -> Result<Vec<asked::Drafted>, TaskError> {
    let mut plan: Vec<asked::Drafted> = Vec::new();
    for database in request.databases.iter().flatten() {
        let quantity = database.quantity.unwrap_or(1);
        if !(1..=10).contains(&quantity) {
            return Err(TaskError::new(
                "DATABASE_INVALID_QUANTITY",
                "a quantity lies between 1 and 10",
            ));
        }
        let database = DatabaseRequest {
            redis_version: database.redis_version.clone().or_else(|| request.redis_version.clone()),
            ..database.clone()
        };
        for number in 1..=quantity {
            let mut drafted = asked::create(&database, around)?;
            if quantity > 1 {
                let name = format!("{}-{number}", drafted.name);
                drafted.name = DatabaseName::parse(name)
                    .map_err(|error| TaskError::new("DATABASE_INVALID_NAME", error.to_string()))?;
            }
            if plan.iter().any(|other| other.name == drafted.name) {
                let why = format!("two databases would be called {}", drafted.name);
                return Err(TaskError::new("DATABASE_NAME_DUPLICATE", why));
            }
            plan.push(drafted);
        }
    }
    Ok(plan)
}

/// At most so many subscriptions of an account are non-active at once (§4, V3).
pub(super) fn check_pending(task: &Task<'_>, but: Option<u64>) -> Result<(), TaskError> {
    let non_active = subscriptions(task.app, &task.caller())
        .into_iter()
        .filter(|found| Some(found.number) != but)
        .filter(|found| {
            matches!(
                found.state,
                state::Subscription::Pending | state::Subscription::Deleting
            )
        })
        .count();
    let limit = task.app.options().pending_subscriptions;
    if non_active < limit {
        return Ok(());
    }
    let why = format!("{non_active} subscriptions are not active yet, and {limit} may be so at once");
    Err(TaskError::new("TOO_MANY_PENDING_SUBSCRIPTIONS", why))
}

/// The subscription that the task is about.
pub(super) fn find(task: &Task<'_>) -> Result<Subscription, TaskError> {
    let number = task.subscription.unwrap_or(0);
    let found = subscription(task.app, &task.caller(), number);
    let found =
        found.ok_or_else(|| TaskError::new("SUBSCRIPTION_NOT_FOUND", format!("there is no subscription {number}")))?;
    match (task.family, found.family()) {
        (Family::Essentials, Family::Pro) => Err(TaskError::new(
            when_pro(&task.command),
            format!("{number} is a Pro subscription"),
        )),
        (Family::Pro, Family::Essentials) => {
            let why = format!("{number} is an Essentials subscription");
            Err(TaskError::new("SUBSCRIPTION_NOT_FOUND", why))
        }
        _ => Ok(found),
    }
}

/// What a command on Essentials subscriptions ends with when it meets a Pro one.
fn when_pro(command: &str) -> &'static str {
    match command {
        "subscriptionUpdateRequest" => "UPDATING_A_FIXED_SUBSCRIPTION_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "subscriptionDeleteRequest" => "DELETING_A_FIXED_SUBSCRIPTION_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "databaseCreateRequest" => "CREATING_FIXED_DATABASE_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "databaseUpdateRequest" => "UPDATING_FIXED_DATABASE_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "databaseDeleteRequest" => "DELETING_FIXED_DATABASE_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "databaseBackupRequest" => "BACKUP_A_FIXED_DATABASE_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        "databaseImportRequest" => "IMPORT_A_FIXED_DATABASE_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION",
        _ => "SUBSCRIPTION_NOT_FOUND",
    }
}

/// One that may be changed now (§4, V5).
pub(super) fn find_active(task: &Task<'_>) -> Result<Subscription, TaskError> {
    let found = find(task)?;
    if found.state != state::Subscription::Active {
        let why = format!("subscription {} is {}", found.number, found.state.as_str());
        return Err(TaskError::new("SUBSCRIPTION_NOT_ACTIVE", why));
    }
    Ok(found)
}

/// One that may be changed now and is not the one that holds what was made elsewhere.
pub(super) fn find_own(
    task: &Task<'_>,
) -> Result<(Subscription, pilothouse_model::GroupId, SubscriptionDocument), TaskError> {
    let found = find_active(task)?;
    let fixed = || {
        TaskError::new(
            "BAD_REQUEST",
            "this subscription holds what was made elsewhere and cannot be changed",
        )
    };
    let id = found.id.ok_or_else(fixed)?;
    let document = found.document.clone().ok_or_else(fixed)?;
    Ok((found, id, document))
}

pub(super) async fn update(task: &Task<'_>) -> Outcome {
    let request: SubscriptionRequest = task.typed()?;
    let (found, id, mut document) = find_own(task)?;
    wanted::check_payment(request.payment_method_id)?;
    if let Some(method) = request.payment_method {
        document.payment_method = method;
    }
    if request.payment_method_id.is_some() {
        document.payment_method_id = request.payment_method_id;
    }
    if let Some(access) = request.public_endpoint_access {
        document.public_endpoint_access = access;
    }
    let change = GroupChange {
        name: request.name,
        source_allow: Some(checked_sources(&found, &document)?),
        documents: vec![document.write()?],
    };
    let caller = task.settling(json!({ "resourceId": found.number }));
    task.app.control().update_group(&caller, id, change).await?;
    Ok(Processed::Settled)
}

pub(super) async fn delete(task: &Task<'_>) -> Outcome {
    let found = find(task)?;
    let Some(id) = found.id else {
        return Err(TaskError::new(
            "SUBSCRIPTION_IN_USE",
            "this subscription holds what was made elsewhere and cannot be removed",
        ));
    };
    if matches!(
        found.state,
        state::Subscription::Pending | state::Subscription::Deleting
    ) {
        let why = format!("subscription {} is {}", found.number, found.state.as_str());
        return Err(TaskError::new("SUBSCRIPTION_NOT_ACTIVE", why));
    }
    if found.databases.iter().any(|view| view.database.deleted_at.is_none()) {
        let why = format!("subscription {} has databases: delete them first", found.number);
        return Err(TaskError::new("SUBSCRIPTION_IN_USE", why));
    }
    check_pending(task, Some(found.number))?;
    let caller = task.settling(json!({ "resourceId": found.number }));
    task.app.control().delete_group(&caller, id, FAREWELL).await?;
    Ok(Processed::Settled)
}

/// Whom the subscription lets in from now on, which must leave somebody to each of its databases.
pub(super) fn checked_sources(found: &Subscription, document: &SubscriptionDocument) -> Result<Vec<Cidr>, TaskError> {
    let allowed = asked::allowed(document)?;
    let living = found.databases.iter().filter(|view| view.database.deleted_at.is_none());
    for view in living {
        if Cidr::both(&view.database.spec.network.source_allow, &allowed) == [Cidr::NOBODY] {
            let why = format!("nobody could connect to {} any more", view.database.name);
            return Err(TaskError::new("DATABASE_INVALID_SIP", why));
        }
    }
    Ok(allowed)
}

/// The caller of a command that makes a subscription: the task is answered with its number.
pub(super) fn settling_group(task: &Task<'_>) -> Caller {
    let tenant = task.pending.operation.tenant;
    task.settling_with(move |view| {
        // The newest group of the account is the one of this commit.
        let group = view.groups_of_tenant(tenant).last().map(|group| group.id);
        let number = group.and_then(|group| view.wire_number(ids::SUBSCRIPTION, &Subject::Group(group)));
        json!({ "resourceId": number })
    })
}
