//! Commands that somebody sent through an API.
//!
//! Each runs on a connection of its own as [`COMMAND_LOGIN`]: the server itself withholds what tenants never get, also from scripts, and
//! nothing that a command does to its connection reaches ours.

use pilothouse_engine::{Deadline, EngineError, ManagementAccess, Reply};

use crate::client::{Client, Command};
use crate::error;
use crate::users::{self, COMMAND_LOGIN};

/// Commands whose effect is on the connection, or whose replies are not one for each request.
const CONNECTION_ONLY: &[&str] = &[
    "asking",
    "auth",
    "discard",
    "exec",
    "hello",
    "monitor",
    "multi",
    "psubscribe",
    "punsubscribe",
    "quit",
    "readonly",
    "readwrite",
    "reset",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "unsubscribe",
    "unwatch",
    "watch",
];

/// Runs one command. What the server says against it is a reply, not an error.
pub(crate) async fn execute(
    access: &ManagementAccess,
    words: &[Vec<u8>],
    deadline: Deadline,
) -> Result<Reply, EngineError> {
    let Some(name) = words.first().filter(|name| !name.is_empty()) else {
        return Err(error::invalid("there is no command"));
    };
    let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
    let client_reply = lower == "client" && words.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"reply"));
    if client_reply || CONNECTION_ONLY.contains(&lower.as_str()) {
        return Ok(Reply::Error(format!(
            "ERR '{lower}' needs a connection of its own and cannot be used here"
        )));
    }
    let secret = users::command_secret(&access.secret);
    let mut client = Client::connect(&access.socket, COMMAND_LOGIN, &secret, deadline).await?;
    let mut replies = client.exchange(&[Command::new(words)], deadline).await?;
    replies.pop().ok_or_else(|| error::unexpected(&lower))
}
