//! Subscriptions as they stand: the group, what this API knows of it, and its databases.

use pilothouse_control::{Caller, DatabaseView};
use pilothouse_model::{DatabaseGroup, GroupId, Timestamp};

use crate::app::App;
use crate::call::Family;
use crate::documents::{self, FixedDocument, SubscriptionDocument};
use crate::ids;
use crate::state;

/// The name of the subscription that holds what was made elsewhere.
const OTHERS_NAME: &str = "pilothouse";

/// A subscription.
#[derive(Clone)]
pub(crate) struct Subscription {
    pub(crate) number: u64,
    /// `None` for the one that holds what was made elsewhere.
    pub(crate) id: Option<GroupId>,
    pub(crate) name: String,
    pub(crate) state: state::Subscription,
    pub(crate) document: Option<SubscriptionDocument>,
    /// Its plan, where it is an Essentials subscription.
    pub(crate) fixed: Option<FixedDocument>,
    pub(crate) databases: Vec<DatabaseView>,
    pub(crate) created: Option<Timestamp>,
}

impl Subscription {
    pub(crate) fn family(&self) -> Family {
        if self.fixed.is_some() {
            Family::Essentials
        } else {
            Family::Pro
        }
    }

    /// Where its databases are.
    pub(crate) fn place(&self) -> (&str, &str) {
        match (&self.document, &self.fixed) {
            (Some(document), _) => (document.provider.as_str(), &document.region),
            (_, Some(fixed)) => (fixed.plan.provider.as_str(), &fixed.plan.region),
            (None, None) => ("AWS", "us-east-1"),
        }
    }

    /// What its databases take, replicas included, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let living = self.databases.iter().filter(|view| view.database.deleted_at.is_none());
        living.map(|view| view.database.spec.memory_bytes).sum()
    }
}

/// Every subscription of the caller's account of both families, by number.
pub(crate) fn subscriptions(app: &App, caller: &Caller) -> Vec<Subscription> {
    let all = app.control().databases(caller);
    let groups = app.control().groups(caller);
    let mut found = vec![others(&all)];
    found.extend(groups.iter().map(|group| of_group(app, group, &all)));
    found.sort_by_key(|subscription| subscription.number);
    found
}

/// The subscription with that number.
pub(crate) fn subscription(app: &App, caller: &Caller, number: u64) -> Option<Subscription> {
    let all = app.control().databases(caller);
    if number == ids::OTHERS {
        return Some(others(&all));
    }
    let group = app.control().group(caller, ids::group(app.control(), number)?).ok()?;
    Some(of_group(app, &group, &all))
}

fn others(all: &[DatabaseView]) -> Subscription {
    Subscription {
        number: ids::OTHERS,
        id: None,
        name: OTHERS_NAME.to_owned(),
        state: state::Subscription::Active,
        document: None,
        fixed: None,
        databases: all
            .iter()
            .filter(|view| view.database.group.is_none())
            .cloned()
            .collect(),
        created: None,
    }
}

fn of_group(app: &App, group: &DatabaseGroup, all: &[DatabaseView]) -> Subscription {
    let databases: Vec<DatabaseView> = all
        .iter()
        .filter(|view| view.database.group == Some(group.id))
        .cloned()
        .collect();
    Subscription {
        number: ids::of_group(app.control(), Some(group.id)),
        id: Some(group.id),
        name: group.name.clone(),
        state: state_of(app, group, &databases),
        document: documents::subscription(app.control(), group.id),
        fixed: documents::fixed(app.control(), group.id),
        databases,
        created: Some(group.created_at),
    }
}

/// Pending while a database that it waits for is not active; in error when one of those could not be made.
fn state_of(app: &App, group: &DatabaseGroup, databases: &[DatabaseView]) -> state::Subscription {
    if group.deleted_at.is_some() {
        return state::Subscription::Deleting;
    }
    let held = |view: &&DatabaseView| {
        let database = &view.database;
        let waits = !database.was_active && database.deleted_at.is_none();
        waits && documents::database(app.control(), database.id).is_some_and(|document| document.holds_subscription)
    };
    let mut state = state::Subscription::Active;
    for view in databases.iter().filter(held) {
        if view.database.creation_error.is_some() {
            return state::Subscription::Error;
        }
        state = state::Subscription::Pending;
    }
    state
}
