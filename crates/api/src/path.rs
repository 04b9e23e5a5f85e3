//! Paths: split, decoded, never interpreted. `..` is a name like any other here, and nothing below a path is a file.

/// The path cannot be decoded: a bad percent-encoding, or bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is not valid percent-encoded UTF-8")]
pub struct MalformedPath;

/// What stood at the places of a route's parameters, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    pub(crate) fn new(values: Vec<(&'static str, String)>) -> Self {
        Self(values)
    }

    /// The value of a parameter. Empty when the route has no parameter of that name, which is our own mistake and shows in the first test.
    pub fn text(&self, name: &str) -> &str {
        debug_assert!(
            self.0.iter().any(|(known, _)| *known == name),
            "the route has no parameter {name}"
        );
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    /// The value of a parameter as a number without sign, spaces or leading zeros; `None` when it is something else.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name);
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if canonical { text.parse().ok() } else { None }
    }
}

/// The decoded segments between the slashes; one trailing slash is tolerated.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, MalformedPath> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner
        .split('/')
        .map(|segment| percent_decoded(segment, false))
        .collect()
}

/// Decodes `%XX`, and `+` to a space where asked.
pub(crate) fn percent_decoded(text: &str, plus_is_space: bool) -> Result<String, MalformedPath> {
    if !text.bytes().any(|b| b == b'%' || (plus_is_space && b == b'+')) {
        return Ok(text.to_owned());
    }
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).ok_or(MalformedPath);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                u8::try_from(value).map_err(|_| MalformedPath)?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| MalformedPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_and_decoded() {
        let check = |path, expected: &[&str]| assert_eq!(segments(path).unwrap(), expected, "{path}");
        check("/v1/bdbs", &["v1", "bdbs"]);
        check("/v1/bdbs/", &["v1", "bdbs"]);
        check("/v1//bdbs", &["v1", "", "bdbs"]);
        check("/v1/a%20b%2Fc+d", &["v1", "a b/c+d"]);
        check("/v1/../etc", &["v1", "..", "etc"]);
        check("", &[""]);
        for bad in ["/%", "/%4", "/%zz", "/%ff", "/%C3"] {
            assert_eq!(segments(bad), Err(MalformedPath), "{bad}");
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        let number = |text: &str| Params::new(vec![("uid", text.to_owned())]).number("uid");
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1.0", "01", " 1", "1e3", "18446744073709551616", "٣"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
