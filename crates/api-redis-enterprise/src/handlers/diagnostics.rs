//! Diagnostics.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn get(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn update(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
