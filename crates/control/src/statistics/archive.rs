//! The file that carries coarse samples over a restart. Best effort: a file that cannot be understood counts as none.
//!
//! Layout, all numbers little endian: magic, version `u16`, then for each subject: tag `u8` and 16 bytes of id, number of metrics `u16`
//! and their codes, and for each coarse interval the number of samples `u16` and the samples (from and to in milliseconds, values); then
//! for each interval but the finest whether a sample is being made (`u16`), and if so from when to when it will speak and speaks so far,
//! and for each metric its sum and its weight. Version 1 had no samples being made.
//! The last eight bytes are the magic again, so that a cut file is noticed.

use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pilothouse_model::{DatabaseId, HostId, ServerId, Timestamp};

use super::series::{Series, Span};
use super::{Interval, Metric, StatSubject, metrics_of};

const MAGIC: &[u8; 8] = b"PHSTATS\n";
const VERSION: u16 = 2;
/// The oldest version that can still be read.
const VERSION_OLDEST: u16 = 1;
/// The intervals that are worth carrying over.
const COARSE: [Interval; 5] = [
    Interval::Minute5,
    Interval::Minute15,
    Interval::Hour1,
    Interval::Hour12,
    Interval::Week1,
];
/// Files larger than this are neither written nor read: about the coarse samples of five hundred servers.
const BYTES_MAX: usize = 96 << 20;

/// Writes all series to `path`: to a file beside it first, which then takes its place.
pub(super) fn write<S: Deref<Target = Series>>(
    path: &Path,
    all: impl Iterator<Item = (StatSubject, S)>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for (subject, series) in all {
        write_subject(&mut bytes, subject, &series);
        if bytes.len() > BYTES_MAX {
            return Err(io::Error::other("the history is larger than an archive may be"));
        }
    }
    bytes.extend_from_slice(MAGIC);
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&bytes)?;
    std::fs::rename(&beside, path)
}

fn write_subject(bytes: &mut Vec<u8>, subject: StatSubject, series: &Series) {
    let (tag, id) = match subject {
        StatSubject::Installation => (1, [0; 16]),
        StatSubject::Host(id) => (2, *id.as_bytes()),
        StatSubject::Database(id) => (3, *id.as_bytes()),
        StatSubject::Server(id) => (4, *id.as_bytes()),
    };
    bytes.push(tag);
    bytes.extend_from_slice(&id);
    write_count(bytes, series.metrics().len());
    for metric in series.metrics() {
        bytes.extend_from_slice(&metric.code().to_le_bytes());
    }
    for interval in COARSE {
        let ring = series.ring(interval.level());
        write_count(bytes, ring.len());
        for (span, values) in ring.iter() {
            write_span(bytes, span);
            write_values(bytes, values);
        }
    }
    for interval in &Interval::ALL[1..] {
        let open = series.open(interval.level());
        write_count(bytes, usize::from(open.is_some()));
        if let Some(open) = open {
            write_span(bytes, open.whole);
            write_span(bytes, open.filled);
            write_values(bytes, open.sums);
            write_values(bytes, open.weights);
        }
    }
}

fn write_span(bytes: &mut Vec<u8>, span: Span) {
    bytes.extend_from_slice(&span.from.as_millis().to_le_bytes());
    bytes.extend_from_slice(&span.to.as_millis().to_le_bytes());
}

fn write_values(bytes: &mut Vec<u8>, values: &[f64]) {
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

fn write_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

/// Reads what [`write`] wrote; nothing when there is no file or it cannot be understood.
pub(super) fn read(path: &Path) -> io::Result<Vec<(StatSubject, Series)>> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > BYTES_MAX as u64 => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let bytes = std::fs::read(path)?;
    Ok(parse(&bytes).unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "the archive of statistics is damaged or of another version; history begins anew");
        Vec::new()
    }))
}

fn parse(bytes: &[u8]) -> Option<Vec<(StatSubject, Series)>> {
    let body = bytes.strip_prefix(MAGIC)?.strip_suffix(MAGIC)?;
    let mut reader = Reader(body);
    let version = reader.u16()?;
    if !(VERSION_OLDEST..=VERSION).contains(&version) {
        return None;
    }
    let mut all = Vec::new();
    while !reader.0.is_empty() {
        all.push(parse_subject(&mut reader, version)?);
    }
    Some(all)
}

fn parse_subject(reader: &mut Reader<'_>, version: u16) -> Option<(StatSubject, Series)> {
    let tag = reader.take::<1>()?[0];
    let id = reader.take::<16>()?;
    let subject = match tag {
        1 => StatSubject::Installation,
        2 => StatSubject::Host(HostId::from_bytes(id)),
        3 => StatSubject::Database(DatabaseId::from_bytes(id)),
        4 => StatSubject::Server(ServerId::from_bytes(id)),
        _ => return None,
    };
    let metrics = metrics_of(subject);
    let codes = (0..reader.u16()?).map(|_| reader.u16()).collect::<Option<Vec<_>>>()?;
    // Metrics that came or went with another release: those of the file go where they belong now.
    let places: Vec<Option<usize>> = metrics
        .iter()
        .map(|metric: &Metric| codes.iter().position(|code| *code == metric.code()))
        .collect();
    let placed = |reader: &mut Reader<'_>, unknown: f64| {
        let found = codes.iter().map(|_| reader.f64()).collect::<Option<Vec<_>>>()?;
        let values = places.iter().map(|place| place.map_or(unknown, |place| found[place]));
        Some(values.collect::<Vec<f64>>())
    };
    let mut series = Series::new(metrics);
    for interval in COARSE {
        for _ in 0..reader.u16()? {
            let span = reader.span()?;
            let values = placed(reader, f64::NAN)?;
            series.ring_mut(interval.level()).push(span, &values);
        }
    }
    if version == VERSION_OLDEST {
        return Some((subject, series));
    }
    for interval in &Interval::ALL[1..] {
        if reader.u16()? > 0 {
            let spans = (reader.span()?, reader.span()?);
            let (sums, weights) = (placed(reader, 0.0)?, placed(reader, 0.0)?);
            series.reopen(interval.level(), spans, sums, weights);
        }
    }
    Some((subject, series))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn span(&mut self) -> Option<Span> {
        Some(Span {
            from: Timestamp::from_millis(self.i64()?),
            to: Timestamp::from_millis(self.i64()?),
        })
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }
}
