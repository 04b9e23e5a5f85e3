//! Certificates of the cluster: made at the bootstrap, exchanged by clients, shown by listeners and databases.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use pilothouse_api::{GeneratedCertificate, JsonObject, TlsError, TlsIdentity, certificate_facts, self_signed};
use pilothouse_control::{Caller, CertificatePair, ControlError, Field};
use pilothouse_model::{Secret, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::own_caller;
use crate::call::{Answer, Call, ok, ok_empty, typed};
use crate::documents;
use crate::error::Failure;
use crate::wire::certificates::{CertificateUpdate, CertificateUpdates, RotateRequest};

/// The certificate of the API's own TLS listener.
pub(crate) const API: &str = "api";
/// The certificate that TLS endpoints of databases show.
pub(crate) const PROXY: &str = "proxy";
/// The certificate shown to sources of Replica Of.
pub(crate) const SYNCER: &str = "syncer";

/// Made by us, exchanged by clients, never removed.
const REQUIRED: [&str; 7] = [
    API,
    "cm",
    PROXY,
    SYNCER,
    "metrics_exporter",
    "ccs_internode_encryption",
    "data_internode_encryption",
];
/// Used between nodes only: made anew by `rotate`.
const INTERNAL: [&str; 2] = ["ccs_internode_encryption", "data_internode_encryption"];
/// There only when a client sets them.
const OPTIONAL: [&str; 4] = ["ldap_client", "mtls_trusted_ca", "sso_service", "sso_issuer"];

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let mut shown = JsonObject::new();
    for (name, pair) in app
        .control()
        .certificates()
        .into_iter()
        .filter(|(name, _)| is_known(name))
    {
        shown.insert(format!("{name}_cert"), pair.certificate.into());
        if let Some(key) = pair.key {
            shown.insert(format!("{name}_key"), key.expose().into());
        }
    }
    Ok(ok(&shown))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let update: CertificateUpdate = call.body_as()?;
    apply_all(&app, &call.caller, vec![update]).await?;
    Ok(ok_empty())
}

pub(crate) async fn update_all(app: App, call: Call) -> Answer {
    let updates: CertificateUpdates = call.body_as()?;
    apply_all(&app, &call.caller, updates.certificates).await?;
    Ok(ok_empty())
}

pub(crate) async fn rotate(app: App, call: Call) -> Answer {
    let wanted: RotateRequest = typed(call.body()?)?;
    let names = match wanted.name.as_deref() {
        None => INTERNAL.to_vec(),
        Some(name) => match INTERNAL.into_iter().find(|internal| *internal == name) {
            Some(internal) => vec![internal],
            None if is_known(name) => return Err(Failure::forbidden("forbidden", format!("{name} is not internal"))),
            None => {
                return Err(Failure::bad_request(
                    "invalid_schema",
                    format!("there is no certificate {name}"),
                ));
            }
        },
    };
    for name in names {
        let made = make(&app, &app.cluster_name())?;
        store(&app, &call.caller, name, made).await?;
    }
    Ok(ok_empty())
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let name = call.text("name");
    if REQUIRED.contains(&name) {
        return Err(Failure::forbidden(
            "forbidden",
            format!("the certificate {name} is required"),
        ));
    }
    if !OPTIONAL.contains(&name) || app.control().certificate(name).is_none() {
        return Err(Failure::not_found(
            "certificate_not_exist",
            format!("there is no certificate {name}"),
        ));
    }
    app.control().remove_certificate(&call.caller, name).await?;
    Ok(ok_empty())
}

/// The identity of the TLS listener where the configuration names a certificate. One that a client set through this API wins over it.
pub(crate) async fn configured_identity(app: &App, pair: CertificatePair) -> Result<Arc<TlsIdentity>, ControlError> {
    if origin(app) != Origin::Client {
        let invalid = |error: TlsError| ControlError::invalid(Field::Certificate, error.to_string());
        let key = pair.key.clone().ok_or(TlsError::Key).map_err(invalid)?;
        TlsIdentity::check(&pair.certificate, &key).map_err(invalid)?;
        let shown = app.control().certificate(API);
        if shown.is_none_or(|shown| shown.certificate != pair.certificate || shown.key != pair.key) {
            app.control().set_certificate(&own_caller(app), API, pair).await?;
        }
        set_origin(app, &own_caller(app), Origin::Configuration).await?;
    }
    listener_identity(app).await
}

/// The identity of the TLS listener, made when the installation has none yet.
pub(crate) async fn listener_identity(app: &App) -> Result<Arc<TlsIdentity>, ControlError> {
    let pair = match app.control().certificate(API) {
        Some(pair) => pair,
        None => {
            let name = app.cluster_name();
            let name = if name.is_empty() {
                app.control().host_facts().hostname.clone()
            } else {
                name
            };
            let made = make(app, &name)?;
            store(app, &own_caller(app), API, made).await?;
            app.control()
                .certificate(API)
                .ok_or_else(|| ControlError::internal("the certificate was not stored"))?
        }
    };
    let key = pair
        .key
        .ok_or_else(|| ControlError::internal("the certificate of the listener has no key"))?;
    let identity = TlsIdentity::new(&pair.certificate, &key).map_err(ControlError::internal)?;
    Ok(Arc::new(identity))
}

/// Makes the certificates of a new cluster. That of the listener carries the cluster's name from now on; one that databases may show
/// already stays.
pub(crate) async fn make_all(app: &App, cluster_name: &str) -> Result<(), ControlError> {
    let own_name = origin(app) == Origin::Generated;
    for name in REQUIRED {
        if (name == API && own_name) || app.control().certificate(name).is_none() {
            let made = make(app, cluster_name)?;
            store(app, &own_caller(app), name, made).await?;
        }
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    REQUIRED.contains(&name) || OPTIONAL.contains(&name)
}

/// A certificate for the cluster: its name, everything below it, and this machine under all its addresses.
fn make(app: &App, cluster_name: &str) -> Result<GeneratedCertificate, ControlError> {
    let control = app.control();
    let facts = control.host_facts();
    let valid = |name: &str| !name.is_empty() && name.is_ascii();
    let common_name = if valid(cluster_name) { cluster_name } else { "localhost" };
    let mut names = vec![common_name.to_owned(), format!("*.{common_name}")];
    for name in ["localhost", facts.hostname.as_str()] {
        if valid(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let mut addresses: BTreeSet<IpAddr> = facts.addresses.iter().map(|(_, address)| *address).collect();
    addresses.extend([
        control.settings().advertise_address,
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    ]);
    let addresses: Vec<IpAddr> = addresses.into_iter().collect();
    self_signed(common_name, &names, &addresses, control.now()).map_err(ControlError::internal)
}

/// Checks all of them before the first is applied.
async fn apply_all(app: &App, caller: &Caller, updates: Vec<CertificateUpdate>) -> Result<(), Failure> {
    let checked = updates
        .into_iter()
        .map(|update| check(app, update))
        .collect::<Result<Vec<_>, Failure>>()?;
    if checked.is_empty() {
        return Err(Failure::bad_request("missing_field", "certificates is missing"));
    }
    for (name, pair) in checked {
        show(app, &name, &pair)?;
        app.control().set_certificate(caller, &name, pair).await?;
        if name == API {
            set_origin(app, caller, Origin::Client).await?;
        }
    }
    Ok(())
}

fn check(app: &App, update: CertificateUpdate) -> Result<(String, CertificatePair), Failure> {
    let missing = |field: &str| Failure::bad_request("missing_field", format!("{field} is missing"));
    let name = update.name.ok_or_else(|| missing("name"))?;
    let certificate = update.certificate.ok_or_else(|| missing("certificate"))?;
    if !is_known(&name) {
        return Err(Failure::forbidden(
            "forbidden",
            format!("there is no certificate {name}"),
        ));
    }
    let invalid = |why: String| Failure::bad_request("invalid_certificate", why);
    let facts = certificate_facts(&certificate).map_err(|error| invalid(error.to_string()))?;
    if facts.not_after <= app.control().now() {
        return Err(Failure::not_acceptable(
            "certificate_expired",
            "the certificate has expired",
        ));
    }
    let key = update.key.map(Secret::new);
    match &key {
        Some(key) => TlsIdentity::check(&certificate, key).map_err(|error| invalid(error.to_string()))?,
        // Only a certificate that is trusted, not shown, has no key.
        None if matches!(name.as_str(), "mtls_trusted_ca" | "sso_issuer") => {}
        None => return Err(missing("key")),
    }
    Ok((name, CertificatePair { certificate, key }))
}

async fn store(app: &App, caller: &Caller, name: &str, made: GeneratedCertificate) -> Result<(), ControlError> {
    let pair = CertificatePair {
        certificate: made.certificate,
        key: Some(made.key),
    };
    show(app, name, &pair).map_err(|failure| ControlError::internal(failure.description))?;
    app.control().set_certificate(caller, name, pair).await
}

/// Where the certificate of the listener comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    #[default]
    Generated,
    Configuration,
    Client,
}

/// Document that keeps the [`Origin`].
const ORIGIN: &str = "listener-certificate";

fn origin(app: &App) -> Origin {
    let document = documents::read(app, Subject::Installation, ORIGIN);
    let origin = document.and_then(|body| serde_json::from_value(body.get("origin")?.clone()).ok());
    origin.unwrap_or_default()
}

async fn set_origin(app: &App, caller: &Caller, wanted: Origin) -> Result<(), ControlError> {
    if origin(app) == wanted {
        return Ok(());
    }
    let body = json!({ "origin": wanted }).as_object().cloned().unwrap_or_default();
    documents::change(app, caller, Subject::Installation, ORIGIN, body, None)
        .await
        .map(|_| ())
}

/// Lets the listener show its new certificate in the next handshake. Databases are told by control.
fn show(app: &App, name: &str, pair: &CertificatePair) -> Result<(), Failure> {
    let (true, Some(listeners), Some(key)) = (name == API, app.listeners(), &pair.key) else {
        return Ok(());
    };
    let shown = listeners.https.set_certificate(&pair.certificate, key);
    shown.map_err(|error| Failure::bad_request("invalid_certificate", error.to_string()))
}

/// The certificate part of the cluster object.
pub(crate) fn shown_in_cluster(app: &App) -> [(&'static str, Value); 2] {
    let text = |name| {
        app.control()
            .certificate(name)
            .map(|pair| pair.certificate)
            .unwrap_or_default()
    };
    [
        ("proxy_certificate", text(PROXY).into()),
        ("syncer_certificate", text(SYNCER).into()),
    ]
}
