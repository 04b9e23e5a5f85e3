//! Compressing and decompressing streams, bounded, with the database's id and its tenant's in the header.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};

use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::{Compression, GzBuilder, GzHeader};
use pilothouse_model::{DatabaseId, TenantId};

use crate::progress::{Metered, Progress, too_large};
use crate::transfer::{Fetched, Stored};
use crate::{BackupError, FailureKind, FileName, Origin};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER: usize = 128 * 1024;
/// More than a header of ours ever has.
pub(crate) const HEADER_BYTES: u64 = 1024;

/// Compresses `source`, a file of ours, into `sink`, with its origin in the header's comment, which decompressing ignores.
pub(crate) fn pack(
    source: File,
    name: &FileName,
    sink: impl Write,
    sink_error: impl Fn(io::Error) -> BackupError,
    progress: &Progress,
) -> Result<Stored, BackupError> {
    let failed = |error| read_own("cannot read the dataset".to_owned(), error);
    let length = source.metadata().map_err(failed)?.len();
    progress.set_total(length);
    let mut reader = Metered::new(source, progress, u64::MAX, failed);
    let counted = Counted { sink, bytes: 0 };
    // Datasets are compressed inside already: a higher level costs much and gains little.
    let mut encoder = GzBuilder::new()
        .comment(mark(name.origin()))
        .write(counted, Compression::fast());
    let mut buffer = vec![0; BUFFER];
    let mut plain_bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                encoder.write_all(&buffer[..count]).map_err(&sink_error)?;
                plain_bytes += count as u64;
            }
            Err(error) => return Err(reader.take_failure().unwrap_or_else(|| failed(error))),
        }
    }
    let mut counted = encoder.finish().map_err(&sink_error)?;
    counted.sink.flush().map_err(&sink_error)?;
    Ok(Stored {
        plain_bytes,
        stored_bytes: counted.bytes,
    })
}

/// Writes what `reader` gives to `sink`, decompressed when it is compressed, and never more than `most_bytes`.
///
/// `classify` names the class of an error of the reader.
pub(crate) fn unpack(
    reader: impl Read,
    classify: fn(io::Error) -> BackupError,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    // What comes in is bounded as well: a compressed file of nothing can go on for ever. Compression adds little even to noise.
    let most_read = most_bytes.saturating_add(most_bytes / 64).saturating_add(64 * 1024);
    let mut reader = Metered::new(reader, progress, most_read, classify);
    let result = unpack_metered(&mut reader, sink, most_bytes);
    match reader.take_failure() {
        Some(failure) => Err(failure),
        None => result,
    }
}

fn unpack_metered(reader: &mut impl Read, sink: &mut File, most_bytes: u64) -> Result<Fetched, BackupError> {
    let mut magic = Vec::with_capacity(MAGIC.len());
    reader
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(broken)?;
    let was_gzip = magic == MAGIC;
    let whole = Cursor::new(magic).chain(reader);
    let mut tenant = None;
    let bytes = if was_gzip {
        let mut decoder = MultiGzDecoder::new(whole);
        tenant = decoder.header().and_then(marked).and_then(|(_, tenant)| tenant);
        copy(&mut decoder, sink, most_bytes)?
    } else {
        copy(&mut { whole }, sink, most_bytes)?
    };
    Ok(Fetched {
        bytes,
        was_gzip,
        tenant,
    })
}

fn copy(reader: &mut impl Read, sink: &mut File, most_bytes: u64) -> Result<u64, BackupError> {
    let mut buffer = vec![0; BUFFER];
    let mut bytes: u64 = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes += count as u64;
        if bytes > most_bytes {
            return Err(too_large());
        }
        sink.write_all(&buffer[..count])
            .map_err(|error| BackupError::file("cannot write the fetched file", error))?;
    }
}

/// The database that a compressed file is of, when its beginning says so.
pub(crate) fn owner(beginning: impl Read) -> Option<DatabaseId> {
    let decoder = GzDecoder::new(beginning.take(HEADER_BYTES));
    marked(decoder.header()?).map(|(database, _)| database)
}

/// The database that a header names, and whose it was if it says that too.
fn marked(header: &GzHeader) -> Option<(DatabaseId, Option<TenantId>)> {
    let comment = std::str::from_utf8(header.comment()?).ok()?;
    let named = comment.strip_prefix(MARK)?;
    match named.split_once(MARK_TENANT) {
        Some((database, tenant)) => Some((database.parse().ok()?, Some(tenant.parse().ok()?))),
        None => Some((named.parse().ok()?, None)),
    }
}

const MARK: &str = "pilothouse backup of database ";

const MARK_TENANT: &str = " of tenant ";

fn mark(Origin { database, tenant }: Origin) -> String {
    format!("{MARK}{database}{MARK_TENANT}{tenant}")
}

fn broken(error: io::Error) -> BackupError {
    BackupError::new(FailureKind::Corrupted, "the compressed file is damaged or cut short").because(error)
}

/// A dataset of ours that cannot be read is nobody's wrong path.
fn read_own(what: String, error: io::Error) -> BackupError {
    BackupError::new(FailureKind::Other, what).because(error)
}

struct Counted<W> {
    sink: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
