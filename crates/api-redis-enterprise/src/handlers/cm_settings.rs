//! Settings of the management user interface, which does not exist here.

use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::stored;
use crate::wire::small::CM_SETTINGS;

const DOCUMENT: &str = "cm-settings";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&stored::read(&app, CM_SETTINGS, DOCUMENT)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    if let Some(zone) = call.body()?.get("timezone").and_then(Value::as_str)
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        return Err(Failure::invalid_schema("timezone is not the name of a time zone"));
    }
    Ok(ok(&stored::write(&app, &call, CM_SETTINGS, DOCUMENT).await?))
}
