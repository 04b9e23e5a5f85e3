//! What handlers share, and the way of a request from the toolkit to a handler.

use std::sync::{Arc, LazyLock};

use pilothouse_api::header::{ALLOW, HOST, HeaderName, HeaderValue};
use pilothouse_api::{Dialect, Match, Refusal, Request, Response, RouteTable, StatusCode, self_signed};
use pilothouse_control::{
    Caller, CertificatePair, Control, ControlError, ENDPOINT_CERTIFICATE, IssuedKeys, NewKeyAccount, TenantScope,
};
use pilothouse_model::{Secret, TenantName};
use tokio_util::sync::CancellationToken;

use crate::auth::{self, Permission};
use crate::call::Call;
use crate::error::Failure;
use crate::plans::{Catalogue, PlanOffer};
use crate::processing::Tasks;
use crate::rates::Rates;
use crate::routes::{Handler, ROUTES};

/// How many requests the account has left in this minute: one client paces itself by it.
const REMAINING: HeaderName = HeaderName::from_static("x-rate-limit-remaining");

/// An account of the configuration.
#[derive(Clone, Debug)]
pub struct ConfiguredAccount {
    /// Its name.
    pub name: String,
    /// The tenant that it is a view of.
    pub tenant: Option<TenantName>,
    /// The key that names it.
    pub access_key: Secret,
    /// Its first secret key.
    pub secret_key: Secret,
}

/// How the dialect is set up.
#[derive(Clone, Debug)]
pub struct RedisCloudOptions {
    /// Subscriptions of an account that may be non-active at once.
    pub pending_subscriptions: usize,
    /// The step in which a subscription reserves capacity, GiB.
    pub capacity_step_gb: u32,
    /// Requests of an account in a minute; 0 for no limit.
    pub rate_limit_per_minute: u32,
    /// Plans of Essentials subscriptions; empty for those that are on offer where nothing is said.
    pub plans: Vec<PlanOffer>,
}

/// The dialect put together. Cheap to clone.
#[derive(Clone)]
pub struct RedisCloud(App);

/// Puts the dialect together. Nothing runs yet, see [`RedisCloud::begin`].
pub fn dialect(control: Control, options: RedisCloudOptions) -> RedisCloud {
    RedisCloud(App(Arc::new(Inner {
        rates: Rates::new(options.rate_limit_per_minute),
        plans: Catalogue::new(&options.plans),
        control,
        options,
    })))
}

impl RedisCloud {
    /// What answers the requests of its listeners.
    pub fn service(&self) -> Arc<dyn Dialect> {
        Arc::new(self.0.clone())
    }

    /// Makes the accounts of the configuration that are not there yet; the first account where there is none. Returns the keys that were
    /// generated: they are kept nowhere.
    pub async fn ensure_accounts(
        &self,
        configured: Vec<ConfiguredAccount>,
    ) -> Result<Option<IssuedKeys>, ControlError> {
        let control = self.0.control();
        for account in configured {
            let known = control.key_accounts(pilothouse_model::Dialect::RedisCloud);
            if known.iter().any(|known| known.name == account.name) {
                continue;
            }
            let new = NewKeyAccount {
                name: account.name,
                tenant: account.tenant,
                access_key: Some(account.access_key),
                secret_key: Some(account.secret_key),
            };
            control
                .create_key_account(pilothouse_model::Dialect::RedisCloud, new)
                .await?;
        }
        if !control.key_accounts(pilothouse_model::Dialect::RedisCloud).is_empty() {
            return Ok(None);
        }
        let new = NewKeyAccount {
            name: "redis-cloud".to_owned(),
            tenant: None,
            access_key: None,
            secret_key: None,
        };
        let issued = control
            .create_key_account(pilothouse_model::Dialect::RedisCloud, new)
            .await?;
        Ok(Some(issued))
    }

    /// Does the background work until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        crate::alerts::run(&self.0, &stop).await;
    }

    /// Begins to process tasks, those first that were left from before.
    pub fn begin(&self) {
        let tasks = Arc::new(Tasks::new(self.0.clone()));
        self.0
            .control()
            .serve_lanes(pilothouse_model::Dialect::RedisCloud, tasks);
    }
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    control: Control,
    options: RedisCloudOptions,
    rates: Rates,
    plans: Catalogue,
}

impl App {
    /// The truth.
    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// The set-up.
    pub(crate) fn options(&self) -> &RedisCloudOptions {
        &self.0.options
    }

    /// Plans on offer.
    pub(crate) fn plans(&self) -> &Catalogue {
        &self.0.plans
    }

    /// Makes the certificate that databases with TLS show, where no API has made it yet.
    pub(crate) async fn ensure_endpoint_certificate(&self) -> Result<(), ControlError> {
        let control = self.control();
        if control.certificate(ENDPOINT_CERTIFICATE).is_some() {
            return Ok(());
        }
        let address = control.settings().advertise_address;
        let made = self_signed("pilothouse", &["localhost".to_owned()], &[address], control.now());
        let made = made.map_err(ControlError::internal)?;
        let pair = CertificatePair {
            certificate: made.certificate,
            key: Some(made.key),
        };
        let caller = Caller {
            dialect: pilothouse_model::Dialect::RedisCloud,
            actor: "redis-cloud".to_owned(),
            scope: TenantScope::All,
            tenant: control.default_tenant(),
            settles: None,
        };
        control.set_certificate(&caller, ENDPOINT_CERTIFICATE, pair).await
    }
}

impl Dialect for App {
    fn name(&self) -> &'static str {
        pilothouse_model::Dialect::RedisCloud.as_str()
    }

    fn answer(self: Arc<Self>, request: Request) -> pilothouse_api::Answer {
        let app = App::clone(&self);
        Box::pin(async move {
            let path = request.path.clone();
            match route(&app, request).await {
                Ok(response) => response,
                Err(failure) => failure.into_response(app.control().now(), &path),
            }
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        Failure::from(refusal).into_response(self.control().now(), "")
    }
}

static TABLE: LazyLock<RouteTable<Handler, Permission>> = LazyLock::new(|| RouteTable::new(ROUTES));

/// Leads a request to its handler.
async fn route(app: &App, mut request: Request) -> Result<Response, Failure> {
    // Clients post to `/v1/subscriptions/` and the like (§1.1).
    while request.path.len() > 1 && request.path.ends_with('/') {
        request.path.pop();
    }
    let found = TABLE.find(&request.method, &request.path);
    let found = found.map_err(|error| Failure::bad_request(error.to_string()))?;
    match found {
        Match::Found(route, params) => {
            let (account, key) = auth::admit(app, &request, route.access)?;
            let left = app.0.rates.take(account.number).ok_or_else(|| {
                Failure::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "the account has used up its requests of this minute",
                )
            })?;
            let caller = auth::caller(&account, &key);
            let base = base(&request);
            let call = Call {
                account,
                key,
                caller,
                params,
                request,
                base,
            };
            let mut response = (route.handler.0)(app.clone(), call).await?;
            if let Some(left) = left {
                response.headers_mut().insert(REMAINING, HeaderValue::from(left));
            }
            Ok(response)
        }
        Match::Unknown => Err(Failure::not_found(format!("there is nothing at {}", request.path))),
        Match::Options(_, allow) | Match::OtherMethods(_, allow) => {
            let failure = Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} is not possible here", request.method),
            );
            let mut response = failure.into_response(app.control().now(), &request.path);
            response.headers_mut().insert(ALLOW, allow.clone());
            Ok(response)
        }
    }
}

/// Scheme and host as the client wrote them, so that links work from where it is (§3.3).
fn base(request: &Request) -> String {
    let scheme = if request.secure { "https" } else { "http" };
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let clean = |host: &&str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    format!("{scheme}://{}", host.filter(clean).unwrap_or("localhost"))
}
