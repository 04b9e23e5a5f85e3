//! Checks of the proxy certificate with its issuer. There is no such check here.

use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::stored;
use crate::wire::small::OCSP;

const DOCUMENT: &str = "ocsp";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&stored::read(&app, OCSP, DOCUMENT)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    if call.body()?.get("ocsp_functionality") == Some(&Value::Bool(true)) {
        return Err(Failure::not_acceptable(
            "ocsp_unsupported_by_certificate",
            "the proxy certificate names no responder",
        ));
    }
    Ok(ok(&stored::write(&app, &call, OCSP, DOCUMENT).await?))
}

pub(crate) async fn status(_app: App, _call: Call) -> Answer {
    Ok(ok(
        &json!({"responder_url": "", "cert_status": "", "produced_at": "", "this_update": "", "next_update": "", "revocation_time": ""}),
    ))
}

pub(crate) async fn test(_app: App, _call: Call) -> Answer {
    Err(Failure::not_acceptable(
        "no_responder_url",
        "the proxy certificate names no responder",
    ))
}
