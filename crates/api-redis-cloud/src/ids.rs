//! Core ids and the integers of this API: signed 32-bit numbers above 0 on the wire (specification §1.1).

use pilothouse_control::{Control, IdScheme, SubjectKind};
use pilothouse_model::{DatabaseId, GroupId, Subject};

/// Databases. Unique over all accounts.
pub(crate) const DATABASE: &str = "redis-cloud/database";
/// Subscriptions.
pub(crate) const SUBSCRIPTION: &str = "redis-cloud/subscription";

/// ACL rules.
pub(crate) const RULE: &str = "redis-cloud/acl-rule";
/// ACL roles.
pub(crate) const ROLE: &str = "redis-cloud/acl-role";
/// ACL users.
pub(crate) const USER: &str = "redis-cloud/acl-user";

/// The number of the subscription that holds what was made elsewhere: always there, always active, not to be deleted.
pub(crate) const OTHERS: u64 = 1;

/// Every scheme of this dialect, to be registered with `control` at wiring.
pub const ID_SCHEMES: &[IdScheme] = &[
    IdScheme {
        name: DATABASE,
        kind: SubjectKind::Database,
        first: 51_000_001,
    },
    IdScheme {
        name: SUBSCRIPTION,
        kind: SubjectKind::Group,
        first: 100_001,
    },
    IdScheme {
        name: RULE,
        kind: SubjectKind::AclRule,
        first: 1,
    },
    IdScheme {
        name: ROLE,
        kind: SubjectKind::Role,
        first: 1,
    },
    IdScheme {
        name: USER,
        kind: SubjectKind::User,
        first: 1,
    },
];

/// The number of a database; 0, which names nothing, for one that is gone.
pub(crate) fn of_database(control: &Control, id: DatabaseId) -> u64 {
    control.wire_number(DATABASE, Subject::Database(id)).unwrap_or(0)
}

/// The number of a subscription.
pub(crate) fn of_group(control: &Control, id: Option<GroupId>) -> u64 {
    let Some(id) = id else { return OTHERS };
    control.wire_number(SUBSCRIPTION, Subject::Group(id)).unwrap_or(0)
}

/// The number of an ACL rule, role or user.
pub(crate) fn of_access(control: &Control, scheme: &str, subject: Subject) -> u64 {
    control.wire_number(scheme, subject).unwrap_or(0)
}

/// The group with that number.
pub(crate) fn group(control: &Control, number: u64) -> Option<GroupId> {
    match control.subject_of_number(SUBSCRIPTION, number)? {
        Subject::Group(id) => Some(id),
        _ => None,
    }
}
