//! What was asked of a database, as the core takes it: checked by the rules of this API (specification §10.1, §10.2, §16).

mod backup;
mod checks;
mod create;
mod fixed;
mod replica;
mod sharding;
mod sources;
mod update;
mod versions;

use pilothouse_control::Control;
use pilothouse_model::{Cidr, DatabaseName, DatabaseSpec};

use crate::documents::DatabaseDocument;
use crate::plans::Plan;

pub(crate) use backup::{bucket, location, without_login};
pub(crate) use create::create;
pub(crate) use fixed::{check_plan, refuse_what_plans_lack};
pub(crate) use sources::{PRIVATE_RANGES, allowed, ranges};
pub(crate) use update::update;
pub(crate) use versions::{installed, short, version};

/// The core's side of translation.
pub(crate) struct Around<'a> {
    /// Seals, generates, and knows what is installed.
    pub(crate) control: &'a Control,
    /// Whom the subscription lets in; empty for everybody.
    pub(crate) allowed: Vec<Cidr>,
    /// The plan of an Essentials subscription.
    pub(crate) plan: Option<&'a Plan>,
}

/// A database to be made.
pub(crate) struct Drafted {
    pub(crate) name: DatabaseName,
    pub(crate) spec: DatabaseSpec,
    pub(crate) document: DatabaseDocument,
}
