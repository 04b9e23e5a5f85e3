//! Versions: this API says `X.Y` and means the command set; a product may count differently.

use pilothouse_api::JsonObject;
use pilothouse_model::{EngineKind, EngineVersion, InstalledEngine};
use serde_json::Value;

use super::{Body, Surroundings};
use crate::error::Failure;

fn unknown(wanted: &str) -> Failure {
    Failure::not_acceptable(
        "invalid_version",
        format!("version {wanted:?} is not offered by any node"),
    )
}

/// The engine for a new database: the series that was asked for, else that of the policy, else the newest.
pub(super) fn choose<'a>(body: &Body<'_>, around: &'a Surroundings<'_>) -> Result<&'a InstalledEngine, Failure> {
    let series = match body.text("redis_version") {
        Some(series) => Some(series),
        None if body.text("version").is_some() => None,
        None => policy_series(around.policy, around.engines),
    };
    let fits = |engine: &&InstalledEngine| {
        series.is_none_or(|series| engine.compatible.series() == series)
            && body
                .text("version")
                .is_none_or(|version| version == wire_version(engine))
    };
    best(around.engines.iter().filter(fits)).ok_or_else(|| unknown(series.or(body.text("version")).unwrap_or("any")))
}

/// The series of the policy, as long as it is offered.
fn policy_series<'a>(policy: &'a JsonObject, engines: &[InstalledEngine]) -> Option<&'a str> {
    let series = policy
        .get("default_provisioned_redis_version")
        .and_then(Value::as_str)?;
    engines
        .iter()
        .any(|engine| engine.compatible.series() == series)
        .then_some(series)
}

/// The newest; of equals the product that comes first in the order of preference.
fn best<'a>(engines: impl Iterator<Item = &'a InstalledEngine>) -> Option<&'a InstalledEngine> {
    let preference = |engine: &InstalledEngine| EngineKind::ALL.iter().position(|kind| *kind == engine.kind);
    engines.max_by_key(|engine| (engine.compatible, std::cmp::Reverse(preference(engine)), engine.version))
}

/// The newest version of a product in a series; without a series its newest at all.
pub(crate) fn installed_of_series<'a>(
    engines: &'a [InstalledEngine],
    kind: EngineKind,
    series: Option<&str>,
) -> Result<&'a InstalledEngine, Failure> {
    let fits = |engine: &&InstalledEngine| {
        engine.kind == kind && series.is_none_or(|series| engine.compatible.series() == series)
    };
    best(engines.iter().filter(fits)).ok_or_else(|| unknown(series.unwrap_or("any")))
}

/// The full version that clients are told: the product's own for Redis, that of the command set for the others.
fn wire_version(engine: &InstalledEngine) -> String {
    engine.compatible.to_string()
}

/// `version` and `redis_version` of a database.
pub(super) fn wire_versions(engines: &[InstalledEngine], kind: EngineKind, version: EngineVersion) -> (String, String) {
    let installed = engines
        .iter()
        .find(|engine| engine.kind == kind && engine.version == version);
    let told = installed.map_or(version, |engine| engine.compatible);
    (told.to_string(), told.series())
}

/// Refuses a version that differs from the present one: only an upgrade changes it.
pub(super) fn check_unchanged(
    body: &Body<'_>,
    around: &Surroundings<'_>,
    kind: EngineKind,
    version: EngineVersion,
) -> Result<(), Failure> {
    let (full, series) = wire_versions(around.engines, kind, version);
    for (field, present) in [("version", full), ("redis_version", series)] {
        if body.text(field).is_some_and(|wanted| wanted != present) {
            let why = format!("{field} is changed by an upgrade, not by an update");
            return Err(Failure::not_acceptable("invalid_configuration", why));
        }
    }
    Ok(())
}
