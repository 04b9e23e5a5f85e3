//! What went wrong, by what the caller should do about it.

use std::io;

use pilothouse_engine::{EngineError, ErrorClass};

use crate::resp::ProtocolError;

/// An error reply of the server.
pub(crate) fn from_server(text: &str) -> EngineError {
    EngineError::new(classify(text), format!("the server answered: {text}"))
}

/// The class of an error reply: by its code, and where that is the general `ERR` by its words.
fn classify(text: &str) -> ErrorClass {
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    match code {
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "UNBLOCKED" | "FAILOVER" => {
            ErrorClass::Transient
        }
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => ErrorClass::Denied,
        "OOM" | "MISCONF" => ErrorClass::NoSpace,
        "READONLY" | "NOREPLICAS" | "NOTBUSY" | "EXECABORT" | "INPROG" | "BUSYGROUP" | "BUSYKEY" => {
            ErrorClass::Conflict
        }
        "ERR" => classify_words(&detail.to_lowercase()),
        _ => ErrorClass::Invalid,
    }
}

fn classify_words(detail: &str) -> ErrorClass {
    let says = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    if says(&[
        "max number of clients",
        "can't bgsave right now",
        "try again",
        // Servers of a cluster that have not heard of a sibling, or of what became of them, yet.
        "unknown node",
        "don't know about node",
        "master is unknown",
        "must be empty",
    ]) {
        ErrorClass::Transient
    } else if says(&["no space left", "can't fork", "cannot allocate memory"]) {
        ErrorClass::NoSpace
    } else if says(&["bad file format", "wrong signature", "checksum", "bad data format"]) {
        ErrorClass::Corrupt
    } else if says(&[
        "unknown command",
        "unknown subcommand",
        "unknown option",
        "cannot be enabled",
        "support disabled",
        "can't set immutable",
    ]) {
        ErrorClass::Unsupported
    } else if says(&[
        "in progress",
        "trying to shutdown",
        "writing initial aof",
        "not allowed",
        "can't exit",
        "already busy",
        "owner of hash slot",
        "still hold keys",
        "only with masters",
        "not a master",
        "only replicate a master",
        "can't forget my master",
    ]) {
        ErrorClass::Conflict
    } else {
        ErrorClass::Invalid
    }
}

/// The connection failed.
pub(crate) fn from_io(what: &str, error: &io::Error) -> EngineError {
    let class = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorClass::Denied,
        _ => ErrorClass::Transient,
    };
    EngineError::new(class, format!("{what}: {error}"))
}

/// The server sent something that is not a reply, so what follows cannot be trusted either.
pub(crate) fn from_protocol(error: ProtocolError) -> EngineError {
    EngineError::new(ErrorClass::Transient, error.to_string())
}

/// The deadline passed.
pub(crate) fn timeout(what: &str) -> EngineError {
    EngineError::new(ErrorClass::Transient, format!("{what}: no reply in time"))
}

/// A reply of another shape than the command has.
pub(crate) fn unexpected(command: &str) -> EngineError {
    EngineError::new(
        ErrorClass::Unsupported,
        format!("the reply to {command} has a shape that is not known"),
    )
}

/// What was asked is wrong.
pub(crate) fn invalid(message: impl Into<String>) -> EngineError {
    EngineError::new(ErrorClass::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_real_error_texts() {
        let check = |text, class| assert_eq!(from_server(text).class, class, "{text}");
        check("LOADING Redis is loading the dataset in memory", ErrorClass::Transient);
        check(
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            ErrorClass::Transient,
        );
        check("ERR max number of clients reached", ErrorClass::Transient);
        check("NOAUTH Authentication required.", ErrorClass::Denied);
        check(
            "WRONGPASS invalid username-password pair or user is disabled.",
            ErrorClass::Denied,
        );
        check(
            "NOPERM this user has no permissions to run the 'config|get' command",
            ErrorClass::Denied,
        );
        check(
            "OOM command not allowed when used memory > 'maxmemory'.",
            ErrorClass::NoSpace,
        );
        check(
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            ErrorClass::NoSpace,
        );
        check(
            "READONLY You can't write against a read only replica.",
            ErrorClass::Conflict,
        );
        check("ERR Background save already in progress", ErrorClass::Conflict);
        check("ERR Errors trying to SHUTDOWN. Check logs.", ErrorClass::Conflict);
        check("ERR Unknown node 07c3", ErrorClass::Transient);
        check("ERR I don't know about node 07c3", ErrorClass::Transient);
        check(
            "ERR To set a master the node must be empty and without assigned slots.",
            ErrorClass::Transient,
        );
        check("ERR Slot 7 is already busy", ErrorClass::Conflict);
        check("ERR I'm not the owner of hash slot 7", ErrorClass::Conflict);
        check(
            "ERR Can't assign hashslot 7 to a different node while I still hold keys for this hash slot.",
            ErrorClass::Conflict,
        );
        check("ERR Target node is not a master", ErrorClass::Conflict);
        check(
            "ERR This instance has cluster support disabled",
            ErrorClass::Unsupported,
        );
        check(
            "ERR unknown command 'WAITAOF', with args beginning with: ",
            ErrorClass::Unsupported,
        );
        check(
            "ERR CONFIG SET failed (possibly related to argument 'activedefrag') - Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc",
            ErrorClass::Unsupported,
        );
        check(
            "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
            ErrorClass::Unsupported,
        );
        check(
            "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer",
            ErrorClass::Invalid,
        );
        check(
            "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
            ErrorClass::Unsupported,
        );
        check(
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            ErrorClass::Invalid,
        );
        check("", ErrorClass::Invalid);
    }
}
