//! Where connections of databases would be audited. The settings are kept; no audit listener exists.

use pilothouse_model::Subject;

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::handlers::stored;
use crate::wire::small::AUDITING;

const DOCUMENT: &str = "auditing";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&stored::read(&app, AUDITING, DOCUMENT)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    Ok(ok(&stored::write(&app, &call, AUDITING, DOCUMENT).await?))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    app.control()
        .delete_document(&call.caller, Subject::Installation, DOCUMENT)
        .await?;
    Ok(ok_empty())
}
