//! Users: which roles follow from a request, what a password must be, how a user is shown.

use pilothouse_api::JsonObject;
use pilothouse_model::{ManagementRole, Role, RoleId, Timestamp, User, UserStatus};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Failure;
use crate::fields;
use crate::wire::user::{SETTINGS, UserObject};

/// Characters that count as special in a complex password.
const SPECIAL: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ";

/// The roles that stand for a management word: the built-in role of that word, or none where there is no such role.
pub(crate) fn roles_of_word(roles: &[Arc<Role>], word: ManagementRole) -> Vec<RoleId> {
    roles
        .iter()
        .filter(|role| role.built_in && role.management == word)
        .map(|role| role.id)
        .take(1)
        .collect()
}

/// Checks a new password against the rules of the cluster.
pub(crate) fn check_password(cluster: &JsonObject, password: &str, login: &str) -> Result<(), Failure> {
    let not_complex = |why: &str| Err(Failure::bad_request("password_not_complex", why));
    if password.is_empty() {
        return not_complex("a password must not be empty");
    }
    if cluster.get("password_complexity").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    let shortest = cluster.get("password_min_length").and_then(Value::as_u64).unwrap_or(8);
    if u64::try_from(password.chars().count()).unwrap_or(u64::MAX) < shortest {
        return not_complex(&format!("a password must have at least {shortest} characters"));
    }
    let has = |kind: fn(char) -> bool| password.chars().any(kind);
    let complex = has(char::is_uppercase)
        && has(char::is_lowercase)
        && has(|c| c.is_ascii_digit())
        && has(|c| SPECIAL.contains(c));
    if !complex {
        return not_complex("a password needs an upper and a lower case letter, a digit and a special character");
    }
    if !login.is_empty() && password.to_lowercase().contains(&login.to_lowercase()) {
        return not_complex("a password must not contain the name of its user");
    }
    Ok(())
}

/// What is known of a user beside the record.
pub(crate) struct UserContext {
    pub(crate) uid: u64,
    pub(crate) role_uids: Vec<u64>,
    /// The words of the roles held, in their order.
    pub(crate) management: Vec<ManagementRole>,
    pub(crate) last_login: Option<Timestamp>,
    pub(crate) password_lifetime: Option<Duration>,
    pub(crate) now: Timestamp,
}

/// A user as this API shows it. Passwords are never part of it.
pub(crate) fn shown(user: &User, document: Option<&Value>, context: UserContext) -> UserObject {
    let issued = user.passwords.iter().map(|password| password.issued_at).max();
    let expired = match (issued, context.password_lifetime) {
        (Some(issued), Some(lifetime)) => issued.plus(lifetime) <= context.now,
        _ => false,
    };
    let status = match user.status {
        UserStatus::Locked { until } if until > context.now => "locked",
        UserStatus::Active | UserStatus::Locked { .. } if expired => "password_expired",
        UserStatus::Active | UserStatus::Locked { .. } => "active",
    };
    UserObject {
        uid: context.uid,
        email: user.email.clone(),
        name: user.name.clone(),
        role: context.management.first().copied().unwrap_or(user.management).into(),
        role_uids: context.role_uids,
        auth_method: "regular",
        certificate_subject_line: "",
        status,
        password_issue_date: issued.map(Timestamp::to_rfc3339_seconds),
        password_hash_method: "1",
        last_login: context.last_login.map(Timestamp::as_secs),
        settings: fields::merged(SETTINGS, document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilothouse_model::{PasswordHash, Sealed, UserId};
    use serde_json::json;

    #[test]
    fn passwords_are_judged_only_where_the_cluster_says_so() {
        let check = |complexity: bool, password: &str| {
            let cluster = json!({"password_complexity": complexity, "password_min_length": 8});
            check_password(cluster.as_object().unwrap(), password, "anna").is_ok()
        };
        assert!(check(false, "x") && !check(false, ""));
        assert!(check(true, "Secret-99") && check(true, "pässÖ_12"));
        for bad in [
            "Short-1",
            "secret-99",
            "SECRET-99",
            "Secret-xx",
            "Secret999",
            "Xx-1ANNAx",
        ] {
            assert!(!check(true, bad), "{bad}");
        }
    }

    fn user(status: UserStatus) -> User {
        let password = PasswordHash {
            argon2: String::new(),
            sealed_sha256: Sealed::from_cipher_text(String::new()),
            issued_at: Timestamp::from_millis(1_760_400_087_000),
        };
        User {
            id: UserId::new(),
            tenant: None,
            email: "a@b.c".to_owned(),
            name: "Anna".to_owned(),
            management: ManagementRole::DbViewer,
            roles: Vec::new(),
            passwords: vec![password],
            status,
            created_at: Timestamp::default(),
        }
    }

    fn context(now_seconds: i64) -> UserContext {
        UserContext {
            uid: 2,
            role_uids: vec![5],
            management: vec![ManagementRole::DbViewer],
            last_login: None,
            password_lifetime: Some(Duration::from_secs(86_400)),
            now: Timestamp::from_millis(now_seconds * 1000),
        }
    }

    #[test]
    fn a_user_is_shown_without_passwords() {
        let shown = shown(&user(UserStatus::Active), None, context(1_760_400_088));
        assert_eq!(
            serde_json::to_value(shown).unwrap(),
            json!({
                "uid": 2, "email": "a@b.c", "name": "Anna", "role": "db_viewer", "role_uids": [5], "auth_method": "regular",
                "certificate_subject_line": "", "status": "active", "password_issue_date": "2025-10-14T00:01:27Z",
                "password_hash_method": "1", "email_alerts": false, "bdbs_email_alerts": [], "cluster_email_alerts": false,
            })
        );
    }

    #[test]
    fn status_words() {
        let status = |status, now| shown(&user(status), None, context(now)).status;
        let locked = UserStatus::Locked {
            until: Timestamp::from_millis(1_760_400_100_000),
        };
        assert_eq!(status(locked, 1_760_400_099), "locked");
        assert_eq!(status(locked, 1_760_400_101), "active");
        assert_eq!(status(UserStatus::Active, 1_760_400_087 + 86_400), "password_expired");
    }
}
