//! A request on its way to a handler.

use std::sync::Arc;

use pilothouse_api::{JsonObject, Params, Request, Response, json_object};
use pilothouse_control::{Caller, KeyAccount, SecretKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Failure;

/// What every handler returns.
pub(crate) type Answer = Result<Response, Failure>;

/// Which kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Sized by its owner.
    Pro,
    /// Of a plan.
    Essentials,
}

impl Family {
    /// Where its subscriptions are.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Pro => "/subscriptions",
            Self::Essentials => "/fixed/subscriptions",
        }
    }

    /// Its word for a command of both.
    pub(crate) fn command(self, command: &str) -> String {
        match (self, command.split_at_checked(1)) {
            (Self::Essentials, Some((first, rest))) => format!("fixed{}{rest}", first.to_ascii_uppercase()),
            _ => command.to_owned(),
        }
    }

    /// The family that a command names, and the command as both call it.
    pub(crate) fn of_command(command: &str) -> (Self, String) {
        match command.strip_prefix("fixed").and_then(|rest| rest.split_at_checked(1)) {
            Some((first, rest)) => (Self::Essentials, format!("{}{rest}", first.to_ascii_lowercase())),
            None => (Self::Pro, command.to_owned()),
        }
    }
}

/// An admitted request.
pub(crate) struct Call {
    /// Whose account.
    pub(crate) account: Arc<KeyAccount>,
    /// Who holds the key.
    pub(crate) key: SecretKey,
    /// Who calls, in the words of the core.
    pub(crate) caller: Caller,
    /// What the path says.
    pub(crate) params: Params,
    /// The request itself.
    pub(crate) request: Request,
    /// Scheme and host that links are made of.
    pub(crate) base: String,
}

impl Call {
    /// The body as an object; nothing is the empty object.
    pub(crate) fn body(&self) -> Result<JsonObject, Failure> {
        Ok(json_object(&self.request.body)?)
    }

    /// A number in the path (§2.2: anything else is 400).
    pub(crate) fn number(&self, name: &str) -> Result<u64, Failure> {
        let number = self.params.number(name);
        number
            .filter(|number| *number <= i32::MAX as u64)
            .ok_or_else(|| Failure::bad_request(format!("{:?} in the path is not a number", self.params.text(name))))
    }

    /// A number in the query.
    pub(crate) fn query_number(&self, name: &str) -> Result<Option<usize>, Failure> {
        match self.request.query.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::bad_request(format!("{name} is not a number"))),
        }
    }

    /// An absolute link.
    pub(crate) fn href(&self, path: &str) -> String {
        format!("{}/v1{path}", self.base)
    }

    /// The kind of subscription that the path speaks of.
    pub(crate) fn family(&self) -> Family {
        if self.request.path.starts_with("/v1/fixed/") {
            Family::Essentials
        } else {
            Family::Pro
        }
    }

    /// The links of a resource: itself.
    pub(crate) fn links(&self, path: &str) -> Value {
        serde_json::json!([{ "rel": "self", "type": "GET", "href": self.href(path) }])
    }
}

/// An object as a wire type; a wrong type in it is told at once (§2.3).
pub(crate) fn typed<T: DeserializeOwned>(object: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(object)).map_err(|error| Failure::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_both_families_are_told_apart() {
        for command in ["subscriptionCreateRequest", "databaseBackupStatusRequest"] {
            assert_eq!(Family::of_command(command), (Family::Pro, command.to_owned()));
            let fixed = Family::Essentials.command(command);
            assert_eq!(Family::of_command(&fixed), (Family::Essentials, command.to_owned()));
        }
        assert_eq!(
            Family::Essentials.command("databaseCreateRequest"),
            "fixedDatabaseCreateRequest"
        );
    }
}
