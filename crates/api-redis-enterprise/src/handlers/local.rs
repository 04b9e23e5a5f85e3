//! What a node says of itself without asking others.

use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};

pub(crate) async fn master_healthcheck(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"status": "active"})))
}
