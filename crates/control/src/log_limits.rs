//! Logs of writes that are made anew because somebody set a limit, before the engine would do it by itself.
//!
//! Judged where the numbers are at hand, whenever a server is asked for its load. Level-triggered: a rewrite that fails or is lost with the
//! control plane is begun again.

use std::time::{Duration, Instant};

use pilothouse_engine::{Load, Session};
use pilothouse_model::{LogLimits, Persistence, ServerId};

use crate::Control;

/// How much of a log a server loads in a second: what engines reach with small values. With larger ones they are faster.
const LOADED_BYTES_PER_SECOND: u64 = 32 << 20;
/// A log that has grown by less than this share since it was last made anew would not become smaller.
const WORTHWHILE_GROWTH: f64 = 0.1;
const DEADLINE: Duration = Duration::from_secs(1);

impl Control {
    /// Begins to make the log of a server anew where it is beyond the limits of its database.
    pub(crate) async fn keep_log_within_limits(&self, server: ServerId, load: &Load, session: &mut dyn Session) {
        let view = self.store().view();
        let database = view
            .database_of_server(server)
            .and_then(|id| view.get::<pilothouse_model::Database>(&id));
        let Some(database) = database else { return };
        let logs = matches!(database.spec.persistence, Persistence::AppendOnly { .. });
        if !logs || !is_due(database.spec.log_limits, load) {
            return;
        }
        let name = database.name.clone();
        drop(view);
        match session.compact_log(Instant::now() + DEADLINE).await {
            Ok(()) => {
                tracing::info!(%server, database = %name, "the log of writes is beyond its limit and is made anew")
            }
            Err(error) => tracing::warn!(%server, database = %name, %error, "the log of writes cannot be made anew"),
        }
    }
}

/// Whether a log is beyond its limits and a rewrite would help.
fn is_due(limits: LogLimits, load: &Load) -> bool {
    let number = |name: &str| load.numbers.get(name).copied().unwrap_or(0.0);
    let (size, base) = (number("aof_current_size"), number("aof_base_size"));
    let busy = [
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
        "rdb_bgsave_in_progress",
        "loading",
    ];
    if busy.into_iter().any(|name| number(name) > 0.0) || size < base * (1.0 + WORTHWHILE_GROWTH) {
        return false;
    }
    let by_time = limits.max_load_seconds.saturating_mul(LOADED_BYTES_PER_SECOND);
    [limits.max_bytes, by_time]
        .into_iter()
        .any(|most| most > 0 && size > most as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(max_bytes: u64, max_load_seconds: u64, numbers: &[(&str, f64)]) -> bool {
        let limits = LogLimits {
            max_bytes,
            max_load_seconds,
        };
        let numbers = numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        is_due(
            limits,
            &Load {
                numbers,
                ..Load::default()
            },
        )
    }

    #[test]
    fn size_and_time_are_limits_and_none_is_none() {
        let log = |mebibytes: u64| [("aof_current_size", (mebibytes << 20) as f64)];
        assert!(!due(0, 0, &log(1 << 20)));
        assert!(!due(100 << 20, 0, &log(100)));
        assert!(due(100 << 20, 0, &log(101)));
        assert!(!due(0, 3, &log(96)));
        assert!(due(0, 3, &log(97)));
        assert!(due(1 << 40, 3, &log(97)));
        assert!(!due(1 << 20, 0, &[]));
    }

    #[test]
    fn no_rewrite_is_asked_for_that_would_not_help_or_is_under_way() {
        let log = [("aof_current_size", 105e6), ("aof_base_size", 100e6)];
        assert!(!due(50_000_000, 0, &log));
        let log = [("aof_current_size", 115e6), ("aof_base_size", 100e6)];
        assert!(due(50_000_000, 0, &log));
        for busy in [
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "rdb_bgsave_in_progress",
            "loading",
        ] {
            assert!(!due(50_000_000, 0, &[log[0], log[1], (busy, 1.0)]), "{busy}");
        }
    }
}
