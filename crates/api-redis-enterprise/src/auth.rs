//! Who calls, and what they may do. The only place that reads credentials.

use std::sync::Arc;

use pilothouse_api::{Credentials, Request};
use pilothouse_control::{Caller, TenantScope};
use pilothouse_model::{Dialect, ManagementRole, Secret, User};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::Failure;
use crate::tokens::Holder;

/// Who may call a route, or see a part of an answer. Source: the matrix in the product's documentation of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody, also without credentials.
    Anonymous,
    /// Everybody until the cluster exists, then whoever has credentials.
    Bootstrap,
    /// Whoever has credentials; what they may change is the handler's business.
    Anybody,
    /// See databases, their statistics and alerts.
    ViewDatabases,
    /// See how a database would be recovered.
    ViewRecoveryPlan,
    /// Make, change, act on and delete databases.
    ManageDatabases,
    /// See the passwords of databases.
    ViewDatabasePasswords,
    /// See nodes, cluster, shards, proxies, modules, roles, ACLs, license, actions.
    ViewCluster,
    /// See the log of events.
    ViewLogs,
    /// See certificates of the cluster, with their keys.
    ViewCertificates,
    /// Change cluster, policy, certificates, services, nodes.
    ManageCluster,
    /// See and change users and LDAP.
    ManageUsers,
    /// Change roles, ACLs, license, proxies.
    ManageAccess,
    /// Fetch debug packages.
    DebugInfo,
}

impl Permission {
    /// Whether a management role has the permission.
    pub fn granted_to(self, role: ManagementRole) -> bool {
        use ManagementRole::{Admin, ClusterMember, ClusterViewer, DbMember, None, UserManager};
        match self {
            Self::Anonymous | Self::Bootstrap | Self::Anybody => true,
            Self::ViewDatabases | Self::ViewCluster => role != None,
            Self::ViewRecoveryPlan => !matches!(role, UserManager | None),
            Self::ManageDatabases => matches!(role, Admin | ClusterMember | DbMember),
            Self::ViewDatabasePasswords | Self::DebugInfo => {
                matches!(role, Admin | ClusterMember | DbMember | UserManager)
            }
            Self::ViewLogs => matches!(role, Admin | ClusterMember | ClusterViewer | DbMember | UserManager),
            Self::ViewCertificates => matches!(role, Admin | ClusterMember | UserManager),
            Self::ManageCluster => role == Admin,
            Self::ManageUsers | Self::ManageAccess => matches!(role, Admin | UserManager),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// The user; `None` for the account of the configuration, and for nobody.
    pub(crate) user: Option<Arc<User>>,
    /// The name for the audit log.
    pub(crate) login: String,
    /// What they may manage: the words of all roles they hold.
    pub(crate) management: Vec<ManagementRole>,
}

impl Principal {
    /// Somebody without credentials.
    pub(crate) fn nobody() -> Self {
        Self {
            user: None,
            login: "anonymous".to_owned(),
            management: Vec::new(),
        }
    }

    /// The account of the configuration: everything, everywhere.
    fn configured_admin(login: &str) -> Self {
        Self {
            user: None,
            login: login.to_owned(),
            management: vec![ManagementRole::Admin],
        }
    }

    /// Whether a request shows the credentials of the account in the configuration, which counts nowhere else before the cluster exists.
    pub(crate) fn is_configured_admin(app: &App, request: &Request) -> bool {
        match request.credentials() {
            Ok(Some(Credentials::Basic { login, password })) => {
                login == app.options().admin.user && is_admin_password(app, &password)
            }
            _ => false,
        }
    }

    fn of_user(app: &App, user: Arc<User>) -> Self {
        Self {
            login: user.display_name().to_owned(),
            management: app.management_of(&user),
            user: Some(user),
        }
    }

    /// Whether one of the roles has the permission.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.management.iter().any(|role| permission.granted_to(*role))
    }

    /// As the core knows them.
    pub(crate) fn caller(&self, app: &App) -> Caller {
        Caller {
            dialect: Dialect::RedisEnterprise,
            actor: format!("user:{}", self.login),
            scope: app.options().tenants.clone(),
            tenant: app.control().default_tenant(),
            settles: None,
        }
    }
}

/// Our own background work, as the core knows it.
pub(crate) fn own_caller(app: &App) -> Caller {
    Caller {
        dialect: Dialect::RedisEnterprise,
        actor: "redis-enterprise".to_owned(),
        scope: TenantScope::All,
        tenant: app.control().default_tenant(),
        settles: None,
    }
}

/// Lets the caller through to a route with that permission, or says 401 or 403.
pub(crate) async fn admit(app: &App, request: &Request, permission: Permission) -> Result<Principal, Failure> {
    let open = match permission {
        Permission::Anonymous => true,
        Permission::Bootstrap => !app.is_member(),
        _ => false,
    };
    if open {
        return Ok(Principal::nobody());
    }
    let principal = authenticate(app, request).await?;
    let granted = match permission {
        Permission::Bootstrap | Permission::Anybody => true,
        other => principal.may(other),
    };
    if granted {
        Ok(principal)
    } else {
        Err(Failure::forbidden(
            "forbidden",
            "the role of this user does not permit this",
        ))
    }
}

/// Finds out who calls from the `Authorization` header.
pub(crate) async fn authenticate(app: &App, request: &Request) -> Result<Principal, Failure> {
    let credentials = request
        .credentials()
        .map_err(|error| Failure::unauthorized(error.to_string()))?;
    match credentials {
        None => Err(Failure::unauthorized("this needs a user name and a password")),
        Some(Credentials::Token(token)) => Ok(match app.tokens().holder_of(app.control(), token.expose())? {
            Holder::User(user) => Principal::of_user(app, user),
            Holder::Configured => Principal::configured_admin(&app.options().admin.user),
        }),
        Some(Credentials::Basic { .. }) if !app.settings().basic_authentication => {
            Err(Failure::unauthorized("this cluster does not take passwords here"))
        }
        Some(Credentials::Basic { login, password }) => {
            let principal = log_in(app, &login, &password).await?;
            if let Some(user) = &principal.user {
                check_expiry(app, user, request)?;
            }
            Ok(principal)
        }
    }
}

/// Checks a user name and a password.
pub(crate) async fn log_in(app: &App, login: &str, password: &Secret) -> Result<Principal, Failure> {
    let admin = &app.options().admin;
    if login == admin.user && !app.control().login_is_taken(login) {
        return if is_admin_password(app, password) {
            Ok(Principal::configured_admin(login))
        } else {
            Err(wrong())
        };
    }
    let user = app
        .control()
        .login(login, password, &app.settings().access_policy)
        .await?;
    app.note_login(user.id);
    Ok(Principal::of_user(app, user))
}

fn is_admin_password(app: &App, password: &Secret) -> bool {
    app.options()
        .admin
        .password
        .expose()
        .as_bytes()
        .ct_eq(password.expose().as_bytes())
        .into()
}

/// Refuses a user whose newest password is older than the cluster allows.
fn check_expiry(app: &App, user: &User, request: &Request) -> Result<(), Failure> {
    let Some(lifetime) = app.settings().password_lifetime else {
        return Ok(());
    };
    let issued = user.passwords.iter().map(|password| password.issued_at).max();
    let expired = issued.is_some_and(|issued| issued.plus(lifetime) <= app.control().now());
    // The way out must stay open: setting another password.
    if expired && request.path.trim_end_matches('/') != "/v1/users/password" {
        return Err(Failure::unauthorized("the password has expired").with_code("password_expired"));
    }
    Ok(())
}

fn wrong() -> Failure {
    Failure::from(pilothouse_control::ControlError::Unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_of_roles() {
        use ManagementRole::{Admin, ClusterMember, ClusterViewer, DbMember, DbViewer, None, UserManager};
        const COLUMNS: [ManagementRole; 7] = [
            Admin,
            ClusterMember,
            ClusterViewer,
            DbMember,
            DbViewer,
            UserManager,
            None,
        ];
        let check = |permission: Permission, expected: &str| {
            let granted = COLUMNS.map(|role| if permission.granted_to(role) { 'x' } else { '-' });
            assert_eq!(granted.iter().collect::<String>(), expected, "{permission:?}");
        };
        check(Permission::ViewDatabases, "xxxxxx-");
        check(Permission::ViewRecoveryPlan, "xxxxx--");
        check(Permission::ManageDatabases, "xx-x---");
        check(Permission::ViewDatabasePasswords, "xx-x-x-");
        check(Permission::ViewCluster, "xxxxxx-");
        check(Permission::ViewLogs, "xxxx-x-");
        check(Permission::ViewCertificates, "xx---x-");
        check(Permission::ManageCluster, "x------");
        check(Permission::ManageUsers, "x----x-");
        check(Permission::ManageAccess, "x----x-");
        check(Permission::DebugInfo, "xx-x-x-");
    }
}
