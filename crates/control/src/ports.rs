//! Ports promised to operations that are not committed yet, so that two of them never pick the same.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// Promised ports. A promise ends when its guard is dropped: by then the commit holds the port, or nobody does.
#[derive(Default)]
pub(crate) struct Reservations {
    promised: Mutex<BTreeSet<u16>>,
    /// The endpoint port that was given last; 0 before the first.
    last: AtomicU16,
}

/// A promise of ports.
pub(crate) struct Promise<'a> {
    book: &'a Reservations,
    ports: Vec<u16>,
}

impl Reservations {
    /// Promises the first port that `wanted` yields and that nobody else was promised.
    pub(crate) fn promise_first(&self, wanted: impl IntoIterator<Item = u16>) -> Option<(u16, Promise<'_>)> {
        let mut book = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let port = wanted.into_iter().find(|port| !book.contains(port))?;
        book.insert(port);
        Some((
            port,
            Promise {
                book: self,
                ports: vec![port],
            },
        ))
    }

    /// Promises these ports, or none when one of them is promised already.
    pub(crate) fn promise_all(&self, ports: &[u16]) -> Option<Promise<'_>> {
        let mut book = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.iter().any(|port| *port != 0 && book.contains(port)) {
            return None;
        }
        let ports: Vec<u16> = ports.iter().copied().filter(|port| *port != 0).collect();
        book.extend(&ports);
        Some(Promise { book: self, ports })
    }

    /// The port after the one given last, within `first..=last`.
    pub(crate) fn after_last(&self, first: u16, last: u16) -> u16 {
        let given = self.last.load(Ordering::Relaxed);
        if (first..last).contains(&given) {
            given + 1
        } else {
            first
        }
    }

    /// The port was given.
    pub(crate) fn gave(&self, port: u16) {
        self.last.store(port, Ordering::Relaxed);
    }

    /// Every port that is promised now.
    pub(crate) fn promised(&self) -> Vec<u16> {
        self.promised
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        let mut book = self.book.promised.lock().unwrap_or_else(PoisonError::into_inner);
        for port in &self.ports {
            book.remove(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_holds_until_it_is_dropped() {
        let book = Reservations::default();
        let (first, promise) = book.promise_first([10, 11]).expect("free");
        assert_eq!(first, 10);
        assert_eq!(book.promise_first([10, 11]).map(|(port, _)| port), Some(11));
        assert!(book.promise_all(&[10, 12]).is_none());
        drop(promise);
        assert!(book.promise_all(&[10, 12]).is_some());
    }
}
