//! How many requests accounts make in a minute (specification §1.3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);

/// Requests of each account in its present minute. Forgotten at a restart, which only helps the account.
pub(crate) struct Rates {
    limit: u32,
    used: Mutex<HashMap<u32, (Instant, u32)>>,
}

impl Rates {
    /// So many in a minute; 0 for no limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            used: Mutex::default(),
        }
    }

    /// Counts a request. `None` when it is one too many; else how many are left, where there is a limit.
    pub(crate) fn take(&self, account: u32) -> Option<Option<u32>> {
        if self.limit == 0 {
            return Some(None);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (since, count) = used.entry(account).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Some(self.limit - *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_its_own_minute() {
        let rates = Rates::new(2);
        assert_eq!(rates.take(1), Some(Some(1)));
        assert_eq!(rates.take(1), Some(Some(0)));
        assert_eq!(rates.take(1), None);
        assert_eq!(rates.take(2), Some(Some(1)));
        if let Some((since, _)) = rates.used.lock().unwrap().get_mut(&1) {
            *since -= WINDOW;
        }
        assert_eq!(rates.take(1), Some(Some(1)));
        assert_eq!(Rates::new(0).take(1), Some(None));
    }
}
