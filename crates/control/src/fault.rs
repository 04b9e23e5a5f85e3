//! Crash points: places where a test may end the process, as `kill -9` would.
//!
//! A build without the feature `crash-points` holds none of this. With it, the environment variable `PILOTHOUSE_CRASH_AT` names a point
//! and how often it is passed before the process is killed: `after-commit:3`; `any:17` counts all points.

/// A place where a test may end the process.
#[cfg(not(any(test, feature = "crash-points")))]
#[expect(clippy::unused_async, reason = "the same signature as with the feature")]
pub(crate) async fn point(_name: &'static str) {}

/// A place where a test may end the process.
#[cfg(all(feature = "crash-points", not(test)))]
#[expect(clippy::unused_async, reason = "the same signature as without the feature")]
pub(crate) async fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("PILOTHOUSE_CRASH_AT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    tracing::trace!(point = name, "crash point");
    if let Some((wanted, count)) = wanted
        && (wanted == name || wanted == "any")
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        tracing::error!(point = name, "crash point reached: the process is killed");
        std::process::abort();
    }
}

#[cfg(test)]
pub(crate) use simulated::{arm, point, reached};

/// Crash points of the simulation: whoever reaches the armed one waits for ever, and the test drops it there.
#[cfg(test)]
mod simulated {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static REACHED: Cell<bool> = const { Cell::new(false) };
    }

    /// Arms the point that is passed as the `count`th from now, or none.
    pub(crate) fn arm(count: Option<u64>) {
        LEFT.set(count);
        REACHED.set(false);
    }

    /// Whether the armed point was reached.
    pub(crate) fn reached() -> bool {
        REACHED.get()
    }

    /// A place where the simulation may end the process.
    pub(crate) async fn point(_name: &'static str) {
        let Some(left) = LEFT.get() else { return };
        if left == 0 {
            REACHED.set(true);
            std::future::pending::<()>().await;
        }
        LEFT.set(Some(left - 1));
    }
}
