//! A plain `redis-server` to test against.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{TestDir, find_server, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running `redis-server` on a loopback port and a Unix socket, with a directory of its own; killed when dropped.
#[derive(Debug)]
pub struct TestRedis {
    child: Child,
    port: u16,
    directory: TestDir,
}

impl TestRedis {
    /// Starts one with further arguments (`["--requirepass", "x"]`) and waits until it answers. `None` when none is installed.
    ///
    /// # Panics
    /// When it does not answer in time, with its log.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let program = find_server("redis-server")?;
        let (port, directory) = (free_port(), TestDir::new());
        let child = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args([
                "--unixsocket",
                "redis.sock",
                "--logfile",
                "redis.log",
                "--daemonize",
                "no",
                "--dir",
            ])
            .arg(directory.path())
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server can be started");
        let server = Self { child, port, directory };
        wait_until(PATIENCE, &format!("redis-server on port {port} answers"), async || {
            server
                .call(&["PING"])
                .is_ok_and(|reply| reply == "PONG" || reply.starts_with("NOAUTH"))
        })
        .await;
        Some(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// Its directory, where `dump.rdb` and `redis.log` are.
    pub fn directory(&self) -> &TestDir {
        &self.directory
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends one command over a connection of its own and answers the reply as text: the word, number or message; nil is empty,
    /// elements of an array are joined by line ends. Blocks.
    ///
    /// # Errors
    /// What the connection answers.
    pub fn call(&self, words: &[&str]) -> io::Result<String> {
        self.talk(&[words])
    }

    /// As [`TestRedis::call`] for several commands over one connection; answers the last reply.
    ///
    /// # Errors
    /// What the connection answers.
    pub fn talk(&self, commands: &[&[&str]]) -> io::Result<String> {
        let stream = TcpStream::connect_timeout(&self.address(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let mut last = String::new();
        for words in commands {
            let mut request = format!("*{}\r\n", words.len());
            for word in *words {
                request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
            }
            stream.get_mut().write_all(request.as_bytes())?;
            last = read_reply(&mut stream)?;
        }
        Ok(last)
    }

    /// Kills it at once, as a crash would, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let count = || line[1..].parse::<i64>().map_err(io::Error::other);
    match line.as_bytes().first() {
        Some(b'$') => {
            let Ok(length) = usize::try_from(count()?) else {
                return Ok(String::new());
            };
            let mut body = vec![0; length + 2];
            stream.read_exact(&mut body)?;
            body.truncate(length);
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        Some(b'*') => {
            let elements: io::Result<Vec<String>> = (0..count()?).map(|_| read_reply(stream)).collect();
            Ok(elements?.join("\n"))
        }
        Some(_) => Ok(line[1..].to_owned()),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_answers_and_ends() {
        let Some(mut server) = TestRedis::start(&["--requirepass", "x"]).await else {
            return;
        };
        assert!(server.call(&["GET", "key"]).expect("answers").starts_with("NOAUTH"));
        let reply = server.talk(&[
            &["AUTH", "x"],
            &["RPUSH", "key", "a", "b"],
            &["LRANGE", "key", "0", "-1"],
        ]);
        assert_eq!(reply.expect("answers"), "a\nb");
        assert!(server.socket().exists());
        server.kill();
        assert!(server.call(&["PING"]).is_err());
    }
}
