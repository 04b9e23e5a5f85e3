//! Schedules of the product's own jobs.

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::handlers::{diagnostics, stored};
use crate::wire::small::JOB_SCHEDULER;

const DOCUMENT: &str = "job-scheduler";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&stored::read(&app, JOB_SCHEDULER, DOCUMENT)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    diagnostics::check_schedules(&call.body()?)?;
    Ok(ok(&stored::write(&app, &call, JOB_SCHEDULER, DOCUMENT).await?))
}
