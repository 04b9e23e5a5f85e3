//! Passwords.

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

pub(crate) async fn hash_method(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn replace(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn add(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}

pub(crate) async fn remove(_app: App, _call: Call) -> Answer {
    Err(Failure::unknown_path())
}
