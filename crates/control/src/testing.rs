//! A control plane for tests of the dialects: real loops, real store in a directory of the test's own, everything below simulated.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_engine::{Engine, Engines};
use pilothouse_gateway_protocol::Gateway;
use pilothouse_planner::Policy;
use pilothouse_runtime::Runtime;
use pilothouse_secrets::Keyring;
use pilothouse_store::Store;

use crate::{Control, ControlError, ControlSettings, IdSchemes, Parts, SystemClock};

/// A control plane that keeps its state in `directory` and steers `world`. Its loops run; a second call with the same directory and
/// world, after the first one was stopped, is a restart.
///
/// # Errors
/// The store cannot be opened, or what must always exist cannot be made.
pub async fn control<W: Engine + Runtime + Gateway>(
    world: Arc<W>,
    directory: &Path,
    schemes: IdSchemes,
) -> Result<Control, ControlError> {
    let parts = Parts {
        store: Store::open(&directory.join("store.redb")).map_err(ControlError::internal)?,
        keyring: Keyring::open_or_create(&directory.join("key")).map_err(ControlError::internal)?,
        engines: Engines::new(vec![Arc::clone(&world) as Arc<dyn Engine>]),
        runtime: Arc::clone(&world) as Arc<dyn Runtime>,
        gateway: world,
        clock: Arc::new(SystemClock),
        schemes,
        settings: settings(directory),
    };
    let control = Control::new(parts).await?;
    control.start().await?;
    Ok(control)
}

fn settings(directory: &Path) -> ControlSettings {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    ControlSettings {
        advertise_address: localhost,
        port_range: 10_000..=10_999,
        server_address: localhost,
        single_host_replicas: true,
        probe_interval: Duration::from_millis(300),
        probe_deadline: Duration::from_millis(250),
        missed_probes: 3,
        busy_timeout: Duration::from_secs(5),
        drain_timeout: Duration::from_millis(50),
        scratch_dir: directory.join("scratch"),
        file_access: Arc::default(),
        buckets: std::collections::BTreeMap::new(),
        policy: Policy::default(),
        concurrent_passes: 8,
    }
}
