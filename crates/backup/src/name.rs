//! Names of backup files. A name says what the file holds, and only names of this form are ever deleted.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pilothouse_model::{DatabaseId, DatabaseName, SlotRange, TenantId, Timestamp};

const EXTENSION: &str = ".rdb.gz";
/// What a file is called while it is being written, around its name.
const DRAFT: (&str, &str) = (".", ".part");
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const LONGEST_STEM: usize = 30;

/// File `number` of `count` that make up one backup, counted from 1; it holds the keys of `slots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u16,
    /// How many there are.
    pub count: u16,
    /// Whose keys it holds.
    pub slots: SlotRange,
}

impl Part {
    /// The only one, with all keys.
    pub const WHOLE: Self = Self {
        number: 1,
        count: 1,
        slots: SlotRange::ALL,
    };
}

/// Whose data a backup holds. The file says so too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The database.
    pub database: DatabaseId,
    /// Whose database it was.
    pub tenant: TenantId,
}

/// Name of a backup file: `<database>-<n>_of_<m>-<time>-<first slot>-<last slot>.rdb.gz`, for instance
/// `orders-1_of_1-20260314T150926Z-0-16383.rdb.gz`.
///
/// Two databases can share a name, so the file itself also says which database it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    text: String,
    origin: Origin,
}

impl FileName {
    /// The name of a backup taken at `at`.
    pub fn new(origin: Origin, name: &DatabaseName, part: Part, at: Timestamp) -> Self {
        let (Part { number, count, slots }, time) = (part, show_time(at));
        let text = format!(
            "{}-{number}_of_{count}-{time}-{}-{}{EXTENSION}",
            stem(name),
            slots.first,
            slots.last
        );
        Self { text, origin }
    }

    /// The name as text: ASCII letters, digits and `- _ .` only.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn database(&self) -> DatabaseId {
        self.origin.database
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn draft(&self) -> String {
        format!("{}{}{}", DRAFT.0, self.text, DRAFT.1)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a name found at a target says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: Timestamp,
    /// Not yet, or never, completed.
    pub(crate) draft: bool,
}

/// Whether `text` is the name of a backup of a database called `name`.
pub(crate) fn recognise(text: &str, name: &DatabaseName) -> Option<Found> {
    let inner = text.strip_prefix(DRAFT.0).and_then(|text| text.strip_suffix(DRAFT.1));
    let rest = inner.unwrap_or(text).strip_suffix(EXTENSION)?;
    let mut parts = rest.rsplitn(5, '-');
    let (last, first, time, number, found_stem) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let (number, count) = number.split_once("_of_")?;
    let numbers = [last, first, number, count];
    let plain = |text: &&str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if found_stem != stem(name) || !numbers.iter().all(plain) {
        return None;
    }
    Some(Found {
        at: parse_time(time)?,
        draft: inner.is_some(),
    })
}

/// At most 30 characters of the name, those that are safe everywhere; never hidden, never empty.
fn stem(name: &DatabaseName) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '_'
        }
    };
    let stem: String = name.as_str().chars().take(LONGEST_STEM).map(safe).collect();
    if let Some(rest) = stem.strip_prefix(['.', '-']) {
        format!("_{rest}")
    } else {
        stem
    }
}

fn show_time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_secs())
        .unwrap_or_default()
        .strftime(TIME_FORMAT)
        .to_string()
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(TIME_FORMAT, text)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .ok()?;
    let at = Timestamp::from_millis(time.timestamp().as_millisecond());
    // Only what we would have written: parsing is more tolerant than that.
    (show_time(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_773_500_966_123);

    fn name(text: &str) -> DatabaseName {
        DatabaseName::parse(text).expect("a name")
    }

    fn origin() -> Origin {
        Origin {
            database: DatabaseId::new(),
            tenant: TenantId::new(),
        }
    }

    fn file(database: &str) -> String {
        FileName::new(origin(), &name(database), Part::WHOLE, AT)
            .as_str()
            .to_owned()
    }

    #[test]
    fn a_name_tells_database_part_time_and_slots() {
        assert_eq!(file("orders"), "orders-1_of_1-20260314T150926Z-0-16383.rdb.gz");
        let part = Part {
            number: 2,
            count: 3,
            slots: SlotRange {
                first: 5461,
                last: 10922,
            },
        };
        let second = FileName::new(origin(), &name("a-b"), part, AT);
        assert_eq!(second.as_str(), "a-b-2_of_3-20260314T150926Z-5461-10922.rdb.gz");
    }

    #[test]
    fn names_are_safe_whatever_the_database_is_called() {
        for (database, stem) in [
            ("../../etc/passwd", "_._.._etc_passwd"),
            (".hidden", "_hidden"),
            ("-rf", "_rf"),
            ("Zürich 1", "Z_rich_1"),
            ("*", "_"),
            (
                "0123456789012345678901234567890123456789",
                "012345678901234567890123456789",
            ),
        ] {
            let file = file(database);
            assert!(file.starts_with(&format!("{stem}-1_of_1-")), "{file}");
            assert!(!file.contains('/') && file.is_ascii());
        }
    }

    #[test]
    fn recognises_its_own_names_only() {
        let at = Timestamp::from_millis(AT.as_secs() * 1000);
        for database in ["orders", "a-1_of_1", "x-20260314T150926Z-0-1", "Zürich 1"] {
            let file = file(database);
            assert_eq!(
                recognise(&file, &name(database)),
                Some(Found { at, draft: false }),
                "{file}"
            );
            let draft = format!(".{file}.part");
            assert_eq!(
                recognise(&draft, &name(database)),
                Some(Found { at, draft: true }),
                "{draft}"
            );
        }
        for foreign in [
            "orders.rdb.gz",
            "orders2-1_of_1-20260314T150926Z-0-16383.rdb.gz",
            "my-orders-1_of_1-20260314T150926Z-0-16383.rdb.gz",
            "orders-1_of_1-20260314T150926Z-0-16383.rdb",
            "orders-1_of_1-20260314T150926Z-0-16383.rdb.gz.bak",
            "orders-1_of_1-20260314T150926Z-0-16383.rdb.gz.part",
            "orders-1-20260314T150926Z-0-16383.rdb.gz",
            "orders-1_of_1-20261314T150926Z-0-16383.rdb.gz",
            "orders-1_of_1-20260314T150926-0-16383.rdb.gz",
            "orders-+1_of_1-20260314T150926Z-0-16383.rdb.gz",
            "orders-1_of_1-20260314T150926Z-0-99999.rdb.gz",
            "sub/orders-1_of_1-20260314T150926Z-0-16383.rdb.gz",
            "",
        ] {
            assert_eq!(recognise(foreign, &name("orders")), None, "{foreign}");
        }
    }
}
