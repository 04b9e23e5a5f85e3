//! Databases: list, get, create, update, delete.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_api::{JsonObject, Response};
use pilothouse_control::{
    Accepted, ControlError, CreateDatabase, DatabaseView, DocumentWrite, Field, RequestOptions, UpdateDatabase,
};
use pilothouse_model::{
    AclRuleId, AnswerPoint, BucketName, DatabaseSpec, InstalledEngine, RoleId, Sealed, Secret, Subject,
};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Permission, Principal};
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
pub(crate) use crate::handlers::kept::{Kept, document_of};
use crate::handlers::{machine, nodes};
use crate::ids;
use crate::translate::bdb::{self, Core, Draft, Shown, Surroundings};
use crate::wire::bdb::{Bdb, DOCUMENT, DOCUMENT_VERSION};

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let presenter = Presenter::new(&app, &call.principal);
    let views = app.control().databases(&call.caller);
    let kept: Vec<_> = views.iter().map(|view| Kept::of(&app, view.database.id)).collect();
    let all = || {
        views
            .iter()
            .zip(&kept)
            .map(|(view, kept)| presenter.show(view, kept.object()))
    };
    Ok(match wanted_fields(&call) {
        None => ok(&all().collect::<Vec<_>>()),
        Some(fields) => ok(&all()
            .map(|shown| only(&shown, &fields))
            .collect::<Result<Vec<_>, _>>()?),
    })
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let view = find(&app, &call)?;
    let kept = Kept::of(&app, view.database.id);
    let presenter = Presenter::new(&app, &call.principal);
    let shown = presenter.show(&view, kept.object());
    Ok(match wanted_fields(&call) {
        None => ok(&shown),
        Some(fields) => ok(&only(&shown, &fields)?),
    })
}

/// The object with only the wanted fields.
fn only(shown: &Bdb<'_>, fields: &[&str]) -> Result<JsonObject, Failure> {
    match serde_json::to_value(shown).map_err(Failure::internal)? {
        Value::Object(mut object) => {
            object.retain(|key, _| fields.contains(&key.as_str()));
            Ok(object)
        }
        _ => Ok(JsonObject::new()),
    }
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let body = call.body()?;
    create_from(&app, &call, &body).await
}

/// The newer form wraps the object; the plain one is taken as well.
pub(crate) async fn create_v2(app: App, call: Call) -> Answer {
    let mut body = call.body()?;
    match body.remove("bdb") {
        Some(Value::Object(bdb)) => create_from(&app, &call, &bdb).await,
        Some(_) => Err(Failure::invalid_schema("bdb must be an object")),
        None => create_from(&app, &call, &body).await,
    }
}

async fn create_from(app: &App, call: &Call, body: &JsonObject) -> Answer {
    let draft = with_surroundings(app, |around| bdb::create(body, around))?;
    let command = CreateDatabase {
        name: draft.name,
        spec: draft.spec,
        group: None,
        wire_id: draft.uid.map(Into::into),
        documents: vec![document_write(&draft.document)],
    };
    let room = machine::check(app, None, &command.spec).await?;
    let accepted = app
        .control()
        .create_database_within(&call.caller, command, room, options(call))
        .await;
    let accepted = accepted.map_err(|error| refused(error, true))?;
    Ok(Presenter::new(app, &call.principal).accepted(&accepted, &draft.document))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    check_state_id(&app, &call)?;
    let view = find(&app, &call)?;
    let (accepted, document) = update_from(&app, &call, &view, &call.body()?).await?;
    Ok(Presenter::new(&app, &call.principal).accepted(&accepted, &document))
}

/// Updates a database as a body says; gives what came of it and the document as it now is.
pub(crate) async fn update_from(
    app: &App,
    call: &Call,
    view: &DatabaseView,
    body: &JsonObject,
) -> Result<(Accepted, JsonObject), Failure> {
    let database = &view.database;
    let uid = app.uid(Subject::Database(database.id));
    let document = document_of(app, database.id);
    let draft: Draft = with_surroundings(app, |around| bdb::update(body, database, uid, &document, around))?;
    let room = machine::check(app, Some(database), &draft.spec).await?;
    let command = UpdateDatabase {
        name: draft.name,
        spec: draft.spec,
        expected_generation: database.generation,
        documents: if draft.document == document {
            Vec::new()
        } else {
            vec![document_write(&draft.document)]
        },
    };
    let accepted = app
        .control()
        .update_database_within(&call.caller, database.id, command, room, options(call))
        .await;
    let accepted = accepted.map_err(|error| refused(error, false))?;
    Ok((accepted, draft.document))
}

/// An update and an action in one request. The action comes last, when the change was carried out.
pub(crate) async fn update_with_action(app: App, call: Call) -> Answer {
    let view = find(&app, &call)?;
    let action = call.text("action");
    if !matches!(action, "flush" | "reset_admin_pass") {
        return Err(Failure::bad_request(
            "invalid_schema",
            format!("there is no action {action:?}"),
        ));
    }
    check_state_id(&app, &call)?;
    let body = call.body()?;
    let mut view = view;
    let mut document = document_of(&app, view.database.id);
    if !body.is_empty() {
        let (accepted, changed) = update_from(&app, &call, &view, &body).await?;
        document = changed;
        if let Some(operation) = &accepted.operation {
            app.control().wait_operation(operation.id, EFFECT_TIMEOUT).await;
        }
        if !call.dry_run() {
            view = find(&app, &call)?;
        }
    }
    let accepted = if action == "flush" {
        app.control()
            .flush_database(&call.caller, view.database.id, options(&call))
            .await?
    } else {
        let mut spec = view.database.spec.clone();
        let password = app.control().generate_secret(ADMIN_PASSWORD_LENGTH);
        spec.access.admin_password = app.control().seal(&password);
        change_spec(&app, &call, &view, spec).await?
    };
    Ok(Presenter::new(&app, &call.principal).accepted(&accepted, &document))
}

/// How long a request waits for an effect that it promises to have had when it answers.
pub(crate) const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Length of a generated password of the data-plane user `admin`.
const ADMIN_PASSWORD_LENGTH: usize = 48;

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let view = find(&app, &call)?;
    let operation = app
        .control()
        .delete_database(&call.caller, view.database.id, options(&call))
        .await?;
    Ok(ok(&json!({"action_uid": operation.id})))
}

// What the other handlers of databases share.

/// The database that the path names.
pub(crate) fn find(app: &App, call: &Call) -> Result<DatabaseView, Failure> {
    find_uid(app, call, call.uid("uid")?)
}

/// The database with that uid.
pub(crate) fn find_uid(app: &App, call: &Call, uid: u64) -> Result<DatabaseView, Failure> {
    let unknown = || Failure::not_found("db_not_exist", format!("there is no bdb {uid}"));
    let id = ids::database(app.control(), uid).ok_or_else(unknown)?;
    app.control().database(&call.caller, id).map_err(|_| unknown())
}

/// How a command of this request is to be carried out.
pub(crate) fn options(call: &Call) -> RequestOptions {
    RequestOptions {
        answer: AnswerPoint::Processed,
        dry_run: call.dry_run(),
    }
}

/// Changes what is wanted of a database, and nothing else of it.
pub(crate) async fn change_spec(
    app: &App,
    call: &Call,
    view: &DatabaseView,
    spec: DatabaseSpec,
) -> Result<Accepted, Failure> {
    let command = UpdateDatabase {
        name: view.database.name.clone(),
        spec,
        expected_generation: view.database.generation,
        documents: Vec::new(),
    };
    let accepted = app
        .control()
        .update_database(&call.caller, view.database.id, command, options(call))
        .await;
    accepted.map_err(|error| refused(error, false))
}

/// `{"action_uid": …}` of what was accepted. Where nothing had to be done, the last operation of the database stands in: clients need one.
pub(crate) fn action_uid(app: &App, call: &Call, accepted: &Accepted) -> Response {
    let uid = match &accepted.operation {
        Some(operation) => Some(operation.id),
        None => app
            .control()
            .operations_of(&call.caller, accepted.database.database.id)
            .first()
            .map(|last| last.id),
    };
    ok(&uid.map_or_else(|| json!({}), |uid| json!({"action_uid": uid})))
}

/// Runs a translation with what it needs to know.
pub(crate) fn with_surroundings<T>(app: &App, translate: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    let control = app.control();
    let (settings, engines) = (app.settings(), control.engines());
    let nodes: Vec<u64> = control
        .hosts()
        .iter()
        .map(|host| app.uid(Subject::Host(host.id)))
        .collect();
    let cluster_name = app.cluster_name();
    translate(&Surroundings {
        cluster_name: &cluster_name,
        engines: &engines,
        policy: &settings.policy,
        nodes: &nodes,
        address: control.settings().advertise_address,
        now: control.now(),
        core: app,
    })
}

impl Core for App {
    fn seal(&self, secret: &Secret) -> Sealed {
        self.control().seal(secret)
    }

    fn open(&self, sealed: &Sealed) -> Result<Secret, Failure> {
        Ok(self.control().open(sealed)?)
    }

    fn generate(&self, length: usize) -> Secret {
        self.control().generate_secret(length)
    }

    fn role(&self, uid: u64) -> Option<RoleId> {
        ids::role(self.control(), uid)
    }

    fn acl_rule(&self, uid: u64) -> Option<AclRuleId> {
        ids::acl_rule(self.control(), uid)
    }

    fn s3_url(&self) -> Option<String> {
        let settings = self.settings();
        let url = settings.cluster.get("s3_url").and_then(Value::as_str);
        url.filter(|url| !url.is_empty()).map(str::to_owned)
    }

    fn has_bucket(&self, name: &BucketName) -> bool {
        self.control().configured_bucket(name).is_ok()
    }
}

/// Shows databases to one caller.
pub(crate) struct Presenter<'a> {
    app: &'a App,
    engines: Vec<InstalledEngine>,
    cluster_name: String,
    external_addresses: Vec<IpAddr>,
    may_see_passwords: bool,
}

impl<'a> Presenter<'a> {
    pub(crate) fn new(app: &'a App, principal: &Principal) -> Self {
        let masked = app.settings().cluster_flag("mask_bdb_credentials");
        Self {
            app,
            engines: app.control().engines(),
            cluster_name: app.cluster_name(),
            external_addresses: nodes::external_addresses(app),
            may_see_passwords: principal.may(Permission::ViewDatabasePasswords) && !masked,
        }
    }

    /// The object of a database.
    pub(crate) fn show<'v>(&self, view: &'v DatabaseView, document: &'v JsonObject) -> Bdb<'v> {
        let secrets: Option<&dyn Core> = if self.may_see_passwords { Some(self.app) } else { None };
        let shown = Shown {
            uid: self
                .app
                .control()
                .wire_number(ids::BDB, Subject::Database(view.database.id)),
            shard_uid: &|server| self.app.uid(Subject::Server(server)),
            role_uid: &|role| self.app.uid(Subject::Role(role)),
            acl_uid: &|rule| self.app.uid(Subject::AclRule(rule)),
            engines: &self.engines,
            cluster_name: &self.cluster_name,
            external_addresses: &self.external_addresses,
            secrets,
            source: self.app.control().source_standing(&view.database),
        };
        bdb::show(view, document, &shown)
    }

    /// The answer to a command: the object with the operation that it led to.
    pub(crate) fn accepted(&self, accepted: &Accepted, document: &JsonObject) -> Response {
        let mut view = accepted.database.clone();
        if let Some(operation) = &accepted.operation {
            view.operation = Some(Arc::new(operation.clone()));
        }
        let mut shown = self.show(&view, document);
        // Whoever asked wants to follow the operation, also when it was over before the answer was written.
        shown.action_uid = accepted
            .operation
            .as_ref()
            .map(|operation| operation.id.to_string())
            .or(shown.action_uid);
        ok(&shown)
    }
}

/// The names of `?fields=a,b`.
fn wanted_fields(call: &Call) -> Option<Vec<&str>> {
    let fields = call.query("fields").filter(|fields| !fields.is_empty())?;
    Some(fields.split(',').map(str::trim).collect())
}

fn document_write(document: &JsonObject) -> DocumentWrite {
    DocumentWrite {
        kind: DOCUMENT,
        version: DOCUMENT_VERSION,
        body: Value::Object(document.clone()),
    }
}

/// A client may say which state of the cluster it knows; another one by now is a conflict.
fn check_state_id(app: &App, call: &Call) -> Result<(), Failure> {
    let Some(known) = call.request.header("cluster-state-id") else {
        return Ok(());
    };
    if known.trim() == app.control().revision().to_string() {
        return Ok(());
    }
    Err(Failure::conflict(
        "wrong_cluster_state_id",
        "the cluster has changed since the state that cluster-state-id names",
    ))
}

/// A refusal of control, with the code that this API has for a new or a present database.
fn refused(error: ControlError, created: bool) -> Failure {
    let replicas = matches!(
        error,
        ControlError::Invalid {
            field: Field::Replicas,
            ..
        }
    );
    let failure = Failure::from(error);
    if replicas && !created {
        failure.with_code("replication_node_violation")
    } else {
        failure
    }
}
