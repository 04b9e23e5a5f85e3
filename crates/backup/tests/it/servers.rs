//! Small servers at the other end: HTTP with fixed answers, FTP on a directory. Both optionally with TLS.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) type Tls = Option<Arc<ServerConfig>>;

pub(crate) enum Conn {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Conn {
    pub(crate) fn new(stream: TcpStream, tls: &Tls) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a session");
                Self::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        }
    }

    fn close(mut self) {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let socket = match &self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        };
        let _ = socket.shutdown(Shutdown::Write);
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Conn {
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

/// Answers fixed bytes for each path and keeps the heads of all requests. Ends with the test's process.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpServer {
    pub(crate) fn start(tls: Tls, answers: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::default();
        let answers: HashMap<&str, Vec<u8>> = answers.into_iter().collect();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What a client makes of a bad answer is its own business.
                let _ = Self::serve(Conn::new(stream, &tls), &answers, &seen);
            }
        });
        Self { address, requests }
    }

    fn serve(conn: Conn, answers: &HashMap<&str, Vec<u8>>, seen: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut conn = BufReader::new(conn);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if conn.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().expect("no panic").push(head);
        let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        conn.get_mut()
            .write_all(answers.get(path.as_str()).unwrap_or(&missing))?;
        conn.into_inner().close();
        Ok(())
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) fn status(line: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\n{header}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

/// How an FTP server behaves.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manners {
    #[default]
    Good,
    /// Knows neither `EPSV` nor `SIZE`, names another host for data, answers in several lines, calls an empty directory an error.
    Old,
    /// Takes no uploads.
    ReadOnly,
    /// Breaks uploads and downloads off after a few bytes.
    Breaking,
    /// Has no space.
    Full,
}

/// An FTP server on a directory, for user `me` with password `p:w`. Ends with the test's process.
pub(crate) struct FtpServer {
    pub(crate) address: SocketAddr,
    commands: Arc<Mutex<Vec<String>>>,
}

impl FtpServer {
    pub(crate) fn start(root: PathBuf, manners: Manners, tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let commands = Arc::default();
        let seen = Arc::clone(&commands);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = FtpSession {
                    folder: root.clone(),
                    manners,
                    tls: tls.clone(),
                    passive: None,
                    from: None,
                    protected: false,
                };
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let _ = session.serve(stream, &seen);
                });
            }
        });
        Self { address, commands }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ftp://me:p%3Aw@{}/{path}", self.address)
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().expect("no panic").clone()
    }
}

struct FtpSession {
    folder: PathBuf,
    manners: Manners,
    tls: Tls,
    passive: Option<TcpListener>,
    from: Option<PathBuf>,
    protected: bool,
}

impl FtpSession {
    fn serve(mut self, stream: TcpStream, seen: &Mutex<Vec<String>>) -> io::Result<()> {
        let mut control = BufReader::new(Conn::Plain(stream.try_clone()?));
        control
            .get_mut()
            .write_all(b"220-hello\r\n220-220 there\r\n220 ready\r\n")?;
        let mut line = String::new();
        while control.read_line(&mut line)? > 0 {
            let (verb, argument) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            seen.lock().expect("no panic").push(verb.to_owned());
            if verb == "QUIT" {
                break;
            }
            let reply = self.answer(verb, argument, control.get_mut())?;
            control.get_mut().write_all(format!("{reply}\r\n").as_bytes())?;
            if verb == "AUTH" && reply.starts_with("234") {
                control = BufReader::new(Conn::new(stream.try_clone()?, &self.tls));
                self.protected = true;
            }
            line.clear();
        }
        Ok(())
    }

    fn answer(&mut self, verb: &str, argument: &str, control: &mut Conn) -> io::Result<String> {
        let old = self.manners == Manners::Old;
        let path = self.folder.join(argument);
        let answer = match verb {
            "AUTH" if self.tls.is_some() => "234 go on",
            "PBSZ" | "PROT" if self.protected => "200 ok",
            "USER" if self.tls.is_some() && !self.protected => "530 protect the connection first",
            "USER" if argument == "me" => "331 password?",
            "PASS" if argument == "p:w" => "230 welcome",
            "PASS" | "USER" => "530 login incorrect",
            "TYPE" => "200 ok",
            "CWD" if path.is_dir() => {
                self.folder = path;
                "250 ok"
            }
            "EPSV" if !old => return self.listen(|port| format!("229 Entering Extended Passive Mode (|||{port}|)")),
            // The address is one that nobody must follow.
            "PASV" => {
                return self
                    .listen(|port| format!("227 Entering Passive Mode (203,0,113,9,{},{}).", port / 256, port % 256));
            }
            "SIZE" if !old => match fs::metadata(&path) {
                Ok(metadata) => return Ok(format!("213 {}", metadata.len())),
                Err(_) => "550 no such file",
            },
            "NLST" => return self.list(control),
            "STOR" if self.manners == Manners::ReadOnly => "553 permission denied",
            "STOR" => return self.take(path, control),
            "RETR" => return self.give(path, control),
            "DELE" if fs::remove_file(&path).is_ok() => "250 gone",
            "RNFR" if path.exists() => {
                self.from = Some(path);
                "350 to what?"
            }
            "RNTO" if self.from.take().is_some_and(|from| fs::rename(from, &path).is_ok()) => "250 ok",
            "CWD" | "DELE" | "RNFR" => "550 no such file",
            _ => "500 what?",
        };
        Ok(answer.to_owned())
    }

    fn listen(&mut self, words: impl Fn(u16) -> String) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        Ok(words(port))
    }

    fn data(&mut self, control: &mut Conn) -> io::Result<Conn> {
        let listener = self.passive.take().ok_or(io::ErrorKind::NotConnected)?;
        control.write_all(b"150 here it comes\r\n")?;
        let tls = if self.protected { self.tls.clone() } else { None };
        Ok(Conn::new(listener.accept()?.0, &tls))
    }

    fn list(&mut self, control: &mut Conn) -> io::Result<String> {
        let names = super::support::files(&self.folder);
        if self.manners == Manners::Old && names.is_empty() {
            return Ok("550 no files found".to_owned());
        }
        let prefix = if self.manners == Manners::Old { "/srv/" } else { "" };
        let mut data = self.data(control)?;
        for name in names {
            data.write_all(format!("{prefix}{name}\r\n").as_bytes())?;
        }
        data.close();
        Ok("226 done".to_owned())
    }

    fn take(&mut self, path: PathBuf, control: &mut Conn) -> io::Result<String> {
        let mut data = self.data(control)?;
        let mut content = Vec::new();
        match self.manners {
            Manners::Breaking => {
                data.read_exact(&mut [0; 10])?;
                fs::write(path, b"half")?;
                return Ok("426 sorry".to_owned());
            }
            Manners::Full => {
                data.read_to_end(&mut content)?;
                fs::write(path, b"half")?;
                return Ok("452 no space".to_owned());
            }
            _ => data.read_to_end(&mut content)?,
        };
        fs::write(path, content)?;
        Ok("226 taken".to_owned())
    }

    fn give(&mut self, path: PathBuf, control: &mut Conn) -> io::Result<String> {
        let Ok(content) = fs::read(path) else {
            return Ok("550 no such file".to_owned());
        };
        let mut data = self.data(control)?;
        if self.manners == Manners::Breaking {
            data.write_all(&content[..content.len() / 2])?;
            data.close();
            return Ok("426 sorry".to_owned());
        }
        data.write_all(&content)?;
        data.close();
        Ok("226 done".to_owned())
    }
}
