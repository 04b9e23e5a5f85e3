//! The letters that wait for the mail server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::letter::Letter;

/// Letters that may wait, so that alerts of many databases while the mail server is away do not fill the memory.
const WAITING_MAX: usize = 256;
/// Pauses before the second attempt and those after it. The last outlasts the minutes for which many servers put a stranger off.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(360),
];

/// A letter and when it is to be tried.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) letter: Box<Letter>,
    /// Attempts that failed.
    pub(super) attempts: usize,
    due: Instant,
}

/// The letters that wait. Alerts post into it, one task takes out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Vec<Waiting>>,
    posted: Notify,
}

impl Outbox {
    /// Posts a letter, to be tried at once. Gives it back when too many wait.
    pub(super) fn post(&self, letter: Box<Letter>) -> Result<(), Box<Letter>> {
        self.add(Waiting {
            letter,
            attempts: 0,
            due: Instant::now(),
        })
    }

    /// Takes a letter back after an attempt that failed at `now`, to be tried later. Gives it up after the last attempt, or when too many wait.
    pub(super) fn put_back(&self, waiting: Waiting, now: Instant) -> Result<(), Box<Letter>> {
        match PAUSES.get(waiting.attempts) {
            Some(pause) => self.add(Waiting {
                attempts: waiting.attempts + 1,
                due: now + *pause,
                letter: waiting.letter,
            }),
            None => Err(waiting.letter),
        }
    }

    /// The letter that is to be tried next, once its time has come. For one caller at a time; cancel-safe, because taking it out is the last step.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            if let Some(waiting) = self.take_due(Instant::now()) {
                return waiting;
            }
            let next = self.lock().iter().map(|waiting| waiting.due).min();
            // A letter posted meanwhile left its notice.
            match next {
                Some(due) => _ = timeout_at(due, self.posted.notified()).await,
                None => self.posted.notified().await,
            }
        }
    }

    /// Of the letters whose time has come, the one that has waited longest.
    fn take_due(&self, now: Instant) -> Option<Waiting> {
        let mut waiting = self.lock();
        let due = waiting.iter().enumerate().filter(|(_, waiting)| waiting.due <= now);
        let (first, _) = due.min_by_key(|(_, waiting)| waiting.due)?;
        Some(waiting.remove(first))
    }

    fn add(&self, letter: Waiting) -> Result<(), Box<Letter>> {
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MAX {
            return Err(letter.letter);
        }
        waiting.push(letter);
        self.posted.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::Subject;
    use uuid::Uuid;

    use super::*;

    fn letter(title: &str) -> Box<Letter> {
        Box::new(Letter {
            id: Uuid::new_v4(),
            to: "anna@b.c".parse().unwrap(),
            title: title.to_owned(),
            body: String::new(),
            about: Subject::Installation,
            topic: "x".to_owned(),
        })
    }

    #[tokio::test]
    async fn letters_are_taken_in_their_order() {
        let outbox = Outbox::default();
        outbox.post(letter("first")).unwrap();
        outbox.post(letter("second")).unwrap();
        assert_eq!(outbox.next().await.letter.title, "first");
        assert_eq!(outbox.next().await.letter.title, "second");
        assert_eq!(outbox.lock().len(), 0);
    }

    #[tokio::test]
    async fn a_letter_that_fails_is_tried_later_each_time_and_given_up_in_the_end() {
        let outbox = Outbox::default();
        outbox.post(letter("late")).unwrap();
        let mut now = Instant::now();
        let mut waiting = outbox.take_due(now).unwrap();
        for pause in PAUSES {
            outbox.put_back(waiting, now).unwrap();
            assert!(outbox.take_due(now + pause - Duration::from_millis(1)).is_none());
            now += pause;
            waiting = outbox.take_due(now).unwrap();
        }
        assert_eq!(outbox.put_back(waiting, now).unwrap_err().title, "late");
        assert!(PAUSES.is_sorted());
    }

    #[tokio::test]
    async fn a_letter_that_fails_holds_up_no_other() {
        let outbox = Outbox::default();
        outbox.post(letter("late")).unwrap();
        let late = outbox.next().await;
        outbox.put_back(late, Instant::now()).unwrap();
        outbox.post(letter("next")).unwrap();
        assert_eq!(outbox.next().await.letter.title, "next");
        assert_eq!(outbox.lock().len(), 1);
    }

    #[tokio::test]
    async fn no_more_letters_wait_than_fit() {
        let outbox = Outbox::default();
        for _ in 0..WAITING_MAX {
            outbox.post(letter("fits")).unwrap();
        }
        assert_eq!(outbox.post(letter("too many")).unwrap_err().title, "too many");
    }
}
