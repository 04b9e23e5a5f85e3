//! Directories of this machine, mounted ones included.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pilothouse_model::DatabaseId;
use rand::Rng;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::transfer::{Fetched, Stored, Target};
use crate::{BackupError, FailureKind, FileName, Progress, gzip};

/// A directory that backups are written to. It must exist: making one would hide that a disk is not mounted.
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self, BackupError> {
        let what = || format!("cannot use the directory {}", path.display());
        if !path.is_absolute() {
            return Err(BackupError::new(
                FailureKind::WrongPath,
                format!("{} is not absolute", path.display()),
            ));
        }
        let metadata = fs::metadata(path).map_err(|error| BackupError::file(what(), error))?;
        if !metadata.is_dir() {
            return Err(BackupError::new(
                FailureKind::WrongPath,
                format!("{} is not a directory", path.display()),
            ));
        }
        Ok(Self { path: path.to_owned() })
    }

    fn sync(&self) -> Result<(), BackupError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.error("cannot sync", error))
    }

    fn error(&self, what: &str, error: io::Error) -> BackupError {
        BackupError::file(format!("{what} in {}", self.path.display()), error)
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
            let what = format!("{} exists and is not of this database", path.display());
            return Err(BackupError::new(FailureKind::WrongPath, what));
        }
        fs::rename(draft, &path).map_err(failed)
    }
}

impl Target for Directory {
    fn probe(&mut self) -> Result<(), BackupError> {
        let path = self
            .path
            .join(format!(".pilothouse-probe-{:016x}", rand::rng().random::<u64>()));
        write_new(&path, |file| {
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

    fn store(&mut self, name: &FileName, source: &Path, progress: &Progress) -> Result<Stored, BackupError> {
        let draft = self.path.join(name.draft());
        // Left by a run that was killed; the name is this database's own.
        let _ = fs::remove_file(&draft);
        let stored = write_new(&draft, |sink| {
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

/// Makes the file, readable by this account only, fills and syncs it; removes it again when that fails.
/// Never follows a link and never opens what exists already.
pub(crate) fn write_new<T>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let what = || format!("cannot write {}", path.display());
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
pub(crate) fn open_source(path: &Path) -> Result<File, BackupError> {
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
    let metadata = file.metadata().map_err(|error| BackupError::file(what(), error))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(wrong("a plain file"))
    }
}

pub(crate) fn fetch(
    path: &Path,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    let file = open_source(path)?;
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

/// The true path of `path`, which must exist, if it lies within `root`; links cannot lead out of it.
///
/// # Errors
/// [`FailureKind::WrongPath`] when it does not exist, [`FailureKind::NoPermission`] when it lies outside.
pub fn confine(root: &Path, path: &Path) -> Result<PathBuf, BackupError> {
    let real = |path: &Path| {
        fs::canonicalize(path).map_err(|error| BackupError::file(format!("cannot use {}", path.display()), error))
    };
    let (root, path) = (real(root)?, real(path)?);
    if path.starts_with(&root) {
        Ok(path)
    } else {
        Err(BackupError::new(
            FailureKind::NoPermission,
            format!("{} lies outside of {}", path.display(), root.display()),
        ))
    }
}
