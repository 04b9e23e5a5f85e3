//! The data directory, the account of servers, the disk, the configuration file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Check, Verdict};
use crate::config::Configuration;
use crate::data_dir;
use crate::output::bytes;

/// Slower than this, and every answered change is felt.
const SLOW_SYNC: Duration = Duration::from_millis(10);

/// How often the disk is timed; the middle one counts.
const SYNCS: usize = 21;

/// Checks of everything about files.
pub(super) fn checks(configuration: &Configuration) -> Vec<Check> {
    let data_dir = &configuration.server.data_dir;
    let existing = nearest_existing(data_dir);
    let mut checks = vec![ownership(data_dir)];
    // The directory itself is opened to the account by the start; what leads to it is somebody else's.
    checks.extend(account(
        configuration,
        &nearest_existing(data_dir.parent().unwrap_or(data_dir)),
    ));
    checks.push(sync_time(&existing));
    checks.extend(space(&existing));
    checks.extend(configuration.file.as_deref().and_then(file_mode));
    checks
}

fn ownership(data_dir: &Path) -> Check {
    const SUBJECT: &str = "data directory";
    let shown = data_dir.display();
    let me = rustix::process::geteuid().as_raw();
    match std::fs::metadata(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::new(SUBJECT, Verdict::Note, format!("{shown} is made by the first start"))
        }
        Err(error) => Check::new(SUBJECT, Verdict::Problem, format!("{shown}: {error}")),
        Ok(facts) if facts.uid() != me => {
            let finding = format!(
                "{shown} belongs to the account with the number {}, and we run as {me}",
                facts.uid()
            );
            Check::new(SUBJECT, Verdict::Problem, finding)
                .remedy("run as its owner, or name another directory with --data-dir")
        }
        Ok(_) => Check::new(SUBJECT, Verdict::Ok, shown.to_string()),
    }
}

fn account(configuration: &Configuration, existing: &Path) -> Vec<Check> {
    const SUBJECT: &str = "account";
    if !rustix::process::geteuid().is_root() {
        return vec![Check::new(
            SUBJECT,
            Verdict::Note,
            "servers run as your own account: they can read whatever you can",
        )];
    }
    let account = match data_dir::find_account(&configuration.server.run_as) {
        Ok(account) => account,
        Err(error) => {
            return vec![
                Check::new(SUBJECT, Verdict::Problem, "the account of servers is missing").remedy(error.to_string()),
            ];
        }
    };
    let shared = format!(
        "all servers run as {}: what one of them can read, the others can too, so tenants get no CONFIG, MODULE, DEBUG or REPLICAOF",
        account.name
    );
    let mut checks = vec![Check::new(SUBJECT, Verdict::Note, shared)];
    checks.push(match account.check_passage(existing) {
        Ok(()) => Check::new(
            SUBJECT,
            Verdict::Ok,
            format!("{} reaches {}", account.name, existing.display()),
        ),
        Err(blocked) => {
            let finding = format!("{} cannot pass {}", account.name, blocked.path.display());
            Check::new(SUBJECT, Verdict::Problem, finding).remedy(blocked.to_string())
        }
    });
    checks
}

fn sync_time(existing: &Path) -> Check {
    const SUBJECT: &str = "disk";
    match time_syncs(existing) {
        Err(error) => Check::new(
            SUBJECT,
            Verdict::Problem,
            format!("cannot write in {}: {error}", existing.display()),
        ),
        Ok(time) => {
            let finding = format!(
                "a durable write in {} takes {:.1} ms",
                existing.display(),
                time.as_secs_f64() * 1_000.0
            );
            if time > SLOW_SYNC {
                Check::new(SUBJECT, Verdict::Warning, finding)
                    .remedy("every change waits for one; keep the data on a faster disk")
            } else {
                Check::new(SUBJECT, Verdict::Ok, finding)
            }
        }
    }
}

/// The middle time of some synced writes to a file that is gone afterwards.
fn time_syncs(directory: &Path) -> io::Result<Duration> {
    let path = directory.join(format!("doctor-{}.unfinished", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let times = synced_writes(file);
    std::fs::remove_file(&path)?;
    let mut times = times?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn synced_writes(mut file: File) -> io::Result<Vec<Duration>> {
    let block = [0; 4096];
    (0..SYNCS)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            Ok(start.elapsed())
        })
        .collect()
}

fn space(existing: &Path) -> Option<Check> {
    let facts = rustix::fs::statvfs(existing).ok()?;
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let check = |verdict| {
        Check::new(
            "disk",
            verdict,
            format!("{} free at {}", bytes(free), existing.display()),
        )
    };
    Some(if free < 1 << 30 {
        check(Verdict::Warning).remedy("free some: databases with persistence need at least twice their memory")
    } else {
        check(Verdict::Ok)
    })
}

/// A file that holds a secret and that others can read.
fn file_mode(file: &Path) -> Option<Check> {
    let mode = std::fs::metadata(file).ok()?.mode();
    let text = std::fs::read_to_string(file).ok()?;
    let holds_secret = text.lines().map(str::trim_start).any(|line| {
        !line.starts_with('#')
            && ["password", "secret_key", "token", "access_key"]
                .iter()
                .any(|word| line.contains(word))
    });
    (holds_secret && mode & 0o077 != 0).then(|| {
        let finding = format!("{} holds a secret and has mode {:03o}", file.display(), mode & 0o777);
        Check::new("configuration", Verdict::Warning, finding).remedy(format!("chmod 600 {}", file.display()))
    })
}

fn nearest_existing(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir());
    existing.unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn timing_the_disk_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert!(time_syncs(directory.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(nearest_existing(&directory.path().join("a/b")), directory.path());
    }

    #[test]
    fn a_readable_secret_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = |text: &str, mode: u32| {
            std::fs::write(file.path(), text).unwrap();
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            file_mode(file.path()).is_some()
        };
        assert!(found("[admin]\npassword = 'x'", 0o644));
        assert!(!found("[admin]\npassword = 'x'", 0o600));
        assert!(!found("[admin]\n# password = 'x'", 0o644));
    }
}
