//! What servers print: rotation that loses nothing where the file system allows it, and reading the last lines.
//!
//! A server keeps its log open for its whole life, so the file cannot be renamed away from it. The front of the log is copied into
//! `server.log.1` and then taken out of the file in one step (`FALLOC_FL_COLLAPSE_RANGE`; ext4 and XFS). Elsewhere the file is cut to
//! nothing, and what the server prints between the last read and the cut is lost.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use pilothouse_runtime::RuntimeError;
use rustix::fs::{AtFlags, FallocateFlags, fallocate, fstatvfs, ftruncate, renameat, unlinkat};
use rustix::io::Errno;

use crate::directory::Directory;
use crate::error::{Context, system};

/// File name of the log in the server's directory; older ones have `.1`, `.2`, … appended.
pub(crate) const LOG: &str = "server.log";

/// The end of a log that is looked at for its last lines.
const TAIL_BYTES: u64 = 128 * 1024;

/// When logs of servers are rotated.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// A log larger than this is rotated. A server that prints faster than we look may exceed it.
    pub bytes: u64,
    /// How many older logs are kept.
    pub keep: u32,
    /// How often logs are looked at.
    pub every: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            bytes: 10 << 20,
            keep: 3,
            every: Duration::from_secs(20),
        }
    }
}

/// Rotates the log of a server when it is too large.
pub(crate) fn rotate(directory: &Directory, limits: LogLimits) -> Result<bool, RuntimeError> {
    let what = "rotating a log";
    let path = directory.path().join(LOG);
    let Some(log) = directory.open_file_for_cutting(LOG.as_ref()).at(what, &path)? else {
        return Ok(false);
    };
    let mut log = fs::File::from(log);
    let size = log.metadata().at(what, &path)?.len();
    if size <= limits.bytes {
        return Ok(false);
    }
    // Whole blocks only, and never the last byte: a range that reaches the end cannot be taken out.
    let block = fstatvfs(&log).at(what, &path)?.f_bsize.max(1);
    let front = (size - 1) / block * block;
    if limits.keep > 0 {
        make_room(directory, limits.keep)?;
        directory.write_from(&numbered(1), &mut (&mut log).take(front))?;
    }
    match fallocate(&log, FallocateFlags::COLLAPSE_RANGE, 0, front) {
        Ok(()) => return Ok(true),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {}
        Err(error) => return Err(system(what, &path, error.into())),
    }
    if limits.keep > 0 {
        log.seek(SeekFrom::Start(front)).at(what, &path)?;
        directory.append_from(&numbered(1), &mut log)?;
    }
    ftruncate(&log, 0).at(what, &path)?;
    Ok(true)
}

/// Moves `.1` to `.2` and so on; the oldest goes.
fn make_room(directory: &Directory, keep: u32) -> Result<(), RuntimeError> {
    let what = "rotating a log";
    for number in (1..=keep).rev() {
        let older = numbered(number + 1);
        let moved = if number == keep {
            unlinkat(directory.as_fd(), numbered(number), AtFlags::empty())
        } else {
            renameat(directory.as_fd(), numbered(number), directory.as_fd(), &older)
        };
        match moved {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(system(what, &directory.path().join(&older), error.into())),
        }
    }
    Ok(())
}

/// The last lines that the server printed, oldest first.
pub(crate) fn tail(directory: &Directory, lines: usize) -> Result<Vec<String>, RuntimeError> {
    let mut text = end_of(directory, &PathBuf::from(LOG))?;
    let (enough, newlines) = (lines.saturating_add(1), |text: &[u8]| {
        text.iter().filter(|byte| **byte == b'\n').count()
    });
    if newlines(&text) < enough {
        // Just rotated: the line that was cut goes on at the end of the older file.
        let mut older = end_of(directory, &numbered(1))?;
        older.append(&mut text);
        text = older;
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

fn end_of(directory: &Directory, name: &std::path::Path) -> Result<Vec<u8>, RuntimeError> {
    let what = "reading a log";
    let path = directory.path().join(name);
    let Some(log) = directory.open_file(name).at(what, &path)? else {
        return Ok(Vec::new());
    };
    let mut log = fs::File::from(log);
    let size = log.metadata().at(what, &path)?.len();
    log.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))
        .at(what, &path)?;
    let mut text = Vec::new();
    log.take(TAIL_BYTES).read_to_end(&mut text).at(what, &path)?;
    Ok(text)
}

fn numbered(number: u32) -> PathBuf {
    PathBuf::from(format!("{LOG}.{number}"))
}

impl Directory {
    fn append_from(&self, path: &std::path::Path, source: &mut impl Read) -> Result<(), RuntimeError> {
        let what = "rotating a log";
        let full = self.path().join(path);
        let file = self.open_file_for_cutting(path).at(what, &full)?;
        let mut file = fs::File::from(
            file.ok_or(io::ErrorKind::NotFound)
                .map_err(io::Error::from)
                .at(what, &full)?,
        );
        file.seek(SeekFrom::End(0)).at(what, &full)?;
        io::copy(source, &mut file).at(what, &full)?;
        file.flush().at(what, &full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use pilothouse_model::ServerId;

    fn directory() -> (tempfile::TempDir, Directory) {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark".into(), None).unwrap();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        (temporary, directory)
    }

    fn line(number: usize) -> String {
        format!("line {number:06} {}\n", "x".repeat(80))
    }

    #[test]
    fn rotation_keeps_every_line_and_the_open_file_goes_on() {
        let (_keep, directory) = directory();
        let limits = LogLimits {
            bytes: 40_000,
            keep: 3,
            every: Duration::ZERO,
        };
        let path = directory.path().join(LOG);
        let mut server = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut written = 0;
        for _ in 0..4 {
            while fs::metadata(&path).unwrap().len() <= limits.bytes {
                server.write_all(line(written).as_bytes()).unwrap();
                written += 1;
            }
            assert!(rotate(&directory, limits).unwrap());
            assert!(fs::metadata(&path).unwrap().len() <= limits.bytes);
            assert!(!rotate(&directory, limits).unwrap());
        }
        server.write_all(line(written).as_bytes()).unwrap();
        let read = |number| fs::read_to_string(directory.path().join(numbered(number))).unwrap();
        let all = read(3) + &read(2) + &read(1) + &fs::read_to_string(&path).unwrap();
        assert!(!directory.path().join(numbered(4)).exists());
        // The oldest of four rotations is gone; from there on nothing is missing and nothing is doubled.
        let kept: Vec<&str> = all.lines().skip(1).collect();
        let first: usize = kept[0][5..11].parse().unwrap();
        assert_eq!(kept.len(), written - first + 1);
        for (offset, kept) in kept.iter().enumerate() {
            assert_eq!(format!("{kept}\n"), line(first + offset));
        }
    }

    #[test]
    fn the_tail_spans_a_rotation() {
        let (_keep, directory) = directory();
        assert_eq!(tail(&directory, 5).unwrap(), Vec::<String>::new());
        fs::write(directory.path().join(numbered(1)), "one\ntwo\nthr").unwrap();
        fs::write(directory.path().join(LOG), "ee\nfour\nfi\u{fffd}ve").unwrap();
        assert_eq!(tail(&directory, 4).unwrap(), ["two", "three", "four", "fi\u{fffd}ve"]);
        assert_eq!(tail(&directory, 1).unwrap(), ["fi\u{fffd}ve"]);
        assert_eq!(tail(&directory, 0).unwrap(), Vec::<String>::new());
        assert_eq!(tail(&directory, 99).unwrap().len(), 5);
    }

    #[test]
    fn the_tail_of_a_large_log_reads_its_end_only() {
        let (_keep, directory) = directory();
        let text: String = (0..20_000).map(line).collect();
        fs::write(directory.path().join(LOG), text).unwrap();
        let tail = tail(&directory, 2).unwrap();
        assert_eq!(tail, [line(19_998).trim_end(), line(19_999).trim_end()]);
    }
}
