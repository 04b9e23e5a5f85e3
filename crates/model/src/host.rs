//! Hosts: the machines that servers run on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{HostId, Timestamp};

/// A machine (or place) that servers run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// When it joined.
    pub created_at: Timestamp,
    /// Whether new servers may be placed on it.
    pub accepts_servers: bool,
    /// The rack or zone it stands in; empty when not told.
    pub rack: String,
}

/// What a host is, as its operating system tells. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Short host name.
    pub hostname: String,
    /// Machine architecture, for instance `x86_64`.
    pub architecture: String,
    /// Processors that we may use.
    pub cores: u32,
    /// Memory that we may use, cgroup limits respected.
    pub memory_bytes: u64,
    /// `ID` of os-release.
    pub os_id: String,
    /// `ID_LIKE` of os-release.
    pub os_like: String,
    /// `VERSION_ID` of os-release.
    pub os_version_id: String,
    /// `PRETTY_NAME` of os-release.
    pub os_pretty_name: String,
    /// Addresses of the machine: interface name and address.
    pub addresses: Vec<(String, std::net::IpAddr)>,
    /// Where servers keep their data.
    pub data_dir: PathBuf,
    /// Size of the file system of `data_dir`.
    pub storage_bytes: u64,
    /// Since when the machine runs.
    pub booted_at: Timestamp,
    /// Why cgroup limits cannot be set for servers; `None` when they can.
    pub limits_unavailable: Option<String>,
}

/// How loaded a host is at one moment. Times are totals since boot, in clock ticks of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineLoad {
    /// Processor time in user mode.
    pub cpu_user: u64,
    /// Processor time of low-priority processes.
    pub cpu_nice: u64,
    /// Processor time in the kernel.
    pub cpu_system: u64,
    /// Idle processor time.
    pub cpu_idle: u64,
    /// Time waiting for a disk.
    pub cpu_iowait: u64,
    /// Time serving interrupts.
    pub cpu_irq: u64,
    /// Time stolen by a hypervisor.
    pub cpu_steal: u64,
    /// Memory that could be given to a new process, bytes.
    pub memory_available_bytes: u64,
    /// Memory not used for anything, bytes.
    pub memory_free_bytes: u64,
    /// Free space for us in the file system of the data directory, bytes.
    pub storage_available_bytes: u64,
    /// Free space in the file system of the data directory, root's reserve included, bytes.
    pub storage_free_bytes: u64,
    /// Bytes received by all interfaces but loopback since boot.
    pub network_in_bytes: u64,
    /// Bytes sent by all interfaces but loopback since boot.
    pub network_out_bytes: u64,
}
