//! Our side of a launch: starts the launcher, waits until it has become the server, and turns what it reports into errors.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pilothouse_runtime::RuntimeError;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use crate::error::{Context, system};
use crate::identity::ProcessFacts;
use crate::launch::{LaunchStep, REPLACING, Report, Request};
use crate::lock::HeldLock;
use crate::watch::{has_ended, how_it_ended};

/// Longest time between starting the launcher and its report. It syncs one file; a disk that takes longer is no place for a server.
const REPORT_DEADLINE: Duration = Duration::from_secs(20);

/// The command that runs [`crate::launch`].
#[derive(Clone, Debug)]
pub struct LauncherCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl LauncherCommand {
    /// `launch` of the very program that runs now, also when its file has been replaced or removed meanwhile.
    pub fn of_this_program() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["launch".into()],
        }
    }
}

/// A server that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub pid: u32,
    pub start_time: u64,
    pub pidfd: OwnedFd,
}

/// Starts a server whose lock we hold and leaves the lock to it. Blocking, some milliseconds.
///
/// When this fails no process is left and the lock is free again.
pub(crate) fn spawn(launcher: &LauncherCommand, request: &Request, lock: HeldLock) -> Result<Spawned, RuntimeError> {
    let what = "starting the launcher";
    let text = serde_json::to_vec(request)
        .map_err(io::Error::from)
        .at(what, &request.directory)?;
    let (mut ours, theirs) = UnixStream::pair().at(what, &launcher.program)?;
    ours.set_read_timeout(Some(REPORT_DEADLINE))
        .at(what, &launcher.program)?;
    ours.set_write_timeout(Some(REPORT_DEADLINE))
        .at(what, &launcher.program)?;
    let child = Command::new(&launcher.program)
        .arg0("pilothouse")
        .args(&launcher.arguments)
        .env_clear()
        .stdin(Stdio::from(lock.share().at(what, &launcher.program)?))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .at(what, &launcher.program)?;
    let launched = Launched::new(child).at(what, &launcher.program)?;

    let told = tell(&mut ours, &text);
    let mut report = Vec::new();
    let heard = match ours.read_to_end(&mut report) {
        // It died before it read the whole request.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(report.len()),
        other => other,
    };
    match (report.split_first(), heard) {
        (Some((&REPLACING, [])), Ok(_)) => {
            // Not collected yet, so the number is still its own.
            let facts = ProcessFacts::read(launched.pid).at("looking at the server", &request.directory)?;
            let start_time = facts.map_or(0, |facts| facts.start_time);
            lock.leave_to_child();
            let (pid, pidfd) = launched.into_running();
            Ok(Spawned { pid, start_time, pidfd })
        }
        (Some((&REPLACING, rest)), Ok(_)) => Err(failure(rest, launched, request)),
        (Some(_), Ok(_)) => Err(failure(&report, launched, request)),
        (None, Ok(_)) => {
            let how = launched.kill_and_collect();
            told.at(what, &launcher.program)?;
            Err(RuntimeError::EndedAtOnce {
                how,
                log: String::new(),
            })
        }
        (_, Err(_)) => {
            drop(launched);
            Err(RuntimeError::Timeout {
                what: "the report of the launcher",
            })
        }
    }
}

/// A launcher that closed its end early has said, or will be seen to have died of, something better than our broken pipe.
fn tell(socket: &mut UnixStream, text: &[u8]) -> io::Result<()> {
    match socket.write_all(text).and_then(|()| socket.shutdown(Shutdown::Write)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected) => Ok(()),
        other => other,
    }
}

/// What the launcher said before it gave up.
fn failure(report: &[u8], launched: Launched, request: &Request) -> RuntimeError {
    let how = launched.kill_and_collect();
    let Ok(report) = serde_json::from_slice::<Report>(report) else {
        return RuntimeError::EndedAtOnce {
            how,
            log: String::from_utf8_lossy(report).into_owned(),
        };
    };
    let source = report
        .errno
        .map_or_else(|| io::Error::other(report.words.clone()), io::Error::from_raw_os_error);
    match report.step {
        LaunchStep::Program => RuntimeError::Program {
            program: request.program.clone(),
            reason: source.to_string(),
        },
        // Either held by another one, or the directory has been erased and made again under our hands.
        LaunchStep::Lock if report.errno == Some(Errno::WOULDBLOCK.raw_os_error()) => RuntimeError::Locked,
        step => system(step.as_str(), &report.path, source),
    }
}

/// A launcher that was started: killed and collected unless it became a server.
struct Launched {
    pid: u32,
    pidfd: Option<OwnedFd>,
}

impl Launched {
    /// The number of a child is its own until it is collected, and only we collect it: opening it here cannot meet another process.
    fn new(mut child: Child) -> io::Result<Self> {
        let opened = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        match opened {
            Ok(pidfd) => Ok(Self {
                pid: child.id(),
                pidfd: Some(pidfd),
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    fn into_running(mut self) -> (u32, OwnedFd) {
        (
            self.pid,
            self.pidfd
                .take()
                .expect("only this function and the drop take it, and they end the value"),
        )
    }

    fn kill_and_collect(mut self) -> String {
        self.end(Duration::from_secs(1))
    }

    /// Gives it `patience` to end by itself, which tells more than our signal would.
    fn end(&mut self, patience: Duration) -> String {
        let Some(pidfd) = self.pidfd.take() else {
            return String::new();
        };
        has_ended(&pidfd, patience);
        // Fails only when it has ended, which is what we want.
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        status
            .ok()
            .flatten()
            .map_or_else(|| "unknown".to_owned(), |status| how_it_ended(&status))
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
