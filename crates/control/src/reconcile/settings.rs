//! What a server's configuration follows from, put together from spec, access records and certificates.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pilothouse_engine::{ClusterSettings, Fence, Login, ServerDirectory, ServerSettings, TlsFiles};
use pilothouse_model::{AclRule, Database, DatabaseSpec, RoleBinding, RoleId, Secret, Server, TlsMode, User};
use pilothouse_store::View;

use crate::{Control, ControlError, certificates};

/// Files of a server's directory that hold certificates.
const CERTIFICATE_FILE: &str = "tls/certificate.pem";
const KEY_FILE: &str = "tls/key.pem";
const TRUSTED_FILE: &str = "tls/trusted.pem";

/// A file that goes with the settings: its path below the server's directory, and its content.
pub(super) type SettingsFile = (&'static str, String);

impl Control {
    /// The settings that are wanted of a server.
    pub(crate) fn server_settings(
        &self,
        database: &Database,
        server: &Server,
        fence: Fence,
    ) -> Result<ServerSettings, ControlError> {
        let spec = &database.spec;
        let view = self.store().view();
        Ok(ServerSettings {
            bind: self.bound_at(spec),
            ports: server.ports,
            tls: self.tls(database, server)?.map(|(tls, _)| tls),
            encrypt_replication: spec.encrypts_links(),
            memory_bytes: spec.memory_bytes_per_server(),
            persistence: spec.persistence.clone(),
            eviction: spec.eviction,
            tuning: spec.tuning.clone(),
            management_secret: self.open(&server.management_secret)?,
            replication_secret: self.open(&database.replication_secret)?,
            logins: self.logins(&view, database)?,
            disabled_commands: spec.access.disabled_commands.clone(),
            fence,
            cluster: spec.cluster.then_some(ClusterSettings {
                announce: spec.network.address,
            }),
        })
    }

    /// Where its servers listen: servers of a cluster are reached by clients themselves.
    fn bound_at(&self, spec: &DatabaseSpec) -> Vec<IpAddr> {
        let ours = self.0.settings.server_address;
        let public = spec.network.address;
        if spec.cluster && public != ours {
            vec![ours, public]
        } else {
            vec![ours]
        }
    }

    /// The certificate files that the settings name.
    pub(super) fn settings_files(
        &self,
        database: &Database,
        server: &Server,
    ) -> Result<Vec<SettingsFile>, ControlError> {
        Ok(self.tls(database, server)?.map(|(_, files)| files).unwrap_or_default())
    }

    fn tls(&self, database: &Database, server: &Server) -> Result<Option<(TlsFiles, Vec<SettingsFile>)>, ControlError> {
        let network = &database.spec.network;
        // Also while it is paused: the link is cut after that was asked for.
        let source = database.spec.replica_of.as_ref().filter(|source| source.tls);
        if network.tls == TlsMode::Disabled && !database.spec.encrypts_links() && source.is_none() {
            return Ok(None);
        }
        let missing = || ControlError::internal("the certificate of TLS endpoints is missing");
        let pair = self.certificate(certificates::ENDPOINTS).ok_or_else(missing)?;
        let key = pair.key.ok_or_else(missing)?;
        let auth = &network.client_auth;
        let demanded = network.tls == TlsMode::Enabled && auth.required && !auth.trusted.is_empty();
        // Servers of a database trust their own certificate, so that the links between them can be encrypted.
        let mut trusted = vec![pair.certificate.trim_end().to_owned()];
        trusted.extend(auth.trusted.iter().map(|certificate| certificate.trim_end().to_owned()));
        // A server has one list for whom it follows and who comes to it: where clients prove themselves with certificates, a source is
        // not allowed to widen it.
        let pinned = source.and_then(|source| source.server_certificate.as_deref());
        trusted.extend(
            pinned
                .filter(|_| !demanded)
                .map(|certificate| certificate.trim_end().to_owned()),
        );
        let trusted = trusted.join("\n") + "\n";
        let fingerprint = fingerprint(&[&pair.certificate, key.expose(), &trusted]);
        let root = ServerDirectory {
            root: self.0.runtime.directory(server.id),
        }
        .root;
        let files = TlsFiles {
            certificate: root.join(CERTIFICATE_FILE),
            key: root.join(KEY_FILE),
            trusted: root.join(TRUSTED_FILE),
            client_certificates: demanded,
            clients: network.tls == TlsMode::Enabled,
            fingerprint,
        };
        let contents = vec![
            (CERTIFICATE_FILE, pair.certificate),
            (KEY_FILE, key.expose().to_owned()),
            (TRUSTED_FILE, trusted),
        ];
        Ok(Some((files, contents)))
    }

    /// Who may log in: the login without a name, `admin`, and every user who holds a role that the database is open to.
    fn logins(&self, view: &View, database: &Database) -> Result<Vec<Login>, ControlError> {
        let access = &database.spec.access;
        let hash = |sealed| self.open(sealed).map(|secret| pilothouse_secrets::sha256_hex(&secret));
        let everything = "~* &* +@all";
        let mut logins = vec![
            Login {
                name: "default".to_owned(),
                enabled: access.default_user,
                password_sha256: access.default_passwords.iter().map(hash).collect::<Result<_, _>>()?,
                without_password: access.default_passwords.is_empty(),
                rules: everything.to_owned(),
            },
            Login {
                name: "admin".to_owned(),
                enabled: true,
                password_sha256: vec![hash(&access.admin_password)?],
                without_password: false,
                rules: everything.to_owned(),
            },
        ];
        let engine = self.0.engines.get(database.spec.engine);
        let reserved = engine.map(|engine| engine.reserved_logins()).unwrap_or_default();
        let mut taken: BTreeSet<String> = logins.iter().map(|login| login.name.clone()).collect();
        taken.extend(reserved.iter().map(|name| (*name).to_owned()));
        for binding in bindings(view, database) {
            let Some(rule) = view.get::<AclRule>(&binding.rule) else {
                continue;
            };
            for user in holders(view, binding.role) {
                // The first binding of a user counts, as the first in the list that the operator wrote.
                let Some(name) = login_name(view, user).filter(|name| taken.insert((*name).to_owned())) else {
                    continue;
                };
                let hashes: Result<Vec<Secret>, _> = user
                    .passwords
                    .iter()
                    .map(|password| self.open(&password.sealed_sha256))
                    .collect();
                logins.push(Login {
                    name: name.to_owned(),
                    enabled: true,
                    password_sha256: hashes?,
                    without_password: false,
                    rules: rule.rule.clone(),
                });
            }
        }
        Ok(logins)
    }
}

/// To whom a database is open: by its own word first, then by the roles of its tenant.
fn bindings(view: &View, database: &Database) -> Vec<RoleBinding> {
    let mut bindings = database.spec.access.bindings.clone();
    let granting = view.roles_granted_on(database.id);
    for role in granting.filter(|role| role.tenant == Some(database.tenant)) {
        let here = role
            .grants
            .iter()
            .filter(|grant| grant.databases.contains(&database.id));
        bindings.extend(here.map(|grant| RoleBinding {
            role: role.id,
            rule: grant.rule,
        }));
    }
    bindings
}

fn holders(view: &View, role: RoleId) -> impl Iterator<Item = &User> {
    view.users_with_role(role).map(|user| &***user)
}

/// The name under which a user logs in to databases: the user's name, or the e-mail where the name is shared, empty, or one that no
/// server takes. `None` where neither will do: such a user has no login in databases.
fn login_name<'a>(view: &View, user: &'a User) -> Option<&'a str> {
    let fit = |name: &str| !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    let shared = view
        .all::<User>()
        .any(|other| other.id != user.id && other.tenant == user.tenant && other.name == user.name);
    if fit(&user.name) && !shared {
        Some(&user.name)
    } else {
        Some(user.email.as_str()).filter(|email| fit(email))
    }
}

/// A text that changes when one of the parts does. Not a secret: a keyless digest of long random material.
fn fingerprint(parts: &[&str]) -> String {
    let joined = parts.join("\u{0}");
    pilothouse_secrets::sha256_hex(&Secret::new(joined)).expose().to_owned()
}
