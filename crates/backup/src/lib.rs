//! Where datasets are written to and read from: directories, FTP servers, buckets of S3-compatible services, and for reading also HTTP
//! servers.
//!
//! - [`store`] compresses a file of an engine into a backup; [`fetch`] brings one back, plain or compressed.
//! - [`check_writable`] tries a target before it is accepted; [`prune`] keeps a retention; [`next_due`] is the schedule.
//! - [`FileName`] names backups so that each says what it holds; [`Progress`] shows and stops a transfer.
//! - [`FileAccess`] says which files of this machine may be touched at all, and with whose rights.
//!
//! Called by `control`. It knows no engine and no record: it is handed plain files and locations whose secrets are already opened.
//! It never deletes a file that it did not write for exactly that database, never leaves a half-written file under a final name, and never puts
//! a password or the query of a URL into an error. Start reading at `transfer.rs`.

mod access;
mod directory;
mod error;
mod ftp;
mod gzip;
mod http;
mod location;
mod name;
mod progress;
mod s3;
mod schedule;
mod tls;
mod transfer;

pub use access::{FileAccess, FileAccount};
pub use error::{BackupError, FailureKind};
pub use location::{OpenedLocation, RemoteUrl, Scheme};
pub use name::{FileName, Origin, Part};
pub use progress::Progress;
pub use s3::S3Bucket;
pub use schedule::{next_due, retry_delay};
pub use transfer::{Fetched, Pruned, Stored, check_readable, check_writable, fetch, prune, store};
