//! Settings as data: a table says which keys an object has, of which type, with which default, and whether a client may change them.
//!
//! Objects that mostly echo what they are given (cluster, policy, node, proxy, schedules) are a table here and a JSON object in a
//! document. Reading merges the document over the defaults; writing checks a body against the table. JSON schemas are made from the
//! same tables, so that they cannot differ from what is accepted.

use pilothouse_api::JsonObject;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::Failure;

/// One key of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) default: Default,
}

/// The type of a key, with its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    /// From, to, both included.
    Int(i64, i64),
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    Texts,
    Ints,
    Object,
    /// A list of objects.
    Objects,
    /// Anything: whoever reads it checks it.
    Any,
}

/// Who may change a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Clients.
    ReadWrite,
    /// Nobody; ignored when sent, because scripts send back whole objects.
    ReadOnly,
}

/// What a key is until it is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// Not shown.
    Absent,
    Bool(bool),
    Int(i64),
    Text(&'static str),
    /// `[]`.
    Empty,
    /// Any JSON, as text.
    Json(&'static str),
}

/// Shorthand for the rows of tables.
pub(crate) const fn rw(name: &'static str, kind: Kind, default: Default) -> Field {
    Field {
        name,
        kind,
        mode: Mode::ReadWrite,
        default,
    }
}

/// Shorthand for rows that no client may change.
pub(crate) const fn ro(name: &'static str, kind: Kind, default: Default) -> Field {
    Field {
        name,
        kind,
        mode: Mode::ReadOnly,
        default,
    }
}

/// Any whole number that every JSON reader holds.
pub(crate) const ANY_INT: Kind = Kind::Int(-9_007_199_254_740_991, 9_007_199_254_740_991);
/// A whole number that is not negative.
pub(crate) const COUNT: Kind = Kind::Int(0, 9_007_199_254_740_991);

impl Default {
    fn value(self) -> Option<Value> {
        match self {
            Self::Absent => None,
            Self::Bool(value) => Some(value.into()),
            Self::Int(value) => Some(value.into()),
            Self::Text(value) => Some(value.into()),
            Self::Empty => Some(json!([])),
            Self::Json(text) => serde_json::from_str(text).ok(),
        }
    }
}

/// For writing defaults without making a value of each; `Absent`, which is never written, would be `null`.
impl Serialize for Default {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Empty => serializer.collect_seq(std::iter::empty::<()>()),
            Self::Json(_) => self.value().serialize(serializer),
        }
    }
}

impl Kind {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Int(from, to) => value.as_i64().is_some_and(|number| (from..=to).contains(&number)),
            Self::Text => value.is_string(),
            Self::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Ints => value.as_array().is_some_and(|list| list.iter().all(Value::is_i64)),
            Self::Object => value.is_object(),
            Self::Objects => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
            Self::Any => true,
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int(from, to) => format!("a whole number from {from} to {to}"),
            Self::Text => "a text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Texts => "a list of texts".to_owned(),
            Self::Ints => "a list of whole numbers".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Objects => "a list of objects".to_owned(),
            Self::Any => "anything".to_owned(),
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Bool => json!({"type": "boolean"}),
            Self::Int(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Self::Text => json!({"type": "string"}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Ints => json!({"type": "array", "items": {"type": "integer"}}),
            Self::Object => json!({"type": "object"}),
            Self::Objects => json!({"type": "array", "items": {"type": "object"}}),
            Self::Any => json!({}),
        }
    }
}

/// The object as it is before anybody changed it.
pub(crate) fn defaults(table: &[Field]) -> JsonObject {
    table
        .iter()
        .filter_map(|field| Some((field.name.to_owned(), field.default.value()?)))
        .collect()
}

/// The object as it is: the defaults, and over them what was stored.
pub(crate) fn merged(table: &[Field], stored: Option<&Value>) -> JsonObject {
    let mut object = defaults(table);
    if let Some(Value::Object(stored)) = stored {
        object.extend(stored.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    object
}

/// The part of a body that may be stored: keys of the table that a client may change, checked. Unknown and read-only keys and `null` fall away.
pub(crate) fn checked(table: &[Field], body: &JsonObject) -> Result<JsonObject, Failure> {
    let mut accepted = JsonObject::new();
    for field in table.iter().filter(|field| field.mode == Mode::ReadWrite) {
        match body.get(field.name) {
            None | Some(Value::Null) => {}
            Some(value) if field.kind.accepts(value) => {
                accepted.insert(field.name.to_owned(), value.clone());
            }
            Some(_) => {
                return Err(Failure::invalid_schema(format!(
                    "{} must be {}",
                    field.name,
                    field.kind.wanted()
                )));
            }
        }
    }
    Ok(accepted)
}

/// The JSON schema of the object.
pub(crate) fn schema(table: &[Field], description: &str) -> Value {
    let property = |field: &Field| {
        let mut property = field.kind.schema();
        if let Some(value) = field.default.value() {
            property["default"] = value;
        }
        if field.mode == Mode::ReadOnly {
            property["readOnly"] = true.into();
        }
        (field.name.to_owned(), property)
    };
    let properties: JsonObject = table.iter().map(property).collect();
    json!({"type": "object", "description": description, "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Field] = &[
        rw("on", Kind::Bool, Default::Bool(true)),
        rw("port", Kind::Int(1024, 65535), Default::Int(8443)),
        rw("mode", Kind::Word(&["a", "b"]), Default::Text("a")),
        rw("maybe", Kind::Text, Default::Absent),
        ro("name", Kind::Text, Default::Text("x")),
        rw("list", Kind::Texts, Default::Empty),
    ];

    fn body(value: Value) -> JsonObject {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_was_stored_lies_over_the_defaults() {
        let stored = json!({"port": 9000, "maybe": "y"});
        let merged = Value::Object(merged(TABLE, Some(&stored)));
        assert_eq!(
            merged,
            json!({"on": true, "port": 9000, "mode": "a", "name": "x", "list": [], "maybe": "y"})
        );
    }

    #[test]
    fn a_body_is_checked_and_stripped() {
        let sent = body(json!({"on": false, "unknown": [1], "name": "changed", "mode": null, "list": ["x"]}));
        assert_eq!(
            Value::Object(checked(TABLE, &sent).unwrap()),
            json!({"on": false, "list": ["x"]})
        );
        for bad in [
            json!({"on": 1}),
            json!({"port": "1024"}),
            json!({"port": 80}),
            json!({"port": 1e300}),
            json!({"mode": "c"}),
            json!({"list": [1]}),
            json!({"maybe": {}}),
        ] {
            let failure = checked(TABLE, &body(bad.clone())).unwrap_err();
            assert_eq!(
                (failure.status.as_u16(), failure.code),
                (400, "invalid_schema"),
                "{bad}"
            );
        }
    }
}
