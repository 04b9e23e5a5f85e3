//! Times as this API writes them.

use pilothouse_model::Timestamp;

/// `2026-03-01T10:20:30.123+0000`, in error bodies (specification §2.1).
pub(crate) fn with_offset(at: Timestamp) -> String {
    let text = millis(at);
    format!("{}+0000", text.trim_end_matches('Z'))
}

/// `2026-03-01T10:20:30.123Z`.
pub(crate) fn millis(at: Timestamp) -> String {
    at.to_string()
}

/// A time as clients write it: ISO 8601, UTC where no zone is named.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<jiff::Timestamp>();
    let zoned = zoned.or_else(|_| format!("{text}Z").parse::<jiff::Timestamp>()).ok()?;
    Some(Timestamp::from_millis(zoned.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let at = Timestamp::from_millis(1_772_360_430_123);
        assert_eq!(millis(at), "2026-03-01T10:20:30.123Z");
        assert_eq!(with_offset(at), "2026-03-01T10:20:30.123+0000");
        for text in [
            "2026-03-01T10:20:30.123Z",
            "2026-03-01T10:20:30.123",
            "2026-03-01T12:20:30.123+02:00",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
    }
}
