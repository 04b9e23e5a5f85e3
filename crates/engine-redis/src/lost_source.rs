//! Why a server does not get its data from its source: it says so only in what it prints.

/// How such lines begin, and what they mean. Redis calls the source MASTER, newer products PRIMARY; what they say of it is the same.
const SAID: &[(&str, &str)] = &[
    ("Unable to AUTH to ", "the source refuses the login"),
    ("Unable to connect to ", "the source cannot be reached"),
    ("Error condition on socket for SYNC", "the source cannot be reached"),
    ("Timeout connecting to ", "the source does not answer in time"),
    ("Error reply to PING from ", "the source refuses"),
    ("Unexpected reply to PSYNC from ", "the source refuses to be followed"),
    (
        " aborted replication with an error",
        "the source refuses to be followed",
    ),
    (" is currently unable to PSYNC", "the source cannot be followed now"),
    (" timeout: no data nor PING received", "the source fell silent"),
    ("Timeout receiving bulk data from ", "the source fell silent"),
    ("Can't handle RDB format version", "the source has a newer data format"),
    ("Failed trying to load the ", "the data of the source cannot be loaded"),
];

/// The newest line that tells it, in our words and with what the source said.
pub(crate) fn explain(printed: &[String]) -> Option<String> {
    printed.iter().rev().find_map(|line| {
        // `PID:ROLE DATE TIME LEVEL text`; the level is one sign.
        let text = [" # ", " * "]
            .iter()
            .find_map(|level| Some(line.split_once(level)?.1))?;
        let (_, meaning) = SAID.iter().find(|(words, _)| match words.strip_prefix(' ') {
            Some(_) => text.contains(words),
            None => text.starts_with(words),
        })?;
        let detail = text
            .split_once(": ")
            .map(|(_, detail)| detail.trim_start_matches(['-', '\'']));
        Some(match detail.map(|detail| detail.trim_end_matches(['.', '\'']).trim()) {
            Some(detail) if !detail.is_empty() => format!("{meaning}: {detail}"),
            _ => (*meaning).to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn the_newest_reason_counts() {
        let check = |lines: &[&str], expected: Option<&str>| {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| format!("20694:S 21 Nov 2026 08:23:47.970 {line}"))
                .collect();
            assert_eq!(explain(&lines).as_deref(), expected, "{lines:?}");
        };
        check(&[], None);
        check(&["* Connecting to MASTER 127.0.0.1:7911", "# Server initialized"], None);
        check(
            &[
                "# Error condition on socket for SYNC: Connection refused",
                "# Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair or user is disabled.",
                "* Connecting to MASTER 127.0.0.1:7911",
            ],
            Some("the source refuses the login: WRONGPASS invalid username-password pair or user is disabled"),
        );
        check(
            &["# Error condition on socket for SYNC: Connection refused"],
            Some("the source cannot be reached: Connection refused"),
        );
        check(
            &["* MASTER aborted replication with an error: NOAUTH Authentication required."],
            Some("the source refuses to be followed: NOAUTH Authentication required"),
        );
        check(
            &["# Unable to connect to PRIMARY: No such file or directory"],
            Some("the source cannot be reached: No such file or directory"),
        );
        check(
            &["# Timeout connecting to the MASTER..."],
            Some("the source does not answer in time"),
        );
    }
}
