//! The smallest FTP client that backups need (RFC 959, 2428, 4217): passive, binary, blocking.
//!
//! Our own because the well-kept clients log every line that they send, passwords included.

use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::reply::{Reply, extended_port, passive_port};
use crate::location::Scheme;
use crate::{BackupError, FailureKind, RemoteUrl, tls};

const CONNECT: Duration = Duration::from_secs(10);
/// Between any two pieces of an answer or a file.
const SILENCE: Duration = Duration::from_secs(60);
const IMPLICIT_TLS_PORT: u16 = 990;
/// Bound on what a server may list.
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
        Reply::read(&mut self.control).map_err(|error| self.broken(error))
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
