//! Who a process is: what the launcher recorded of it, what the kernel says, and the proof that both mean the same process.
//!
//! A process id alone proves nothing, it is given again. The proof is: same boot, same start time, not a zombie, leader of its
//! session, and the server's own lock file open at the descriptor that the launcher left there. The last point also holds against
//! a server that writes somebody else's process id into its record to have us kill it.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::lock::{FileId, LockFile};

/// File name of the record in the server's directory.
pub(crate) const RECORD: &str = "process.json";

/// No record is longer; what is longer was not written by us.
pub(crate) const RECORD_LIMIT: u64 = 64 * 1024;

/// What the launcher writes about itself just before it becomes the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Process id, also the id of its session.
    pub pid: u32,
    /// When the process started, clock ticks since boot.
    pub start_time: u64,
    /// Which boot.
    pub boot_id: String,
    /// Given by the caller of the launch.
    pub incarnation: u64,
    /// The descriptor at which the process has its lock file open.
    pub lock_descriptor: i32,
    /// What it became.
    pub program: PathBuf,
}

/// What was found in a server's directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// The recorded process lives; signals go through the descriptor only.
    Running(Record, OwnedFd),
    /// Somebody holds the lock, but not the recorded main process.
    Leftover,
    /// Nobody holds the lock.
    Absent,
}

/// Looks for a process of the server whose directory this is.
pub(crate) fn find(directory: &Directory) -> io::Result<Found> {
    let lock = LockFile::new(directory.open_lock()?);
    if !lock.is_held()? {
        return Ok(Found::Absent);
    }
    let Some(record) = read_record(directory)? else {
        return Ok(Found::Leftover);
    };
    let proven = prove(&record, lock.id()?)?;
    Ok(proven.map_or(Found::Leftover, |pidfd| Found::Running(record, pidfd)))
}

/// The record of the server; `None` when there is none that can be read.
pub(crate) fn read_record(directory: &Directory) -> io::Result<Option<Record>> {
    let Some(file) = directory.open_file(RECORD.as_ref())? else {
        return Ok(None);
    };
    let mut text = String::new();
    // A record that a power loss or a stranger broke is no record: the lock, not the record, says whether somebody lives.
    match fs::File::from(file).take(RECORD_LIMIT).read_to_string(&mut text) {
        Ok(_) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Proves that the recorded process lives and holds this lock, and returns the descriptor to reach it by.
///
/// The descriptor is opened before anything is compared. Should the process end in between and its number be given to another one,
/// the descriptor leads to nobody and a signal through it fails.
fn prove(record: &Record, lock: FileId) -> io::Result<Option<OwnedFd>> {
    if record.boot_id != boot_id()? {
        return Ok(None);
    }
    let Some(pidfd) = open_process(record.pid)? else {
        return Ok(None);
    };
    let Some(facts) = ProcessFacts::read(record.pid)? else {
        return Ok(None);
    };
    let same = facts.start_time == record.start_time && facts.session == record.pid && !facts.is_dead();
    let proven = same
        && match holds_at(record.pid, record.lock_descriptor, lock) {
            Holds::Yes => true,
            Holds::No => false,
            // A process that forbids looking at its descriptors. The lock is held by somebody, and all else fits.
            Holds::NotTold => true,
        };
    Ok(proven.then_some(pidfd))
}

/// A descriptor for the process with this number; `None` when there is none.
pub(crate) fn open_process(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a process has a file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// The process does not let us look.
    NotTold,
}

/// Whether the process has this file open at this descriptor.
pub(crate) fn holds_at(pid: u32, descriptor: i32, file: FileId) -> Holds {
    match rustix::fs::stat(format!("/proc/{pid}/fd/{descriptor}")) {
        Ok(facts) if FileId::from_stat(&facts) == file => Holds::Yes,
        Err(Errno::ACCESS | Errno::PERM) => Holds::NotTold,
        Ok(_) | Err(_) => Holds::No,
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessFacts {
    /// State letter.
    pub state: char,
    /// Id of its session.
    pub session: u32,
    /// Processor time in user mode and in the kernel, clock ticks.
    pub cpu_ticks: u64,
    /// When it started, clock ticks since boot.
    pub start_time: u64,
}

impl ProcessFacts {
    /// Of the process with this number; `None` when there is none.
    pub(crate) fn read(pid: u32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            // ESRCH: it ended between opening and reading.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The name of the program stands in parentheses and may contain any byte, so fields are counted from the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        // The manual counts from 1 and the first field here is its third.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            state: field(3)?.chars().next()?,
            session: field(6)?.parse().ok()?,
            cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            start_time: field(22)?.parse().ok()?,
        })
    }

    /// It ended and only waits to be collected.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// It was stopped by a signal or a debugger.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Processor time used since its start.
    pub(crate) fn cpu_time(&self) -> Duration {
        Duration::from_millis(self.cpu_ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
    }
}

/// Now, in the unit of [`ProcessFacts::start_time`].
pub(crate) fn ticks_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    let per_second = rustix::param::clock_ticks_per_second();
    seconds * per_second + nanoseconds * per_second / 1_000_000_000
}

/// Changes with every boot of the machine.
pub(crate) fn boot_id() -> io::Result<&'static str> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id);
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(ID.get_or_init(|| id.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_forge_fields() {
        let text = "42 (evil) Z 1 1 1) S 7 42 43 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 1 0 98765 1 2 3\n";
        let facts = ProcessFacts::parse(text).unwrap();
        assert_eq!(
            facts,
            ProcessFacts {
                state: 'S',
                session: 43,
                cpu_ticks: 300,
                start_time: 98_765
            }
        );
        assert_eq!(ProcessFacts::parse("42 (short) S 1 2"), None);
        assert_eq!(ProcessFacts::parse(""), None);
    }

    #[test]
    fn we_exist_and_started_before_now() {
        let own = ProcessFacts::read(std::process::id()).unwrap().unwrap();
        assert!(!own.is_dead() && !own.is_stopped());
        assert!(own.start_time <= ticks_since_boot());
        assert_eq!(ProcessFacts::read(u32::MAX).unwrap(), None);
        assert!(open_process(u32::MAX).unwrap().is_none());
        assert!(open_process(0).unwrap().is_none());
    }
}
