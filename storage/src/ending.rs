//! Which reads end before their time: those that could show a person who was erased since their snapshot was taken.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::point::UserId;
use crate::selection::Users;

/// One erasure that snapshots may be older than.
#[derive(Debug, Clone, Copy)]
struct Ending {
    /// Its number: snapshots that were taken at a smaller one are older.
    number: u64,
    user: UserId,
    /// When, by [`crate::Clock::elapsed`].
    at: Duration,
}

/// The erasures of the last while. Costs a read one atomic load while there are none.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    last: AtomicU64,
    recent: Mutex<Vec<Ending>>,
}

impl Endings {
    /// Ends the reads of a user that are under way. Those of snapshots that are older than `age_max` have ended anyway
    /// and are remembered no longer.
    pub(crate) fn end(&self, user: UserId, now: Duration, age_max: Duration) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|ending| now.saturating_sub(ending.at) < age_max);
        let number = self.last.load(Ordering::Acquire) + 1;
        recent.push(Ending { number, user, at: now });
        self.last.store(number, Ordering::Release);
    }

    /// Number of the last erasure. Take it before the state, for [`Self::reach`].
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Whether any of `users` was erased behind number `since`.
    pub(crate) fn reach(&self, since: u64, users: &Users) -> bool {
        if self.last() == since {
            return false;
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().any(|ending| ending.number > since && users.overlaps(ending.user, ending.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_snapshot_ends_for_the_erased_alone() {
        let (a, b) = (UserId::parse("usr_0000000a").unwrap(), UserId::parse("usr_0000000b").unwrap());
        let endings = Endings::default();
        let before = endings.last();
        assert!(!endings.reach(before, &Users::All));
        endings.end(a, Duration::ZERO, Duration::from_secs(9));
        assert!(endings.reach(before, &Users::One(a)) && endings.reach(before, &Users::All));
        assert!(!endings.reach(before, &Users::One(b)));
        assert!(!endings.reach(endings.last(), &Users::All), "a snapshot behind it sees nothing of them");
        endings.end(b, Duration::from_secs(9), Duration::from_secs(9));
        assert_eq!(endings.recent.lock().unwrap().len(), 1, "what every snapshot is younger than is forgotten");
    }
}
