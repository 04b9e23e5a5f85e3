//! Writes values into a configuration file.

use std::fmt::Write as _;

/// A value as one argument, whatever it contains.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_cannot_leave_their_line() {
        assert_eq!(quoted("a\nuser default on nopass"), r#""a\x0auser default on nopass""#);
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("ü"), r#""\xc3\xbc""#);
        assert_eq!(quoted(""), r#""""#);
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
    }
}
