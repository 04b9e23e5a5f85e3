//! What was found of every alert when it was last looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pilothouse_api::JsonObject;
use pilothouse_model::{Severity, Subject, Timestamp};
use serde_json::{Value, json};

/// What was found of one alert.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Of what: the installation, a host, a database.
    pub(crate) subject: Subject,
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// Whether it holds by its threshold, enabled or not.
    pub(crate) holds: bool,
    /// Whether somebody wants to be told.
    pub(crate) enabled: bool,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What it was judged by.
    pub(crate) values: JsonObject,
}

/// What is kept of one alert.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// Whether it holds.
    pub(crate) holds: bool,
    /// Since when it does or does not.
    pub(crate) since: Timestamp,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What it was judged by when it last changed.
    pub(crate) values: JsonObject,
    /// Somebody was told that it holds.
    told: bool,
    /// It held before our start, and nobody looked since.
    recalled: bool,
}

impl Noted {
    /// An alert that somebody was told of before our start.
    fn recalled(kept: &Value) -> Option<Self> {
        Some(Self {
            holds: true,
            since: Timestamp::from_millis(kept.get("since")?.as_i64()?),
            severity: serde_json::from_value(kept.get("severity")?.clone()).ok()?,
            values: kept.get("values")?.as_object()?.clone(),
            told: true,
            recalled: true,
        })
    }

    fn kept(&self) -> Value {
        json!({"since": self.since.as_millis(), "severity": self.severity, "values": self.values})
    }
}

/// What an update led to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Update {
    /// What somebody wants to be told of.
    pub(super) news: Vec<Reading>,
    /// Subjects of which somebody was told of another set of alerts than before.
    pub(super) changed: BTreeSet<Subject>,
}

/// What was found last, of everything.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<(Subject, &'static str), Noted>>);

impl Board {
    /// What is known of an alert; `None` before it held for the first time since our start.
    pub(crate) fn get(&self, subject: Subject, name: &str) -> Option<Noted> {
        let noted = self.lock();
        let noted: &BTreeMap<(Subject, &str), Noted> = &noted;
        noted.get(&(subject, name)).cloned()
    }

    /// The names of the alerts of a subject that hold.
    pub(crate) fn holding(&self, subject: Subject) -> Vec<&'static str> {
        let noted = self.lock();
        let holding = noted
            .iter()
            .filter(|((known, _), noted)| *known == subject && noted.holds);
        holding.map(|((_, name), _)| *name).collect()
    }

    /// Takes over what was kept of a subject's alerts before our start. What is measured needs time to be known again: until an update
    /// that is told to be settled, such an alert holds on.
    pub(super) fn recall(&self, subject: Subject, names: impl Iterator<Item = &'static str>, kept: &Value) {
        let mut noted = self.lock();
        for name in names {
            if let Some(alert) = kept.get(name).and_then(Noted::recalled) {
                noted.insert((subject, name), alert);
            }
        }
    }

    /// The alerts of a subject that somebody was told of, to be kept for [`Board::recall`].
    pub(super) fn kept(&self, subject: Subject) -> Value {
        let noted = self.lock();
        let told = noted
            .iter()
            .filter(|((known, _), noted)| *known == subject && noted.told);
        Value::Object(
            told.map(|((_, name), noted)| ((*name).to_owned(), noted.kept()))
                .collect(),
        )
    }

    /// Takes readings over. News is one that begins to hold, or is enabled while it does, and one that ends to hold after that. An alert
    /// that never held makes no entry.
    pub(super) fn update(&self, readings: Vec<Reading>, now: Timestamp, settled: bool) -> Update {
        let mut noted = self.lock();
        let mut update = Update::default();
        for reading in readings {
            let key = (reading.subject, reading.name);
            let known = noted.get(&key);
            if !settled && !reading.holds && known.is_some_and(|known| known.recalled) {
                continue;
            }
            let (held, told) = known.map_or((false, false), |known| (known.holds, known.told));
            let tell = reading.holds && reading.enabled;
            if held != reading.holds {
                let entry = Noted {
                    holds: reading.holds,
                    since: now,
                    severity: reading.severity,
                    values: reading.values.clone(),
                    told: tell,
                    recalled: false,
                };
                noted.insert(key, entry);
            } else if let Some(known) = noted.get_mut(&key) {
                known.told = tell;
                known.recalled = false;
            }
            if told != tell {
                update.changed.insert(reading.subject);
                if tell || !reading.holds {
                    update.news.push(reading);
                }
            }
        }
        update
    }

    /// Forgets what no longer exists.
    pub(super) fn retain(&self, exists: impl Fn(&Subject) -> bool) {
        self.lock().retain(|(subject, _), _| exists(subject));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Subject, &'static str), Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(holds: bool) -> Reading {
        Reading {
            subject: Subject::Installation,
            name: "x",
            holds,
            enabled: true,
            severity: Severity::Warning,
            values: JsonObject::new(),
        }
    }

    fn news(board: &Board, readings: Vec<Reading>, now: Timestamp) -> Vec<Reading> {
        board.update(readings, now, true).news
    }

    #[test]
    fn the_board_tells_what_changed() {
        let board = Board::default();
        let at = Timestamp::from_millis;
        assert_eq!(news(&board, vec![reading(false)], at(1)), []);
        assert!(board.get(Subject::Installation, "x").is_none());
        assert_eq!(news(&board, vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(news(&board, vec![reading(true)], at(3)), []);
        let noted = board.get(Subject::Installation, "x").unwrap();
        assert!(noted.holds && noted.since == at(2));
        assert_eq!(news(&board, vec![reading(false)], at(4)), [reading(false)]);
        board.retain(|_| false);
        assert!(board.get(Subject::Installation, "x").is_none());
    }

    #[test]
    fn an_alert_that_is_enabled_while_it_holds_is_news_and_one_that_is_disabled_is_not() {
        let board = Board::default();
        let at = Timestamp::from_millis;
        let disabled = |holds| Reading {
            enabled: false,
            ..reading(holds)
        };
        assert_eq!(news(&board, vec![disabled(true)], at(1)), []);
        assert_eq!(news(&board, vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(board.get(Subject::Installation, "x").unwrap().since, at(1));
        assert_eq!(news(&board, vec![disabled(true)], at(3)), []);
        assert_eq!(news(&board, vec![disabled(false)], at(4)), []);
    }

    #[test]
    fn what_was_told_before_a_restart_is_told_when_it_changes() {
        let at = Timestamp::from_millis;
        let before = Board::default();
        let update = before.update(vec![reading(true)], at(2), true);
        assert_eq!(update.changed, BTreeSet::from([Subject::Installation]));
        let kept = before.kept(Subject::Installation);

        let board = Board::default();
        board.recall(Subject::Installation, ["x", "y"].into_iter(), &kept);
        // Not measured again yet.
        assert_eq!(board.update(vec![reading(false)], at(5), false), Update::default());
        let noted = board.get(Subject::Installation, "x").unwrap();
        assert!(noted.holds && noted.since == at(2));
        assert_eq!(board.update(vec![reading(true)], at(6), false), Update::default());
        assert_eq!(news(&board, vec![reading(false)], at(7)), [reading(false)]);
        assert_eq!(board.kept(Subject::Installation), json!({}));
    }
}
