//! Finding and killing every process of a server, and nobody else.
//!
//! Belonging is proven, never assumed. A process belongs to a server when
//! - it has the server's lock file open: only heirs of the launcher do, or
//! - it is in a session in which some process has: sessions are inherited, and while a member lives the number is not given again, or
//! - it is in the session of the main process and started before a moment at which that process was seen alive.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Signal, pidfd_send_signal};

use crate::directory::LOCK;
use crate::identity::{Holds, ProcessFacts, holds_at, open_process};
use crate::lock::FileId;

/// How often the process table is read again for those that were forked meanwhile. A killed process forks no more, so each round
/// can only find children of those that the round before had not found yet.
const ROUNDS: u32 = 16;

/// Whose processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The server's lock file.
    pub lock: FileId,
    /// Where the launcher left it open, when that is known.
    pub lock_descriptor: Option<i32>,
    /// The session that the launcher made, when that is known.
    pub session: Option<u32>,
    /// When the main process of that session was last seen alive, clock ticks since boot.
    pub seen_alive: Option<u64>,
}

/// Sends SIGKILL to every process of the server and returns how many got it. Blocking; reads the process table a few times.
///
/// `everywhere` also looks through the descriptors of every process, for those that left the session.
pub(crate) fn kill_all(target: &Target, everywhere: bool) -> io::Result<usize> {
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut found_another = false;
        for member in members(target, everywhere)? {
            if !killed.contains(&member) && kill(member)? {
                found_another |= killed.insert(member);
            }
        }
        if !found_another {
            break;
        }
    }
    Ok(killed.len())
}

/// A process at one moment: the start time tells it from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    pid: u32,
    start_time: u64,
}

/// Sends SIGKILL through a descriptor that was opened before the process was recognised. False when it is gone.
fn kill(member: Member) -> io::Result<bool> {
    let Some(pidfd) = open_process(member.pid)? else {
        return Ok(false);
    };
    match ProcessFacts::read(member.pid)? {
        // Should the number be given again between the two calls, the descriptor leads to a dead process and the signal to nobody.
        Some(facts) if facts.start_time == member.start_time && !facts.is_dead() => {
            Ok(pidfd_send_signal(&pidfd, Signal::KILL).is_ok())
        }
        _ => Ok(false),
    }
}

fn members(target: &Target, everywhere: bool) -> io::Result<Vec<Member>> {
    let (table, own) = (process_table()?, std::process::id());
    let holders: Vec<u32> = table
        .iter()
        .filter(|(pid, facts)| {
            let in_session = target.session == Some(facts.session);
            let at_descriptor = |descriptor| holds_at(*pid, descriptor, target.lock) == Holds::Yes;
            in_session && target.lock_descriptor.is_some_and(at_descriptor)
                || everywhere && *pid != own && has_locked(*pid, target.lock)
        })
        .map(|(pid, _)| *pid)
        .collect();
    let ours = |facts: &ProcessFacts| {
        table
            .iter()
            .any(|(pid, holder)| holders.contains(pid) && holder.session == facts.session)
            || target.session == Some(facts.session) && target.seen_alive.is_some_and(|seen| facts.start_time < seen)
    };
    Ok(table
        .iter()
        .filter(|(_, facts)| ours(facts))
        .map(|(pid, facts)| Member {
            pid: *pid,
            start_time: facts.start_time,
        })
        .collect())
}

/// Every process that lives.
fn process_table() -> io::Result<Vec<(u32, ProcessFacts)>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match ProcessFacts::read(pid) {
            Ok(Some(facts)) if !facts.is_dead() => table.push((pid, facts)),
            // Ended meanwhile, or hidden from us: then it is not one of ours.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(table)
}

/// Whether a process holds the lock of this file, at any descriptor. Names are compared first: looking at a strange file might block.
/// Having the file open is not enough here, as we have it ourselves while we look whether it is locked.
fn has_locked(pid: u32, lock: FileId) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let named_so = fs::read_link(descriptor.path()).is_ok_and(|path| {
            let name = path.file_name().unwrap_or(OsStr::new(""));
            name == LOCK || name.as_bytes() == b"lock (deleted)"
        });
        let is_it = || rustix::fs::stat(descriptor.path()).is_ok_and(|facts| FileId::from_stat(&facts) == lock);
        let is_locked = || {
            let facts = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().display()));
            facts.is_ok_and(|facts| locks_exclusively(&facts))
        };
        named_so && is_it() && is_locked()
    })
}

/// The kernel lists the locks of an open file description with each descriptor that leads to it.
fn locks_exclusively(facts: &str) -> bool {
    let locks = facts.lines().filter(|line| line.starts_with("lock:"));
    locks
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .any(|lock| lock.contains(&"FLOCK") && lock.contains(&"WRITE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::LockFile;

    #[test]
    fn holding_is_told_from_having_open() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join(LOCK);
        let open = || {
            let file = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .unwrap();
            LockFile::new(file.into())
        };
        let looker = open();
        let (own, id) = (std::process::id(), looker.id().unwrap());
        assert!(!has_locked(own, id));
        let held = looker.try_lock().unwrap().unwrap();
        assert!(has_locked(own, id));
        drop(held);
        let _open = open();
        assert!(!has_locked(own, id));
        assert!(!locks_exclusively("lock:\t1: FLOCK  ADVISORY  READ 1 08:01:1 0 EOF\n"));
        assert!(!locks_exclusively("pos:\t0\nflags:\t02\n"));
    }
}
