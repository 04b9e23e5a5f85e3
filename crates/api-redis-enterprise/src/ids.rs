//! Core ids and the integers of this API. The integers are given by `control` in the commit that makes an object, and never twice.

use pilothouse_control::{Control, IdScheme, SubjectKind};
use pilothouse_model::{AclRuleId, DatabaseId, HostId, RoleId, ServerId, Subject, UserId};

/// Databases.
pub(crate) const BDB: &str = "redis-enterprise/bdb";
/// Servers: each is a shard process.
pub(crate) const SHARD: &str = "redis-enterprise/shard";
/// Hosts.
pub(crate) const NODE: &str = "redis-enterprise/node";
/// Users.
pub(crate) const USER: &str = "redis-enterprise/user";
/// Roles.
pub(crate) const ROLE: &str = "redis-enterprise/role";
/// ACL rules.
pub(crate) const ACL: &str = "redis-enterprise/acl";

/// The uid of the user that the bootstrap makes.
pub const BOOTSTRAP_USER_UID: u64 = 1;

/// Every scheme of this dialect, to be registered with `control` at wiring. Users begin at 2: uid 1 is always the bootstrap user,
/// even when another dialect made users before.
pub const ID_SCHEMES: &[IdScheme] = &[
    IdScheme {
        name: BDB,
        kind: SubjectKind::Database,
        first: 1,
    },
    IdScheme {
        name: SHARD,
        kind: SubjectKind::Server,
        first: 1,
    },
    IdScheme {
        name: NODE,
        kind: SubjectKind::Host,
        first: 1,
    },
    IdScheme {
        name: USER,
        kind: SubjectKind::User,
        first: BOOTSTRAP_USER_UID + 1,
    },
    IdScheme {
        name: ROLE,
        kind: SubjectKind::Role,
        first: 1,
    },
    IdScheme {
        name: ACL,
        kind: SubjectKind::AclRule,
        first: 1,
    },
];

/// The integer of a subject; 0, which names nothing, for one that lost its number between two reads.
pub(crate) fn uid(control: &Control, subject: Subject) -> u64 {
    let scheme = match subject {
        Subject::Database(_) => BDB,
        Subject::Server(_) => SHARD,
        Subject::Host(_) => NODE,
        Subject::User(_) => USER,
        Subject::Role(_) => ROLE,
        Subject::AclRule(_) => ACL,
        Subject::Installation | Subject::Tenant(_) | Subject::Group(_) => return 0,
    };
    control.wire_number(scheme, subject).unwrap_or(0)
}

macro_rules! lookups {
    ($($name:ident($scheme:ident) -> $variant:ident($id:ty), $doc:literal;)+) => {$(
        #[doc = $doc]
        pub(crate) fn $name(control: &Control, uid: u64) -> Option<$id> {
            match control.subject_of_number($scheme, uid)? {
                Subject::$variant(id) => Some(id),
                _ => None,
            }
        }
    )+};
}

lookups! {
    database(BDB) -> Database(DatabaseId), "The database with that uid.";
    server(SHARD) -> Server(ServerId), "The server that is the shard with that uid.";
    host(NODE) -> Host(HostId), "The host that is the node with that uid.";
    user(USER) -> User(UserId), "The user with that uid.";
    role(ROLE) -> Role(RoleId), "The role with that uid.";
    acl_rule(ACL) -> AclRule(AclRuleId), "The ACL rule with that uid.";
}
