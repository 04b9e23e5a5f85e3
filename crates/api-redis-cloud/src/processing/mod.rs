//! What the lane of an account does with a task (specification §3, §4): validate, plan, commit. No server is started here.

mod acl;
mod cloud_accounts;
mod databases;
mod essentials;
mod extras;
mod subscriptions;
mod transfers;
pub(crate) mod view;

use async_trait::async_trait;
use pilothouse_control::{Caller, Pending, Processed, Processor, Refusal, TenantScope};
use pilothouse_model::Dialect;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::Family;
use crate::error::TaskError;

/// Processes the tasks of every account.
pub(crate) struct Tasks(App);

impl Tasks {
    /// For this app.
    pub(crate) fn new(app: App) -> Self {
        Self(app)
    }
}

/// How the processing of a task ends.
pub(crate) type Outcome = Result<Processed, TaskError>;

/// A task in hand.
pub(crate) struct Task<'a> {
    pub(crate) app: &'a App,
    pub(crate) pending: &'a Pending,
    /// What is asked, as both kinds of subscription call it.
    pub(crate) command: String,
    /// The kind of subscription that the request speaks of.
    pub(crate) family: Family,
    /// The subscription that the path named.
    pub(crate) subscription: Option<u64>,
    /// The database that the path named.
    pub(crate) database: Option<u64>,
    /// What else the path named.
    pub(crate) id: Option<u64>,
    /// The body.
    pub(crate) body: Value,
}

impl Task<'_> {
    /// Who asked.
    pub(crate) fn caller(&self) -> Caller {
        let operation = &self.pending.operation;
        Caller {
            dialect: Dialect::RedisCloud,
            actor: operation.actor.clone(),
            scope: TenantScope::Only([operation.tenant].into()),
            tenant: operation.tenant,
            settles: None,
        }
    }

    /// Who asked, for the command that carries the task out: it commits this answer along with its change.
    pub(crate) fn settling(&self, answer: Value) -> Caller {
        self.settling_with(move |_| answer.clone())
    }

    /// As [`Task::settling`], with an answer that is worked out of the state with the change in it.
    pub(crate) fn settling_with(
        &self,
        answer: impl Fn(&pilothouse_control::View) -> Value + Send + Sync + 'static,
    ) -> Caller {
        Caller {
            settles: Some(self.pending.settlement(answer)),
            ..self.caller()
        }
    }

    /// The body as a wire type. The handler has read it as one before.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_value(self.body.clone()).map_err(|error| TaskError::new("BAD_REQUEST", error.to_string()))
    }
}

#[async_trait]
impl Processor for Tasks {
    async fn process(&self, pending: &Pending) -> Result<Processed, Refusal> {
        let number = |key: &str| pending.body.get(key).and_then(Value::as_u64);
        let request = pending.operation.request.as_ref();
        let (family, command) = Family::of_command(request.map_or("", |request| request.command.as_str()));
        let task = Task {
            app: &self.0,
            pending,
            command,
            family,
            subscription: number("subscription"),
            database: number("database"),
            id: number("id"),
            body: pending.body.get("body").cloned().unwrap_or_else(|| json!({})),
        };
        Ok(dispatch(&task).await?)
    }
}

async fn dispatch(task: &Task<'_>) -> Outcome {
    match (task.command.as_str(), task.family) {
        ("subscriptionCreateRequest", Family::Essentials) => essentials::create_subscription(task).await,
        ("subscriptionUpdateRequest", Family::Essentials) => essentials::update_subscription(task).await,
        ("databaseCreateRequest", Family::Essentials) => essentials::create_database(task).await,
        ("databaseUpdateRequest", Family::Essentials) => essentials::update_database(task).await,
        (command, _) => dispatch_common(task, command).await,
    }
}

/// What both families have, and what Pro subscriptions alone have: the routes see to that.
async fn dispatch_common(task: &Task<'_>, command: &str) -> Outcome {
    match command {
        "subscriptionCreateRequest" => subscriptions::create(task).await,
        "subscriptionUpdateRequest" => subscriptions::update(task).await,
        "subscriptionDeleteRequest" => subscriptions::delete(task).await,
        "subscriptionMaintenanceWindowsUpdateRequest" => extras::update_maintenance(task).await,
        "subscriptionResourceTagsUpdateRequest" => extras::update_resource_tags(task).await,
        "cidrWhiteListGetRequest" => extras::cidr(task),
        "cidrWhiteListUpdateRequest" => extras::update_cidr(task).await,
        "databaseCreateRequest" => databases::create(task).await,
        "databaseUpdateRequest" => databases::update(task).await,
        "databaseDeleteRequest" => databases::delete(task).await,
        "crdbFlushRequest" => databases::flush(task).await,
        "databaseBackupRequest" => transfers::backup(task).await,
        "databaseBackupStatusRequest" => transfers::backup_status(task),
        "databaseImportRequest" => transfers::import(task).await,
        "databaseImportStatusRequest" => transfers::import_status(task),
        "databaseUpgradeRedisVersionRequest" => databases::upgrade(task).await,
        "aclRedisRuleCreateRequest" => acl::create_rule(task).await,
        "aclRedisRuleUpdateRequest" => acl::update_rule(task).await,
        "aclRedisRuleDeleteRequest" => acl::delete_rule(task).await,
        "aclRoleCreateRequest" => acl::create_role(task).await,
        "aclRoleUpdateRequest" => acl::update_role(task).await,
        "aclRoleDeleteRequest" => acl::delete_role(task).await,
        "aclUserCreateRequest" => acl::create_user(task).await,
        "aclUserUpdateRequest" => acl::update_user(task).await,
        "aclUserDeleteRequest" => acl::delete_user(task).await,
        "cloudAccountCreateRequest" => cloud_accounts::create(task).await,
        "cloudAccountUpdateRequest" => cloud_accounts::update(task).await,
        "cloudAccountDeleteRequest" => cloud_accounts::delete(task).await,
        other => dispatch_absent(task, other),
    }
}

/// Features that are not offered: each is refused in its own way.
fn dispatch_absent(task: &Task<'_>, command: &str) -> Outcome {
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    match command {
        "vpcPeeringGetRequest" => {
            subscriptions::find(task)?;
            Ok(Processed::Answered(json!({ "resource": { "peerings": [] } })))
        }
        "vpcPeeringCreateRequest" => refused(
            "VPC_PEERING_GENERAL_ERROR",
            "there are no cloud networks here: use routes of your network, and the CIDR list of the subscription",
        ),
        "vpcPeeringUpdateRequest" | "vpcPeeringDeleteRequest" => {
            not_there(task, "VPC_PEERING_NOT_FOUND", "there is no such peering")
        }
        "activeActiveVpcPeeringGetRequest" => not_there(
            task,
            "GETTING_ACTIVE_ACTIVE_SUBSCRIPTION_VPC_PEERINGS_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        ),
        "pscServiceGetRequest" => not_there(
            task,
            "PSC_SERVICE_NOT_FOUND",
            "private service connect is not offered here",
        ),
        "privateLinkGetRequest" => not_there(task, "PRIVATE_LINK_NOT_FOUND", "private links are not offered here"),
        "tgwGetRequest" => not_there(task, "TGW_DOES_NOT_EXIST", "transit gateways are not offered here"),
        "activeActiveRegionCreateRequest" => refused(
            "ADDING_REGION_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        ),
        "activeActiveRegionDeleteRequest" => refused(
            "DELETING_REGION_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        ),
        "crdbUpdatePropertiesRequest" => refused(
            "UPDATING_LOCAL_PROPERTIES_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        ),
        other => refused("BAD_REQUEST", &format!("{other} is no command of this version")),
    }
}

/// The end of a task about something that no subscription here has.
fn not_there(task: &Task<'_>, code: &'static str, why: &str) -> Outcome {
    subscriptions::find(task)?;
    Err(TaskError::new(code, why))
}
