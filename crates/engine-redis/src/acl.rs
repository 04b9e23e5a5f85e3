//! Rules of tenants: their grammar, and what is taken out of them.
//!
//! A rule is parsed word by word and written anew, so that nothing reaches the server that was not understood here. Denials follow the
//! words of the tenant, at the root and inside each selector: later words win, and no word of a rule can come after them.

use crate::commands::{is_category, is_command};

/// Commands that tenants never get: they reach beyond one database, change what we manage, or stop the server.
/// Everything of `CONFIG`, because rules cannot tell harmless directives from passwords and paths.
pub(crate) const WITHHELD: &[&str] = &[
    "acl|deluser",
    "acl|dryrun",
    "acl|getuser",
    "acl|list",
    "acl|load",
    "acl|log",
    "acl|save",
    "acl|setuser",
    "acl|users",
    "bgrewriteaof",
    "bgsave",
    "client|kill",
    "client|no-evict",
    "client|pause",
    "client|unpause",
    "config",
    "debug",
    "failover",
    "lastsave",
    "latency",
    "memory|doctor",
    "memory|malloc-stats",
    "memory|purge",
    "memory|stats",
    "migrate",
    "module",
    "move",
    "pfdebug",
    "pfselftest",
    "psync",
    "readonly",
    "readwrite",
    "replconf",
    "replicaof",
    "restore-asking",
    "role",
    "save",
    "script|debug",
    "shutdown",
    "slaveof",
    "swapdb",
    "sync",
];

/// Withheld as well in a cluster: everything of `CLUSTER`, so that what a later version adds is not open to tenants, but [`CLIENTS`].
pub(crate) const CLUSTER: &str = "cluster";

/// What clients of a cluster need to find their way, given to every login whatever its rule says.
pub(crate) const CLIENTS: &[&str] = &[
    "asking",
    "cluster|countkeysinslot",
    "cluster|help",
    "cluster|info",
    "cluster|keyslot",
    "cluster|links",
    "cluster|myid",
    "cluster|nodes",
    "cluster|replicas",
    "cluster|shards",
    "cluster|slaves",
    "cluster|slots",
    "readonly",
    "readwrite",
];

/// Longer rules are refused, bytes.
const MAX_RULE_BYTES: usize = 16 * 1024;

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("the rule has no words")]
    Empty,
    #[error("the rule is longer than {MAX_RULE_BYTES} bytes")]
    TooLong,
    #[error("the rule contains control characters")]
    ControlCharacter,
    #[error("{0:?} concerns passwords or the state of a login, which rules do not set")]
    Login(String),
    #[error("{0:?} would switch off a protection of the server")]
    Protection(String),
    #[error("{0:?} is not a known command")]
    Command(String),
    #[error("{0:?} is not a known category of commands")]
    Category(String),
    #[error("{0:?} is not a valid key pattern")]
    KeyPattern(String),
    #[error("{0:?} has no effect after a pattern that covers everything; use `resetkeys` or `resetchannels` first")]
    Covered(String),
    #[error("{0:?} is not a word of a rule")]
    Word(String),
    #[error("a selector is not closed")]
    OpenSelector,
}

/// A rule that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Words outside selectors.
    root: Words,
    /// Words of each selector.
    selectors: Vec<Words>,
}

/// Words that hold together: those of the root or of one selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Words {
    words: Vec<String>,
    /// A pattern so far covers all keys.
    all_keys: bool,
    /// A pattern so far covers all channels.
    all_channels: bool,
    /// The rule says something of channels.
    names_channels: bool,
}

impl Rule {
    /// Parses the text of a rule.
    pub(crate) fn parse(text: &str) -> Result<Self, RuleError> {
        if text.len() > MAX_RULE_BYTES {
            return Err(RuleError::TooLong);
        }
        if text
            .chars()
            .any(|character| character.is_control() && !"\t\r\n".contains(character))
        {
            return Err(RuleError::ControlCharacter);
        }
        let mut rule = Self {
            root: Words::default(),
            selectors: Vec::new(),
        };
        let mut open: Option<Words> = None;
        let mut words = text.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Err(RuleError::Empty);
        }
        for word in words {
            let inside = match (&mut open, word.strip_prefix('(')) {
                (None, Some(first)) => {
                    open = Some(Words::default());
                    first
                }
                (None, None) if word.eq_ignore_ascii_case("clearselectors") => {
                    rule.selectors.clear();
                    continue;
                }
                // What holds anyway. The server takes the word only outside selectors.
                (None, None) if word.eq_ignore_ascii_case("sanitize-payload") => continue,
                (None, None) => {
                    rule.root.add(word)?;
                    continue;
                }
                (Some(_), _) => word,
            };
            let (inside, closes) = inside.strip_suffix(')').map_or((inside, false), |rest| (rest, true));
            if let Some(selector) = &mut open
                && !inside.is_empty()
            {
                selector.add(inside)?;
            }
            if closes {
                rule.selectors.extend(open.take());
            }
        }
        if open.is_some() {
            Err(RuleError::OpenSelector)
        } else {
            Ok(rule)
        }
    }

    /// The arguments of `ACL SETUSER` after the name and the state: the rule without `denied`.
    /// `all_channels`: a rule that says nothing of channels opens all of them.
    pub(crate) fn arguments(&self, denied: &[&str], all_channels: bool) -> Vec<String> {
        let mut arguments = self.root.arguments(denied, all_channels);
        for selector in &self.selectors {
            arguments.push(format!("({})", selector.arguments(denied, all_channels).join(" ")));
        }
        arguments
    }
}

impl Words {
    fn arguments(&self, denied: &[&str], all_channels: bool) -> Vec<String> {
        // Said in any case, so that the server's own default plays no part.
        let channels = if all_channels && !self.names_channels {
            "allchannels"
        } else {
            "resetchannels"
        };
        std::iter::once(channels.to_owned())
            .chain(self.words.iter().cloned())
            .chain(denied.iter().map(|command| format!("-{command}")))
            .collect()
    }

    /// Checks one word as the server would and keeps it.
    fn add(&mut self, word: &str) -> Result<(), RuleError> {
        let lower = word.to_ascii_lowercase();
        let owned = || word.to_owned();
        match lower.as_str() {
            "on" | "off" | "nopass" | "resetpass" | "reset" => return Err(RuleError::Login(owned())),
            "skip-sanitize-payload" => return Err(RuleError::Protection(owned())),
            "allcommands" | "nocommands" => {}
            "allkeys" | "~*" => self.all_keys = true,
            "resetkeys" => self.all_keys = false,
            "allchannels" | "&*" => (self.all_channels, self.names_channels) = (true, true),
            "resetchannels" => (self.all_channels, self.names_channels) = (false, true),
            _ => match lower.as_bytes().first() {
                Some(b'>' | b'<' | b'#' | b'!') => return Err(RuleError::Login(owned())),
                Some(b'+' | b'-') => check_command(&lower[1..]).map_err(|error| error(owned()))?,
                Some(b'~' | b'%') => {
                    check_key_pattern(&lower).map_err(|error| error(owned()))?;
                    if self.all_keys {
                        return Err(RuleError::Covered(owned()));
                    }
                }
                Some(b'&') if lower.len() > 1 => {
                    if self.all_channels {
                        return Err(RuleError::Covered(owned()));
                    }
                    self.names_channels = true;
                }
                _ => return Err(RuleError::Word(owned())),
            },
        }
        self.words.push(owned());
        Ok(())
    }
}

fn check_command(name: &str) -> Result<(), fn(String) -> RuleError> {
    match name.strip_prefix('@') {
        Some(category) if is_category(category) => Ok(()),
        Some(_) => Err(RuleError::Category),
        None if is_command(name) => Ok(()),
        None => Err(RuleError::Command),
    }
}

/// `~pattern`, or `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn check_key_pattern(lower: &str) -> Result<(), fn(String) -> RuleError> {
    let (permissions, pattern) = lower
        .split_once('~')
        .ok_or(RuleError::KeyPattern as fn(String) -> RuleError)?;
    let known = matches!(permissions, "" | "%r" | "%w" | "%rw" | "%wr");
    if known && !pattern.is_empty() {
        Ok(())
    } else {
        Err(RuleError::KeyPattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(rule: &str) -> String {
        Rule::parse(rule)
            .unwrap_or_else(|error| panic!("{rule}: {error}"))
            .arguments(&["config", "acl|setuser"], false)
            .join(" ")
    }

    #[test]
    fn denials_stand_at_the_end_of_the_root_and_of_each_selector() {
        let check = |rule, expected: &str| assert_eq!(arguments(rule), expected, "{rule}");
        check("+@all ~*", "resetchannels +@all ~* -config -acl|setuser");
        check(
            "  +GET\t%R~a:*\n&news ",
            "resetchannels +GET %R~a:* &news -config -acl|setuser",
        );
        check(
            "+get ~a (+@all ~b) ( +config|get ~c )",
            "resetchannels +get ~a -config -acl|setuser (resetchannels +@all ~b -config -acl|setuser) (resetchannels +config|get ~c -config -acl|setuser)",
        );
        check(
            "(+@all ~*) +set ~x",
            "resetchannels +set ~x -config -acl|setuser (resetchannels +@all ~* -config -acl|setuser)",
        );
        check(
            "(+@all ~*) clearselectors +get",
            "resetchannels +get -config -acl|setuser",
        );
        check(
            "()",
            "resetchannels -config -acl|setuser (resetchannels -config -acl|setuser)",
        );
        check("~a) +get", "resetchannels ~a) +get -config -acl|setuser");
        check("~* resetkeys ~a", "resetchannels ~* resetkeys ~a -config -acl|setuser");
    }

    #[test]
    fn channels_follow_the_default_unless_the_rule_names_some() {
        let channels = |rule: &str| Rule::parse(rule).unwrap().arguments(&[], true).join(" ");
        assert_eq!(channels("+@all"), "allchannels +@all");
        assert_eq!(channels("+@all &a"), "resetchannels +@all &a");
        assert_eq!(
            channels("+@all resetchannels (+get)"),
            "resetchannels +@all resetchannels (allchannels +get)"
        );
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        use RuleError::*;
        let check = |rule: &str, error: fn(String) -> RuleError, word: &str| {
            assert_eq!(Rule::parse(rule), Err(error(word.to_owned())), "{rule}");
        };
        for word in [
            "on",
            "OFF",
            "nopass",
            "resetpass",
            "reset",
            ">pw",
            "<pw",
            "#abc",
            "!abc",
        ] {
            check(&format!("+@all {word}"), Login, word);
            check(&format!("(+@all {word})"), Login, word);
        }
        check("skip-sanitize-payload", Protection, "skip-sanitize-payload");
        check("+nosuch", Command, "+nosuch");
        check("-", Command, "-");
        check("+config|nosuch", Command, "+config|nosuch");
        check("+select|0", Command, "+select|0");
        check("+get|", Command, "+get|");
        check("+@nosuch", Category, "+@nosuch");
        check("+@", Category, "+@");
        check("~", KeyPattern, "~");
        check("%R", KeyPattern, "%R");
        check("%R~", KeyPattern, "%R~");
        check("%X~a", KeyPattern, "%X~a");
        check("%RR~a", KeyPattern, "%RR~a");
        check("~* ~a", Covered, "~a");
        check("allkeys %R~a", Covered, "%R~a");
        check("&* &a", Covered, "&a");
        check("&", Word, "&");
        check("get", Word, "get");
        check(")", Word, ")");
        check("+get )", Word, ")");
        check("((+get))", Word, "(+get)");
        check("(+get (+set))", Word, "(+set)");
        check("(clearselectors)", Word, "clearselectors");
        check("(sanitize-payload)", Word, "sanitize-payload");
        check("+get user other on nopass", Word, "user");
        assert_eq!(Rule::parse("(+get"), Err(OpenSelector));
        assert_eq!(Rule::parse("("), Err(OpenSelector));
        assert_eq!(Rule::parse(" \t"), Err(Empty));
        assert_eq!(Rule::parse("+get\u{b}nopass"), Err(ControlCharacter));
        assert_eq!(Rule::parse("+get\0"), Err(ControlCharacter));
        assert_eq!(Rule::parse(&"+get ".repeat(10_000)), Err(TooLong));
    }

    #[test]
    fn every_withheld_command_exists_and_the_list_is_sorted() {
        assert!(WITHHELD.is_sorted());
        for command in WITHHELD.iter().chain(CLIENTS).chain([&CLUSTER]) {
            assert!(is_command(command), "{command}");
        }
    }
}
