//! What the tests of all places share.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use pilothouse_backup::{FileName, OpenedLocation, Origin, Part};
use pilothouse_model::{DatabaseId, DatabaseName, Secret, TenantId, Timestamp};

pub(crate) const DAY: i64 = 24 * 3600 * 1000;
pub(crate) const NOW: Timestamp = Timestamp::from_millis(20_000 * DAY);
pub(crate) const TENANT: TenantId = TenantId::from_bytes([7; 16]);
pub(crate) const PLENTY: u64 = 1 << 30;

pub(crate) fn orders() -> DatabaseName {
    DatabaseName::parse("orders").expect("a name")
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - days * DAY)
}

pub(crate) fn file_name(database: DatabaseId, at: Timestamp) -> FileName {
    let origin = Origin {
        database,
        tenant: TENANT,
    };
    FileName::new(origin, &orders(), Part::WHOLE, at)
}

/// Bytes that compress badly, `length` of them, different for each seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

pub(crate) fn source(directory: &Path, content: &[u8]) -> PathBuf {
    let path = directory.join("source.rdb");
    fs::write(&path, content).expect("writes");
    path
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

pub(crate) fn gunzip(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(content).read_to_end(&mut plain).expect("is whole");
    plain
}

/// Names of all files in a directory, sorted.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("lists");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("lists").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

pub(crate) fn directory(path: &Path) -> OpenedLocation {
    OpenedLocation::Directory {
        path: path.to_owned(),
        access: Arc::default(),
    }
}

pub(crate) fn url(text: impl Into<String>) -> OpenedLocation {
    OpenedLocation::Url { url: Secret::new(text) }
}
