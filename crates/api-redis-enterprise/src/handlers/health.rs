//! Health.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn cluster(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn database(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
