//! Where the gateway keeps its files below a data directory. Both sides ask here, so that the names exist once.

use std::path::{Path, PathBuf};

/// The gateway's files. Everything it writes lies in a directory of its own, because it may run under an account that cannot create
/// files in the data directory itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPaths {
    /// The random id of the data directory, made by the control plane; the gateway only reads it.
    pub id: PathBuf,
    /// The gateway's own directory. The control plane creates it for the gateway's account before the first start.
    pub directory: PathBuf,
    /// Held with `flock` by the running gateway; contains its process id.
    pub lock: PathBuf,
    /// The unix socket that the control plane connects to.
    pub socket: PathBuf,
    /// The unix socket through which a successor asks for listeners and connections.
    pub handover: PathBuf,
    /// The disk copy of the table.
    pub table: PathBuf,
}

impl GatewayPaths {
    /// The files below `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        let directory = data_dir.join("gateway");
        Self {
            id: data_dir.join("id"),
            lock: directory.join("lock"),
            socket: directory.join("control.sock"),
            handover: directory.join("handover.sock"),
            table: directory.join("table.json"),
            directory,
        }
    }
}
