//! The engine contract: what control asks of a database product, without knowing which one it is.
//!
//! A driver *describes* a launch and *speaks* the product's protocol. It starts nothing, sleeps never, retries never and reads no wall
//! clock: it returns a class of error and the caller decides. Every effect is idempotent; "already done" is success. Every call has a
//! deadline passed in. Probing and acting are different methods.
//!
//! [`Engine`] is the product: discovery, capabilities, validation, the launch. [`Session`] is one management connection to one running
//! server. Control never asks "is it redis?"; it asks [`Capabilities`].

mod capabilities;
mod error;
mod launch;
mod session;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use pilothouse_model::{DatabaseSpec, EngineKind, EngineVersion};

pub use capabilities::Capabilities;
pub use error::{EngineError, ErrorClass};
pub use launch::{BinaryProbe, DiscoveredVersion, LaunchDescription, ServerFile};
pub use session::{
    Deadline, HandOver, Load, ManagementAccess, Peer, PeerNode, Reply, Session, SnapshotState, SyncSource,
};
pub use settings::{ClusterSettings, Fence, Login, ServerDirectory, ServerSettings, TlsFiles};

/// Why a server does not get its data from the source that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSource {
    /// The reason, for people.
    pub why: String,
    /// Trying again leads to the same: the server cannot load what this source sends.
    pub for_good: bool,
}

/// A database product. One value per product; shared by all its servers.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Which product this is.
    fn kind(&self) -> EngineKind;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Which binary to look for and how to ask it for its version. The runtime runs it.
    fn binary_probe(&self) -> BinaryProbe;

    /// Reads the version out of what the binary printed; `None` when it is not this product.
    fn parse_version(&self, printed: &str) -> Option<DiscoveredVersion>;

    /// Checks what only the product can judge: tuning names and values, eviction words, command names. Pure.
    fn validate(&self, spec: &DatabaseSpec) -> Result<(), EngineError>;

    /// Checks the text of an ACL rule against the product's grammar. Pure.
    fn validate_acl_rule(&self, rule: &str) -> Result<(), EngineError>;

    /// Names of logins that are ours; a client login of such a name is refused.
    fn reserved_logins(&self) -> &'static [&'static str] {
        &[]
    }

    /// Why a server does not get its data from the source that it follows, as the last lines that it printed tell; `None` when they tell
    /// nothing about it. Pure.
    fn explain_lost_source(&self, _printed: &[String]) -> Option<LostSource> {
        None
    }

    /// How to start a server: files, command line, environment. Pure, and equal input gives equal output. What stands on disk never
    /// makes a server that clients or replicas can use: only the private management account works until [`Session::apply`] releases it.
    fn launch(
        &self,
        version: EngineVersion,
        settings: &ServerSettings,
        directory: &ServerDirectory,
    ) -> LaunchDescription;

    /// Opens a management connection over the unix socket in the server's directory and logs in.
    async fn connect(&self, access: &ManagementAccess, deadline: Deadline) -> Result<Box<dyn Session>, EngineError>;
}

/// The products that were wired in, by kind.
#[derive(Clone, Default)]
pub struct Engines(Vec<Arc<dyn Engine>>);

impl Engines {
    /// A registry of these products.
    pub fn new(engines: Vec<Arc<dyn Engine>>) -> Self {
        Self(engines)
    }

    /// The product of that kind.
    pub fn get(&self, kind: EngineKind) -> Option<&Arc<dyn Engine>> {
        self.0.iter().find(|engine| engine.kind() == kind)
    }

    /// Every product.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Engine>> {
        self.0.iter()
    }
}
