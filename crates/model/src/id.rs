//! Typed ids. Every id is a UUIDv7, so ids sort by creation time; the wire ids of the APIs are kept in the id maps of the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than every id this process made before.
            #[expect(clippy::new_without_default, reason = "two calls give two ids; a default would hide that")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with exactly these bytes; for the store and for seeded simulations.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The bytes of the id, in the order in which ids sort.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// Names a [`crate::Tenant`].
    TenantId,
    /// Names a [`crate::DatabaseGroup`].
    GroupId,
    /// Names a [`crate::Database`].
    DatabaseId,
    /// Names a [`crate::Shard`] of a database.
    ShardId,
    /// Names a [`crate::Server`]: one database server process with its directory.
    ServerId,
    /// Names a [`crate::Host`].
    HostId,
    /// Names an [`crate::Operation`].
    OperationId,
    /// Names an [`crate::Event`].
    EventId,
    /// Names a [`crate::User`] of the management APIs.
    UserId,
    /// Names a [`crate::Role`].
    RoleId,
    /// Names an [`crate::AclRule`].
    AclRuleId,
}
