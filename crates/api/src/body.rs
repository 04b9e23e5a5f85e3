//! JSON bodies, read leniently: nothing and `null` are the empty object, and the content type may be missing. One that says something
//! else than JSON is believed, unless it is the one that `curl --data` sends by itself.

use hyper::header::CONTENT_TYPE;

use crate::Request;

/// A JSON object in the order sent.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Why a body is not a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not UTF-8, not JSON, nested too deeply, or a number that nothing can hold.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// It says itself that it is something else.
    #[error("the content type {0} is not supported; send application/json in UTF-8")]
    OtherType(String),
    /// JSON, but no object.
    #[error("the body must be a JSON object, not {0}")]
    NotAnObject(&'static str),
}

impl Request {
    /// The body as a JSON object, see [`json_object`]. A content type of other kinds is refused where there is a body, with
    /// [`BodyError::OtherType`].
    pub fn json_object(&self) -> Result<JsonObject, BodyError> {
        let blank = self.body.iter().all(u8::is_ascii_whitespace);
        let Some(named) = self.headers.get(CONTENT_TYPE).filter(|_| !blank) else {
            return json_object(&self.body);
        };
        let named = String::from_utf8_lossy(named.as_bytes()).trim().to_ascii_lowercase();
        match kind(&named) {
            Kind::Json => json_object(&self.body),
            // Scripts leave the header to curl, which then says this of whatever it sends.
            Kind::Form => json_object(&self.body).map_err(|error| match error {
                BodyError::Syntax(_) => BodyError::OtherType(named),
                other => other,
            }),
            Kind::Other => Err(BodyError::OtherType(named)),
        }
    }
}

enum Kind {
    Json,
    Form,
    Other,
}

/// What a content type in small letters says.
fn kind(content_type: &str) -> Kind {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let wide = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().strip_prefix("charset="))
        .any(|charset| {
            let charset = charset.trim_matches('"');
            charset.starts_with("utf-16") || charset.starts_with("utf-32")
        });
    match essence.trim() {
        _ if wide => Kind::Other,
        "" | "application/json" => Kind::Json,
        essence if essence.ends_with("+json") => Kind::Json,
        "application/x-www-form-urlencoded" => Kind::Form,
        _ => Kind::Other,
    }
}

/// Reads a body. Keys are stripped of white space around them, because a widespread client sends one with a tab behind it.
pub fn json_object(body: &[u8]) -> Result<JsonObject, BodyError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(JsonObject::new());
    }
    // serde_json refuses more than 128 levels of nesting, so that no body can exhaust the stack.
    let value = serde_json::from_slice(body).map_err(|error| BodyError::Syntax(error.to_string()))?;
    match value {
        serde_json::Value::Null => Ok(JsonObject::new()),
        serde_json::Value::Object(object) if object.keys().all(|key| key.trim() == key) => Ok(object),
        serde_json::Value::Object(object) => Ok(object
            .into_iter()
            .map(|(key, value)| (key.trim().to_owned(), value))
            .collect()),
        serde_json::Value::Array(_) => Err(BodyError::NotAnObject("an array")),
        serde_json::Value::String(_) => Err(BodyError::NotAnObject("a string")),
        serde_json::Value::Number(_) => Err(BodyError::NotAnObject("a number")),
        serde_json::Value::Bool(_) => Err(BodyError::NotAnObject("a boolean")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_null_are_the_empty_object() {
        for body in ["", " \r\n", "null", " null ", "{}"] {
            assert_eq!(json_object(body.as_bytes()), Ok(JsonObject::new()), "{body:?}");
        }
    }

    #[test]
    fn keys_are_trimmed() {
        let object = json_object(b"{\"gradual_src_max_sources\\t\": 1, \" a\": 2}").unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), ["gradual_src_max_sources", "a"]);
    }

    #[test]
    fn hostile_bodies_are_errors() {
        let deep = "[".repeat(100_000);
        let deep_object = "{\"a\":".repeat(100_000);
        for body in [
            "{",
            "[]",
            "1",
            "\"x\"",
            "true",
            "{\"a\":}",
            "{\"a\":1e999}",
            "{\"a\":1}x",
            "{'a':1}",
            "nul",
            &deep,
            &deep_object,
        ] {
            assert!(
                json_object(body.as_bytes()).is_err(),
                "{:?}",
                &body[..body.len().min(20)]
            );
        }
        assert!(json_object(b"{\"a\": \"\xff\"}").is_err());
        assert!(json_object(b"{\"a\": \"\\ud800\"}").is_err());
    }
}
