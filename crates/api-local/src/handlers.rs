//! Handlers: extract, translate, call control, translate.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use pilothouse_control::{Caller, Control, ControlError, DatabaseView as CoreView, EventFilter, Noun, RequestOptions};
use pilothouse_model::{DatabaseId, Lifecycle, OperationId, Subject};
use serde::Deserialize;
use tokio_util::task::TaskTracker;

use crate::auth::Admitted;
use crate::error::Failure;
use crate::extract::{Content, Key, Parameters};
use crate::translate;
use crate::wire::{AcceptedView, CreateRequest, DatabaseView, EventView, LogView, OperationView, UpdateRequest};

type Answer<T> = Result<Json<T>, Failure>;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    /// The truth.
    control: Control,
    /// Owner of commands, which outlive a client that hangs up.
    tasks: TaskTracker,
    /// The account that we run as.
    own_uid: u32,
}

impl App {
    /// Handlers over `control`; commands run as tasks of `tasks`.
    pub(crate) fn new(control: Control, tasks: TaskTracker) -> Self {
        let own_uid = rustix::process::geteuid().as_raw();
        Self(Arc::new(Inner {
            control,
            tasks,
            own_uid,
        }))
    }

    /// The truth.
    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// The account that we run as.
    pub(crate) fn own_uid(&self) -> u32 {
        self.0.own_uid
    }

    /// Runs a command to its end even when the client hangs up: commands are not cancel-safe.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        command: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.0.tasks.spawn(command).await.unwrap_or_else(|failure| {
            tracing::error!(%failure, "a command over the local socket panicked");
            Err(Failure::panicked())
        })
    }

    /// The database of that id or name. Of several with one name, one that is not being deleted counts.
    fn find(&self, caller: &Caller, key: &str) -> Result<CoreView, Failure> {
        if let Ok(id) = DatabaseId::from_str(key) {
            return self
                .control()
                .database(caller, id)
                .map_err(|_| Failure::not_found(Noun::Database, key));
        }
        let mut found = self.control().databases(caller);
        found.retain(|view| view.database.name.as_str() == key);
        if found.iter().any(|view| view.lifecycle != Lifecycle::Deleting) {
            found.retain(|view| view.lifecycle != Lifecycle::Deleting);
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::not_found(Noun::Database, key)),
            _ => Err(Failure::ambiguous(
                key,
                &found
                    .iter()
                    .map(|view| view.database.id.to_string())
                    .collect::<Vec<_>>(),
            )),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    all: bool,
}

/// `GET /databases`
pub(crate) async fn list(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<Vec<DatabaseView>> {
    let databases = app.control().databases(&caller);
    let shown = databases
        .iter()
        .filter(|view| query.all || !matches!(view.lifecycle, Lifecycle::Deleting | Lifecycle::CreationFailed));
    let shown = shown.map(|view| translate::summary(view, app.control().tenant_name(view.database.tenant)));
    Ok(Json(shown.collect()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShowQuery {
    password: bool,
}

/// `GET /databases/{database}`
pub(crate) async fn show(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
    Parameters(query): Parameters<ShowQuery>,
) -> Answer<DatabaseView> {
    let found = app.find(&caller, &key)?;
    let mut shown = translate::whole(&found, app.control().tenant_name(found.database.tenant));
    if query.password {
        let sealed = found.database.spec.access.default_passwords.first();
        let secret = sealed.map(|sealed| app.control().open(sealed)).transpose()?;
        shown.password = Some(secret.map_or_else(String::new, |secret| secret.expose().to_owned()));
    }
    Ok(Json(shown))
}

/// `POST /databases`
pub(crate) async fn create(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Content(request): Content<CreateRequest>,
) -> Answer<AcceptedView> {
    let command = translate::create(app.control(), request)?;
    let control = app.control().clone();
    let accepted = app
        .detached(async move {
            Ok(control
                .create_database(&caller, command, RequestOptions::PROCESSED)
                .await?)
        })
        .await?;
    Ok(Json(translate::accepted(
        accepted.database.database.id.to_string(),
        accepted.operation.as_ref(),
    )))
}

/// `PATCH /databases/{database}`
pub(crate) async fn update(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
    Content(request): Content<UpdateRequest>,
) -> Answer<AcceptedView> {
    let found = app.find(&caller, &key)?.database;
    let command = translate::update(&found, request)?;
    let (control, id) = (app.control().clone(), found.id);
    let accepted = app
        .detached(async move {
            Ok(control
                .update_database(&caller, id, command, RequestOptions::PROCESSED)
                .await?)
        })
        .await?;
    Ok(Json(translate::accepted(id.to_string(), accepted.operation.as_ref())))
}

/// `DELETE /databases/{database}`; asked again it names the operation that is under way.
pub(crate) async fn delete(State(app): State<App>, Admitted(caller): Admitted, Key(key): Key) -> Answer<AcceptedView> {
    let found = app.find(&caller, &key)?.database;
    let (control, id) = (app.control().clone(), found.id);
    let operation = app
        .detached(async move {
            match control.delete_database(&caller, id, RequestOptions::PROCESSED).await {
                Ok(operation) => Ok(Some(operation.id)),
                Err(ControlError::Busy { operation }) if found.deleted_at.is_some() => Ok(operation),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
    Ok(Json(AcceptedView {
        operation: operation.map(|id| id.to_string()),
        database: id.to_string(),
    }))
}

/// `POST /databases/{database}/failover`
pub(crate) async fn fail_over(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
) -> Answer<AcceptedView> {
    let (control, id) = (app.control().clone(), app.find(&caller, &key)?.database.id);
    let accepted = app
        .detached(async move { Ok(control.fail_over(&caller, id, None, RequestOptions::PROCESSED).await?) })
        .await?;
    Ok(Json(translate::accepted(id.to_string(), accepted.operation.as_ref())))
}

/// `POST /databases/{database}/flush`
pub(crate) async fn flush(State(app): State<App>, Admitted(caller): Admitted, Key(key): Key) -> Answer<AcceptedView> {
    let (control, id) = (app.control().clone(), app.find(&caller, &key)?.database.id);
    let accepted = app
        .detached(async move { Ok(control.flush_database(&caller, id, RequestOptions::PROCESSED).await?) })
        .await?;
    Ok(Json(translate::accepted(id.to_string(), accepted.operation.as_ref())))
}

#[derive(Deserialize)]
pub(crate) struct LinesQuery {
    #[serde(default = "default_lines")]
    lines: usize,
}

const fn default_lines() -> usize {
    50
}

/// Nobody reads more, and a terminal forgets it.
const LINES_MAX: usize = 10_000;

/// `GET /databases/{database}/events`; by id also of a database that is gone.
pub(crate) async fn events(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
    Parameters(query): Parameters<LinesQuery>,
) -> Answer<Vec<EventView>> {
    let id = match DatabaseId::from_str(&key) {
        Ok(id) => id,
        Err(_) => app.find(&caller, &key)?.database.id,
    };
    let filter = EventFilter {
        subject: Some(Subject::Database(id)),
        ..EventFilter::default()
    };
    Ok(newest_events(&app, &caller, &filter, query.lines))
}

/// `GET /events`: those of every database, and those that belong to none, such as the gateway's.
pub(crate) async fn all_events(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Parameters(query): Parameters<LinesQuery>,
) -> Answer<Vec<EventView>> {
    Ok(newest_events(&app, &caller, &EventFilter::default(), query.lines))
}

fn newest_events(app: &App, caller: &Caller, filter: &EventFilter, lines: usize) -> Json<Vec<EventView>> {
    let events = app.control().events(caller, filter);
    let newest = &events[events.len().saturating_sub(lines.min(LINES_MAX))..];
    Json(newest.iter().map(|event| translate::event(event)).collect())
}

/// `GET /databases/{database}/logs`
pub(crate) async fn logs(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
    Parameters(query): Parameters<LinesQuery>,
) -> Answer<Vec<LogView>> {
    let database = app.find(&caller, &key)?.database;
    let mut logs = Vec::new();
    for server in database.layout.servers() {
        logs.push(LogView {
            server: server.id.to_string(),
            role: translate::role(&database, server.id).to_owned(),
            lines: app
                .control()
                .server_log(&caller, server.id, query.lines.min(LINES_MAX))
                .await?,
        });
    }
    Ok(Json(logs))
}

/// `GET /operations/{operation}`
pub(crate) async fn operation(
    State(app): State<App>,
    Admitted(caller): Admitted,
    Key(key): Key,
) -> Answer<OperationView> {
    let found = OperationId::from_str(&key)
        .ok()
        .and_then(|id| app.control().operation(&caller, id));
    let found = found.ok_or_else(|| Failure::not_found(Noun::Operation, &key))?;
    Ok(Json(translate::operation(&found)))
}

/// `POST /seed/{dialect}`: no dialect of this version has sample data.
pub(crate) async fn seed(_: State<App>, _: Admitted, Key(dialect): Key) -> Answer<AcceptedView> {
    Err(Failure::unsupported(&format!(
        "the dialect {dialect} is not part of this version, so there is nothing to fill"
    )))
}
