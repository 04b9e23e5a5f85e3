//! Bdb object ↔ database: [`create`] and [`update`] make a [`Draft`] of a body, [`show`] makes the object of a view.
//!
//! Three steps, all pure: `fields` says which types and ranges are accepted (400), [`refuse`] what cannot be honoured (406), the files
//! after it what the rest means for the [`DatabaseSpec`].

mod apply;
mod backup;
mod location;
mod network;
mod persistence;
mod refuse;
mod replica_of;
mod sharding;
mod show;
#[cfg(test)]
pub(crate) mod tests;
mod tuning;
mod version;

use std::net::IpAddr;

use pilothouse_api::JsonObject;
use pilothouse_model::{
    AclRuleId, BucketName, DatabaseName, DatabaseSpec, InstalledEngine, RoleId, Sealed, Secret, Timestamp,
};
use serde_json::Value;

use crate::error::Failure;

pub(crate) use apply::{IMPORT_SOURCES, create, update};
pub(crate) use location::{Purpose, locations, parse as location};
pub(crate) use show::{Shown, show};
pub(crate) use version::installed_of_series;

/// What a body asks for.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: DatabaseName,
    pub(crate) spec: DatabaseSpec,
    /// The uid that the client chose.
    pub(crate) uid: Option<u64>,
    /// The document: everything that this API was told and the model does not hold.
    pub(crate) document: JsonObject,
}

/// What the translation needs to know besides the body.
pub(crate) struct Surroundings<'a> {
    /// Server binaries that can be run.
    pub(crate) engines: &'a [InstalledEngine],
    /// The cluster policy, defaults included.
    pub(crate) policy: &'a JsonObject,
    /// The nodes there are.
    pub(crate) nodes: &'a [u64],
    /// Where endpoints are bound.
    pub(crate) address: IpAddr,
    /// The name of the cluster.
    pub(crate) cluster_name: &'a str,
    /// The time.
    pub(crate) now: Timestamp,
    /// Secrets and ids.
    pub(crate) core: &'a dyn Core,
}

/// What only the core can do: keep secrets, and know whom an integer names.
pub(crate) trait Core {
    fn seal(&self, secret: &Secret) -> Sealed;
    fn open(&self, sealed: &Sealed) -> Result<Secret, Failure>;
    /// A new random secret of that many characters.
    fn generate(&self, length: usize) -> Secret;
    fn role(&self, uid: u64) -> Option<RoleId>;
    fn acl_rule(&self, uid: u64) -> Option<AclRuleId>;
    /// Where S3 is, when the cluster's settings say so.
    fn s3_url(&self) -> Option<String>;
    /// Whether a bucket is configured under that name.
    fn has_bucket(&self, name: &BucketName) -> bool;
}

impl Surroundings<'_> {
    /// Seals `wanted`, unless one of `present` already holds it: sealing twice gives two texts, and an unchanged password is no change.
    fn sealed(&self, wanted: &str, present: &[Sealed]) -> Result<Sealed, Failure> {
        for sealed in present {
            if self.core.open(sealed)?.expose() == wanted {
                return Ok(sealed.clone());
            }
        }
        Ok(self.core.seal(&Secret::new(wanted)))
    }
}

/// A body whose types and ranges were checked.
struct Body<'a>(&'a JsonObject);

impl<'a> Body<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    fn list(&self, name: &str) -> Option<&'a [Value]> {
        self.get(name)?.as_array().map(Vec::as_slice)
    }
}

/// A random number below `limit`; 0 when that is 0.
fn random_below(core: &dyn Core, limit: u64) -> u64 {
    let mixed = core.generate(16).expose().bytes().fold(0_u64, |mixed, byte| {
        mixed.wrapping_mul(131).wrapping_add(u64::from(byte))
    });
    mixed.checked_rem(limit).unwrap_or(0)
}
