//! Tokens.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn authorize(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn refresh(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
