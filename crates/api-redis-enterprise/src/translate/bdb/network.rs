//! Endpoint, TLS, client certificates, logins.

use pilothouse_api::certificate_facts;
use pilothouse_model::{DatabaseSpec, RoleBinding, TlsMode};
use serde_json::Value;

use super::{Body, Surroundings};
use crate::error::Failure;

/// The longest password that is taken.
const PASSWORD_MAX: usize = 1024;

/// Which client certificates may be trusted all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// Those that have expired.
    pub(super) outdated: bool,
    /// Those signed over a weak hash.
    pub(super) weak: bool,
}

/// Brings TLS, certificates and limits in line with a body.
pub(super) fn apply(
    body: &Body<'_>,
    around: &Surroundings<'_>,
    spec: &mut DatabaseSpec,
    allowed: Allowed,
) -> Result<(), Failure> {
    let network = &mut spec.network;
    // The generated SDK always sends both; `tls_mode` wins.
    let tls = match (body.text("tls_mode"), body.flag("ssl")) {
        (Some(word), _) => Some(word == "enabled"),
        (None, flag) => flag,
    };
    if let Some(enabled) = tls {
        network.tls = if enabled { TlsMode::Enabled } else { TlsMode::Disabled };
    }
    if let Some(word) = body.text("enforce_client_authentication") {
        network.client_auth.required = word == "enabled";
    }
    if let Some(certificates) = body.list("authentication_ssl_client_certs") {
        network.client_auth.trusted = trusted(certificates, around, allowed)?;
    }
    if let Some(most) = body.number("max_connections") {
        network.max_connections = u32::try_from(most).unwrap_or(u32::MAX);
    }
    if let Some(encrypt) = body.flag("data_internode_encryption") {
        network.encrypt_replication = encrypt;
    }
    Ok(())
}

/// Reads a list of certificates that clients are trusted by.
pub(super) fn trusted(list: &[Value], around: &Surroundings<'_>, allowed: Allowed) -> Result<Vec<String>, Failure> {
    let mut trusted: Vec<String> = Vec::new();
    for entry in list {
        let pem = entry.get("client_cert").and_then(Value::as_str);
        let pem = pem.ok_or_else(|| Failure::invalid_schema("a client certificate needs client_cert"))?;
        let facts = certificate_facts(pem)
            .map_err(|error| Failure::not_acceptable("invalid_certificate", error.to_string()))?;
        if facts.not_after < around.now && !allowed.outdated {
            return Err(Failure::not_acceptable(
                "certificate_expired",
                "a client certificate has expired",
            ));
        }
        if facts.weakly_signed && !allowed.weak {
            return Err(Failure::not_acceptable(
                "invalid_certificate",
                "a client certificate is signed over a weak hash, see mtls_allow_weak_hashing",
            ));
        }
        if trusted.iter().any(|other| other.trim() == pem.trim()) {
            return Err(Failure::not_acceptable(
                "duplicated_certs",
                "a client certificate is listed twice",
            ));
        }
        trusted.push(pem.to_owned());
    }
    Ok(trusted)
}

/// Brings the logins in line with a body.
pub(super) fn apply_access(body: &Body<'_>, around: &Surroundings<'_>, spec: &mut DatabaseSpec) -> Result<(), Failure> {
    let access = &mut spec.access;
    if let Some(password) = password(body, "authentication_redis_pass")? {
        access.default_passwords = match password {
            "" => Vec::new(),
            // What is shown is the first of several; sent back unchanged it takes none of the others away.
            same if is_first(same, around, access.default_passwords.first())? => access.default_passwords.clone(),
            other => vec![around.sealed(other, &access.default_passwords)?],
        };
    }
    // Blank is what somebody sees who may not see it, so it means no change.
    if let Some(password) = password(body, "authentication_admin_pass")?.filter(|password| !password.is_empty()) {
        access.admin_password = around.sealed(password, std::slice::from_ref(&access.admin_password))?;
    }
    if let Some(enabled) = body.flag("default_user") {
        access.default_user = enabled;
    }
    if let Some(list) = body.list("roles_permissions") {
        access.bindings = bindings(list, around)?;
    }
    if let Some(text) = body.text("disabled_commands") {
        let words = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty());
        let mut commands: Vec<String> = Vec::new();
        for word in words.map(str::to_ascii_lowercase) {
            if !commands.contains(&word) {
                commands.push(word);
            }
        }
        access.disabled_commands = commands;
    }
    Ok(())
}

fn is_first(text: &str, around: &Surroundings<'_>, first: Option<&pilothouse_model::Sealed>) -> Result<bool, Failure> {
    first.map_or(Ok(false), |sealed| Ok(around.core.open(sealed)?.expose() == text))
}

fn password<'a>(body: &Body<'a>, field: &str) -> Result<Option<&'a str>, Failure> {
    let found = body.text(field);
    if found.is_some_and(|password| password.len() > PASSWORD_MAX) {
        return Err(Failure::invalid_schema(format!(
            "{field} must have at most {PASSWORD_MAX} bytes"
        )));
    }
    Ok(found)
}

fn bindings(list: &[Value], around: &Surroundings<'_>) -> Result<Vec<RoleBinding>, Failure> {
    let mut bindings = Vec::new();
    for entry in list {
        let uid = |key: &str| {
            let uid = entry.get(key).and_then(Value::as_u64);
            uid.ok_or_else(|| Failure::invalid_schema(format!("roles_permissions needs {key}, a whole number")))
        };
        let (role, rule) = (uid("role_uid")?, uid("redis_acl_uid")?);
        let unknown =
            |what: &str, uid: u64| Failure::not_acceptable("invalid_param", format!("there is no {what} {uid}"));
        let binding = RoleBinding {
            role: around.core.role(role).ok_or_else(|| unknown("role", role))?,
            rule: around.core.acl_rule(rule).ok_or_else(|| unknown("redis_acl", rule))?,
        };
        if !bindings.contains(&binding) {
            bindings.push(binding);
        }
    }
    Ok(bindings)
}
