//! Bdb actions.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn recovery_plan(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn recover(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn optimize_placement(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn rebalance(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn revamp(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn stop_traffic(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn resume_traffic(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn upgrade(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn command(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn availability(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn endpoint_availability(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
