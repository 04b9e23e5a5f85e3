//! The key file: one line `pilothouse-key 1 <key id> <key>`, mode 0600, written once and never changed.
//!
//! The key id is a digest of the key, so it also tells whether the file is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::SecretsError;
use crate::keyring::{KEY_BYTES, Key, key_id};
use crate::random::{generate, random_bytes};

const WORD: &str = "pilothouse-key";
const VERSION: &str = "1";
/// A whole file has about 80 bytes; whatever is much longer is something else.
const MOST_BYTES: u64 = 4096;

/// Reads the key file, or answers that there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Key>, SecretsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path, error)),
    };
    // The opened file is judged, not the path, which could be exchanged in between.
    refuse_exposed(&file, path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => damaged(path, "it is not text"),
            _ => io_error("read", path, error),
        })?;
    parse(&text).map(Some).map_err(|reason| damaged(path, reason))
}

/// Makes a key and its file. When another process made the file first, that one's key counts.
///
/// The file appears whole or not at all: it is written and synced under another name and then linked into place, and
/// linking, other than renaming, never replaces a key that is there.
pub(crate) fn create(path: &Path) -> Result<Key, SecretsError> {
    let key = random_bytes::<KEY_BYTES>();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let draft = directory.join(format!(".key-{}", generate(12).expose()));
    let written = write_draft(&draft, &key).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", path, error)),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&draft);
    written?;
    File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error("sync", &directory, error))?;
    read(path)?.ok_or_else(|| SecretsError::Missing { path: path.to_owned() })
}

fn write_draft(draft: &Path, key: &[u8; KEY_BYTES]) -> Result<(), SecretsError> {
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(key));
    let line = Zeroizing::new(format!("{WORD} {VERSION} {} {}\n", key_id(key), encoded.as_str()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| io_error("write", draft, error))
}

fn refuse_exposed(file: &File, path: &Path) -> Result<(), SecretsError> {
    let metadata = file.metadata().map_err(|error| io_error("examine", path, error))?;
    if !metadata.is_file() {
        return Err(damaged(path, "it is not a plain file"));
    }
    let exposed = |found| {
        Err(SecretsError::Exposed {
            path: path.to_owned(),
            found,
        })
    };
    if metadata.mode() & 0o077 != 0 {
        return exposed(format!("mode {:04o}", metadata.mode() & 0o7777));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return exposed(format!("owned by uid {}", metadata.uid()));
    }
    Ok(())
}

fn parse(text: &str) -> Result<Key, &'static str> {
    let mut words = text.split_whitespace();
    if words.next() != Some(WORD) {
        return Err("it does not begin as a key file does");
    }
    if words.next() != Some(VERSION) {
        return Err("it has a version that this program does not know");
    }
    let (Some(id), Some(encoded), None) = (words.next(), words.next(), words.next()) else {
        return Err("it is cut short or has something appended");
    };
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "the key is not readable")?);
    let key: &[u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| "the key is cut short")?;
    if key_id(key) != id {
        return Err("the key and its id do not belong together");
    }
    Ok(Key::new(key))
}

fn damaged(path: &Path, reason: &'static str) -> SecretsError {
    SecretsError::Damaged {
        path: path.to_owned(),
        reason,
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> SecretsError {
    SecretsError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
