//! The wire format RESP: requests out, replies in.
//!
//! Written here rather than taken from a client crate because the codecs on offer are not public on their own, refuse error texts that
//! are not UTF-8 (servers echo what clients sent) and have no limits. Everything that arrives is bounded: bytes, elements, depth.

use pilothouse_engine::Reply;

/// A reply may be this long, bytes. Larger values are for clients at the endpoint, not for administration.
pub(crate) const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Replies inside one reply. Each costs us more memory than it has bytes on the wire.
const MAX_ELEMENTS: usize = 2_000_000;

/// Replies within replies. Scripts can nest them; nothing else goes beyond a few.
const MAX_DEPTH: usize = 64;

/// A line (a status, a number, an error) may be this long, bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// What is wrong with what the server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("the server's reply is longer than {MAX_REPLY_BYTES} bytes or has more than {MAX_ELEMENTS} elements")]
    TooLarge,
    #[error("the server's reply is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the server's reply is not valid RESP")]
    Malformed,
}

/// Appends a command to `out`.
pub(crate) fn encode<A: AsRef<[u8]>>(arguments: &[A], out: &mut Vec<u8>) {
    encode_header(b'*', arguments.len(), out);
    for argument in arguments {
        let argument = argument.as_ref();
        encode_header(b'$', argument.len(), out);
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

fn encode_header(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Finds the end of a reply in bytes that arrive in pieces, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Everything before this is understood.
    position: usize,
    /// No line ends before this.
    searched: usize,
    /// How many replies are missing at each level.
    missing: Vec<usize>,
    elements: usize,
}

impl Scanner {
    /// The length of the reply at the start of `bytes`, or `None` while it is not whole. `bytes` must be what was given before plus more.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        loop {
            let Some(Line { kind, text, end }) = self.next_line(bytes)? else {
                return Ok(None);
            };
            match header(kind, text)? {
                Header::Line | Header::Nil => self.position = end,
                Header::Bytes(length) => {
                    let whole = end + length + 2;
                    if whole > MAX_REPLY_BYTES {
                        return Err(ProtocolError::TooLarge);
                    }
                    if bytes.len() < whole {
                        return Ok(None);
                    }
                    self.position = whole;
                }
                Header::Replies(count) => {
                    self.position = end;
                    if count > 0 {
                        if self.missing.len() == MAX_DEPTH {
                            return Err(ProtocolError::TooDeep);
                        }
                        self.missing.push(count);
                        self.searched = self.position;
                        continue;
                    }
                }
            }
            self.searched = self.position;
            if self.count_one()? {
                return Ok(Some(self.position));
            }
        }
    }

    /// The line at `position`.
    fn next_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Line<'a>>, ProtocolError> {
        let from = self.searched.max(self.position);
        let end = bytes
            .get(from..)
            .and_then(|rest| rest.windows(2).position(|pair| pair == b"\r\n"));
        let Some(end) = end.map(|offset| from + offset) else {
            self.searched = from.max(bytes.len().saturating_sub(1));
            return if bytes.len() - self.position > MAX_LINE_BYTES {
                Err(ProtocolError::TooLarge)
            } else {
                Ok(None)
            };
        };
        self.searched = end;
        let (&kind, text) = bytes[self.position..end]
            .split_first()
            .ok_or(ProtocolError::Malformed)?;
        Ok(Some(Line {
            kind,
            text,
            end: end + 2,
        }))
    }

    /// Counts a finished reply; true when nothing is missing any more.
    fn count_one(&mut self) -> Result<bool, ProtocolError> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(ProtocolError::TooLarge);
        }
        while let Some(missing) = self.missing.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return Ok(false);
            }
            self.missing.pop();
        }
        Ok(true)
    }
}

/// A line of a reply.
struct Line<'a> {
    /// Its first byte, which says what the reply is.
    kind: u8,
    /// The rest of it.
    text: &'a [u8],
    /// Where what follows begins.
    end: usize,
}

/// What follows a line.
enum Header {
    /// Nothing: the line is the reply.
    Line,
    /// Nothing: the reply is no value.
    Nil,
    /// So many bytes and a line end.
    Bytes(usize),
    /// So many replies.
    Replies(usize),
}

fn header(kind: u8, line: &[u8]) -> Result<Header, ProtocolError> {
    let length = || -> Result<Option<usize>, ProtocolError> {
        match number(line)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| ProtocolError::Malformed),
        }
    };
    let bounded = |count: usize| {
        if count > MAX_ELEMENTS {
            Err(ProtocolError::TooLarge)
        } else {
            Ok(Header::Replies(count))
        }
    };
    match kind {
        b'+' | b'-' | b':' | b',' | b'#' | b'(' => Ok(Header::Line),
        b'_' => Ok(Header::Nil),
        b'$' | b'=' | b'!' => match length()? {
            None => Ok(Header::Nil),
            Some(length) if length > MAX_REPLY_BYTES => Err(ProtocolError::TooLarge),
            Some(length) => Ok(Header::Bytes(length)),
        },
        b'*' | b'~' => length()?.map_or(Ok(Header::Nil), bounded),
        b'%' => length()?.map_or(Ok(Header::Nil), |pairs| bounded(pairs.saturating_mul(2))),
        // Attributes and pushes come only to clients that asked for RESP3, which we never do.
        _ => Err(ProtocolError::Malformed),
    }
}

fn number(line: &[u8]) -> Result<i64, ProtocolError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ProtocolError::Malformed)
}

/// Reads the one reply that `bytes` is, as measured by [`Scanner::scan`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Reply, ProtocolError> {
    let mut rest = bytes;
    let reply = decode_next(&mut rest, 0)?;
    if rest.is_empty() {
        Ok(reply)
    } else {
        Err(ProtocolError::Malformed)
    }
}

fn decode_next(rest: &mut &[u8], depth: usize) -> Result<Reply, ProtocolError> {
    if depth > MAX_DEPTH {
        return Err(ProtocolError::TooDeep);
    }
    let end = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .ok_or(ProtocolError::Malformed)?;
    let (kind, line) = rest[..end].split_first().ok_or(ProtocolError::Malformed)?;
    *rest = &rest[end + 2..];
    match header(*kind, line)? {
        Header::Nil => Ok(Reply::Nil),
        Header::Line => line_reply(*kind, line),
        Header::Bytes(length) => {
            let (content, after) = rest.split_at_checked(length).ok_or(ProtocolError::Malformed)?;
            *rest = after.strip_prefix(b"\r\n").ok_or(ProtocolError::Malformed)?;
            Ok(match kind {
                b'!' => Reply::Error(text(content)),
                // `txt:` or `mkd:` and the text itself.
                b'=' => Reply::Bulk(content.get(4..).unwrap_or_default().to_vec()),
                _ => Reply::Bulk(content.to_vec()),
            })
        }
        Header::Replies(count) => {
            let mut replies = Vec::with_capacity(count.min(rest.len() / 3));
            for _ in 0..count {
                replies.push(decode_next(rest, depth + 1)?);
            }
            Ok(Reply::Array(replies))
        }
    }
}

fn line_reply(kind: u8, line: &[u8]) -> Result<Reply, ProtocolError> {
    match kind {
        b'+' => Ok(Reply::Status(text(line))),
        b'-' => Ok(Reply::Error(text(line))),
        b':' => number(line).map(Reply::Integer),
        b',' => text(line)
            .parse()
            .map(Reply::Double)
            .map_err(|_| ProtocolError::Malformed),
        b'#' => match line {
            b"t" => Ok(Reply::Boolean(true)),
            b"f" => Ok(Reply::Boolean(false)),
            _ => Err(ProtocolError::Malformed),
        },
        // A number that does not fit 64 bits: its digits.
        _ => Ok(Reply::Bulk(line.to_vec())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the bytes one at a time, as the slowest network would.
    fn parse(bytes: &[u8]) -> Result<Option<Reply>, ProtocolError> {
        let mut scanner = Scanner::default();
        for end in 0..=bytes.len() {
            if let Some(length) = scanner.scan(&bytes[..end])? {
                return decode(&bytes[..length]).map(Some);
            }
        }
        Ok(None)
    }

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.into())
    }

    #[test]
    fn commands_are_arrays_of_bulks() {
        let mut out = Vec::new();
        encode(&["SET", "k", ""], &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        let check = |wire: &[u8], expected: Reply| assert_eq!(parse(wire), Ok(Some(expected)), "{}", text(wire));
        check(b"+OK\r\n", Reply::Status("OK".into()));
        check(b"+\r\n", Reply::Status(String::new()));
        check(b"-ERR no\r\n", Reply::Error("ERR no".into()));
        check(b"-ERR \xff\r\n", Reply::Error("ERR \u{fffd}".into()));
        check(b":-7\r\n", Reply::Integer(-7));
        check(b"$5\r\na\r\nbc\r\n", bulk("a\r\nbc"));
        check(b"$0\r\n\r\n", bulk(""));
        check(b"$-1\r\n", Reply::Nil);
        check(b"*-1\r\n", Reply::Nil);
        check(b"_\r\n", Reply::Nil);
        check(b"*0\r\n", Reply::Array(vec![]));
        check(b",1.5\r\n", Reply::Double(1.5));
        check(b",inf\r\n", Reply::Double(f64::INFINITY));
        check(b"#t\r\n", Reply::Boolean(true));
        check(b"=8\r\ntxt:text\r\n", bulk("text"));
        check(
            b"(123456789012345678901234567890\r\n",
            bulk("123456789012345678901234567890"),
        );
        check(b"!7\r\nERR bad\r\n", Reply::Error("ERR bad".into()));
        check(
            b"*3\r\n*2\r\n:1\r\n*1\r\n$-1\r\n%1\r\n$1\r\nk\r\n#f\r\n~1\r\n+x\r\n",
            Reply::Array(vec![
                Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![Reply::Nil])]),
                Reply::Array(vec![bulk("k"), Reply::Boolean(false)]),
                Reply::Array(vec![Reply::Status("x".into())]),
            ]),
        );
    }

    #[test]
    fn a_second_reply_is_left_alone() {
        assert_eq!(Scanner::default().scan(b"+OK\r\n+OK\r\n"), Ok(Some(5)));
    }

    #[test]
    fn what_is_not_whole_waits() {
        for cut in [
            "",
            "+",
            "+OK",
            "+OK\r",
            "$3\r\nab",
            "$3\r\nabc\r",
            "*2\r\n:1\r\n",
            "*1\r\n*1\r\n",
        ] {
            assert_eq!(parse(cut.as_bytes()), Ok(None), "{cut:?}");
        }
    }

    #[test]
    fn nonsense_and_excess_are_refused() {
        let check = |wire: &[u8], error| assert_eq!(parse(wire), Err(error), "{}", text(&wire[..wire.len().min(40)]));
        for bad in [
            "hello\r\n",
            "\r\n",
            ":x\r\n",
            "$x\r\n",
            "$-2\r\n",
            "*-2\r\n",
            "#x\r\n",
            ",x\r\n",
            ">1\r\n+x\r\n",
            "$1\r\nabc",
        ] {
            check(bad.as_bytes(), ProtocolError::Malformed);
        }
        check(b"$9223372036854775807\r\n", ProtocolError::TooLarge);
        check(b"*9223372036854775807\r\n", ProtocolError::TooLarge);
        check(b"%4611686018427387904\r\n", ProtocolError::TooLarge);
        check(&b"*1\r\n".repeat(1000), ProtocolError::TooDeep);
        check(
            &[b"+".as_slice(), &[b'x'; MAX_LINE_BYTES + 8]].concat(),
            ProtocolError::TooLarge,
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_reply_or_an_error_and_never_a_panic(bytes in proptest::collection::vec(
            prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'3'), Just(b'-'), Just(b'%'), any::<u8>()], 0..200
        )) {
            let piecewise = parse(&bytes);
            let mut scanner = Scanner::default();
            let at_once = scanner.scan(&bytes).and_then(|length| length.map(|length| decode(&bytes[..length])).transpose());
            prop_assert_eq!(format!("{piecewise:?}"), format!("{at_once:?}"));
        }
    }
}
