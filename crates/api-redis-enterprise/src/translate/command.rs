//! The `command` endpoint: arguments in, replies out, as a widespread client library for Redis shows them.

use pilothouse_api::JsonObject;
use pilothouse_control::Reply;
use serde_json::Value;

use crate::error::Failure;

/// The words of a command. A command without `args` may be one text with spaces.
pub(crate) fn words(body: &JsonObject) -> Result<Vec<Vec<u8>>, Failure> {
    let command = match body.get("command") {
        Some(Value::String(command)) => command.trim(),
        _ => return Err(Failure::invalid_schema("command must be a text")),
    };
    let mut words: Vec<Vec<u8>> = match body.get("args") {
        None | Some(Value::Null) => split(command),
        Some(Value::Array(arguments)) if arguments.is_empty() => split(command),
        Some(Value::Array(_)) => vec![command.as_bytes().to_vec()],
        Some(_) => return Err(Failure::invalid_schema("args must be a list")),
    };
    for argument in body.get("args").and_then(Value::as_array).into_iter().flatten() {
        words.push(match argument {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Number(number) => number.to_string().into_bytes(),
            Value::Bool(flag) => flag.to_string().into_bytes(),
            _ => {
                return Err(Failure::invalid_schema(
                    "each of args must be a text, a number, true or false",
                ));
            }
        });
    }
    if words.first().is_none_or(Vec::is_empty) {
        return Err(Failure::invalid_schema("command must not be empty"));
    }
    Ok(words)
}

fn split(command: &str) -> Vec<Vec<u8>> {
    command
        .split_ascii_whitespace()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// A reply as JSON. Only the two statuses that mean success become `true`; errors inside lists are shown as texts.
pub(crate) fn response(reply: Reply) -> Result<Value, Failure> {
    match reply {
        Reply::Error(words) => Err(Failure::bad_request("command_error", words)),
        other => Ok(shown(other)),
    }
}

fn shown(reply: Reply) -> Value {
    match reply {
        Reply::Nil => Value::Null,
        Reply::Status(word) if word == "OK" || word == "PONG" => true.into(),
        Reply::Status(word) | Reply::Error(word) => word.into(),
        Reply::Integer(number) => number.into(),
        Reply::Double(number) => {
            serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        Reply::Boolean(flag) => flag.into(),
        Reply::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        Reply::Array(items) => items.into_iter().map(shown).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: Value, expected: &[&str]) {
        let words = words(body.as_object().unwrap()).unwrap();
        assert_eq!(
            words
                .iter()
                .map(|word| std::str::from_utf8(word).unwrap())
                .collect::<Vec<_>>(),
            expected,
            "{body}"
        );
    }

    #[test]
    fn commands_are_read_in_both_forms() {
        check(json!({"command": "SET", "args": ["k", "a b"]}), &["SET", "k", "a b"]);
        check(json!({"command": "SET", "args": ["k", 5]}), &["SET", "k", "5"]);
        check(json!({"command": "SET", "args": ["k", 1.5]}), &["SET", "k", "1.5"]);
        check(json!({"command": "SET a b"}), &["SET", "a", "b"]);
        check(json!({"command": "SET a b", "args": []}), &["SET", "a", "b"]);
        check(json!({"command": "PING", "args": []}), &["PING"]);
        check(json!({"command": "PING", "args": null}), &["PING"]);
        for bad in [
            json!({}),
            json!({"command": 1}),
            json!({"command": ""}),
            json!({"command": "GET", "args": "k"}),
            json!({"command": "GET", "args": [null]}),
        ] {
            assert_eq!(
                words(bad.as_object().unwrap()).unwrap_err().code,
                "invalid_schema",
                "{bad}"
            );
        }
    }

    #[test]
    fn replies_are_shown_as_a_client_library_would() {
        let check = |reply, expected: Value| assert_eq!(response(reply).unwrap(), expected);
        check(Reply::Status("PONG".into()), json!(true));
        check(Reply::Status("OK".into()), json!(true));
        check(Reply::Status("QUEUED".into()), json!("QUEUED"));
        check(Reply::Integer(-3), json!(-3));
        check(Reply::Bulk(b"v".to_vec()), json!("v"));
        check(Reply::Nil, Value::Null);
        check(
            Reply::Array(vec![Reply::Bulk(b"a".to_vec()), Reply::Nil, Reply::Integer(1)]),
            json!(["a", null, 1]),
        );
        check(Reply::Double(f64::INFINITY), json!("inf"));
        let failure = response(Reply::Error("ERR unknown command".into())).unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.code), (400, "command_error"));
    }
}
