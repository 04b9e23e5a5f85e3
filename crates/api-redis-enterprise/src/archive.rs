//! A gzip-compressed tar archive: what debug packages are.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

const BLOCK: usize = 512;
/// Longest name that the plain header holds.
const NAME_BYTES_MAX: usize = 100;

/// Packs files, each a name of at most 100 bytes and its content, and gives `to` back.
pub(crate) fn tar_gz<W: Write>(to: W, files: &[(String, Vec<u8>)], modified_seconds: i64) -> std::io::Result<W> {
    let mut gzip = GzEncoder::new(to, Compression::default());
    for (name, content) in files {
        gzip.write_all(&header(name, content.len(), modified_seconds))?;
        gzip.write_all(content)?;
        gzip.write_all(&vec![0; content.len().next_multiple_of(BLOCK) - content.len()])?;
    }
    gzip.write_all(&[0; 2 * BLOCK])?;
    gzip.finish()
}

/// The ustar header of one file.
fn header(name: &str, length: usize, modified_seconds: i64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let name = &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)];
    put(0, name);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", modified_seconds.max(0)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_packed() {
        let files = [
            ("a/one.txt".to_owned(), b"first".to_vec()),
            ("two.json".to_owned(), vec![b'x'; 1000]),
        ];
        let packed = tar_gz(Vec::new(), &files, 1_760_400_087).unwrap();
        let list = |arguments: &[&str]| {
            let mut tar = Command::new("tar")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            tar.stdin.take().unwrap().write_all(&packed).unwrap();
            let mut printed = String::new();
            tar.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
            assert!(tar.wait().unwrap().success());
            printed
        };
        assert_eq!(list(&["-tzf", "-"]), "a/one.txt\ntwo.json\n");
        assert_eq!(list(&["-xzOf", "-", "a/one.txt"]), "first");
    }
}
