//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, looking every few milliseconds.
///
/// # Panics
/// When it does not hold within `deadline`; the message names `what`.
pub async fn wait_until(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_for(deadline, what, async || condition().await.then_some(())).await;
}

/// Waits until `look` finds something and answers it.
///
/// # Panics
/// When it finds nothing within `deadline`; the message names `what`.
pub async fn wait_for<T>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_what_was_found() {
        let mut count = 0;
        let found = wait_for(Duration::from_secs(10), "three looks", async || {
            count += 1;
            (count == 3).then_some("here")
        });
        assert_eq!(found.await, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "in vain: the moon")]
    async fn gives_up_and_says_what_was_missing() {
        wait_until(Duration::from_millis(10), "the moon", async || false).await;
    }
}
