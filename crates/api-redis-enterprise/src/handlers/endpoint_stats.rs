//! Statistics of endpoints.

use pilothouse_control::StatSubject;
use pilothouse_model::Subject;
use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::translate::stats::{self, Kind, Wanted};

/// Each endpoint is carried by the one proxy there is.
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let (statistics, now) = (app.control().statistics(), app.control().now());
    let shown = |view: &pilothouse_control::DatabaseView| {
        let subject = StatSubject::Database(view.database.id);
        let uid = format!("{}:1:1", app.uid(Subject::Database(view.database.id)));
        json!({"uid": uid, "intervals": stats::intervals(statistics, subject, Kind::Endpoint, &wanted, now)})
    };
    Ok(ok(&app
        .control()
        .databases(&call.caller)
        .iter()
        .map(shown)
        .collect::<Vec<_>>()))
}
