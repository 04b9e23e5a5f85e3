//! The application: commands and queries that all dialects share, the operations they lead to, and the loops that carry them out.
//!
//! Called by the dialects (`api-*`) through [`Control`], put together by `server`. It sees engines, the runtime and the gateway only as
//! trait objects given to it, and knows no HTTP and no API's wire format. Start reading at [`Control`]; what happens after a command is
//! committed is in `reconcile`, what happens when a server dies is in `health` and `reconcile::failover`.

mod access;
mod caller;
mod certificates;
mod clock;
mod commands;
mod control;
mod database;
mod documents;
mod engines;
mod error;
mod events;
mod fault;
mod gateway_process;
mod groups;
mod health;
mod hosts;
mod ids;
mod lanes;
mod log_limits;
mod memory;
mod operations;
mod ports;
mod reconcile;
mod routes;
#[cfg(test)]
mod simulation;
mod sources;
mod statistics;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod transfer;
mod view;

pub use access::{
    AccessPolicy, AclRuleChange, IssuedKeys, KeyAccount, KeyRole, NewAclRule, NewKeyAccount, NewRole, NewSecretKey,
    NewTenantUser, NewUser, PasswordChange, RoleChange, SecretKey, TenantRoleChange, UserChange,
};
pub use caller::{Caller, TenantScope};
pub use certificates::ENDPOINTS as ENDPOINT_CERTIFICATE;
pub use clock::{Clock, SystemClock};
pub use commands::{
    Accepted, CertificatePair, CreateDatabase, DocumentWrite, RecoverDatabase, RequestOptions, TransferRequest,
    UpdateDatabase, UpgradeDatabase,
};
pub use control::{Control, ControlSettings, Parts};
pub use database::{DataFile, Room};
pub use error::{ControlError, Field, Noun};
pub use events::EventFilter;
pub use gateway_process::{GATEWAY_PROCESS, GATEWAY_PROCESSES};
pub use groups::{CreateGroup, GroupChange};
pub use hosts::HostChange;
pub use ids::{IdScheme, IdSchemes, SubjectKind};
pub use lanes::{Pending, Processed, Processor, Refusal, Settlement};
pub use pilothouse_backup::{FileAccess, FileAccount, S3Bucket};
pub use pilothouse_engine::Reply;
pub use pilothouse_gateway_protocol::EndpointLoad;
pub use pilothouse_store::{View, WireId};
pub use statistics::{Interval, Metric, Sample, StatSubject, Statistics};
pub use transfer::SourceStanding;
pub use view::DatabaseView;
