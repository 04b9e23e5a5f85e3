//! FTP servers, with and without TLS.

mod client;
mod reply;

use std::fs::File;
use std::io::{self, Read};

use pilothouse_model::DatabaseId;
use rand::Rng;

use client::Client;

use crate::progress::too_large;
use crate::transfer::{Fetched, Stored, Target};
use crate::{BackupError, FailureKind, FileName, Progress, RemoteUrl, gzip};

/// A directory of an FTP server that backups are written to.
///
/// Kept by URL and connected anew where a transfer was broken off on purpose, because servers differ in what they make of that.
pub(crate) struct FtpTarget {
    url: RemoteUrl,
    client: Client,
}

impl FtpTarget {
    pub(crate) fn open(url: RemoteUrl, progress: &Progress) -> Result<Self, BackupError> {
        progress.check()?;
        let client = Self::connect(&url)?;
        Ok(Self { url, client })
    }

    fn connect(url: &RemoteUrl) -> Result<Client, BackupError> {
        let mut client = Client::connect(url)?;
        let directory = url.remote_path();
        if !directory.is_empty() {
            client.change_directory(&directory)?;
        }
        Ok(client)
    }

    fn store_as(
        &mut self,
        draft: &str,
        name: &FileName,
        source: File,
        progress: &Progress,
    ) -> Result<Stored, BackupError> {
        let broken = |error| BackupError::connection("the upload broke off", error);
        let mut sink = self.client.begin_store(draft)?;
        // Dropped without being finished when packing fails: the server then keeps a part of a draft, which is removed.
        let stored = gzip::pack(source, name, &mut sink, broken, progress)?;
        self.client.finish_store(sink)?;
        self.client.rename(draft, name.as_str())?;
        Ok(stored)
    }
}

impl Target for FtpTarget {
    fn probe(&mut self) -> Result<(), BackupError> {
        let file = format!(".pilothouse-probe-{:016x}", rand::rng().random::<u64>());
        let mut sink = self.client.begin_store(&file)?;
        io::Write::write_all(&mut sink, b"probe\n")
            .map_err(|error| BackupError::connection("the upload broke off", error))?;
        self.client.finish_store(sink)?;
        self.client.delete(&file)
    }

    fn list(&mut self) -> Result<Vec<String>, BackupError> {
        self.client.list()
    }

    fn owner(&mut self, file: &str) -> Result<Option<DatabaseId>, BackupError> {
        let mut client = Self::connect(&self.url)?;
        let mut beginning = Vec::new();
        client
            .begin_retrieve(file)?
            .take(gzip::HEADER_BYTES)
            .read_to_end(&mut beginning)
            .map_err(|error| BackupError::connection("the download broke off", error))?;
        Ok(gzip::owner(beginning.as_slice()))
    }

    fn remove(&mut self, file: &str) -> Result<(), BackupError> {
        self.client.delete(file)
    }

    fn store(&mut self, name: &FileName, source: File, progress: &Progress) -> Result<Stored, BackupError> {
        let draft = name.draft();
        self.store_as(&draft, name, source, progress).inspect_err(|_| {
            // Over a new connection: the old one may wait for the end of the upload. What remains is removed by `prune`.
            let removed = Self::connect(&self.url).and_then(|mut client| client.delete(&draft));
            if let Err(error) = removed {
                tracing::debug!(%error, draft, "the draft of a failed backup could not be removed yet");
            }
        })
    }
}

/// Downloads the file into `sink`.
pub(crate) fn fetch(
    url: &RemoteUrl,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    let path = url.remote_path();
    if path.is_empty() || path.ends_with('/') {
        return Err(BackupError::new(
            FailureKind::WrongPath,
            format!("{} names no file", url.shown()),
        ));
    }
    let mut client = Client::connect(url)?;
    let size = client.size(&path)?;
    if let Some(size) = size {
        progress.set_total(size);
        if size / 2 > most_bytes {
            return Err(too_large());
        }
    }
    let before = progress.done_bytes();
    let mut reader = client.begin_retrieve(&path)?;
    let broken = |error| BackupError::connection("the download broke off", error);
    let fetched = gzip::unpack(&mut reader, broken, sink, most_bytes, progress);
    // A file cut short is a broken download, not a damaged file, so that is judged first.
    let received = progress.done_bytes() - before;
    if let Some(size) = size.filter(|size| *size > received)
        && fetched
            .as_ref()
            .err()
            .is_none_or(|error| error.kind() == FailureKind::Corrupted)
    {
        let what = format!("the download ended after {received} of {size} bytes");
        return Err(BackupError::new(FailureKind::Unreachable, what));
    }
    let fetched = fetched?;
    client.finish_retrieve(reader)?;
    Ok(fetched)
}
