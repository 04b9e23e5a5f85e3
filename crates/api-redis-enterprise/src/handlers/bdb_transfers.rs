//! Bdb transfers.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn import(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn export(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn reset_import(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn reset_export(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn reset_backup(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
