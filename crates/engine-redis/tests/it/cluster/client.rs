//! A client that finds its way in a cluster as every client library does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::Value;

/// Where a command is tried next.
enum Next {
    /// The slot has moved for good.
    Moved(String),
    /// This command only.
    Asked(String),
    /// In a moment.
    Again,
}

/// Connections to the servers of one cluster.
pub(crate) struct Client {
    password: String,
    first: String,
    connections: HashMap<String, redis::Connection>,
    /// How often it was led elsewhere for one command.
    pub(crate) asked: u64,
}

impl Client {
    pub(crate) fn new(port: u16, password: &str) -> Self {
        Self {
            password: password.into(),
            first: format!("127.0.0.1:{port}"),
            connections: HashMap::new(),
            asked: 0,
        }
    }

    /// Runs one command where its key is. Tries for as long as the cluster says that it will be better in a moment.
    pub(crate) fn run(&mut self, words: &[&str]) -> Result<Value, String> {
        let end = Instant::now() + Duration::from_secs(15);
        let mut address = self.first.clone();
        let mut asking = false;
        loop {
            let answer = self.once(&address, asking, words);
            let failure = match answer {
                Ok(value) => {
                    if !asking {
                        self.first = address;
                    }
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            asking = false;
            match next(&failure) {
                Some(_) if Instant::now() > end => return Err(format!("{words:?} at {address}: {failure}")),
                Some(Next::Moved(other)) => address = other,
                Some(Next::Asked(other)) => {
                    self.asked += 1;
                    (address, asking) = (other, true);
                }
                Some(Next::Again) => std::thread::yield_now(),
                None => return Err(format!("{words:?} at {address}: {failure}")),
            }
        }
    }

    fn once(&mut self, address: &str, asking: bool, words: &[&str]) -> redis::RedisResult<Value> {
        if !self.connections.contains_key(address) {
            let url = format!("redis://:{}@{address}", self.password);
            let connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_secs(2))?;
            connection.set_read_timeout(Some(Duration::from_secs(20)))?;
            self.connections.insert(address.into(), connection);
        }
        let connection = self.connections.get_mut(address).unwrap();
        if asking {
            redis::cmd("ASKING").exec(connection)?;
        }
        let answer = redis::cmd(words[0]).arg(&words[1..]).query(connection);
        if matches!(&answer, Err(failure) if failure.is_io_error()) {
            self.connections.remove(address);
        }
        answer
    }
}

fn next(failure: &redis::RedisError) -> Option<Next> {
    match failure.code()? {
        "MOVED" => Some(Next::Moved(failure.redirect_node()?.0.to_owned())),
        "ASK" => Some(Next::Asked(failure.redirect_node()?.0.to_owned())),
        "TRYAGAIN" | "CLUSTERDOWN" => Some(Next::Again),
        _ => None,
    }
}
