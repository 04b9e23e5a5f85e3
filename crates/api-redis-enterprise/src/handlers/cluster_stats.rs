//! Statistics of the cluster.

use pilothouse_control::StatSubject;
use serde_json::json;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::translate::stats::{self, Kind, Wanted};

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let (statistics, now) = (app.control().statistics(), app.control().now());
    let intervals = stats::intervals(statistics, StatSubject::Installation, Kind::Cluster, &wanted, now);
    Ok(ok(&json!({"uid": "", "intervals": intervals})))
}

pub(crate) async fn last(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let (statistics, now) = (app.control().statistics(), app.control().now());
    Ok(ok(&stats::newest(
        statistics,
        StatSubject::Installation,
        Kind::Cluster,
        &wanted,
        now,
    )))
}
