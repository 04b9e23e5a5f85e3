//! Buckets of S3-compatible services.
//!
//! An object appears whole when its upload is completed, and not before, so that there are no drafts to rename and nothing half-written to
//! be taken for a backup. What an upload that broke off leaves behind is listed nowhere; it is removed at once, or when the same backup
//! is tried again.

mod bucket;
mod client;
mod refusal;
mod upload;

pub use bucket::S3Bucket;

use std::fs::File;
use std::io;

use pilothouse_model::{DatabaseId, ObjectPath};
use rand::Rng;

use crate::transfer::{Fetched, Stored, Target};
use crate::{BackupError, FailureKind, FileName, Progress, gzip, http};

use client::Client;
use upload::Upload;

/// A path of a bucket that backups are written to.
pub(crate) struct S3Target {
    client: Client,
    path: ObjectPath,
}

impl S3Target {
    pub(crate) fn open(bucket: &S3Bucket, path: ObjectPath) -> Self {
        Self {
            client: Client::new(bucket),
            path,
        }
    }

    fn key(&self, file: &str) -> String {
        format!("{}{file}", self.prefix())
    }

    /// What the keys of all files of this place begin with.
    fn prefix(&self) -> String {
        match self.path.as_str() {
            "" => String::new(),
            path => format!("{path}/"),
        }
    }
}

impl Target for S3Target {
    fn probe(&mut self) -> Result<(), BackupError> {
        let key = self.key(&format!(".pilothouse-probe-{:016x}", rand::rng().random::<u64>()));
        self.client.put(&key, b"probe\n")?;
        self.client.remove(&key)
    }

    fn list(&mut self) -> Result<Vec<String>, BackupError> {
        let prefix = self.prefix();
        let objects = self.client.list(&prefix)?;
        let names = objects.iter().filter_map(|object| object.key.strip_prefix(&prefix));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn owner(&mut self, file: &str) -> Result<Option<DatabaseId>, BackupError> {
        let beginning = self.client.beginning(&self.key(file), gzip::HEADER_BYTES)?;
        Ok(beginning.and_then(|bytes| gzip::owner(bytes.as_slice())))
    }

    fn remove(&mut self, file: &str) -> Result<(), BackupError> {
        self.client.remove(&self.key(file))
    }

    fn store(&mut self, name: &FileName, source: File, progress: &Progress) -> Result<Stored, BackupError> {
        let key = self.key(name.as_str());
        let present = self.client.beginning(&key, gzip::HEADER_BYTES)?;
        if present.is_some_and(|bytes| gzip::owner(bytes.as_slice()) != Some(name.database())) {
            let what = format!("{} exists and is not of this database", self.client.shown(&key));
            return Err(BackupError::new(FailureKind::WrongPath, what));
        }
        let plain_bytes = source.metadata().map_or(0, |metadata| metadata.len());
        let mut upload = Upload::new(&self.client, &key, plain_bytes, progress);
        let stored = gzip::pack(source, name, &mut upload, broken_off, progress);
        match stored.and_then(|stored| upload.finish().map(|()| stored)) {
            Ok(stored) => Ok(stored),
            Err(error) => {
                upload.abandon();
                Err(error)
            }
        }
    }
}

/// An upload fails with errors of ours, which travel through the compressor.
fn broken_off(error: io::Error) -> BackupError {
    error
        .downcast::<BackupError>()
        .unwrap_or_else(|error| BackupError::connection("the upload broke off", error))
}

/// Downloads the object into `sink`.
pub(crate) fn fetch(
    bucket: &S3Bucket,
    path: &ObjectPath,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    check_names_object(bucket, path)?;
    progress.check()?;
    let body = Client::new(bucket).get(path.as_str())?;
    http::receive(body, sink, most_bytes, progress)
}

/// Refuses the bucket itself as something to read.
pub(crate) fn check_names_object(bucket: &S3Bucket, path: &ObjectPath) -> Result<(), BackupError> {
    if path.as_str().is_empty() {
        let what = format!("{} names no object", bucket.shown(""));
        return Err(BackupError::new(FailureKind::WrongPath, what));
    }
    Ok(())
}
