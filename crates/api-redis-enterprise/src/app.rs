//! What handlers share, and the way of a request from the toolkit to a handler.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use pilothouse_api::header::{ALLOW, HeaderName, HeaderValue};
use pilothouse_api::{
    Dialect, ListenerControl, Match, Refusal, Request, Response, RouteTable, StatusCode, TlsIdentity, empty_response,
};
use pilothouse_control::{CertificatePair, Control, ControlError, TenantScope};
use pilothouse_model::{ManagementRole, Secret, Subject, Timestamp, User, UserId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alerts::Board;
use crate::auth::{self, Permission};
use crate::call::Call;
use crate::error::Failure;
use crate::ids;
use crate::mail::{self, Outbox, Promises};
use crate::routes::{Handler, ROUTES};
use crate::settings::{Settings, SettingsCache};
use crate::tokens::Tokens;

/// The version that clients see and choose their behaviour by: the family whose registered routes are the widest.
pub const DEFAULT_SOFTWARE_VERSION: &str = "7.22.2-170";

const STATE_ID: HeaderName = HeaderName::from_static("cluster-state-id");
const API_VERSION: &str = "x-api-version";

/// Whose bootstrap request is accepted while there is no cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapPolicy {
    /// One that comes from this machine.
    Loopback,
    /// Anybody's.
    Open,
    /// One with the credentials of the account in the configuration.
    Admin,
}

/// The account of the configuration: superuser once the cluster exists, listed nowhere.
#[derive(Clone, Debug)]
pub struct AdminAccount {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// How the dialect is set up.
#[derive(Clone, Debug)]
pub struct RedisEnterpriseOptions {
    /// The account of the configuration.
    pub admin: AdminAccount,
    /// Who may bootstrap.
    pub bootstrap: BootstrapPolicy,
    /// The tenants whose databases this dialect shows.
    pub tenants: TenantScope,
    /// `software_version` of nodes.
    pub software_version: String,
    /// How many servers the configured ports allow.
    pub servers_max: u64,
}

/// The dialect put together. Cheap to clone.
#[derive(Clone)]
pub struct RedisEnterprise(App);

/// Puts the dialect together. Nothing runs yet, see [`RedisEnterprise::run`].
pub fn dialect(control: Control, options: RedisEnterpriseOptions) -> RedisEnterprise {
    let app = App(Arc::new(Inner {
        settings: SettingsCache::default(),
        tokens: Tokens::default(),
        listeners: ArcSwapOption::empty(),
        last_logins: Mutex::default(),
        tasks: TaskTracker::new(),
        board: Board::default(),
        outbox: Outbox::default(),
        promises: Promises::default(),
        control,
        options,
    }));
    crate::handlers::policy::bring_into_force(&app);
    RedisEnterprise(app)
}

impl RedisEnterprise {
    /// What answers the requests of its listeners.
    pub fn service(&self) -> Arc<dyn Dialect> {
        Arc::new(self.0.clone())
    }

    /// The identity that its TLS listener shows: the certificate `api`, made now when there is none.
    pub async fn tls_identity(&self) -> Result<Arc<TlsIdentity>, ControlError> {
        crate::handlers::certificates::listener_identity(&self.0).await
    }

    /// The identity that its TLS listener shows where the configuration names a certificate. Once a client has set another one through
    /// this API, that one counts.
    ///
    /// # Errors
    /// Chain and key cannot be read or do not belong together.
    pub async fn configured_tls_identity(&self, pair: CertificatePair) -> Result<Arc<TlsIdentity>, ControlError> {
        crate::handlers::certificates::configured_identity(&self.0, pair).await
    }

    /// The port that a client moved the TLS listener to, if one did: it wins over the configuration.
    pub fn stored_https_port(&self) -> Option<u16> {
        self.0.settings().stored_port("cnm_https_port")
    }

    /// The port that a client moved the plain listener to, if one did.
    pub fn stored_http_port(&self) -> Option<u16> {
        self.0.settings().stored_port("cnm_http_port")
    }

    /// Whether a client switched the plain listener on or off: it wins over the configuration.
    pub fn stored_http_support(&self) -> Option<bool> {
        self.0.settings().stored_bool("http_support")
    }

    /// Hands over the listeners, which settings of this API move, open and close. To be called once, before [`Self::run`].
    pub fn attach(&self, https: Arc<dyn ListenerControl>, http: Arc<dyn ListenerControl>) {
        let listeners = Listeners { https, http };
        crate::handlers::cluster::apply_to_listeners(&self.0, &listeners);
        self.0.0.listeners.store(Some(Arc::new(listeners)));
    }

    /// Finishes a bootstrap that was interrupted, then does the background work until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        crate::handlers::bootstrap::resume(&self.0).await;
        tokio::join!(
            crate::alerts::run(&self.0, &stop),
            crate::auto_upgrade::run(&self.0, &stop),
            mail::run(&self.0, &stop)
        );
        // They hold us and we hold them: without this neither would ever go.
        self.0.0.listeners.store(None);
        self.0.0.tasks.close();
        self.0.0.tasks.wait().await;
    }
}

/// The listeners that settings of this API speak about.
pub(crate) struct Listeners {
    pub(crate) https: Arc<dyn ListenerControl>,
    pub(crate) http: Arc<dyn ListenerControl>,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    /// The truth.
    control: Control,
    /// Set-up.
    options: RedisEnterpriseOptions,
    /// Settings of this API, read from their documents once per revision.
    settings: SettingsCache,
    /// Signs and checks tokens.
    tokens: Tokens,
    /// Set once the listeners are bound, until [`RedisEnterprise::run`] ends.
    listeners: ArcSwapOption<Listeners>,
    /// When users last logged in, shown only; not worth a commit per request.
    last_logins: Mutex<HashMap<UserId, Timestamp>>,
    /// Which alerts hold.
    board: Board,
    /// Mail that waits to be sent.
    outbox: Outbox,
    /// Mail that waits for the end of operations.
    promises: Promises,
    /// Owner of the tasks that requests begin and do not wait for.
    tasks: TaskTracker,
}

impl App {
    /// The truth.
    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// The set-up.
    pub(crate) fn options(&self) -> &RedisEnterpriseOptions {
        &self.0.options
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.0.settings.read(&self.0.control)
    }

    /// Whether the cluster exists.
    pub(crate) fn is_member(&self) -> bool {
        self.settings().bootstrap.is_completed()
    }

    /// The name of the cluster; empty before it exists.
    pub(crate) fn cluster_name(&self) -> String {
        self.settings().bootstrap.cluster_name.clone()
    }

    /// Signs and checks tokens.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// The listeners; `None` in tests without any.
    pub(crate) fn listeners(&self) -> Option<Arc<Listeners>> {
        self.0.listeners.load_full()
    }

    /// Which alerts hold.
    pub(crate) fn board(&self) -> &Board {
        &self.0.board
    }

    /// Mail that waits to be sent.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Mail that waits for the end of operations.
    pub(crate) fn promises(&self) -> &Promises {
        &self.0.promises
    }

    /// Owner of tasks that outlive their request.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// The integer of a subject on the wire.
    pub(crate) fn uid(&self, subject: Subject) -> u64 {
        ids::uid(&self.0.control, subject)
    }

    /// What a user may manage: the words of the roles held, or the user's own where none is held.
    pub(crate) fn management_of(&self, user: &User) -> Vec<ManagementRole> {
        if user.roles.is_empty() {
            return vec![user.management];
        }
        user.roles
            .iter()
            .filter_map(|id| self.0.control.role(*id))
            .map(|role| role.management)
            .collect()
    }

    /// Takes note of a login.
    pub(crate) fn note_login(&self, user: UserId) {
        let now = self.0.control.now();
        self.0
            .last_logins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(user, now);
    }

    /// When a user last logged in since our start.
    pub(crate) fn last_login(&self, user: UserId) -> Option<Timestamp> {
        self.0
            .last_logins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&user)
            .copied()
    }
}

impl Dialect for App {
    fn name(&self) -> &'static str {
        pilothouse_model::Dialect::RedisEnterprise.as_str()
    }

    fn answer(self: Arc<Self>, request: Request) -> pilothouse_api::Answer {
        let app = App::clone(&self);
        Box::pin(async move {
            let mut response = match route(&app, request).await {
                Ok(response) => response,
                Err(failure) => failure.into_response(),
            };
            if app.is_member() {
                response
                    .headers_mut()
                    .insert(STATE_ID, HeaderValue::from(app.control().revision()));
            }
            response
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        Failure::from(refusal).into_response()
    }
}

static TABLE: LazyLock<RouteTable<Handler, Permission>> = LazyLock::new(|| RouteTable::new(ROUTES));

/// Leads a request to its handler.
async fn route(app: &App, request: Request) -> Result<Response, Failure> {
    check_api_version(&request)?;
    if !app.is_member() && !works_without_cluster(&request.path) {
        return Err(Failure::unavailable(
            "service_unavailable",
            "this node does not belong to a cluster yet",
        ));
    }
    let found = TABLE.find(&request.method, &request.path);
    let found = found.map_err(|error| Failure::bad_request("bad_request", error.to_string()))?;
    match found {
        Match::Found(route, params) => {
            let principal = auth::admit(app, &request, route.access).await?;
            let caller = principal.caller(app);
            (route.handler.0)(
                app.clone(),
                Call {
                    principal,
                    caller,
                    params,
                    request,
                },
            )
            .await
        }
        Match::Unknown => Err(Failure::unknown_path()),
        // Quirk: the product looks at the action only for PUT; for every other method such a path does not exist.
        Match::Options(path, _) | Match::OtherMethods(path, _) if path == "/v1/bdbs/{uid}/{action}" => {
            Err(Failure::unknown_path())
        }
        Match::Options(_, allow) if !app.settings().options_forbidden() => {
            let mut response = empty_response(StatusCode::OK);
            response.headers_mut().insert(ALLOW, allow.clone());
            Ok(response)
        }
        Match::Options(_, allow) | Match::OtherMethods(_, allow) => {
            let description = format!("{} is not possible here", request.method);
            let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", description);
            let mut response = failure.into_response();
            response.headers_mut().insert(ALLOW, allow.clone());
            Ok(response)
        }
    }
}

fn check_api_version(request: &Request) -> Result<(), Failure> {
    match request.headers.get(API_VERSION).map(HeaderValue::as_bytes) {
        None | Some(b"1" | b"1.0") => Ok(()),
        Some(other) => Err(Failure::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "unsupported_api_version",
            format!(
                "version {} of this API is not offered, only 1",
                String::from_utf8_lossy(other)
            ),
        )),
    }
}

fn works_without_cluster(path: &str) -> bool {
    path == "/v1/bootstrap" || path.starts_with("/v1/bootstrap/") || path.starts_with("/v1/local/")
}
