//! The smallest possible client: one unix socket, one exchange at a time, a deadline for each. No reconnection, no task of its own, and
//! buffers that stay small, because one of these is kept open for every server that we run.

use std::path::Path;

use pilothouse_engine::{Deadline, EngineError, Reply};
use pilothouse_model::{Liveness, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::error;
use crate::resp::{self, MAX_REPLY_BYTES, ProtocolError, Scanner};

/// What is sent several hundred times a second by a control plane that watches many servers.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Room for a reply to a probe; larger replies grow the buffer and it is given back afterwards.
const BUFFER_BYTES: usize = 512;
const KEPT_BUFFER_BYTES: usize = 16 * 1024;

/// A command: its name and arguments. Not printable, because arguments can be secrets.
pub(crate) struct Command(Vec<Vec<u8>>);

impl Command {
    /// A command from its words.
    pub(crate) fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(|word| word.as_ref().to_vec()).collect())
    }

    /// Adds arguments.
    pub(crate) fn with<W: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.0.extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// The name, for messages.
    fn name(&self) -> String {
        self.0
            .first()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default()
    }
}

/// A connection to one server.
pub(crate) struct Client {
    stream: UnixStream,
    /// Bytes that arrived and were not read yet.
    input: Vec<u8>,
    /// An exchange was cut short, so nobody knows to which request the next reply belongs.
    used_up: bool,
    /// A probe was sent and its reply has not come; it comes before all others.
    probe_owed: bool,
}

impl Client {
    /// Connects and logs in.
    pub(crate) async fn connect(
        socket: &Path,
        login: &str,
        secret: &Secret,
        deadline: Deadline,
    ) -> Result<Self, EngineError> {
        let stream = match timeout_at(Instant::from_std(deadline), UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return Err(error::from_io("connecting to the server", &failure)),
            Err(_) => return Err(error::timeout("connecting to the server")),
        };
        let mut client = Self {
            stream,
            input: Vec::new(),
            used_up: false,
            probe_owed: false,
        };
        client
            .call(&Command::new(["AUTH", login, secret.expose()]), deadline)
            .await?;
        Ok(client)
    }

    /// Asks for a sign of life. A server that does not answer in time is [`Liveness::Silent`], and the connection stays good: the
    /// reply is still owed and the next probe waits for it instead of sending another, so that a server that hangs is not fed probes.
    /// Cancel-safe.
    pub(crate) async fn ping(&mut self, deadline: Deadline) -> Result<Liveness, EngineError> {
        self.check_usable()?;
        if !self.probe_owed {
            // The socket's buffer takes these few bytes at once or, when a hung server has let it fill up, not at all.
            match self.stream.try_write(PING) {
                Ok(written) if written == PING.len() => self.probe_owed = true,
                Ok(_) => {
                    self.used_up = true;
                    return Ok(Liveness::Silent);
                }
                Err(failure) if failure.kind() == std::io::ErrorKind::WouldBlock => return Ok(Liveness::Silent),
                Err(failure) => return Err(self.broken("probing the server", &failure)),
            }
        }
        match timeout_at(Instant::from_std(deadline), self.read_pong()).await {
            Ok(liveness) => liveness,
            Err(_) => Ok(Liveness::Silent),
        }
    }

    async fn read_pong(&mut self) -> Result<Liveness, EngineError> {
        if self.input.is_empty() {
            self.fill().await?;
        }
        if self.input == PONG {
            self.input.clear();
            self.probe_owed = false;
            return Ok(Liveness::Ok);
        }
        let reply = self.read_reply().await?;
        self.probe_owed = false;
        Ok(match reply {
            Reply::Error(text) if text.starts_with("LOADING") => Liveness::Loading,
            Reply::Error(text) if text.starts_with("BUSY") => Liveness::Busy,
            // Whatever else a server says of a probe (`MASTERDOWN`, `MISCONF`, `NOAUTH`), it says it because it lives.
            _ => Liveness::Ok,
        })
    }

    /// Sends one command; an error reply is an error.
    pub(crate) async fn call(&mut self, command: &Command, deadline: Deadline) -> Result<Reply, EngineError> {
        let mut replies = self.exchange(std::slice::from_ref(command), deadline).await?;
        match replies.pop() {
            Some(Reply::Error(text)) => Err(error::from_server(&text)),
            Some(reply) => Ok(reply),
            None => Err(error::unexpected(&command.name())),
        }
    }

    /// Sends commands in one go and gives the reply of each, error replies included.
    pub(crate) async fn exchange(
        &mut self,
        commands: &[Command],
        deadline: Deadline,
    ) -> Result<Vec<Reply>, EngineError> {
        self.check_usable()?;
        let mut output = Vec::with_capacity(256);
        for command in commands {
            resp::encode(&command.0, &mut output);
        }
        // Taken back when all replies are in: a future dropped before that leaves replies behind that belong to nobody.
        self.used_up = true;
        let exchange = async {
            self.stream
                .write_all(&output)
                .await
                .map_err(|failure| error::from_io("sending to the server", &failure))?;
            if self.probe_owed {
                self.read_reply().await?;
                self.probe_owed = false;
            }
            let mut replies = Vec::with_capacity(commands.len());
            for _ in commands {
                replies.push(self.read_reply().await?);
            }
            Ok(replies)
        };
        let replies = match timeout_at(Instant::from_std(deadline), exchange).await {
            Ok(replies) => replies?,
            Err(_) => return Err(error::timeout(&commands.first().map(Command::name).unwrap_or_default())),
        };
        self.used_up = false;
        Ok(replies)
    }

    /// Sends a command after which the server closes the connection; gives the reply when there is one after all.
    pub(crate) async fn part(&mut self, command: &Command, deadline: Deadline) -> Result<Option<Reply>, EngineError> {
        self.check_usable()?;
        self.used_up = true;
        let mut output = Vec::new();
        resp::encode(&command.0, &mut output);
        let exchange = async {
            self.stream.write_all(&output).await?;
            loop {
                let read = self.stream.read_buf(&mut self.input).await?;
                let whole = Scanner::default().scan(&self.input).ok().flatten();
                match whole {
                    Some(length) if self.probe_owed => {
                        self.probe_owed = false;
                        self.input.drain(..length);
                    }
                    Some(length) => return Ok(resp::decode(&self.input[..length]).ok()),
                    None if read == 0 => return Ok(None),
                    None => {}
                }
            }
        };
        match timeout_at(Instant::from_std(deadline), exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            // It may close before it has read everything.
            Ok(Err(failure)) if is_closed(&failure) => Ok(None),
            Ok(Err(failure)) => Err(error::from_io(&command.name(), &failure)),
            Err(_) => Err(error::timeout(&command.name())),
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, EngineError> {
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(&self.input) {
                Ok(Some(length)) => {
                    let reply = resp::decode(&self.input[..length]);
                    self.input.drain(..length);
                    if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER_BYTES {
                        self.input.shrink_to(BUFFER_BYTES);
                    }
                    return reply.map_err(|failure| self.confused(failure));
                }
                Ok(None) if self.input.len() > MAX_REPLY_BYTES => return Err(self.confused(ProtocolError::TooLarge)),
                Ok(None) => self.fill().await?,
                Err(failure) => return Err(self.confused(failure)),
            }
        }
    }

    /// Waits for more bytes. Cancel-safe.
    async fn fill(&mut self) -> Result<(), EngineError> {
        let room = self.input.capacity() - self.input.len();
        if room < BUFFER_BYTES {
            self.input.reserve(BUFFER_BYTES.max(self.input.len()));
        }
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(self.broken("reading from the server", &std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(failure) => Err(self.broken("reading from the server", &failure)),
        }
    }

    fn check_usable(&self) -> Result<(), EngineError> {
        if self.used_up {
            Err(error::timeout("an earlier command on this connection"))
        } else {
            Ok(())
        }
    }

    fn broken(&mut self, what: &str, failure: &std::io::Error) -> EngineError {
        self.used_up = true;
        error::from_io(what, failure)
    }

    fn confused(&mut self, failure: ProtocolError) -> EngineError {
        self.used_up = true;
        error::from_protocol(failure)
    }
}

fn is_closed(failure: &std::io::Error) -> bool {
    matches!(
        failure.kind(),
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof
    )
}

/// The first error among replies, as an error.
pub(crate) fn check_all(replies: &[Reply]) -> Result<(), EngineError> {
    for reply in replies {
        match reply {
            Reply::Error(text) => return Err(error::from_server(text)),
            // What a transaction did is inside the reply to its end.
            Reply::Array(inner) => check_all(inner)?,
            _ => {}
        }
    }
    Ok(())
}

/// The text of a bulk or status reply.
pub(crate) fn text_of(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
        Reply::Status(text) => Some(text),
        _ => None,
    }
}

/// The texts of a reply that is a list of them.
pub(crate) fn texts_of(reply: &Reply, command: &str) -> Result<Vec<String>, EngineError> {
    match reply {
        Reply::Error(text) => Err(error::from_server(text)),
        Reply::Array(items) => items
            .iter()
            .map(|item| match item {
                Reply::Bulk(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
                Reply::Status(text) => Ok(text.clone()),
                _ => Err(error::unexpected(command)),
            })
            .collect(),
        _ => Err(error::unexpected(command)),
    }
}
