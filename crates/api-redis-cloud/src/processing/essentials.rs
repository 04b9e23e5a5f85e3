//! Essentials subscriptions and their databases: sizes and limits come from plans (specification §12).

use pilothouse_control::{CreateGroup, GroupChange, Processed, RequestOptions, UpdateDatabase};
use pilothouse_model::{Persistence, TlsMode};
use serde_json::json;

use super::databases::{answer, around, check_name, known, locate_active, make, prepare};
use super::subscriptions::{find_active, settling_group};
use super::view::{Subscription, subscriptions};
use super::{Outcome, Task};
use crate::documents::FixedDocument;
use crate::error::TaskError;
use crate::plans::Plan;
use crate::translate::subscription::check_payment;
use crate::translate::{database as asked, show};
use crate::wire::database::DatabaseRequest;
use crate::wire::fixed::{FixedDatabaseFields, FixedSubscriptionRequest};

/// The longest name of a subscription.
const NAME_MAX: usize = 255;

pub(super) async fn create_subscription(task: &Task<'_>) -> Outcome {
    let request: FixedSubscriptionRequest = task.typed()?;
    let missing = |code, what: &str| TaskError::new(code, format!("{what} is missing"));
    let name = request.name.as_deref();
    let name = checked_name(name.ok_or_else(|| missing("FIXED_SUBSCRIPTION_NAME_NOT_PROVIDED", "name"))?)?;
    let wanted = request.plan_id;
    let wanted = wanted.ok_or_else(|| missing("FIXED_SUBSCRIPTION_PLAN_NOT_PROVIDED", "planId"))?;
    let plan = task.app.plans().plan(wanted).cloned().ok_or_else(|| {
        let why = format!("there is no plan {wanted}");
        TaskError::new("FIXED_SUBSCRIPTION_CREATE_PLAN_NOT_FOUND", why)
    })?;
    check_payment(request.payment_method_id)?;
    check_free(task, &plan, request.payment_method_id, None)?;
    let document = FixedDocument {
        plan,
        payment_method: request.payment_method.unwrap_or_default(),
        payment_method_id: request.payment_method_id,
    };
    let caller = settling_group(task);
    let command = CreateGroup {
        name,
        source_allow: Vec::new(),
        documents: vec![document.write()?],
        databases: Vec::new(),
    };
    task.app.control().create_group(&caller, command).await?;
    Ok(Processed::Settled)
}

fn checked_name(name: &str) -> Result<String, TaskError> {
    if name.trim().is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(TaskError::new(
            "FIXED_SUBSCRIPTION_INVALID_NAME",
            "a name has 1 to 255 characters",
        ));
    }
    Ok(name.to_owned())
}

/// Who takes a free plan pays nothing, and has only one.
fn check_free(
    task: &Task<'_>,
    plan: &Plan,
    payment: Option<i64>,
    present: Option<&Subscription>,
) -> Result<(), TaskError> {
    if !plan.is_free() {
        return Ok(());
    }
    if payment.is_some() {
        return Err(TaskError::new(
            "FIXED_PAYMENT_INFO_NOT_ALLOWED_IN_FREE_FIXED_PLAN",
            "a free plan has no payment method",
        ));
    }
    let all = subscriptions(task.app, &task.caller());
    let others = all
        .iter()
        .filter(|found| present.is_none_or(|present| present.number != found.number));
    let mut plans = others.filter_map(|found| found.fixed.as_ref());
    if plans.any(|fixed| fixed.plan.is_free()) {
        return Err(TaskError::new(
            "FIXED_SUBSCRIPTION_ACCOUNT_ALREADY_HAS_A_FREE_PLAN",
            "an account has one free subscription",
        ));
    }
    Ok(())
}

/// The subscription that the task is about, with what is known of it.
fn find_own(task: &Task<'_>) -> Result<(Subscription, FixedDocument), TaskError> {
    let found = find_active(task)?;
    let document = found.fixed.clone();
    let document = document.ok_or_else(|| TaskError::new("GENERAL_ERROR", "a subscription without a plan"))?;
    Ok((found, document))
}

pub(super) async fn update_subscription(task: &Task<'_>) -> Outcome {
    let request: FixedSubscriptionRequest = task.typed()?;
    let (found, mut document) = find_own(task)?;
    let id = found
        .id
        .ok_or_else(|| TaskError::new("GENERAL_ERROR", "a subscription without a group"))?;
    check_payment(request.payment_method_id)?;
    if let Some(method) = request.payment_method {
        document.payment_method = method;
    }
    if request.payment_method_id.is_some() {
        document.payment_method_id = request.payment_method_id;
    }
    let changes_plan = request.plan_id.is_some_and(|wanted| wanted != document.plan.id);
    if let Some(wanted) = request.plan_id.filter(|_| changes_plan) {
        document.plan = other_plan(task, &document.plan, wanted)?;
        check_free(task, &document.plan, request.payment_method_id, Some(&found))?;
        if document.plan.is_free() {
            document.payment_method_id = None;
        }
    }
    let group = GroupChange {
        name: request.name.as_deref().map(checked_name).transpose()?,
        documents: vec![document.write()?],
        ..GroupChange::default()
    };
    let caller = task.settling(json!({ "resourceId": found.number }));
    let living = found.databases.iter().find(|view| view.database.deleted_at.is_none());
    match living.filter(|_| changes_plan) {
        Some(view) => {
            let command = resized(view, &document.plan)?;
            let control = task.app.control();
            control
                .update_database_and_group(&caller, view.database.id, command, group)
                .await?;
        }
        None => task.app.control().update_group(&caller, id, group).await?,
    }
    Ok(Processed::Settled)
}

fn other_plan(task: &Task<'_>, present: &Plan, wanted: u64) -> Result<Plan, TaskError> {
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    match task.app.plans().plan(wanted) {
        None => refused("FIXED_SUBSCRIPTION_UPDATE_INVALID_PLAN", "there is no such plan"),
        Some(plan) if plan.provider != present.provider => refused(
            "FIXED_MISMATCH_BETWEEN_REQUEST_PLAN_CLOUD_PROVIDER_AND_SUBSCRIPTION_CLOUD_PROVIDER",
            "a subscription stays with its provider",
        ),
        Some(plan) if plan.region != present.region => refused(
            "FIXED_MISMATCH_BETWEEN_REQUEST_PLAN_REGION_AND_SUBSCRIPTION_REGION",
            "a subscription stays in its region",
        ),
        Some(plan) => Ok(plan.clone()),
    }
}

/// The database as the other plan has it.
fn resized(view: &pilothouse_control::DatabaseView, plan: &Plan) -> Result<UpdateDatabase, TaskError> {
    let database = &view.database;
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    if show::used_bytes(view) > plan.dataset_bytes() {
        return refused(
            "FIXED_SUBSCRIPTION_PLAN_SIZE_SMALLER_THEN_CURRENT_SUBSCRIPTION_USAGE",
            "the data would not fit any more",
        );
    }
    let mut spec = database.spec.clone();
    if (spec.replicas > 0 && !plan.replication) || (spec.persistence != Persistence::Disabled && !plan.persistence) {
        return refused(
            "FIXED_SUBSCRIPTION_UPDATE_INVALID_PLAN",
            "the database has a replica or keeps its data on disk, which the plan has not",
        );
    }
    if spec.network.tls == TlsMode::Enabled && !plan.has_extras() {
        return refused("FIXED_SUBSCRIPTION_PLAN_NOT_SUPPORT_TLS", "the database has TLS");
    }
    if spec.replica_of.is_some() && !plan.has_extras() {
        return refused(
            "FIXED_SUBSCRIPTION_PLAN_NOT_SUPPORT_REPLICA_OF",
            "the database follows another",
        );
    }
    if spec.network.source_allow.len() > plan.sources_max() {
        return refused(
            "FIXED_SUBSCRIPTION_PLAN_MAX_SOURCE_IPS_IS_SMALLER_THEN_ONE_OF_EXISTING_DATABSE_SOURCE_IPS",
            "the database lets in more source addresses",
        );
    }
    spec.memory_bytes = plan.dataset_bytes() * (1 + u64::from(spec.replicas));
    spec.network.max_connections = plan.connections();
    asked::check_plan(&spec, plan)?;
    Ok(UpdateDatabase {
        name: database.name.clone(),
        spec,
        expected_generation: database.generation,
        documents: Vec::new(),
    })
}

pub(super) async fn create_database(task: &Task<'_>) -> Outcome {
    let request: DatabaseRequest = task.typed()?;
    let fields: FixedDatabaseFields = task.typed()?;
    let (found, document) = find_own(task)?;
    asked::refuse_what_plans_lack(&request, fields)?;
    let living = found.databases.iter().filter(|view| view.database.deleted_at.is_none());
    if living.count() >= document.plan.databases_max() {
        return Err(TaskError::new(
            "FIXED_DATABASE_FIXED_SUBSCRIPTION_REACHED_MAX_DATABASES_COUNT",
            "the plan has no room for another database",
        ));
    }
    if request.name.is_none() {
        return Err(TaskError::new("FIXED_DATABASE_NAME_IS_MISSING", "name is missing"));
    }
    let drafted = asked::create(&request, &around(task, &found)?)?;
    check_name(&found, drafted.name.as_str(), None)?;
    asked::check_plan(&drafted.spec, &document.plan)?;
    make(task, &found, drafted).await
}

pub(super) async fn update_database(task: &Task<'_>) -> Outcome {
    let request: DatabaseRequest = task.typed()?;
    let fields: FixedDatabaseFields = task.typed()?;
    let (_, document) = find_own(task)?;
    asked::refuse_what_plans_lack(&request, fields)?;
    let (found, view) = locate_active(task)?;
    let drafted = asked::update(&request, &view.database, &known(task, &view), &around(task, &found)?)?;
    check_name(&found, drafted.name.as_str(), Some(&view))?;
    asked::check_plan(&drafted.spec, &document.plan)?;
    prepare(task, &drafted.spec, Some(&view.database.spec)).await?;
    let command = UpdateDatabase {
        name: drafted.name,
        spec: drafted.spec,
        expected_generation: view.database.generation,
        documents: vec![drafted.document.write()?],
    };
    let caller = task.settling(answer(task));
    task.app
        .control()
        .update_database(&caller, view.database.id, command, RequestOptions::PROCESSED)
        .await?;
    Ok(Processed::Settled)
}
