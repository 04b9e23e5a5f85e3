//! Our own binary where the account of the gateway can run it.
//!
//! Root may have started us from a folder that nobody else can pass, its own home for instance. The gateway runs under the account of
//! servers, so it gets a copy in the data directory then.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pilothouse_runtime_local::Account;

use super::{DataDir, DataDirError, files, io_error};

impl DataDir {
    /// The path of `program` for the account of the gateway: the given one where the account can run it, else a copy that is made or
    /// brought up to date now.
    pub fn runnable(&self, program: &Path) -> Result<PathBuf, DataDirError> {
        match self.account() {
            Some(account) if !can_run(program, account) => self.copy(program),
            _ => Ok(program.to_owned()),
        }
    }

    fn copy(&self, program: &Path) -> Result<PathBuf, DataDirError> {
        let directory = self.layout().root.join("bin");
        files::make_directory(&directory, 0o755, None)?;
        let target = directory.join("pilothouse");
        match copy_if_different(program, &target) {
            Ok(true) => files::sync_directory(&directory)?,
            Ok(false) => {}
            // An older gateway serves; none does not.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && target.exists() => {
                tracing::warn!(path = %target.display(), %error, "the gateway runs our program's older copy");
            }
            Err(error) => return Err(io_error("cannot copy our program to", &target, error)),
        }
        Ok(target)
    }
}

fn can_run(program: &Path, account: &Account) -> bool {
    let Ok(real) = std::fs::canonicalize(program) else {
        return false;
    };
    let may_run = std::fs::metadata(&real).is_ok_and(|facts| facts.permissions().mode() & 0o001 != 0);
    may_run
        && real
            .parent()
            .is_some_and(|parent| account.check_passage(parent).is_ok())
}

/// Replaces by rename, so that a gateway that runs from the old copy is not disturbed. Same size and time count as the same.
fn copy_if_different(from: &Path, to: &Path) -> io::Result<bool> {
    let source = std::fs::metadata(from)?;
    let modified = source.modified()?;
    let same = std::fs::metadata(to)
        .is_ok_and(|copy| copy.size() == source.size() && copy.modified().is_ok_and(|time| time == modified));
    if same {
        return Ok(false);
    }
    let unfinished = files::unfinished(to);
    std::fs::copy(from, &unfinished).inspect_err(|_| {
        // Half a copy of no use takes the last room of a full disk; the next attempt replaces it when it stays.
        let _ = std::fs::remove_file(&unfinished);
    })?;
    let file = File::options().write(true).open(&unfinished)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.set_times(FileTimes::new().set_modified(modified))?;
    file.sync_all()?;
    std::fs::rename(&unfinished, to)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_once_and_again_when_the_program_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::write(&from, "one").unwrap();
        assert!(copy_if_different(&from, &to).unwrap());
        assert!(!copy_if_different(&from, &to).unwrap());
        std::fs::write(&from, "other").unwrap();
        assert!(copy_if_different(&from, &to).unwrap());
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "other");
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_program_in_a_closed_folder_cannot_be_run() {
        let account = Account {
            name: "servers".into(),
            uid: 64_999,
            gid: 64_999,
        };
        let closed = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().permissions(closed).tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!can_run(&program, &account), "the folder is 0700");
        assert!(can_run(Path::new("/bin/sh"), &account));
        assert!(!can_run(Path::new("/bin/missing"), &account));
    }
}
