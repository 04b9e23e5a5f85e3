//! What an FTP server answers: lines with a code, and the ports that it names for data.

use std::io::{self, BufRead, Read};

/// Bounds on what a server may say at once.
const LONGEST_LINE: u64 = 4096;
const MOST_LINES: usize = 256;

/// One answer; its text is that of its last line.
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

impl Reply {
    /// Reads one answer, of one line or of several (`220-…` up to `220 …`); its text is that of the last line.
    pub(super) fn read(control: &mut impl BufRead) -> io::Result<Self> {
        let mut first = None;
        for _ in 0..MOST_LINES {
            let line = read_line(control)?;
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let (after, text) = (line.as_bytes().get(3).copied(), line.get(4..).unwrap_or_default());
            match (first, code) {
                (None, Some(code)) if after == Some(b'-') => first = Some(code),
                (None, Some(code)) => {
                    return Ok(Reply {
                        code,
                        text: text.to_owned(),
                    });
                }
                (None, None) => return Err(io::Error::new(io::ErrorKind::InvalidData, "not an FTP server")),
                (Some(first), Some(code)) if code == first && after != Some(b'-') => {
                    return Ok(Reply {
                        code,
                        text: text.to_owned(),
                    });
                }
                (Some(_), _) => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without end"))
    }
}

fn read_line(control: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    control.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// `Entering Extended Passive Mode (|||6446|)`.
pub(super) fn extended_port(text: &str) -> Option<u16> {
    let inner = text.split_once('(')?.1.split_once(')')?.0;
    let delimiter = inner.chars().next()?;
    inner.split(delimiter).nth(3)?.parse().ok()
}

/// `Entering Passive Mode (192,0,2,1,25,46)`, with or without parentheses.
pub(super) fn passive_port(text: &str) -> Option<u16> {
    let digits = text
        .rsplit(|c: char| !(c.is_ascii_digit() || c == ','))
        .find(|part| part.contains(','))?;
    let numbers: Vec<u16> = digits
        .split(',')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    match numbers[..] {
        [_, _, _, _, high, low] if high < 256 && low < 256 => Some(high * 256 + low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_replies_of_one_and_of_many_lines() {
        let reply = |text: &str| Reply::read(&mut text.as_bytes()).map(|reply| (reply.code, reply.text));
        assert_eq!(reply("220 hello\r\n").expect("a reply"), (220, "hello".to_owned()));
        assert_eq!(
            reply("220-a\r\n 220 b\r\n230 c\r\n220-d\r\n220 e\r\n").expect("a reply"),
            (220, "e".to_owned())
        );
        assert_eq!(reply("226\r\n").expect("a reply"), (226, String::new()));
        for bad in [
            "",
            "220 hello",
            "SSH-2.0\r\n",
            "2ä\r\n",
            &"220-x\r\n".repeat(1000),
            &"2".repeat(10_000),
        ] {
            assert!(reply(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn finds_the_data_port() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port("Entering (|||99999|)"), None);
        assert_eq!(extended_port("nothing"), None);
        assert_eq!(passive_port("Entering Passive Mode (192,0,2,1,25,46)."), Some(6446));
        assert_eq!(passive_port("=192,0,2,1,25,46"), Some(6446));
        assert_eq!(passive_port("(1,2,3,4,256,1)"), None);
        assert_eq!(passive_port("(1,2)"), None);
    }
}
