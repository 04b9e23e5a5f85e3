//! What a user may be called, and which roles it may hold.

use pilothouse_model::{Role, RoleId, User};
use pilothouse_store::View;

use crate::{ControlError, Field, Noun};

/// Names and roles of a user, against all others.
pub(super) fn check(view: &View, user: &User) -> Result<(), ControlError> {
    if user.email.is_empty() && user.name.is_empty() {
        return Err(ControlError::invalid(Field::Name, "a user needs an e-mail or a name"));
    }
    for (text, field) in [(&user.email, Field::Email), (&user.name, Field::Name)] {
        let allowed = text
            .chars()
            .all(|c| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '&' | '<' | '>' | '"'));
        if !allowed || text.len() > 255 {
            let why = "at most 255 ASCII characters without control characters and &, <, > and \"";
            return Err(ControlError::invalid(field, why));
        }
    }
    let known = |role: &RoleId| view.get::<Role>(role).is_some_and(|role| role.tenant == user.tenant);
    if let Some(role) = user.roles.iter().find(|role| !known(role)) {
        return Err(ControlError::invalid(Field::Roles, format!("there is no role {role}")));
    }
    if user.tenant.is_some() {
        return check_unique(view, user);
    }
    let taken = |login: &str, field| match view.user_by_login(login) {
        Some(other) if other.id != user.id => Err(ControlError::AlreadyExists {
            what: Noun::User,
            field,
        }),
        _ => Ok(()),
    };
    // Compared across both kinds of name: whoever is called like another's e-mail would take over that login.
    if !user.email.is_empty() {
        taken(&user.email, "email")?;
    }
    if !user.name.is_empty() {
        taken(&user.name, "name")?;
    }
    Ok(())
}

/// The name of a tenant's user, who logs in by it to databases and nowhere else.
fn check_unique(view: &View, user: &User) -> Result<(), ControlError> {
    let fit = !user.name.is_empty() && !user.name.contains(char::is_whitespace);
    if !fit {
        return Err(ControlError::invalid(
            Field::Name,
            "a login has no spaces and is not empty",
        ));
    }
    let mut others = view.all::<User>().filter(|other| other.tenant == user.tenant);
    if others.any(|other| other.id != user.id && other.name == user.name) {
        return Err(ControlError::AlreadyExists {
            what: Noun::User,
            field: "name",
        });
    }
    Ok(())
}
