//! What a redb database lies in: a file, or storage that a test gave.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use crate::StoreError;
use crate::backend_redb::redb_error;

/// Pages that redb keeps in memory, bytes. Enough for the upper levels of the tree and the rows that are being changed; reads go to the view.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Where the file is.
#[derive(Clone)]
pub(crate) enum Medium {
    /// In a file system.
    File(PathBuf),
    /// In what the caller gave.
    Given(Arc<dyn StorageBackend>),
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Given(_) => f.write_str("the given storage"),
        }
    }
}

impl Medium {
    /// Opens the database, and begins a new one where there is none.
    pub(crate) fn open(&self) -> Result<Database, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let opened = match self {
            Self::File(path) => {
                let file = open_file(path)?;
                let backend = FileBackend::new(file).map_err(redb_error)?;
                clear_unborn(&backend).map_err(|error| StoreError::file("reading", path, error))?;
                builder.create_with_backend(backend)
            }
            Self::Given(storage) => {
                let backend = Reopenable(Arc::clone(storage));
                clear_unborn(&backend).map_err(|error| StoreError::io("reading the given storage", error))?;
                builder.create_with_backend(backend)
            }
        };
        opened.map_err(|error| match redb_error(error) {
            StoreError::Io { source, .. } => StoreError::Io {
                doing: format!("opening {self}"),
                source,
            },
            StoreError::Damaged(how) => StoreError::Damaged(format!("{self}: {how}")),
            other => other,
        })
    }

    /// After a failed fsync the page cache shows data that is not on disk. What is read next must come from the disk.
    pub(crate) fn forget_cached_pages(&self) {
        if let Self::File(path) = self
            && let Ok(file) = File::open(path)
            && let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        {
            tracing::debug!(%error, "the system keeps its cached pages of the store");
        }
    }
}

/// Opens the file for its owner only, and makes sure that it is found again after a loss of power. The folder is synced every time:
/// a process that made the file may have died before it came to that.
fn open_file(path: &Path) -> Result<File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options
        .open(path)
        .map_err(|error| StoreError::file("opening", path, error))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::file("syncing", folder, error))?;
    Ok(file)
}

/// A file whose making was cut off has a length but no magic number yet, which redb writes last. It holds nothing: begin again.
fn clear_unborn(storage: &dyn StorageBackend) -> io::Result<()> {
    let mut magic = [0; 4];
    let length = storage.len()?;
    if length == 0 {
        return Ok(());
    }
    if length >= magic.len() as u64 {
        storage.read(0, &mut magic)?;
    }
    if magic == [0; 4] { storage.set_len(0) } else { Ok(()) }
}

/// Storage that outlives one opening of the database. It has no locks: whoever gave it sees to that.
#[derive(Debug)]
struct Reopenable(Arc<dyn StorageBackend>);

impl StorageBackend for Reopenable {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
