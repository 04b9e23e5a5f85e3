//! Transfers: datasets that travel out of and into databases.

use pilothouse_model::DatabaseId;

use crate::Control;

pub(crate) fn start(_control: &Control) {}

pub(crate) fn wake(_control: &Control, _database: DatabaseId) {}
