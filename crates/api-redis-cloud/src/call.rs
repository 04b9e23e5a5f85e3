//! A request on its way to a handler.

use std::sync::Arc;

use pilothouse_api::{JsonObject, Params, Request, Response, json_object};
use pilothouse_control::{Caller, KeyAccount, SecretKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Failure;

/// What every handler returns.
pub(crate) type Answer = Result<Response, Failure>;

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

    /// The links of a resource: itself.
    pub(crate) fn links(&self, path: &str) -> Value {
        serde_json::json!([{ "rel": "self", "type": "GET", "href": self.href(path) }])
    }
}

/// An object as a wire type; a wrong type in it is told at once (§2.3).
pub(crate) fn typed<T: DeserializeOwned>(object: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(object)).map_err(|error| Failure::bad_request(error.to_string()))
}
