//! Roles.

use pilothouse_model::{Role, RoleId};

super::plain_noun!(Role, RoleId, Role, roles, |role| role.id);
