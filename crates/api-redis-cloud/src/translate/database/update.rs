//! A database as it is to be from now on.

use pilothouse_control::Control;
use pilothouse_model::{ClientAuthentication, Database, DatabaseSpec, TlsMode};

use super::backup::backup;
use super::checks::{
    check_room, checked_alerts, checked_name, checked_password, eviction, persistence, refuse_what_is_not_offered,
};
use super::replica::replica_of;
use super::sources::{sources, trusted};
use super::versions::resp_version;
use super::{Around, Drafted, sharding};
use crate::documents::DatabaseDocument;
use crate::error::TaskError;
use crate::translate::size;
use crate::wire::database::DatabaseRequest;

/// A database as it is to be from now on.
pub(crate) fn update(
    request: &DatabaseRequest,
    present: &Database,
    document: &DatabaseDocument,
    around: &Around<'_>,
) -> Result<Drafted, TaskError> {
    refuse_what_is_not_offered(request)?;
    let mut spec = present.spec.clone();
    let mut document = document.clone();
    let name = match &request.name {
        Some(name) => checked_name(name)?,
        None => present.name.clone(),
    };
    let before = 1 + u64::from(spec.replicas);
    if let Some(replication) = request.replication {
        spec.replicas = u8::from(replication);
    }
    let copies = 1 + u64::from(spec.replicas);
    if request.dataset_size_in_gb.is_some() || request.memory_limit_in_gb.is_some() {
        spec.memory_bytes = size::total_bytes(request.dataset_size_in_gb, request.memory_limit_in_gb, copies)?;
    } else {
        spec.memory_bytes = spec.memory_bytes / before * copies;
    }
    if let Some(throughput) = request.throughput_measurement {
        document.throughput = throughput;
    }
    if let Some(wanted) = request.data_persistence {
        spec.persistence = persistence(wanted);
    }
    if let Some(wanted) = request.data_eviction_policy {
        spec.eviction = eviction(wanted)?;
    }
    if request.resp_version.is_some() {
        document.resp_version = resp_version(request, spec.version)?;
    }
    if let Some(wanted) = request.auto_minor_version_upgrade {
        document.auto_minor_version_upgrade = wanted;
    }
    if let Some(alerts) = &request.alerts {
        document.alerts = checked_alerts(alerts, around)?;
    }
    update_access(request, &mut spec, around.control)?;
    update_network(request, &mut spec, &mut document, around)?;
    if let Some(source) = replica_of(request, around.control)? {
        spec.replica_of = source;
    }
    sharding::update(request, &mut spec)?;
    if request.remote_backup.is_some() || request.periodic_backup_path.is_some() {
        spec.backup = backup(request, around.control, spec.backup.take())?;
    }
    check_room(&spec, around)?;
    Ok(Drafted { name, spec, document })
}

fn update_access(request: &DatabaseRequest, spec: &mut DatabaseSpec, control: &Control) -> Result<(), TaskError> {
    let off_before = !spec.access.default_user;
    if let Some(enabled) = request.enable_default_user {
        spec.access.default_user = enabled;
    }
    let Some(password) = &request.password else {
        return Ok(());
    };
    let present = spec
        .access
        .default_passwords
        .first()
        .and_then(|sealed| control.open(sealed).ok());
    if present.is_some_and(|present| present.expose() == password) {
        return Ok(());
    }
    if !spec.access.default_user {
        let (code, why) = if off_before {
            (
                "NOT_ALLOWED_TO_UPDATE_A_DATABASE_PASSWORD_WHEN_DEFAULT_USER_IS_DISABLED",
                "the default user is off",
            )
        } else {
            (
                "DISABLING_THE_DEFAULT_USER_AND_UPDATING_A_NEW_PASSWORD_IS_NOT_ALLOWED",
                "the default user cannot be turned off and get a password at once",
            )
        };
        return Err(TaskError::new(code, why));
    }
    let password = checked_password(password)?;
    spec.access.default_passwords = vec![control.seal(&password)];
    Ok(())
}

fn update_network(
    request: &DatabaseRequest,
    spec: &mut DatabaseSpec,
    document: &mut DatabaseDocument,
    around: &Around<'_>,
) -> Result<(), TaskError> {
    if let Some(trusted) = trusted(request) {
        spec.network.client_auth = ClientAuthentication {
            required: !trusted.is_empty(),
            trusted,
        };
    }
    match request.enable_tls {
        Some(true) => spec.network.tls = TlsMode::Enabled,
        Some(false) => {
            spec.network.tls = TlsMode::Disabled;
            spec.network.client_auth = ClientAuthentication::default();
        }
        None => {}
    }
    if let Some(wanted) = &request.source_ip {
        spec.network.source_allow = sources(wanted, around)?;
        document.source_ip.clone_from(wanted);
    }
    Ok(())
}
