//! Small files that are whole or absent.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pilothouse_runtime_local::Account;

use super::{DataDirError, io_error};

/// How the names of files end that are being written.
pub(super) const UNFINISHED: &str = ".unfinished";

/// The first line of a file without its end; `None` when there is no file. A file is never half written, so an empty one is damage.
pub(super) fn read_line(path: &Path) -> Result<Option<String>, DataDirError> {
    match std::fs::read_to_string(path) {
        Ok(text) => match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
            _ => Err(io_error(
                "cannot use",
                path,
                io::Error::new(io::ErrorKind::InvalidData, "the file is empty"),
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("cannot read", path, error)),
    }
}

/// Writes a file so that it is there whole, on disk and with its mode, or not at all. `readable_by` gives its group to the account.
pub(super) fn write_whole(
    path: &Path,
    text: &str,
    mode: u32,
    readable_by: Option<&Account>,
) -> Result<(), DataDirError> {
    let unfinished = unfinished(path);
    let write = || -> io::Result<()> {
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        if let Some(account) = readable_by {
            std::os::unix::fs::fchown(&file, None, Some(account.gid))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().map_err(|error| io_error("cannot write", path, error))?;
    sync_directory(path.parent().unwrap_or(path))
}

/// Opens a file for reading and writing, made with mode 0600 where it is missing.
pub(super) fn open_private(path: &Path) -> Result<File, DataDirError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|error| io_error("cannot open", path, error))
}

/// Puts `text` in place of what a file holds: over it, which needs no room on a full disk, and then without the rest.
pub(super) fn replace_content(file: &File, text: &str) -> io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// Makes a directory with that mode, for the account or for ourselves. Success when it is there.
pub(super) fn make_directory(path: &Path, mode: u32, account: Option<&Account>) -> Result<(), DataDirError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io_error("cannot make", path, error)),
        _ => {}
    }
    if let Some(account) = account {
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
            .map_err(|error| io_error("cannot change the owner of", path, error))?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| io_error("cannot change the mode of", path, error))
}

/// Makes names that were added to or removed from a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), DataDirError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error("cannot sync", path, error))
}

/// The name that a file has while it is written.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}
