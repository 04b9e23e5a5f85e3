//! When the next backup is due. Pure: the caller has the clock.

use std::time::Duration;

use pilothouse_model::{BackupSchedule, Timestamp};

/// The shortest and the longest pause after a failed run.
const RETRY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// When the next backup is due: the first time after `last` that lies `offset_seconds` after a multiple of `interval_seconds`, counted
/// from the Unix epoch. When several times have passed since `last`, one backup makes up for all of them.
///
/// `last` is when the last scheduled run began, whether it succeeded or not, or when the schedule was set. Without it the last time that has
/// passed counts, so a backup is due at once. `None`: nothing is scheduled. A backup is due when the answer is not after `now`.
pub fn next_due(schedule: &BackupSchedule, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    if !schedule.enabled || schedule.interval_seconds == 0 {
        return None;
    }
    let interval = i128::from(schedule.interval_seconds) * 1000;
    let offset = i128::from(schedule.offset_seconds) * 1000;
    let slot = |time: Timestamp| (i128::from(time.as_millis()) - offset).div_euclid(interval);
    let start_of = |slot: i128| {
        let millis = slot * interval + offset;
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    };
    let Some(last) = last else {
        return Some(start_of(slot(now)));
    };
    // A clock that was set back must not silence backups until it has caught up.
    let last = last.min(now);
    Some(start_of(slot(now).max(slot(last) + 1)))
}

/// How long to wait after the `failures`-th failed run in a row (1 for the first) before trying again: one minute, doubled each time, at most one hour.
pub fn retry_delay(failures: u32) -> Duration {
    RETRY
        .0
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(RETRY.1)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use pilothouse_model::Location;

    use super::*;

    fn schedule(interval_seconds: u64, offset_seconds: u64) -> BackupSchedule {
        let location = Location::Directory {
            path: PathBuf::from("/backup"),
        };
        BackupSchedule {
            enabled: true,
            interval_seconds,
            offset_seconds,
            retention_days: 0,
            location,
        }
    }

    fn due(schedule: &BackupSchedule, last: Option<i64>, now: i64) -> Option<i64> {
        let at = |seconds| Timestamp::from_millis(seconds * 1000);
        next_due(schedule, last.map(at), at(now)).map(Timestamp::as_secs)
    }

    #[test]
    fn is_due_at_the_offset_of_each_interval() {
        let daily = schedule(100, 30);
        for (last, now, expected) in [
            (Some(131), 140, 230),
            (Some(131), 229, 230),
            (Some(130), 130, 230),
            (Some(129), 130, 130),
            (Some(131), 231, 230),   // due since a second
            (Some(131), 1031, 1030), // slept through many: once
            (Some(500), 140, 230),   // the clock was set back
            (None, 140, 130),        // never ran: at once
            (None, 10, -70),
        ] {
            assert_eq!(due(&daily, last, now), Some(expected), "last {last:?}, now {now}");
        }
    }

    #[test]
    fn what_is_off_is_never_due() {
        assert_eq!(
            due(
                &BackupSchedule {
                    enabled: false,
                    ..schedule(100, 0)
                },
                None,
                1
            ),
            None
        );
        assert_eq!(due(&schedule(0, 0), None, 1), None);
        assert!(due(&schedule(u64::MAX, u64::MAX), Some(1), 2).is_some());
    }

    #[test]
    fn failures_are_retried_ever_less_often() {
        let seconds = [1, 2, 3, 6, 7, 100].map(|failures| retry_delay(failures).as_secs());
        assert_eq!(seconds, [60, 120, 240, 1920, 3600, 3600]);
    }
}
