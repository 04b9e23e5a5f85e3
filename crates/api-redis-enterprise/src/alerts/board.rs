//! What was found of every alert when it was last looked at.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pilothouse_api::JsonObject;
use pilothouse_model::{Severity, Subject, Timestamp};

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

    /// Takes readings over; returns those that somebody wants to be told of: one that begins to hold, or is enabled while it does, and one
    /// that ends to hold after that. An alert that never held makes no entry.
    pub(super) fn update(&self, readings: Vec<Reading>, now: Timestamp) -> Vec<Reading> {
        let mut noted = self.lock();
        let mut news = Vec::new();
        for reading in readings {
            let key = (reading.subject, reading.name);
            let known = noted.get(&key);
            let (held, told) = known.map_or((false, false), |known| (known.holds, known.told));
            let tell = reading.holds && reading.enabled;
            if held != reading.holds {
                let entry = Noted {
                    holds: reading.holds,
                    since: now,
                    severity: reading.severity,
                    values: reading.values.clone(),
                    told: tell,
                };
                noted.insert(key, entry);
            } else if let Some(known) = noted.get_mut(&key) {
                known.told = tell;
            }
            if told != tell && (tell || !reading.holds) {
                news.push(reading);
            }
        }
        news
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

    #[test]
    fn the_board_tells_what_changed() {
        let board = Board::default();
        let at = Timestamp::from_millis;
        assert_eq!(board.update(vec![reading(false)], at(1)), []);
        assert!(board.get(Subject::Installation, "x").is_none());
        assert_eq!(board.update(vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(board.update(vec![reading(true)], at(3)), []);
        let noted = board.get(Subject::Installation, "x").unwrap();
        assert!(noted.holds && noted.since == at(2));
        assert_eq!(board.update(vec![reading(false)], at(4)), [reading(false)]);
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
        assert_eq!(board.update(vec![disabled(true)], at(1)), []);
        assert_eq!(board.update(vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(board.get(Subject::Installation, "x").unwrap().since, at(1));
        assert_eq!(board.update(vec![disabled(true)], at(3)), []);
        assert_eq!(board.update(vec![disabled(false)], at(4)), []);
    }
}
