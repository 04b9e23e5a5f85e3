//! The launcher: what `pilothouse launch` does between being started by us and becoming a server.
//!
//! It is a fresh process with three descriptors: 0 is the server's lock, already held; 1 is a socket to the one who started it,
//! which brings the request and takes the report; 2 is ours. It uses no thread, no runtime and no configuration. Whatever goes wrong
//! before the program is replaced is reported over the socket, which closes by itself when the replacement succeeds.
//!
//! The order makes every instant safe to be killed at: the lock is held from before the first instruction, the account is left behind
//! before anything in the server's directory is touched, and the record is written before the program is replaced. So there is either
//! no process, or one that holds the lock and is found by its record.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, dup, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin, stdout};
use serde::{Deserialize, Serialize};

use crate::directory::LOCK;
use crate::identity::{self, ProcessFacts, RECORD, RECORD_LIMIT, Record};
use crate::lock::FileId;
use crate::logs::LOG;

/// Written to the socket right before the program is replaced. The end of the stream without it means that the launcher was killed.
pub(crate) const REPLACING: u8 = b'!';

/// What the launcher is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub directory: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// User and group to become; `None` leaves them as they are.
    pub account: Option<(u32, u32)>,
    /// 0: as inherited.
    pub open_files: u64,
    /// The control group to join.
    pub cgroup: Option<PathBuf>,
    pub incarnation: u64,
}

/// What the launcher was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaunchStep {
    /// Reading what shall be started.
    Request,
    /// Sorting its descriptors.
    Descriptors,
    /// Making a session of its own.
    Session,
    /// Joining the control group.
    Cgroup,
    /// Setting limits.
    Limits,
    /// Becoming the account of the servers.
    Account,
    /// Entering the server's directory.
    Directory,
    /// Making sure that it holds the lock of that directory.
    Lock,
    /// Opening the log.
    Log,
    /// Recording who it is.
    Record,
    /// Becoming the program.
    Program,
}

impl LaunchStep {
    /// In words, for an error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "reading the launch request",
            Self::Descriptors => "sorting descriptors",
            Self::Session => "making a session",
            Self::Cgroup => "joining the control group",
            Self::Limits => "setting limits",
            Self::Account => "becoming the account of servers",
            Self::Directory => "entering the server's directory",
            Self::Lock => "checking the directory lock",
            Self::Log => "opening the log",
            Self::Record => "recording the process",
            Self::Program => "running the program",
        }
    }
}

/// Why the launcher did not become the server.
#[derive(Debug, thiserror::Error)]
#[error("{} ({path}): {source}", step.as_str())]
pub struct LaunchError {
    step: LaunchStep,
    path: PathBuf,
    source: io::Error,
}

/// A [`LaunchError`] on its way to the one who started the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub step: LaunchStep,
    pub path: PathBuf,
    /// The system's number; `None` when the words are ours.
    pub errno: Option<i32>,
    pub words: String,
}

impl From<&LaunchError> for Report {
    fn from(error: &LaunchError) -> Self {
        Self {
            step: error.step,
            path: error.path.clone(),
            errno: error.source.raw_os_error(),
            words: error.source.to_string(),
        }
    }
}

/// Becomes the server that the request on descriptor 1 asks for. The body of the hidden subcommand `pilothouse launch`, to be called
/// before any thread is started.
///
/// # Errors
/// When it cannot; the one who started us has been told then, as far as there is one.
pub fn launch() -> Result<Infallible, LaunchError> {
    launch_observed(&mut |_| {})
}

/// [`launch`], calling `observe` when each step is about to begin. For tests that kill the launcher between two steps.
///
/// # Errors
/// As [`launch`].
pub fn launch_observed(observe: &mut dyn FnMut(LaunchStep)) -> Result<Infallible, LaunchError> {
    let mut launcher = Launcher {
        observe,
        step: LaunchStep::Request,
        path: PathBuf::new(),
    };
    let mut report = match launcher
        .begin(LaunchStep::Request, "stdout")
        .and_then(|()| report_socket())
    {
        Ok(report) => report,
        Err(source) => return Err(launcher.error(source)),
    };
    let Err(source) = launcher.run(&mut report);
    let error = launcher.error(source);
    // Whoever started us may be gone; then there is nobody to tell but our own exit code.
    let _ = serde_json::to_writer(&mut report, &Report::from(&error));
    Err(error)
}

struct Launcher<'a> {
    observe: &'a mut dyn FnMut(LaunchStep),
    /// What is being done, and where, for the error.
    step: LaunchStep,
    path: PathBuf,
}

impl Launcher<'_> {
    fn begin(&mut self, step: LaunchStep, path: impl AsRef<Path>) -> io::Result<()> {
        (self.step, self.path) = (step, path.as_ref().to_owned());
        (self.observe)(step);
        Ok(())
    }

    fn error(&self, source: io::Error) -> LaunchError {
        LaunchError {
            step: self.step,
            path: self.path.clone(),
            source,
        }
    }

    fn run(&mut self, report: &mut UnixStream) -> io::Result<Infallible> {
        let mut text = Vec::new();
        report.read_to_end(&mut text)?;
        // Cut short when the one who writes it was killed: then nobody waits for this server.
        let request: Request = serde_json::from_slice(&text)?;

        self.begin(LaunchStep::Descriptors, "/proc/self/fd")?;
        // Not closed at exec. Above 2, as the standard library sees to it that 0, 1 and 2 are open.
        let lock = dup(stdin())?;
        close_others_at_exec(&[lock.as_raw_fd()])?;

        self.begin(LaunchStep::Session, "/")?;
        rustix::process::setsid()?;
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);

        if let Some(cgroup) = &request.cgroup {
            let members = cgroup.join("cgroup.procs");
            self.begin(LaunchStep::Cgroup, &members)?;
            fs::OpenOptions::new().write(true).open(&members)?.write_all(b"0")?;
        }
        self.begin(LaunchStep::Limits, "/")?;
        limit_open_files(request.open_files)?;

        self.begin(LaunchStep::Account, "/")?;
        if let Some((uid, gid)) = request.account {
            become_account(uid, gid)?;
        }
        // A server has no business to gain rights from a set-user-id program.
        rustix::thread::set_no_new_privs(true)?;

        self.begin(LaunchStep::Directory, &request.directory)?;
        std::env::set_current_dir(&request.directory)?;

        self.begin(LaunchStep::Lock, request.directory.join(LOCK))?;
        check_lock(&lock)?;

        self.begin(LaunchStep::Log, request.directory.join(LOG))?;
        redirect_output()?;

        self.begin(LaunchStep::Record, request.directory.join(RECORD))?;
        record(&request, lock.as_raw_fd())?;

        self.begin(LaunchStep::Program, &request.program)?;
        // From here the server owns it: it stays open until the last of its processes ends.
        let _ = lock.into_raw_fd();
        report.write_all(&[REPLACING])?;
        Err(command(&request).exec())
    }
}

/// The socket at descriptor 1, at a number that is closed by the replacement of the program.
fn report_socket() -> io::Result<UnixStream> {
    let socket: OwnedFd = fcntl_dupfd_cloexec(stdout(), 3)?;
    if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode).is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this command is for the program's own use",
        ));
    }
    Ok(UnixStream::from(socket))
}

/// Whatever else we inherited shall not live on in a server: a listener of ours that stays open there keeps its port taken.
fn close_others_at_exec(keep: &[RawFd]) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let name: OsString = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number <= 2 || keep.contains(&number) {
            continue;
        }
        // SAFETY: the number was just listed as open by the kernel, this process has one thread, and the only descriptor that
        // disappears meanwhile is the listing itself, after the loop. The borrow ends with this iteration and closes nothing.
        #[expect(
            unsafe_code,
            reason = "inherited descriptors have no owner in this program to borrow them from"
        )]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = fcntl_getfd(descriptor)?;
        if !flags.contains(FdFlags::CLOEXEC) {
            fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// As many as asked for, as far as we may raise them: a server with fewer files works, one that is not started does not.
fn limit_open_files(wanted: u64) -> io::Result<()> {
    if wanted == 0 {
        return Ok(());
    }
    let limit = |current, maximum| Rlimit {
        current: Some(current),
        maximum,
    };
    match rustix::process::setrlimit(Resource::Nofile, limit(wanted, Some(wanted))) {
        Err(Errno::PERM) => {
            let highest = rustix::process::getrlimit(Resource::Nofile).maximum;
            let possible = highest.map_or(wanted, |highest| highest.min(wanted));
            Ok(rustix::process::setrlimit(Resource::Nofile, limit(possible, highest))?)
        }
        other => Ok(other?),
    }
}

/// Groups first and user last: the other way round there would be no right left to change groups.
fn become_account(uid: u32, gid: u32) -> io::Result<()> {
    if rustix::process::geteuid().as_raw() == uid && rustix::process::getegid().as_raw() == gid && uid != 0 {
        return Ok(());
    }
    // These change the calling thread only, and this process has no other.
    rustix::thread::set_thread_groups(&[Gid::from_raw(gid)])?;
    rustix::thread::set_thread_gid(Gid::from_raw(gid))?;
    rustix::thread::set_thread_uid(Uid::from_raw(uid))?;
    Ok(())
}

/// The lock was taken before we started. It must still be the lock of the directory that has the server's name: a directory that was
/// erased meanwhile took its lock file with it.
fn check_lock(lock: &OwnedFd) -> io::Result<()> {
    flock(lock, FlockOperation::NonBlockingLockExclusive)?;
    let named = rustix::fs::lstat(LOCK)?;
    if FileId::from_stat(&named) == FileId::of(lock.as_fd())? {
        Ok(())
    } else {
        Err(Errno::WOULDBLOCK.into())
    }
}

/// Nothing to read, and the log for everything that is printed.
fn redirect_output() -> io::Result<()> {
    let log = open_options().append(true).read(false).create(true).open(LOG)?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    Ok(())
}

/// Says who this process is before it becomes the server. Not synced: what a power loss takes from the record it takes from the process
/// too, and a record that is broken or of another boot counts as none.
fn record(request: &Request, lock_descriptor: RawFd) -> io::Result<()> {
    let pid = std::process::id();
    let facts = ProcessFacts::read(pid)?.ok_or(Errno::SRCH)?;
    let record = Record {
        pid,
        start_time: facts.start_time,
        boot_id: identity::boot_id()?.to_owned(),
        incarnation: request.incarnation,
        lock_descriptor,
        program: request.program.clone(),
    };
    let text = serde_json::to_vec(&record)?;
    match replace_record(&text) {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            // A server must be startable on a full disk, where the room of its last record is still its own.
            overwrite_record(text).map_err(|_| error)
        }
        other => other,
    }
}

/// The usual way: whole or not at all.
fn replace_record(text: &[u8]) -> io::Result<()> {
    let temporary = format!(".{RECORD}.new");
    let mut file = open_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)?;
    let written = file.write_all(text).and_then(|()| fs::rename(&temporary, RECORD));
    if written.is_err() {
        // Only room is lost when it stays.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Over the last record, in one write of a few hundred bytes; nothing of the old one is left behind the new one.
fn overwrite_record(mut text: Vec<u8>) -> io::Result<()> {
    let file = open_options().write(true).open(RECORD)?;
    let length = usize::try_from(file.metadata()?.len().min(RECORD_LIMIT)).unwrap_or_default();
    if text.len() < length {
        // JSON may end in blanks. Cutting the file would be a second step, and could give its room away.
        text.resize(length, b' ');
    }
    file.write_all_at(&text, 0)
}

/// Private files, never through a link.
fn open_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("one of the low bits");
    options.mode(0o600).custom_flags(no_follow);
    options
}

fn command(request: &Request) -> Command {
    let mut command = Command::new(&request.program);
    command
        .args(&request.arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", &request.directory)
        .envs(request.environment.iter().map(|(name, value)| (name, value)));
    command
}
