//! Logging in, and locking out those who guess.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilothouse_model::{EventDraft, Secret, Severity, Subject, Timestamp, User, UserId, UserStatus};
use pilothouse_store::Urgency;

use crate::{Control, ControlError};

/// Most users whose failures are counted at once.
const COUNTED_MAX: usize = 4096;

/// When a user is locked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Failed logins that lock a user; 0 never does.
    pub lockout_threshold: u32,
    /// Failures older than this are not counted.
    pub lockout_reset_after: Duration,
    /// How long the lock lasts.
    pub lockout_duration: Duration,
}

/// Failed logins of each user, in memory.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<UserId, Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    failures: u32,
    since: Timestamp,
}

impl Failures {
    /// Counts a failure; whether it is one too many.
    fn count(&self, user: UserId, policy: &AccessPolicy, now: Timestamp) -> bool {
        if policy.lockout_threshold == 0 {
            return false;
        }
        let mut counted = self.lock();
        if counted.len() >= COUNTED_MAX {
            counted.retain(|_, entry| now.since(entry.since) < policy.lockout_reset_after);
        }
        let entry = counted.entry(user).or_insert(Counted {
            failures: 0,
            since: now,
        });
        if now.since(entry.since) >= policy.lockout_reset_after {
            *entry = Counted {
                failures: 0,
                since: now,
            };
        }
        entry.failures += 1;
        entry.failures >= policy.lockout_threshold
    }

    pub(super) fn clear(&self, user: UserId) {
        self.lock().remove(&user);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// The user with that login (e-mail without regard to case, else name) and password. A known user's password costs microseconds
    /// for a minute after it was right.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`] for every reason alike: no such user, wrong password, locked.
    pub async fn login(
        &self,
        login: &str,
        password: &Secret,
        policy: &AccessPolicy,
    ) -> Result<Arc<User>, ControlError> {
        let user = {
            let view = self.store().view();
            let found = view.user_by_login(login).ok_or(ControlError::Unauthenticated)?;
            Arc::clone(found)
        };
        let now = self.now();
        let was_locked = match user.status {
            UserStatus::Locked { until } if until > now => return Err(ControlError::Unauthenticated),
            UserStatus::Locked { .. } => true,
            UserStatus::Active => false,
        };
        let access = &self.0.access;
        if !access.verifier.verify(user.id, &user.passwords, password).await {
            if access.failures.count(user.id, policy, now) {
                self.lock_out(user.id, now.plus(policy.lockout_duration)).await?;
            }
            return Err(ControlError::Unauthenticated);
        }
        access.failures.clear(user.id);
        if was_locked {
            self.unlock(user.id).await?;
        }
        Ok(Arc::new((**user).clone()))
    }

    /// Whether a user logs in with that text.
    pub fn login_is_taken(&self, login: &str) -> bool {
        self.store().view().user_by_login(login).is_some()
    }

    async fn lock_out(&self, id: UserId, until: Timestamp) -> Result<(), ControlError> {
        self.0.access.forget(id);
        let now = self.now();
        self.transact(Urgency::Normal, move |transaction| {
            let Some(mut user) = transaction.view().get::<User>(&id).map(|user| (***user).clone()) else {
                return Ok(());
            };
            user.status = UserStatus::Locked { until };
            transaction.append_event(
                now,
                EventDraft {
                    kind: "user-locked".to_owned(),
                    severity: Severity::Warning,
                    subject: Subject::User(id),
                    tenant: None,
                    actor: "access".to_owned(),
                    operation: None,
                    message: format!("{} is locked after too many failed logins", user.display_name()),
                    facts: serde_json::json!({ "name": user.display_name() }),
                },
            );
            transaction.put(user);
            Ok(())
        })
        .await
    }

    async fn unlock(&self, id: UserId) -> Result<(), ControlError> {
        self.transact(Urgency::Normal, move |transaction| {
            if let Some(mut user) = transaction.view().get::<User>(&id).map(|user| (***user).clone()) {
                user.status = UserStatus::Active;
                transaction.put(user);
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: AccessPolicy = AccessPolicy {
        lockout_threshold: 3,
        lockout_reset_after: Duration::from_secs(60),
        lockout_duration: Duration::from_secs(600),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_third_failure_within_the_window_is_one_too_many() {
        let (failures, user) = (Failures::default(), UserId::new());
        let counted: Vec<bool> = (0..3).map(|second| failures.count(user, &POLICY, at(second))).collect();
        assert_eq!(counted, [false, false, true]);
        failures.clear(user);
        assert!(!failures.count(user, &POLICY, at(4)));
    }

    #[test]
    fn old_failures_do_not_count() {
        let (failures, user) = (Failures::default(), UserId::new());
        assert!(
            ![0, 50, 61, 100]
                .map(|second| failures.count(user, &POLICY, at(second)))
                .contains(&true)
        );
    }

    #[test]
    fn a_threshold_of_zero_never_locks() {
        let (failures, user) = (Failures::default(), UserId::new());
        let policy = AccessPolicy {
            lockout_threshold: 0,
            ..POLICY
        };
        assert!(!(0..100).any(|_| failures.count(user, &policy, at(0))));
    }
}
