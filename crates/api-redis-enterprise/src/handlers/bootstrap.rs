//! Bootstrap: making the cluster. Durable from the first answer on, repeated after a crash until it is done.

mod wanted;

use pilothouse_api::Request;
use pilothouse_control::{Control, ControlError, NewUser, UserChange};
use pilothouse_model::{ManagementRole, Subject};
use serde_json::{Value, json};

use crate::app::{App, BootstrapPolicy};
use crate::auth::{Principal, own_caller};
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::{license, nodes};
use crate::settings::{BOOTSTRAP, CLUSTER, POLICY};
use crate::wire::bootstrap::{BootstrapAnswer, BootstrapRecord, BootstrapState, BootstrapStatus};
use crate::{documents, ids, translate};
use wanted::{Wanted, wanted};

/// Name of the first user, as the product calls it.
const FIRST_USER_NAME: &str = "Administrator";

pub(crate) async fn status(app: App, _call: Call) -> Answer {
    Ok(ok(&describe(&app)))
}

pub(crate) async fn create_cluster(app: App, call: Call) -> Answer {
    admit(&app, &call.request)?;
    let wanted = wanted(&app, &call)?;
    begin(&app, wanted).await?;
    let working = app.clone();
    app.tasks().spawn(async move { carry_out(&working).await });
    Ok(ok(&describe(&app)))
}

pub(crate) async fn join_cluster(app: App, call: Call) -> Answer {
    admit(&app, &call.request)?;
    refuse_unless_idle(&app)?;
    Err(Failure::new(
        pilothouse_api::StatusCode::NOT_IMPLEMENTED,
        "unsupported_resource",
        "this installation is a cluster of its own and cannot join another one",
    ))
}

pub(crate) async fn recover_cluster(app: App, call: Call) -> Answer {
    admit(&app, &call.request)?;
    refuse_unless_idle(&app)?;
    Err(Failure::new(
        pilothouse_api::StatusCode::NOT_IMPLEMENTED,
        "unsupported_resource",
        "a cluster is recovered by starting the control plane on its data directory",
    ))
}

pub(crate) async fn validate(app: App, call: Call) -> Answer {
    let failed = |failure: Failure| {
        let status = BootstrapStatus {
            state: BootstrapState::Error,
            start_time: None,
            end_time: None,
            error_code: Some("config_error"),
            error_details: Some(json!({"message": failure.description})),
        };
        Failure::not_acceptable("config_error", failure.description).with_details(json!({ "bootstrap_status": status }))
    };
    match call.text("action") {
        "create_cluster" => wanted(&app, &call).map(|_| ok_empty()).map_err(failed),
        "join_cluster" => Err(failed(Failure::unknown_path().with_code("config_error"))),
        _ => Err(Failure::unknown_path()),
    }
}

/// Finishes what a crash interrupted.
pub(crate) async fn resume(app: &App) {
    if app.settings().bootstrap.is_under_way() {
        tracing::info!("a bootstrap was interrupted and is finished now");
        carry_out(app).await;
    }
}

/// Whether this caller may bootstrap, by the configuration.
fn admit(app: &App, request: &Request) -> Result<(), Failure> {
    if app.is_member() {
        return Ok(());
    }
    let admitted = match app.options().bootstrap {
        BootstrapPolicy::Open => true,
        BootstrapPolicy::Loopback => request.peer.ip().to_canonical().is_loopback(),
        BootstrapPolicy::Admin => Principal::is_configured_admin(app, request),
    };
    if admitted {
        Ok(())
    } else {
        Err(Failure::forbidden(
            "forbidden",
            "the configuration (redis_enterprise.bootstrap) does not let this caller make the cluster",
        ))
    }
}

fn refuse_unless_idle(app: &App) -> Result<(), Failure> {
    match app.settings().bootstrap.state {
        BootstrapState::Idle | BootstrapState::Error => Ok(()),
        _ => Err(already()),
    }
}

fn already() -> Failure {
    Failure::conflict("conflict", "this node belongs to a cluster already, or is about to")
}

/// Makes the wish durable, unless there is a cluster or one on its way.
async fn begin(app: &App, wanted: Wanted) -> Result<(), Failure> {
    let control = app.control();
    let record = BootstrapRecord {
        state: BootstrapState::Initiated,
        cluster_name: wanted.cluster_name,
        started_at: Some(control.now()),
        ended_at: None,
        username: Some(wanted.username),
        password: Some(control.seal(&wanted.password)),
        policy: Some(wanted.policy),
        node: Some(wanted.node),
        license: wanted.license,
        error: None,
    };
    let write = move |current: Option<&Value>| {
        let current: BootstrapRecord = current
            .and_then(|body| serde_json::from_value(body.clone()).ok())
            .unwrap_or_default();
        match current.state {
            BootstrapState::Idle | BootstrapState::Error => {
                serde_json::to_value(record).map_err(ControlError::internal)
            }
            _ => Err(ControlError::Conflict("under way".to_owned())),
        }
    };
    let caller = own_caller(app);
    let written = control
        .update_document(
            &caller,
            Subject::Installation,
            BOOTSTRAP,
            documents::VERSION,
            write,
            None,
        )
        .await;
    written.map(|_| ()).map_err(|error| match error {
        ControlError::Conflict(_) => already(),
        other => other.into(),
    })
}

/// Makes everything that a cluster has. Every step finds out itself whether it was done before.
async fn carry_out(app: &App) {
    let record = app.settings().bootstrap.clone();
    let ended = match build(app, &record).await {
        Ok(()) => BootstrapRecord {
            state: BootstrapState::Completed,
            ended_at: Some(app.control().now()),
            username: None,
            password: None,
            policy: None,
            node: None,
            license: None,
            error: None,
            ..record
        },
        Err(error) => {
            tracing::error!(%error, "the bootstrap failed and can be asked for again");
            BootstrapRecord {
                state: BootstrapState::Error,
                ended_at: Some(app.control().now()),
                password: None,
                error: Some(error.to_string()),
                ..record
            }
        }
    };
    if let Err(error) = write(app, &ended).await {
        tracing::error!(%error, "the end of the bootstrap cannot be stored; it is repeated at the next start");
    }
}

async fn write(app: &App, record: &BootstrapRecord) -> Result<(), ControlError> {
    let body = serde_json::to_value(record).map_err(ControlError::internal)?;
    let caller = own_caller(app);
    let event = record.is_completed().then(|| {
        let message = format!("cluster {} was made", record.cluster_name);
        documents::event(&caller, "cluster-created", Subject::Installation, message)
    });
    let set = move |_: Option<&Value>| Ok(body);
    app.control()
        .update_document(
            &caller,
            Subject::Installation,
            BOOTSTRAP,
            documents::VERSION,
            set,
            event,
        )
        .await
        .map(|_| ())
}

async fn build(app: &App, record: &BootstrapRecord) -> Result<(), ControlError> {
    let under_way = BootstrapRecord {
        state: BootstrapState::CreatingCluster,
        ..record.clone()
    };
    write(app, &under_way).await?;
    app.control().ensure_built_in_access().await?;
    make_first_user(app, record).await?;
    crate::handlers::certificates::make_all(app, &record.cluster_name).await?;
    let created = json!({"created_time": app.control().now()});
    let created = created.as_object().cloned().unwrap_or_default();
    documents::change(app, &own_caller(app), Subject::Installation, CLUSTER, created, None).await?;
    let policy = record
        .policy
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    documents::change(app, &own_caller(app), Subject::Installation, POLICY, policy, None).await?;
    crate::handlers::policy::bring_into_force(app);
    if let Some(node) = &record.node {
        nodes::set_up(app, node).await?;
    }
    if let Some(license) = &record.license {
        license::store(app, &own_caller(app), license).await?;
    }
    Ok(())
}

/// The user with uid 1: made, or given the password that was asked for when an earlier attempt made it.
async fn make_first_user(app: &App, record: &BootstrapRecord) -> Result<(), ControlError> {
    let (Some(username), Some(sealed)) = (&record.username, &record.password) else {
        return Err(ControlError::internal("the record of the bootstrap has no credentials"));
    };
    let control = app.control();
    let password = control.open(sealed)?;
    let caller = own_caller(app);
    let roles = vec![built_in_role(control, ManagementRole::Admin)?];
    match ids::user(control, ids::BOOTSTRAP_USER_UID) {
        Some(id) => {
            let change = UserChange {
                email: Some(username.clone()),
                roles: Some(roles),
                password: Some(password),
                ..UserChange::default()
            };
            control.update_user(&caller, id, change).await?;
        }
        None => {
            let new = NewUser {
                email: username.clone(),
                name: FIRST_USER_NAME.to_owned(),
                management: ManagementRole::Admin,
                roles,
                password: Some(password),
                wire_id: Some((ids::USER, ids::BOOTSTRAP_USER_UID.into())),
                documents: Vec::new(),
            };
            control.create_user(&caller, new).await?;
        }
    }
    Ok(())
}

fn built_in_role(control: &Control, management: ManagementRole) -> Result<pilothouse_model::RoleId, ControlError> {
    let roles = control.roles();
    let role = roles.iter().find(|role| role.built_in && role.management == management);
    role.map(|role| role.id)
        .ok_or_else(|| ControlError::internal("a built-in role is missing"))
}

fn describe(app: &App) -> BootstrapAnswer {
    let control = app.control();
    let record = app.settings().bootstrap.clone();
    BootstrapAnswer {
        bootstrap_status: BootstrapStatus {
            state: record.state,
            start_time: record.started_at.map(|time| time.to_rfc3339_seconds()),
            end_time: record.ended_at.map(|time| time.to_rfc3339_seconds()),
            error_code: record.error.is_some().then_some("internal_error"),
            error_details: record.error.map(|message| json!({ "message": message })),
        },
        local_node_info: translate::node::local_info(
            &control.host_facts(),
            &control.engines(),
            control.settings().advertise_address,
            &app.options().software_version,
            control.now(),
        ),
    }
}
