//! The smallest FTP client that backups need (RFC 959, 2428, 4217): passive, binary, blocking.
//!
//! Our own because the well-kept clients log every line that they send, passwords included.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::location::Scheme;
use crate::{BackupError, FailureKind, RemoteUrl, tls};

const CONNECT: Duration = Duration::from_secs(10);
/// Between any two pieces of an answer or a file.
const SILENCE: Duration = Duration::from_secs(60);
const IMPLICIT_TLS_PORT: u16 = 990;
/// Bounds on what a server may say at once.
const LONGEST_LINE: u64 = 4096;
const MOST_LINES: usize = 256;
const LONGEST_LISTING: u64 = 64 * 1024 * 1024;

/// A logged-in control connection.
pub(crate) struct Client {
    control: BufReader<Link>,
    peer: IpAddr,
    /// Set when connections are protected.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    shown: String,
}

/// A connection, protected or not.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Reply {
    code: u16,
    text: String,
}

impl Client {
    /// Connects, protects the connection if the URL asks for it, and logs in; without a user name as `anonymous`.
    pub(crate) fn connect(url: &RemoteUrl) -> Result<Self, BackupError> {
        let shown = url.shown();
        let failed = |error| BackupError::connection(format!("cannot connect to {shown}"), error);
        let stream = connect_any(url.host(), url.port()).map_err(failed)?;
        let peer = stream.peer_addr().map_err(failed)?.ip();
        let mut client = Self {
            control: BufReader::new(Link::Plain(stream)),
            peer,
            tls: None,
            shown: shown.clone(),
        };
        if url.scheme() == Scheme::Ftps {
            client.protect(url)?;
        } else {
            client.expect("greet", &[220])?;
        }
        client.log_in(url)?;
        client.command("TYPE I", &[200])?;
        Ok(client)
    }

    fn protect(&mut self, url: &RemoteUrl) -> Result<(), BackupError> {
        let name = ServerName::try_from(url.host().to_owned()).map_err(|error| {
            BackupError::new(FailureKind::WrongPath, "the host's name cannot be verified").because(error)
        })?;
        self.tls = Some((tls::client_config()?, name));
        let implicit = url.port() == IMPLICIT_TLS_PORT;
        if !implicit {
            self.expect("greet", &[220])?;
            self.command("AUTH TLS", &[234])?;
        }
        // Whatever came in clear after the answer was not said by the server that we verify: it is dropped with the buffer.
        let Link::Plain(stream) = self.control.get_ref() else {
            unreachable!("protected once only")
        };
        let stream = stream.try_clone().map_err(|error| self.broken(error))?;
        self.control = BufReader::new(self.secured(stream)?);
        if implicit {
            self.expect("greet", &[220])?;
        }
        self.command("PBSZ 0", &[200])?;
        self.command("PROT P", &[200])?;
        Ok(())
    }

    fn log_in(&mut self, url: &RemoteUrl) -> Result<(), BackupError> {
        let (user, password) = match url.user() {
            "" => ("anonymous", "anonymous@"),
            user => (user, url.password().expose()),
        };
        if self.command(&format!("USER {user}"), &[230, 331])?.code == 331 {
            self.send(&format!("PASS {password}"))?;
            self.expect("log in", &[230, 202])?;
        }
        Ok(())
    }

    pub(crate) fn change_directory(&mut self, path: &str) -> Result<(), BackupError> {
        self.command(&format!("CWD {path}"), &[250, 200]).map(drop)
    }

    /// Size of a file in bytes, when the server can tell.
    pub(crate) fn size(&mut self, path: &str) -> Result<Option<u64>, BackupError> {
        self.send(&format!("SIZE {path}"))?;
        let reply = self.read_reply()?;
        match reply.code {
            213 => Ok(reply.text.trim().parse().ok()),
            _ => Ok(None),
        }
    }

    /// Removes a file; one that is gone is no error, and an answer that says nothing clear counts as gone when nothing of that name is listed.
    pub(crate) fn delete(&mut self, file: &str) -> Result<(), BackupError> {
        self.command(&format!("DELE {file}"), &[250, 200])
            .map(drop)
            .or_else(|error| {
                if error.kind() == FailureKind::WrongPath && !self.list()?.iter().any(|other| other == file) {
                    return Ok(());
                }
                Err(error)
            })
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), BackupError> {
        self.command(&format!("RNFR {from}"), &[350])?;
        self.command(&format!("RNTO {to}"), &[250, 200]).map(drop)
    }

    /// Names of the files in the current directory.
    pub(crate) fn list(&mut self) -> Result<Vec<String>, BackupError> {
        let data = self.open_data()?;
        self.send("NLST")?;
        let reply = self.read_reply()?;
        match reply.code {
            125 | 150 => {}
            // Some servers call an empty directory an error.
            450 | 550 if !reply.text.to_ascii_lowercase().contains("denied") => return Ok(Vec::new()),
            _ => return Err(self.refused("NLST", &reply)),
        }
        let mut data = self.begin(data)?;
        let mut listing = Vec::new();
        (&mut data)
            .take(LONGEST_LISTING)
            .read_to_end(&mut listing)
            .map_err(|error| self.broken(error))?;
        self.finish_retrieve(data)?;
        // Some servers list paths.
        let base = |line: &str| line.rsplit('/').next().unwrap_or_default().trim_end().to_owned();
        Ok(String::from_utf8_lossy(&listing)
            .lines()
            .map(base)
            .filter(|name| !name.is_empty())
            .collect())
    }

    pub(crate) fn begin_store(&mut self, file: &str) -> Result<Link, BackupError> {
        let data = self.open_data()?;
        self.command(&format!("STOR {file}"), &[125, 150])?;
        self.begin(data)
    }

    /// Ends an upload; only the server's answer to that says that the file is there.
    pub(crate) fn finish_store(&mut self, mut data: Link) -> Result<(), BackupError> {
        data.end_writing().map_err(|error| self.broken(error))?;
        self.expect("take the file", &[226, 250])?;
        // Closed only now: closing a connection with unread bytes, such as TLS tickets, would reset it and could lose the end of the file.
        drop(data);
        Ok(())
    }

    pub(crate) fn begin_retrieve(&mut self, file: &str) -> Result<Link, BackupError> {
        let data = self.open_data()?;
        self.command(&format!("RETR {file}"), &[125, 150])?;
        self.begin(data)
    }

    pub(crate) fn finish_retrieve(&mut self, data: Link) -> Result<(), BackupError> {
        drop(data);
        self.expect("send the file", &[226, 250]).map(drop)
    }

    /// Opens the data connection, always to the server itself: an address that it names is ignored, or it could send us anywhere.
    fn open_data(&mut self) -> Result<TcpStream, BackupError> {
        self.send("EPSV")?;
        let reply = self.read_reply()?;
        let port = if reply.code == 229 {
            extended_port(&reply.text)
        } else {
            let reply = self.command("PASV", &[227])?;
            passive_port(&reply.text)
        };
        let port = port.ok_or_else(|| {
            BackupError::new(
                FailureKind::Unreachable,
                format!("{} names no usable port for data", self.shown),
            )
        })?;
        connect(SocketAddr::new(self.peer, port)).map_err(|error| self.broken(error))
    }

    /// Protects the data connection, which servers do only after they have accepted the command.
    fn begin(&mut self, data: TcpStream) -> Result<Link, BackupError> {
        if self.tls.is_some() {
            self.secured(data)
        } else {
            Ok(Link::Plain(data))
        }
    }

    fn secured(&self, mut stream: TcpStream) -> Result<Link, BackupError> {
        let failed = |error| BackupError::connection(format!("no protected connection to {}", self.shown), error);
        let (config, name) = self.tls.as_ref().expect("set before anything is protected");
        let mut session =
            ClientConnection::new(Arc::clone(config), name.clone()).map_err(|error| failed(io::Error::other(error)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).map_err(failed)?;
        }
        Ok(Link::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    fn command(&mut self, line: &str, expected: &[u16]) -> Result<Reply, BackupError> {
        self.send(line)?;
        self.expect(line, expected)
    }

    fn send(&mut self, line: &str) -> Result<(), BackupError> {
        if line.contains(['\r', '\n', '\0']) {
            return Err(BackupError::new(
                FailureKind::WrongPath,
                "a name with a control character",
            ));
        }
        let link = self.control.get_mut();
        let sent = link
            .write_all(format!("{line}\r\n").as_bytes())
            .and_then(|()| link.flush());
        sent.map_err(|error| self.broken(error))
    }

    fn expect(&mut self, what: &str, expected: &[u16]) -> Result<Reply, BackupError> {
        let reply = self.read_reply()?;
        if expected.contains(&reply.code) {
            Ok(reply)
        } else {
            Err(self.refused(what, &reply))
        }
    }

    fn read_reply(&mut self) -> Result<Reply, BackupError> {
        read_reply(&mut self.control).map_err(|error| self.broken(error))
    }

    fn refused(&self, what: &str, reply: &Reply) -> BackupError {
        let verb = what.split(' ').next().unwrap_or_default();
        let text = reply.text.to_ascii_lowercase();
        let denied = ["denied", "permission", "not allowed", "read-only"]
            .iter()
            .any(|word| text.contains(word));
        let kind = match reply.code {
            430 | 530 | 532 | 534 => FailureKind::NoPermission,
            550 | 553 if denied => FailureKind::NoPermission,
            550 | 553 | 501 => FailureKind::WrongPath,
            452 | 552 => FailureKind::NoSpace,
            _ => FailureKind::Unreachable,
        };
        BackupError::new(
            kind,
            format!("{} answered {} to {verb}: {}", self.shown, reply.code, reply.text),
        )
    }

    fn broken(&self, error: io::Error) -> BackupError {
        BackupError::connection(format!("the connection to {} broke off", self.shown), error)
    }
}

impl Drop for Client {
    /// Takes leave without waiting for an answer.
    fn drop(&mut self) {
        let _ = self.send("QUIT");
    }
}

impl Link {
    fn end_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn connect_any(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// Reads one answer, of one line or of several (`220-…` up to `220 …`); its text is that of the last line.
fn read_reply(control: &mut impl BufRead) -> io::Result<Reply> {
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

fn read_line(control: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    control.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// `Entering Extended Passive Mode (|||6446|)`.
fn extended_port(text: &str) -> Option<u16> {
    let inner = text.split_once('(')?.1.split_once(')')?.0;
    let delimiter = inner.chars().next()?;
    inner.split(delimiter).nth(3)?.parse().ok()
}

/// `Entering Passive Mode (192,0,2,1,25,46)`, with or without parentheses.
fn passive_port(text: &str) -> Option<u16> {
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
        let reply = |text: &str| read_reply(&mut text.as_bytes()).map(|reply| (reply.code, reply.text));
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
