//! An upload whose length is not known before its end: in parts, each sent when it is full. What fits in one part is sent as one object.

use std::io::{self, Write};
use std::time::Duration;

use super::client::Client;
use crate::{BackupError, FailureKind, Progress};

/// The size of a part, until an object has too many of them. Services take no smaller ones.
const PART_BYTES: u64 = 8 << 20;
/// Fewer than the 10,000 that services take: compressing can make data larger.
const PARTS: u64 = 9_500;
/// Pauses before a part is sent again. Services ask for that when they are busy.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

pub(super) struct Upload<'a> {
    client: &'a Client,
    key: &'a str,
    progress: &'a Progress,
    part_bytes: usize,
    /// The part that is being filled.
    part: Vec<u8>,
    /// What the service calls the upload, once a part was sent.
    id: Option<String>,
    /// What it calls the parts.
    tags: Vec<String>,
    sent_bytes: u64,
    /// Nothing more is sent after a failure. The compressor would, when it is dropped.
    over: bool,
}

impl<'a> Upload<'a> {
    /// An upload of about as many bytes.
    pub(super) fn new(client: &'a Client, key: &'a str, bytes: u64, progress: &'a Progress) -> Self {
        Self {
            client,
            key,
            progress,
            part_bytes: usize::try_from(PART_BYTES.max(bytes / PARTS)).unwrap_or(usize::MAX),
            part: Vec::new(),
            id: None,
            tags: Vec::new(),
            sent_bytes: 0,
            over: false,
        }
    }

    /// Sends what is left and makes it the object.
    pub(super) fn finish(&mut self) -> Result<(), BackupError> {
        if self.id.is_none() {
            return self.patiently(|upload| upload.client.put(upload.key, &upload.part));
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        self.patiently(|upload| {
            let id = upload.id.as_deref().expect("parts were sent");
            let completed = upload.client.complete(upload.key, id, &upload.tags);
            // An answer may have been lost after the work was done. Then the object is whole: it has our length.
            completed.or_else(|error| if upload.has_arrived() { Ok(()) } else { Err(error) })
        })
    }

    /// Removes the parts of an upload that is not finished, now if the service can be reached, else when it is tried again.
    pub(super) fn abandon(&mut self) {
        self.over = true;
        if let Some(id) = &self.id
            && let Err(error) = self.client.abort(self.key, id)
        {
            tracing::debug!(%error, key = self.key, "the parts of a failed backup could not be removed yet");
        }
    }

    fn send_part(&mut self) -> Result<(), BackupError> {
        if self.id.is_none() {
            self.remove_earlier_parts();
            self.id = Some(self.client.begin_parts(self.key)?);
        }
        let tag = self.patiently(|upload| {
            let id = upload.id.as_deref().expect("begun above");
            let number = u16::try_from(upload.tags.len() + 1)
                .map_err(|_| BackupError::new(FailureKind::Unsupported, "the dataset is too large for one object"))?;
            upload.client.put_part(upload.key, id, number, &upload.part)
        })?;
        self.tags.push(tag);
        self.sent_bytes += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }

    /// Of the same backup, begun by a run that was killed. They are listed nowhere and paid for.
    fn remove_earlier_parts(&self) {
        let removed = self.client.unfinished(self.key).and_then(|ids| {
            let mut ids = ids.iter();
            ids.try_for_each(|id| self.client.abort(self.key, id))
        });
        // Not every service can list them.
        if let Err(error) = removed {
            tracing::debug!(%error, key = self.key, "the parts of an earlier attempt could not be removed");
        }
    }

    fn has_arrived(&self) -> bool {
        let listed = self.client.list(self.key).unwrap_or_default();
        let mut same = listed.iter().filter(|object| object.key == self.key);
        same.any(|object| object.size == Some(self.sent_bytes))
    }

    /// Tries again when the service cannot do it now.
    fn patiently<T>(&self, attempt: impl Fn(&Self) -> Result<T, BackupError>) -> Result<T, BackupError> {
        for pause in PAUSES {
            match attempt(self) {
                Err(error) if error.kind() == FailureKind::Unreachable => self.progress.pause(pause)?,
                result => return result,
            }
        }
        attempt(self)
    }
}

impl Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.over {
            return Err(io::Error::other("the upload is over"));
        }
        let room = self.part_bytes - self.part.len();
        let taken = bytes.len().min(room);
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == self.part_bytes {
            self.progress.check().and_then(|()| self.send_part()).map_err(|error| {
                self.over = true;
                io::Error::other(error)
            })?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
