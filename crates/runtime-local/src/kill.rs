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
use std::os::unix::fs::MetadataExt;

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
    /// The user that servers run as.
    pub owner: u32,
}

/// Sends SIGKILL to every process of the server and returns how many got it. Blocking; reads the process table a few times.
///
/// `everywhere` also looks through the descriptors of every process of the owner, for those that left the session.
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
    let table = process_table()?;
    let holders: Vec<u32> = table
        .iter()
        .filter(|(pid, facts)| {
            let in_session = target.session == Some(facts.session);
            let at_descriptor = |descriptor| holds_at(*pid, descriptor, target.lock) == Holds::Yes;
            in_session && target.lock_descriptor.is_some_and(at_descriptor)
                || everywhere && owner_of(*pid) == Some(target.owner) && has_open(*pid, target.lock)
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

fn owner_of(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|facts| facts.uid())
}

/// Whether a process has this lock file open anywhere. Names are compared first: looking at a strange file might block.
fn has_open(pid: u32, lock: FileId) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let named_so = fs::read_link(descriptor.path()).is_ok_and(|path| {
            let name = path.file_name().unwrap_or(OsStr::new(""));
            name == LOCK || name.as_bytes() == b"lock (deleted)"
        });
        named_so && rustix::fs::stat(descriptor.path()).is_ok_and(|facts| FileId::from_stat(&facts) == lock)
    })
}
