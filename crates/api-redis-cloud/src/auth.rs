//! Who calls: two keys in two headers (specification §1.2).

use std::sync::Arc;

use pilothouse_api::{Request, StatusCode};
use pilothouse_control::{Caller, KeyAccount, KeyRole, SecretKey, TenantScope};
use pilothouse_model::{Dialect, Secret};

use crate::app::App;
use crate::error::Failure;

/// What a route asks of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To see.
    Read,
    /// To change.
    Write,
    /// To see the logs.
    Logs,
}

impl Permission {
    const fn granted_by(self, role: KeyRole) -> bool {
        match (role, self) {
            (KeyRole::Owner, _) | (KeyRole::Viewer, Self::Read | Self::Logs) | (KeyRole::LogsViewer, Self::Logs) => {
                true
            }
            (KeyRole::Viewer, Self::Write) | (KeyRole::LogsViewer, Self::Read | Self::Write) => false,
        }
    }
}

/// The account and the holder of the keys that the request shows.
///
/// # Errors
/// 401 for keys that are missing, unknown or not of one account; 403 for an address or a change that the key does not allow.
pub(crate) fn admit(
    app: &App,
    request: &Request,
    permission: Permission,
) -> Result<(Arc<KeyAccount>, SecretKey), Failure> {
    let key = |name: &str| request.header(name).filter(|key| !key.is_empty()).map(Secret::new);
    let unknown = || Failure::new(StatusCode::UNAUTHORIZED, "the API keys are missing or wrong");
    let (access, secret) = key("x-api-key").zip(key("x-api-secret-key")).ok_or_else(unknown)?;
    let known = app.control().verify_keys(Dialect::RedisCloud, &access, &secret);
    let (account, key) = known.ok_or_else(unknown)?;
    let from = request.peer.ip();
    if !key.sources.is_empty() && !key.sources.iter().any(|source| source.contains(from)) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "this key does not work from this address",
        ));
    }
    if !permission.granted_by(key.role) {
        return Err(Failure::new(StatusCode::FORBIDDEN, "this key may not do that"));
    }
    Ok((account, key))
}

/// The caller that an account is.
pub(crate) fn caller(account: &KeyAccount, key: &SecretKey) -> Caller {
    Caller {
        dialect: Dialect::RedisCloud,
        actor: format!("key:{}", key.name),
        scope: TenantScope::Only([account.tenant].into()),
        tenant: account.tenant,
        settles: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_limit_what_a_key_may_do() {
        let all = [Permission::Read, Permission::Write, Permission::Logs];
        let granted = |role| all.map(|permission| permission.granted_by(role));
        assert_eq!(granted(KeyRole::Owner), [true, true, true]);
        assert_eq!(granted(KeyRole::Viewer), [true, false, true]);
        assert_eq!(granted(KeyRole::LogsViewer), [false, false, true]);
    }
}
