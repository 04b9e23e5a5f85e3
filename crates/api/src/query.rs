//! Query strings.

use crate::path::{MalformedPath, percent_decoded};

/// The parameters of a query, decoded, in the order sent. A name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; a name without `=` has the empty value.
    pub fn parse(text: &str) -> Result<Self, MalformedPath> {
        text.split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                Ok((percent_decoded(name, true)?, percent_decoded(value, true)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: its presence counts as true, except with the values `false` and `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("a=1&b=x+y%26&a=2&flag&&=z").unwrap();
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("b"), Some("x y&"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("missing"), None);
        assert_eq!(Query::parse("a=%f"), Err(MalformedPath));
    }

    #[test]
    fn presence_is_true() {
        let flag = |text| Query::parse(text).unwrap().flag("dry_run");
        assert!(flag("dry_run") && flag("dry_run=") && flag("dry_run=true") && flag("dry_run=1"));
        assert!(!flag("") && !flag("dry_run=false") && !flag("dry_run=0"));
    }
}
