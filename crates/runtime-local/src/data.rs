//! What a server keeps in `data/`: which files, and how much.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use pilothouse_model::Timestamp;
use pilothouse_runtime::{DataFile, RuntimeError};

use crate::directory::{DATA, Directory};
use crate::error::system;

/// The regular files below `data/`, by name. A file that disappears meanwhile is left out; anything else that cannot be looked at is an
/// error, since "nothing there" would be taken for an empty database.
pub(crate) fn files(directory: &Directory) -> Result<Vec<DataFile>, RuntimeError> {
    let root = directory.path().join(DATA);
    let mut files = Vec::new();
    collect(&root, &root, &mut files)?;
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<DataFile>) -> Result<(), RuntimeError> {
    let what = "looking at a server's data";
    let Some(entries) = unless_gone(fs::read_dir(folder)).map_err(|error| system(what, folder, error))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(|error| system(what, folder, error))?;
        let path = entry.path();
        let Some(facts) = unless_gone(entry.metadata()).map_err(|error| system(what, &path, error))? else {
            continue;
        };
        if facts.is_dir() {
            collect(root, &path, files)?;
        } else if facts.is_file() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let modified = facts
                .modified()
                .ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .unwrap_or_default();
            files.push(DataFile {
                name,
                bytes: facts.len(),
                modified: Timestamp::from_millis(0).plus(modified),
            });
        }
    }
    Ok(())
}

/// Bytes on disk of everything below a path. What disappears meanwhile counts nothing; links are not followed.
pub(crate) fn size_on_disk(path: &Path) -> u64 {
    let mut sum = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            sum += facts.blocks() * 512;
            if facts.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    sum
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use pilothouse_model::ServerId;

    #[test]
    fn files_are_listed_with_their_paths_below_data() {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark".into(), None).unwrap();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        assert_eq!(files(&directory).unwrap(), []);
        directory.write(Path::new("data/dump.rdb"), b"12345").unwrap();
        directory.write(Path::new("data/appendonlydir/base"), b"1").unwrap();
        directory.write(Path::new("redis.conf"), b"not data").unwrap();
        assert!(size_on_disk(directory.path()) > 0);
        let files = files(&directory).unwrap();
        let seen: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
        assert_eq!(seen, [("appendonlydir/base", 1), ("dump.rdb", 5)]);
        assert!(files.iter().all(|file| file.modified.as_secs() > 1_600_000_000));
    }
}
