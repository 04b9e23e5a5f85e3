//! The disk copy of the table, from which a gateway serves when it starts and no control plane is there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilothouse_gateway_protocol::Route;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// The version of this file's format.
const FORMAT_VERSION: u32 = 1;

/// How long changes gather before the copy is written: long enough that a failover waits for no disk, short enough that a copy is
/// hardly ever old.
const GATHERING: Duration = Duration::from_millis(20);

/// The pause after a copy that could not be written.
const RETRY_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DiskCopy {
    version: u32,
    /// A copy that was carried over from another data directory leads to servers of somebody else.
    data_dir_id: String,
    pub(crate) routes: Vec<Arc<Route>>,
}

/// Only what tells whether the rest can be understood.
#[derive(Deserialize)]
struct Header {
    version: u32,
    data_dir_id: String,
}

impl DiskCopy {
    pub(crate) fn new(data_dir_id: String, routes: Vec<Arc<Route>>) -> Self {
        Self {
            version: FORMAT_VERSION,
            data_dir_id,
            routes,
        }
    }

    /// The routes to serve. A copy that cannot be used is no reason not to start, since the control plane sends the truth; it is said
    /// and left as it is.
    pub(crate) fn load(path: &Path, data_dir_id: &str) -> Vec<Arc<Route>> {
        match Self::read(path, data_dir_id) {
            Ok(routes) => routes,
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "the disk copy of the table is not served");
                Vec::new()
            }
        }
    }

    fn read(path: &Path, data_dir_id: &str) -> Result<Vec<Arc<Route>>, String> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.to_string()),
        };
        let header: Header = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if header.version != FORMAT_VERSION {
            return Err(format!("it has version {}, we know {FORMAT_VERSION}", header.version));
        }
        if header.data_dir_id != data_dir_id {
            return Err("it belongs to another data directory".into());
        }
        let copy: Self = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(copy.routes)
    }

    /// Replaces the copy at `path`, atomically and durably. Blocks.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&text)?;
        file.sync_data()?;
        std::fs::rename(&new, path)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}

/// Decides when a copy is written: off the path of answers, at most one at a time.
#[derive(Debug)]
pub(crate) struct Saver {
    path: PathBuf,
    data_dir_id: Arc<str>,
    due: Option<Instant>,
    writing: Option<JoinHandle<io::Result<()>>>,
    /// Attempts in a row that failed.
    failures: u32,
}

impl Saver {
    pub(crate) fn new(path: PathBuf, data_dir_id: Arc<str>) -> Self {
        Self {
            path,
            data_dir_id,
            due: None,
            writing: None,
            failures: 0,
        }
    }

    /// Asks for a copy of what the table is by then.
    pub(crate) fn ask(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + GATHERING);
    }

    /// Whether a copy was asked for and not begun.
    pub(crate) fn is_asked(&self) -> bool {
        self.due.is_some()
    }

    /// Waits until a copy is to be written and none is being written. Cancel-safe.
    pub(crate) async fn turn(&mut self) {
        loop {
            if let Some(writing) = &mut self.writing {
                let result = writing.await;
                self.writing = None;
                self.note(result);
            }
            match self.due {
                Some(due) => {
                    sleep_until(due).await;
                    return;
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Writes `routes`, in the background. Must follow [`turn`](Self::turn) or [`finish`](Self::finish).
    pub(crate) fn start(&mut self, routes: Vec<Arc<Route>>) {
        self.due = None;
        let copy = DiskCopy::new(self.data_dir_id.to_string(), routes);
        let path = self.path.clone();
        self.writing = Some(spawn_blocking(move || copy.save(&path)));
    }

    /// Waits for a copy that is being written.
    pub(crate) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            let result = writing.await;
            self.note(result);
        }
    }

    fn note(&mut self, result: Result<io::Result<()>, JoinError>) {
        let error = match result {
            Ok(Ok(())) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(path = %self.path.display(), "the disk copy of the table is written again");
                }
                return;
            }
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        };
        self.failures = self.failures.saturating_add(1);
        // At growing intervals: what is said every second fills the very disk that is full.
        if self.failures.is_power_of_two() {
            let attempts = self.failures;
            tracing::warn!(path = %self.path.display(), %error, attempts, "the disk copy of the table is not written; trying again");
        }
        self.due = Some(Instant::now() + RETRY_DELAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilothouse_gateway_protocol::{Backend, RouteState};
    use pilothouse_model::{DatabaseId, Endpoint};

    #[test]
    fn a_copy_is_served_only_to_its_own_data_directory_and_version() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.json");
        assert!(DiskCopy::load(&path, "ours").is_empty(), "no copy, no routes");
        let route = Arc::new(Route {
            database: DatabaseId::new(),
            endpoint: Endpoint {
                address: "::1".parse().unwrap(),
                port: 10_000,
            },
            state: RouteState::Open(Backend::Unix("/run/redis.sock".into())),
            source_allow: vec!["10.0.0.0/8".parse().unwrap()],
            max_connections: 7,
        });
        DiskCopy::new("ours".into(), vec![Arc::clone(&route)])
            .save(&path)
            .unwrap();
        assert_eq!(DiskCopy::load(&path, "ours"), [route]);
        assert!(DiskCopy::load(&path, "theirs").is_empty());

        std::fs::write(&path, br#"{"version":2,"data_dir_id":"ours","routes":"unknown"}"#).unwrap();
        let error = DiskCopy::read(&path, "ours").unwrap_err();
        assert!(error.contains("version 2"), "{error}");
        std::fs::write(&path, b"{\"version\":1").unwrap();
        assert!(DiskCopy::load(&path, "ours").is_empty());
    }
}
