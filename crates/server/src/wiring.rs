//! Which engines and which runtime this program is made of: from configuration to the options of other crates.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use pilothouse_control::IdScheme;
use pilothouse_engine::Engines;
use pilothouse_engine_redis::RedisEngine;
use pilothouse_runtime_local::{Account, LauncherCommand, LocalOptions, LogLimits};

use crate::config::Configuration;

/// The address that servers bind: only the gateway and each other reach them.
pub const SERVER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Every product that can be run.
pub fn engines() -> Engines {
    Engines::new(vec![Arc::new(RedisEngine::redis()), Arc::new(RedisEngine::valkey())])
}

/// How servers are run on this machine. `mark` is the id of the data directory.
pub fn local_options(
    configuration: &Configuration,
    data_dir: &Path,
    mark: &str,
    run_as: Option<Account>,
) -> LocalOptions {
    let ports = configuration.endpoints.server_port_range;
    LocalOptions {
        data_dir: data_dir.to_owned(),
        mark: mark.to_owned(),
        run_as,
        launcher: LauncherCommand::of_this_program(),
        search_path: configuration.engines.search_path.clone(),
        server_port_range: ports.first..=ports.last,
        port_probe_address: SERVER_ADDRESS,
        logs: LogLimits::default(),
    }
}

/// Whether endpoints can be bound to the address. Only what the kernel says about the address counts; it may be out of ports.
pub fn is_own_address(address: IpAddr) -> bool {
    TcpListener::bind((address, 0)).map_or_else(|error| error.kind() != ErrorKind::AddrNotAvailable, |_| true)
}

/// The id schemes of every dialect, also of those whose listener is off.
pub fn id_schemes() -> Vec<IdScheme> {
    [
        pilothouse_api_redis_enterprise::ID_SCHEMES,
        pilothouse_api_redis_cloud::ID_SCHEMES,
    ]
    .concat()
}
