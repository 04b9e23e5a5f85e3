//! Which program a process is: its version and its build.
//!
//! A version alone does not tell two builds apart, and the path of a program even less: an upgrade replaces the file behind it. The
//! linker writes a build id into the executable that differs whenever its code does, so it says the same of a copy and another thing of
//! every rebuild. An executable without one is told by size and time of change, which at worst calls a copy another program.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The running executable, also when its file was replaced since.
const OWN: &str = "/proc/self/exe";

/// Notes are some hundred bytes long; what is longer was not made by a linker.
const NOTES_LIMIT: u64 = 64 * 1024;

/// The type of a segment that holds notes, and of the note that holds the build id.
const SEGMENT_OF_NOTES: u32 = 4;
const BUILD_ID: u32 = 3;

/// Version and build of the running program, for instance `0.1.0 build 2f9c…`. Two processes that say the same run the same code.
pub fn own_program() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match build_of(Path::new(OWN)) {
        Ok(build) => format!("{version} build {build}"),
        // Nobody may look at it; then the version has to do.
        Err(_) => version.to_owned(),
    }
}

/// The build of an executable file: its build id in hexadecimal digits, or `size-time` of a file without one.
///
/// # Errors
/// When the file cannot be read.
pub fn build_of(program: &Path) -> io::Result<String> {
    let file = File::open(program)?;
    if let Some(id) = build_id(&file)? {
        return Ok(id.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    let facts = file.metadata()?;
    Ok(format!("{}-{}.{}", facts.size(), facts.mtime(), facts.mtime_nsec()))
}

/// The build id; `None` when the file has none, or is no executable of this kind of machine.
fn build_id(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 64];
    if file.read_at(&mut header, 0)? < header.len() || header[..6] != *b"\x7fELF\x02\x01" {
        return Ok(None);
    }
    let (Some(table), Some(size), Some(count)) = (long(&header, 32), short(&header, 54), short(&header, 56)) else {
        return Ok(None);
    };
    for index in 0..u64::from(count) {
        let mut segment = [0; 56];
        let Some(at) = table.checked_add(index * u64::from(size)) else {
            return Ok(None);
        };
        if file.read_at(&mut segment, at)? < segment.len() {
            return Ok(None);
        }
        if word(&segment, 0) != Some(SEGMENT_OF_NOTES) {
            continue;
        }
        let (Some(offset), Some(length), Some(align)) = (long(&segment, 8), long(&segment, 32), long(&segment, 48))
        else {
            continue;
        };
        let mut notes = vec![0; usize::try_from(length.min(NOTES_LIMIT)).unwrap_or_default()];
        let read = file.read_at(&mut notes, offset)?;
        if let Some(id) = find_build_id(&notes[..read], if align == 8 { 8 } else { 4 }) {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

/// Looks through notes: three words (length of the name, length of the content, type), name, content, both padded.
fn find_build_id(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    loop {
        let name = usize::try_from(word(notes, 0)?).ok()?;
        let content = usize::try_from(word(notes, 4)?).ok()?;
        let begin = 12_usize.checked_add(name)?.checked_next_multiple_of(align)?;
        let end = begin.checked_add(content)?;
        if word(notes, 8)? == BUILD_ID && notes.get(12..12 + name)? == b"GNU\0" && content > 0 {
            return notes.get(begin..end);
        }
        notes = notes.get(end.checked_next_multiple_of(align)?..)?;
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
        let padded = |bytes: &[u8]| {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0);
            padded
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [
            &length(name)[..],
            &length(content),
            &kind.to_le_bytes(),
            &padded(name),
            &padded(content),
        ]
        .concat()
    }

    #[test]
    fn the_build_id_is_found_among_other_notes_and_never_outside() {
        let other = note(b"stapsdt\0", 3, b"abcde");
        let id = note(b"GNU\0", 3, b"0123456789");
        let all = [other, note(b"GNU\0", 1, b"wxyz"), id].concat();
        assert_eq!(find_build_id(&all, 4), Some(&b"0123456789"[..]));
        for end in 0..all.len() - 2 {
            assert_eq!(find_build_id(&all[..end], 4), None, "cut at {end}");
        }
        assert_eq!(find_build_id(&[0xff; 64], 4), None, "absurd lengths");
    }

    #[test]
    fn a_copy_is_the_same_program_and_a_text_is_told_by_its_facts() {
        let directory = std::env::temp_dir().join(format!("program-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (copy, text) = (directory.join("copy"), directory.join("text"));
        std::fs::copy(OWN, &copy).unwrap();
        std::fs::write(&text, "no program").unwrap();
        let (own, copied, told) = (build_of(Path::new(OWN)), build_of(&copy), build_of(&text));
        std::fs::remove_dir_all(&directory).unwrap();
        let own = own.unwrap();
        assert!(own.contains('-') || own == copied.unwrap());
        assert!(told.unwrap().starts_with("10-"));
        assert_eq!(own_program(), format!("{} build {own}", env!("CARGO_PKG_VERSION")));
    }
}
