//! Credentials that held a moment ago, so that a request costs a hash and a look-up in memory.
//!
//! Every entry carries the generation in which its row was read. [`Credentials::forget`] begins the next one, and an
//! entry of an earlier generation counts for nothing; so a row that was read before a change can never come back after
//! it. Nothing counts either when the last look at the database's counter of changes is too long ago: other processes
//! may have changed what we do not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use super::SystemScopes;
use super::principal::{Role, Scopes};
use storage::{Clock, UserId};

/// How long a look at the counter of changes holds. Below the second within which a change by another process holds.
pub(super) const LOOK_HOLDS: Duration = Duration::from_millis(900);

/// Keys and sessions that are remembered; about 200 bytes each.
const ENTRIES_MAX: u64 = 100_000;

/// An API key that holds.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Arc<str>,
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) expires_at: Option<i64>,
    /// When its use was last noted.
    pub(super) last_used_at: AtomicI64,
}

/// A session that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) user: UserId,
    pub(super) role: Role,
}

/// A client that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Whose it is.
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) scopes: SystemScopes,
}

/// A generation, taken before a row is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

#[derive(Debug)]
pub(super) struct Credentials {
    clock: Arc<dyn Clock>,
    generation: AtomicU64,
    /// Until when the entries count, in microseconds of the clock's elapsed time; 0 is never.
    holds_until_us: AtomicU64,
    keys: Cache<[u8; 32], (Generation, Arc<Key>)>,
    sessions: Cache<Box<str>, (Generation, Session)>,
    clients: Cache<Box<str>, (Generation, Client)>,
}

impl Credentials {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            generation: AtomicU64::new(0),
            holds_until_us: AtomicU64::new(0),
            keys: Cache::new(ENTRIES_MAX),
            sessions: Cache::new(ENTRIES_MAX),
            clients: Cache::new(ENTRIES_MAX),
        }
    }

    /// The generation to stamp an entry with. Take it before the row is read.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// Makes every entry worthless. Call it behind the commit of what changed.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.keys.invalidate_all();
        self.sessions.invalidate_all();
        self.clients.invalidate_all();
    }

    /// Notes a look at the counter of changes that began at `began` of the clock's elapsed time.
    pub(super) fn looked(&self, began: Duration) {
        self.holds_until_us.store(micros(began.saturating_add(LOOK_HOLDS)), Ordering::SeqCst);
    }

    /// The key of a hash, if that is remembered and counts.
    pub(super) fn key(&self, hash: &[u8; 32]) -> Option<Arc<Key>> {
        let (generation, key) = self.keys.get(hash)?;
        self.counts(generation).then_some(key)
    }

    /// Remembers a key.
    pub(super) fn remember_key(&self, hash: [u8; 32], generation: Generation, key: Arc<Key>) {
        self.keys.insert(hash, (generation, key));
    }

    /// The session of an id, if that is remembered and counts.
    pub(super) fn session(&self, id: &str) -> Option<Session> {
        let (generation, session) = self.sessions.get(id)?;
        self.counts(generation).then_some(session)
    }

    /// Remembers a session.
    pub(super) fn remember_session(&self, id: &str, generation: Generation, session: Session) {
        self.sessions.insert(id.into(), (generation, session));
    }

    /// The client of an id, if that is remembered and counts.
    pub(super) fn client(&self, id: &str) -> Option<Client> {
        let (generation, client) = self.clients.get(id)?;
        self.counts(generation).then_some(client)
    }

    /// Remembers a client.
    pub(super) fn remember_client(&self, id: &str, generation: Generation, client: Client) {
        self.clients.insert(id.into(), (generation, client));
    }

    fn counts(&self, generation: Generation) -> bool {
        generation == self.generation() && micros(self.clock.elapsed()) < self.holds_until_us.load(Ordering::SeqCst)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use storage::ManualClock;

    use super::*;

    fn session() -> Session {
        Session { user: UserId::parse("usr_7jRtHvBk").unwrap(), role: Role::Patient }
    }

    #[test]
    fn an_entry_counts_while_looks_are_fresh() {
        let clock = Arc::new(ManualClock::at(0));
        let cache = Credentials::new(Arc::clone(&clock) as Arc<dyn Clock>);
        cache.remember_session("ses_1", cache.generation(), session());
        assert_eq!(cache.session("ses_1"), None, "nobody has looked yet");
        cache.looked(clock.elapsed());
        assert_eq!(cache.session("ses_1"), Some(session()));
        clock.advance(Duration::from_millis(899));
        assert_eq!(cache.session("ses_1"), Some(session()));
        clock.advance(Duration::from_millis(1));
        assert_eq!(cache.session("ses_1"), None, "the look is too old");
        cache.looked(clock.elapsed());
        assert_eq!(cache.session("ses_1"), Some(session()));
    }

    #[test]
    fn a_row_that_was_read_before_a_change_does_not_come_back_after_it() {
        let clock = Arc::new(ManualClock::at(0));
        let cache = Credentials::new(Arc::clone(&clock) as Arc<dyn Clock>);
        cache.looked(clock.elapsed());
        let before = cache.generation();
        cache.forget();
        cache.remember_session("ses_1", before, session());
        assert_eq!(cache.session("ses_1"), None);
        cache.remember_session("ses_1", cache.generation(), session());
        assert_eq!(cache.session("ses_1"), Some(session()));
        cache.forget();
        assert_eq!(cache.session("ses_1"), None);
    }
}
