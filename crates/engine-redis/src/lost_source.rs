//! Why a server does not get its data from its source: it says so only in what it prints.

use pilothouse_engine::LostSource;

/// With this a server begins to follow; what it printed before is about another time.
const BEGINS: &str = " enabled (user request";
/// That a load failed, which is also what a link that broke in the middle looks like.
const LOAD_FAILED: &str = "Failed trying to load the ";
/// Why a load failed for good: the server would refuse the same data again.
const UNREADABLE: &[(&str, &str)] = &[
    ("Can't handle RDB format version", "the source has a newer data format"),
    (
        "Wrong signature trying to load DB",
        "the source sends something else than data",
    ),
];

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
    (LOAD_FAILED, "the data of the source cannot be loaded"),
];

/// The newest line that tells it, in our words and with what the source said.
pub(crate) fn explain(printed: &[String]) -> Option<LostSource> {
    let told = || {
        let texts = printed.iter().rev().filter_map(|line| text_of(line));
        texts.take_while(|text| !text.contains(BEGINS))
    };
    let newest = told().find_map(|text| Some((text, meaning(SAID, text).or_else(|| meaning(UNREADABLE, text))?)));
    let (text, why) = newest?;
    // The reason is printed before the outcome.
    let unreadable = told().find_map(|text| meaning(UNREADABLE, text));
    match unreadable.filter(|_| text.starts_with(LOAD_FAILED) || meaning(UNREADABLE, text).is_some()) {
        Some(why) => Some(LostSource { why, for_good: true }),
        None => Some(LostSource { why, for_good: false }),
    }
}

/// What a line says: `PID:ROLE DATE TIME LEVEL text`; the level is one sign.
fn text_of(line: &str) -> Option<&str> {
    let levels = [" # ", " * "];
    levels.iter().find_map(|level| Some(line.split_once(level)?.1))
}

/// What a line means, if it is one of those.
fn meaning(known: &[(&str, &str)], text: &str) -> Option<String> {
    let (_, meaning) = known.iter().find(|(words, _)| match words.strip_prefix(' ') {
        Some(_) => text.contains(words),
        None => text.starts_with(words),
    })?;
    let detail = text.split_once(": ");
    let detail = detail.map(|(_, detail)| detail.trim_start_matches(['-', '\'']));
    Some(match detail.map(|detail| detail.trim_end_matches(['.', '\'']).trim()) {
        Some(detail) if !detail.is_empty() => format!("{meaning}: {detail}"),
        _ => (*meaning).to_owned(),
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
            let explained = explain(&lines);
            assert!(explained.as_ref().is_none_or(|lost| !lost.for_good), "{lines:?}");
            assert_eq!(explained.map(|lost| lost.why).as_deref(), expected, "{lines:?}");
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
    #[test]
    fn data_that_no_attempt_can_load_is_lost_for_good() {
        let check = |lines: &[&str], expected: Option<(&str, bool)>| {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| format!("1:S 21 Nov 2026 08:23:47.970 {line}"))
                .collect();
            let explained = explain(&lines);
            let explained = explained.as_ref().map(|lost| (lost.why.as_str(), lost.for_good));
            assert_eq!(explained, expected, "{lines:?}");
        };
        let format = "# Can't handle RDB format version 99";
        let failed = "# Failed trying to load the MASTER synchronization DB from socket, check server logs.";
        let begins = "* REPLICAOF 127.0.0.1:7000 enabled (user request from 'id=5 addr=')";
        check(
            &[begins, format, failed],
            Some(("the source has a newer data format", true)),
        );
        check(&[begins, format], Some(("the source has a newer data format", true)));
        // A link that breaks in the middle of a load ends the same way.
        check(
            &[begins, failed],
            Some(("the data of the source cannot be loaded", false)),
        );
        let refused = "# Error condition on socket for SYNC: Connection refused";
        check(
            &[begins, format, failed, refused],
            Some(("the source cannot be reached: Connection refused", false)),
        );
        // Followed anew: it may be better now.
        check(&[format, failed, begins], None);
    }
}
