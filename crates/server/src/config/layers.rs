//! Puts file, environment and flags over the defaults, and remembers where each value came from.
//!
//! The defaults are the schema: a key that they lack is unknown, and the type that they have is the type that is wanted. That is why a
//! value from the environment needs no quotes: `PILOTHOUSE_ADMIN__PASSWORD=0123` is a text because `admin.password` is one.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Origin};
use super::raw::RawConfiguration;

/// The prefix of environment variables that set a key.
pub(super) const ENVIRONMENT_PREFIX: &str = "PILOTHOUSE_";

/// Values of all layers, the last one winning, and where each was written.
pub(super) struct Layers {
    schema: Table,
    values: Table,
    origins: BTreeMap<String, Origin>,
    errors: Vec<ConfigError>,
}

impl Layers {
    /// Nothing but the defaults.
    pub(super) fn new() -> Self {
        let schema = Table::try_from(RawConfiguration::default()).expect("the defaults are plain TOML values");
        Self {
            values: schema.clone(),
            schema,
            origins: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    /// Puts the text of a configuration file over what is there.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) {
        let origin = Origin::File(path.to_owned());
        match text.parse::<Table>() {
            Ok(table) => {
                let schema = self.schema.clone();
                self.merge(&schema, "", table, &origin);
            }
            // Only the message: the full error quotes the line, and the line may hold a password.
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
                self.refuse(&origin, "", format!("is not TOML: line {line}: {}", error.message()));
            }
        }
    }

    /// Puts one environment variable over what is there. Variables that do not name a section are somebody else's.
    pub(super) fn add_environment(&mut self, name: &str, text: &str) {
        let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
            return;
        };
        let origin = Origin::Environment(name.to_owned());
        let key = rest.to_ascii_lowercase().replace("__", ".");
        if rest.contains("__") {
            self.add_text(&key, text, origin);
        } else if let Some(section) = self
            .schema
            .keys()
            .find(|section| key.starts_with(&format!("{section}_")))
        {
            let wanted = format!(
                "{ENVIRONMENT_PREFIX}{}__{}",
                section.to_uppercase(),
                rest[section.len() + 1..].to_owned()
            );
            self.refuse(
                &origin,
                "",
                format!("names no key; between section and key stand two underscores: {wanted}"),
            );
        }
    }

    /// Puts the value of a flag over what is there.
    pub(super) fn add_flag(&mut self, flag: &'static str, key: &str, text: &str) {
        self.add_text(key, text, Origin::Flag(flag));
    }

    /// The raw configuration, where each value was written, and everything that is wrong so far. What was refused has its default, so
    /// that the rest can be checked as well; without a configuration there is nothing to check.
    pub(super) fn finish(mut self) -> (Option<RawConfiguration>, BTreeMap<String, Origin>, Vec<ConfigError>) {
        let raw = match read(&self.values) {
            Ok(raw) => Some(raw),
            Err((key, problem)) => {
                let origin = origin_of(&self.origins, &key);
                self.refuse(&origin, &key, problem);
                None
            }
        };
        (raw, self.origins, self.errors)
    }

    fn add_text(&mut self, key: &str, text: &str, origin: Origin) {
        match self.wanted(key).map(|wanted| value_of(wanted, text)) {
            None => self.refuse_unknown(&origin, key),
            Some(Err(problem)) => self.refuse(&origin, key, problem),
            Some(Ok(value)) => self.set(key, value, origin),
        }
    }

    fn wanted(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.schema.get(parts.next()?)?;
        let found = parts.try_fold(first, |value, part| value.as_table()?.get(part))?;
        (!found.is_table()).then_some(found)
    }

    fn merge(&mut self, schema: &Table, prefix: &str, given: Table, origin: &Origin) {
        for (name, value) in given {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match (schema.get(&name), value) {
                (None, _) => self.refuse_unknown(origin, &key),
                (Some(Value::Table(schema)), Value::Table(value)) => self.merge(schema, &key, value, origin),
                (Some(wanted), value) => match fitting(wanted, value) {
                    Ok(value) => self.set(&key, value, origin.clone()),
                    Err(problem) => self.refuse(origin, &key, problem),
                },
            }
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = &mut self.values;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            table = table
                .get_mut(section)
                .and_then(Value::as_table_mut)
                .expect("a key that the schema has lies in tables that the schema has");
        }
        table.insert(last.to_owned(), value);
        self.origins.insert(key.to_owned(), origin);
    }

    fn refuse_unknown(&mut self, origin: &Origin, key: &str) {
        let (section, _) = key.rsplit_once('.').unwrap_or(("", key));
        let known = section
            .split('.')
            .filter(|part| !part.is_empty())
            .try_fold(&self.schema, |table, part| table.get(part)?.as_table());
        let problem = match known {
            Some(table) => format!(
                "is unknown; allowed here: {}",
                table.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
            None => format!(
                "is unknown; sections are: {}",
                self.schema.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        };
        self.refuse(origin, key, problem);
    }

    fn refuse(&mut self, origin: &Origin, key: &str, problem: String) {
        self.errors.push(ConfigError {
            origin: origin.clone(),
            key: key.to_owned(),
            problem,
        });
    }
}

/// Where the value of `key`, or of what it lies in, was written.
pub(super) fn origin_of(origins: &BTreeMap<String, Origin>, key: &str) -> Origin {
    let mut key = key;
    loop {
        if let Some(origin) = origins.get(key) {
            return origin.clone();
        }
        match key.rfind(['.', '[']) {
            Some(end) => key = &key[..end],
            None => return Origin::Default,
        }
    }
}

/// Every key that the file knows, `section.key`.
#[cfg(test)]
pub(super) fn known_keys() -> Vec<String> {
    fn walk(prefix: &str, table: &Table, keys: &mut Vec<String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                Value::Table(table) => walk(&key, table, keys),
                _ => keys.push(key),
            }
        }
    }
    let mut keys = Vec::new();
    walk("", &Layers::new().schema, &mut keys);
    keys
}

/// Reads the merged values. Scalars fit already; what can still fail lies in lists of tables, so the error names the element.
fn read(values: &Table) -> Result<RawConfiguration, (String, String)> {
    serde_path_to_error::deserialize(Value::Table(values.clone())).map_err(|error| {
        (
            error.path().to_string(),
            format!("is wrong: {}", error.inner().message()),
        )
    })
}

fn fitting(wanted: &Value, given: Value) -> Result<Value, String> {
    match (wanted, given) {
        (Value::Array(_), Value::String(text)) => Ok(Value::Array(vec![Value::String(text)])),
        (wanted, given) if wanted.same_type(&given) => Ok(given),
        (Value::String(_), _) => Err("must be a text in quotes".to_owned()),
        (Value::Integer(_), _) => Err("must be a whole number without quotes".to_owned()),
        (Value::Boolean(_), _) => Err("must be true or false without quotes".to_owned()),
        (Value::Array(_), _) => Err("must be a list in square brackets".to_owned()),
        (_, _) => Err("is a section: write [section] and keys below it".to_owned()),
    }
}

fn value_of(wanted: &Value, text: &str) -> Result<Value, String> {
    match wanted {
        Value::Integer(_) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| "must be a whole number".to_owned()),
        Value::Boolean(_) => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| "must be true or false".to_owned()),
        Value::Array(_) if text.trim_start().starts_with('[') => format!("list = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("list"))
            .ok_or_else(|| "must be a list: one, two  or  [{ name = \"…\" }]".to_owned()),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}
