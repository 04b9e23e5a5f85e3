//! Users of the management APIs, found by what they log in with.

use std::sync::Arc;

use pilothouse_model::{RoleId, User, UserId};

use crate::nouns::{Links, Nouns};
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

const FIRST: UserId = UserId::from_bytes([0; 16]);

/// The indexes over users.
#[derive(Clone, Default)]
pub struct UserIndex {
    /// By e-mail in lower case.
    by_email: Links<Box<str>, UserId>,
    by_name: Links<Box<str>, UserId>,
    by_role: Links<RoleId, UserId>,
}

impl sealed::Noun for User {
    type Index = UserIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.users
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.users
    }

    fn reindex(index: &mut UserIndex, old: Option<&Self>, new: Option<&Self>) {
        let Some(id) = new.or(old).map(|user| user.id) else {
            return;
        };
        index.by_email.relink(&id, old.and_then(email), new.and_then(email));
        index.by_name.relink(&id, old.and_then(name), new.and_then(name));
        index
            .by_role
            .relink(&id, old.into_iter().flat_map(roles), new.into_iter().flat_map(roles));
    }
}

// Users of tenants log in to no API, so they are not found by what others log in with.
fn email(user: &User) -> Option<Box<str>> {
    (user.tenant.is_none() && !user.email.is_empty()).then(|| user.email.to_lowercase().into())
}

fn name(user: &User) -> Option<Box<str>> {
    (user.tenant.is_none() && !user.name.is_empty()).then(|| user.name.as_str().into())
}

fn roles(user: &User) -> impl Iterator<Item = RoleId> {
    user.roles.iter().copied()
}

impl Record for User {
    type Id = UserId;
    const TABLE: Table = Table::User;
    fn id(&self) -> UserId {
        self.id
    }
}

impl View {
    /// The user of the operator who logs in with that text: by e-mail without regard to case, then by name exactly. The oldest if several do.
    pub fn user_by_login(&self, login: &str) -> Option<&Arc<Stored<User>>> {
        let index = &self.nouns.users.index;
        let by_email = index.by_email.of(login.to_lowercase().into(), FIRST).next();
        let id = by_email.or_else(|| index.by_name.of(login.into(), FIRST).next())?;
        self.nouns.users.records.get(id)
    }

    /// The users who hold a role, oldest first.
    pub fn users_with_role(&self, role: RoleId) -> impl Iterator<Item = &Arc<Stored<User>>> {
        let shelf = &self.nouns.users;
        shelf
            .index
            .by_role
            .of(role, FIRST)
            .filter_map(|id| shelf.records.get(id))
    }
}
