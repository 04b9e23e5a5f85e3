//! Directories of this machine, mounted ones included.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pilothouse_model::DatabaseId;
use rand::Rng;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::access::through;
use crate::transfer::{Fetched, Stored, Target};
use crate::{BackupError, FailureKind, FileAccess, FileName, Progress, gzip};

/// A directory that backups are written to. It must exist: making one would hide that a disk is not mounted.
pub(crate) struct Directory {
    /// As it was asked for.
    shown: PathBuf,
    /// What was opened, however it is called by now.
    opened: File,
    /// Leads to what was opened.
    path: PathBuf,
}

impl Directory {
    pub(crate) fn open(path: &Path, access: &FileAccess) -> Result<Self, BackupError> {
        let what = || format!("cannot use the directory {}", path.display());
        if !path.is_absolute() {
            return Err(BackupError::new(
                FailureKind::WrongPath,
                format!("{} is not absolute", path.display()),
            ));
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::DIRECTORY | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .map_err(|error| BackupError::file(what(), error))?;
        access.check(&opened, path)?;
        Ok(Self {
            shown: path.to_owned(),
            path: through(&opened),
            opened,
        })
    }

    fn sync(&self) -> Result<(), BackupError> {
        self.opened.sync_all().map_err(|error| self.error("cannot sync", error))
    }

    fn error(&self, what: &str, error: io::Error) -> BackupError {
        BackupError::file(format!("{what} in {}", self.shown.display()), error)
    }

    /// Gives the finished draft its name. A file of another database under that name is never replaced.
    fn publish(&self, draft: &Path, name: &FileName) -> Result<(), BackupError> {
        let path = self.path.join(name.as_str());
        let failed = |error| self.error("cannot rename the finished backup", error);
        match renameat_with(CWD, draft, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            // Some network file systems cannot promise it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !path.exists() => {
                return fs::rename(draft, &path).map_err(failed);
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let owner = File::open(&path).ok().and_then(gzip::owner);
        if owner != Some(name.database()) {
            let what = format!(
                "{} exists and is not of this database",
                self.shown.join(name.as_str()).display()
            );
            return Err(BackupError::new(FailureKind::WrongPath, what));
        }
        fs::rename(draft, &path).map_err(failed)
    }
}

impl Target for Directory {
    fn probe(&mut self) -> Result<(), BackupError> {
        // A file without a name: whoever dies here leaves nothing behind.
        let unnamed = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::TMPFILE.bits().cast_signed())
            .open(&self.path);
        if let Ok(mut file) = unnamed {
            return io::Write::write_all(&mut file, b"probe\n").map_err(|error| self.error("cannot write", error));
        }
        // Not every file system has such files. What is wrong with the directory itself shows here as well.
        let path = self
            .path
            .join(format!(".pilothouse-probe-{:016x}", rand::rng().random::<u64>()));
        write_new(&path, &self.shown, |file| {
            io::Write::write_all(file, b"probe\n").map_err(|error| self.error("cannot write", error))
        })?;
        fs::remove_file(&path).map_err(|error| self.error("cannot remove", error))
    }

    fn list(&mut self) -> Result<Vec<String>, BackupError> {
        let entries = fs::read_dir(&self.path).map_err(|error| self.error("cannot list", error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.error("cannot list", error))?;
            // Never through a link: it may lead to somebody else's file.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn owner(&mut self, file: &str) -> Result<Option<DatabaseId>, BackupError> {
        match open_without_links(&self.path.join(file)) {
            Ok(file) => Ok(gzip::owner(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("cannot read a backup", error)),
        }
    }

    fn remove(&mut self, file: &str) -> Result<(), BackupError> {
        match fs::remove_file(self.path.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error("cannot remove a backup", error)),
            _ => Ok(()),
        }
    }

    fn store(&mut self, name: &FileName, source: File, progress: &Progress) -> Result<Stored, BackupError> {
        let draft = self.path.join(name.draft());
        // Left by a run that was killed; the name is this database's own.
        let _ = fs::remove_file(&draft);
        let stored = write_new(&draft, &self.shown, |sink| {
            gzip::pack(
                source,
                name,
                sink,
                |error| self.error("cannot write the backup", error),
                progress,
            )
        })?;
        self.publish(&draft, name).inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })?;
        self.sync()?;
        Ok(stored)
    }
}

/// Makes the file, called `shown` in errors, readable by this account only, fills and syncs it; removes it again when that fails.
/// Never follows a link and never opens what exists already.
pub(crate) fn write_new<T>(
    path: &Path,
    shown: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let what = || format!("cannot write to {}", shown.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| BackupError::file(what(), error))?;
    fill(&mut file)
        .and_then(|filled| {
            file.sync_all()
                .map(|()| filled)
                .map_err(|error| BackupError::file(what(), error))
        })
        .inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
}

/// Opens a plain file for reading; a pipe or a device would never end.
pub(crate) fn open_source(path: &Path, access: &FileAccess) -> Result<File, BackupError> {
    let what = || format!("cannot read {}", path.display());
    let wrong = |why| BackupError::new(FailureKind::WrongPath, format!("{} is not {why}", path.display()));
    if !path.is_absolute() {
        return Err(wrong("absolute"));
    }
    // Opening a pipe for reading would wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| BackupError::file(what(), error))?;
    access.check(&file, path)?;
    let metadata = file.metadata().map_err(|error| BackupError::file(what(), error))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(wrong("a plain file"))
    }
}

pub(crate) fn fetch(
    path: &Path,
    access: &FileAccess,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    let file = open_source(path, access)?;
    if let Ok(metadata) = file.metadata() {
        progress.set_total(metadata.len());
    }
    gzip::unpack(
        file,
        |error| BackupError::file("cannot read the file", error),
        sink,
        most_bytes,
        progress,
    )
}

fn open_without_links(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}
