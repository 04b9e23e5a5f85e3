//! A request on its way to a handler: who calls, what the path and query say, and the body on demand.

use pilothouse_api::{JsonObject, Params, Request, Response, StatusCode, json_response};
use pilothouse_control::Caller;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::Principal;
use crate::error::Failure;

/// What every handler returns.
pub(crate) type Answer = Result<Response, Failure>;

/// An admitted request.
pub(crate) struct Call {
    /// Who calls, in the words of this API.
    pub(crate) principal: Principal,
    /// Who calls, in the words of the core.
    pub(crate) caller: Caller,
    /// What the path says.
    pub(crate) params: Params,
    /// The request itself.
    pub(crate) request: Request,
}

impl Call {
    /// The body as an object; nothing and `null` are the empty object.
    pub(crate) fn body(&self) -> Result<JsonObject, Failure> {
        Ok(self.request.json_object()?)
    }

    /// The body as a wire type. Unknown keys are the type's business; by default they are ignored.
    pub(crate) fn body_as<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        typed(self.body()?)
    }

    /// A uid in the path. What is no number names nothing.
    pub(crate) fn uid(&self, name: &str) -> Result<u64, Failure> {
        self.params.number(name).ok_or_else(Failure::unknown_path)
    }

    /// A text in the path.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.params.text(name)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name)
    }

    /// Whether only the checks are wanted.
    pub(crate) fn dry_run(&self) -> bool {
        self.request.query.flag("dry_run")
    }
}

/// An object as a wire type.
pub(crate) fn typed<T: DeserializeOwned>(object: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(object)).map_err(|error| Failure::invalid_schema(error.to_string()))
}

/// 200 with JSON: the only success that this API knows.
pub(crate) fn ok(value: &impl Serialize) -> Response {
    json_response(StatusCode::OK, value)
}

/// 200 with `{}`.
pub(crate) fn ok_empty() -> Response {
    ok(&JsonObject::new())
}
