//! LDAP. Settings are kept; neither plane can be switched on, because nothing here asks a directory.

use pilothouse_api::JsonObject;
use pilothouse_model::{Secret, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::stored;
use crate::wire::small::LDAP;

const DOCUMENT: &str = "ldap";
/// Where the password for the directory is kept, sealed; read back as asterisks.
const BIND_PASSWORD: &str = "sealed_bind_pass";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&shown(stored::read(&app, LDAP, DOCUMENT))))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let both = |a: &str, b: &str| body.contains_key(a) && body.contains_key(b);
    if both("user_dn_template", "user_dn_query") || both("dn_group_attr", "dn_group_query") {
        return Err(Failure::bad_request(
            "illegal_fields_combination",
            "only one of both forms can be given",
        ));
    }
    let on = |plane: &str| body.get(plane) == Some(&Value::Bool(true));
    if on("control_plane") || on("data_plane") {
        return Err(Failure::new(
            pilothouse_api::StatusCode::NOT_IMPLEMENTED,
            "unsupported_resource",
            "logging in by LDAP is not available on this cluster",
        ));
    }
    if let Some(password) = body
        .get("bind_pass")
        .and_then(Value::as_str)
        .filter(|password| *password != "***")
    {
        let mut sealed = JsonObject::new();
        sealed.insert(
            BIND_PASSWORD.to_owned(),
            json!(app.control().seal(&Secret::new(password))),
        );
        crate::documents::change(&app, &call.caller, Subject::Installation, DOCUMENT, sealed, None).await?;
    }
    Ok(ok(&shown(stored::write(&app, &call, LDAP, DOCUMENT).await?)))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    app.control()
        .delete_document(&call.caller, Subject::Installation, DOCUMENT)
        .await?;
    Ok(ok_empty())
}

fn shown(mut settings: JsonObject) -> JsonObject {
    if settings.remove(BIND_PASSWORD).is_some() {
        settings.insert("bind_pass".to_owned(), "***".into());
    }
    settings
}
