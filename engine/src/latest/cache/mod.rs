//! What is known about each user's newest points, bounded in bytes.
//!
//! A [`Slot`] says: *of all points of (user, metric) with `recorded_at < pending`, this is the newest* (or: there is
//! none). About points at or after `pending` it says nothing; `pending` is the earliest point that was still in the
//! future when it came, so a read at a moment before it may trust the slot, and a later read scans. A slot that is not
//! there is *unknown*, not absent.
//!
//! A read that finds a slot unknown leaves a marker with a token, takes its snapshot **after that**, scans, and puts
//! back what it found. Events that come meanwhile are kept in the marker and win over what the scan found; a deletion
//! removes the marker, so that the scan's answer is dropped.
//!
//! The log thread tells of a group just before snapshots see it. A marker that is set between the two would miss the
//! group in both; so the last group told is kept, and whoever sets a marker adds it.
//!
//! The log thread only touches users who have been read: nothing is kept for those who only write.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::{Event, MetricId, Part, PointBatch, UserId};

const SHARDS: usize = 64;
/// What a person costs beside the slots: the entry, its place in the index, the allocator's share.
const PERSON_BYTES: usize = size_of::<Person>() + 3 * size_of::<(UserId, usize)>() + 16;

/// Proof that a read marked a slot; valid until the slot is filled, deleted or evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

/// A value and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Newest {
    /// Microseconds UTC.
    pub(crate) recorded_at: i64,
    /// In the metric's canonical unit.
    pub(crate) value: f64,
}

/// What the cache says about one metric of a user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    /// The newest point, or that there is none.
    Known(Option<Newest>),
    /// [`LatestCache::mark`], then take a snapshot, scan it, and [`LatestCache::put_back`].
    Unknown,
}

/// What a scan found: the newest point up to its now, and the time of the earliest one behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// The newest point that is not later than now.
    pub(crate) newest: Option<Newest>,
    /// Time of the earliest point later than now; `i64::MAX` if there is none.
    pub(crate) pending: i64,
}

impl Found {
    /// Nothing at all.
    pub(crate) const NOTHING: Self = Self { newest: None, pending: i64::MAX };

    /// Adds a point that was accepted after all those before it.
    pub(crate) fn add(&mut self, point: Newest, now_us: i64) {
        if point.recorded_at > now_us {
            self.pending = self.pending.min(point.recorded_at);
        } else if point.recorded_at < self.pending
            && self.newest.is_none_or(|newest| point.recorded_at >= newest.recorded_at)
        {
            self.newest = Some(point);
        }
    }

    fn add_part(&mut self, batch: &PointBatch, part: Part, now_us: i64) {
        let times = batch.recorded_at().get(part.rows()).unwrap_or_default();
        let values = batch.value().get(part.rows()).unwrap_or_default();
        for (recorded_at, value) in times.iter().zip(values) {
            self.add(Newest { recorded_at: *recorded_at, value: *value }, now_us);
        }
    }

    /// Whether the newest point lies before the unknown; a clock that was set back can break that.
    fn is_sound(&self) -> bool {
        self.newest.is_none_or(|newest| newest.recorded_at < self.pending)
    }
}

#[derive(Debug)]
struct Slot {
    metric: MetricId,
    /// Set while a scan is under way; `found` then holds what came since the marker.
    loading: Option<Token>,
    found: Found,
}

#[derive(Debug)]
struct Person {
    user: UserId,
    /// Sorted by metric.
    slots: Vec<Slot>,
    /// Read since the hand last passed.
    is_referenced: bool,
}

impl Person {
    fn bytes(&self) -> usize {
        PERSON_BYTES + self.slots.capacity() * size_of::<Slot>()
    }

    fn find(&self, metric: MetricId) -> Result<usize, usize> {
        self.slots.binary_search_by_key(&metric, |slot| slot.metric)
    }

    fn slot(&mut self, metric: MetricId) -> Option<&mut Slot> {
        let at = self.find(metric).ok()?;
        self.slots.get_mut(at)
    }

    fn forget(&mut self, metric: MetricId) {
        if let Ok(at) = self.find(metric) {
            self.slots.remove(at);
        }
    }

    fn read(&self, metric: MetricId, now_us: i64) -> Reading {
        let slot = self.find(metric).ok().and_then(|at| self.slots.get(at)).filter(|slot| slot.loading.is_none());
        match slot.map(|slot| slot.found) {
            Some(Found { newest, pending })
                if now_us < pending && newest.is_none_or(|newest| newest.recorded_at <= now_us) =>
            {
                Reading::Known(newest)
            }
            _ => Reading::Unknown,
        }
    }

    /// The marker of a metric, set anew unless a read has set one already.
    fn mark(&mut self, metric: MetricId, fresh: Token) -> Token {
        let slot = Slot { metric, loading: Some(fresh), found: Found::NOTHING };
        match self.find(metric) {
            Ok(at) => {
                let Some(known) = self.slots.get_mut(at) else { return fresh };
                if let Some(token) = known.loading {
                    return token;
                }
                *known = slot;
            }
            Err(at) => self.slots.insert(at, slot),
        }
        fresh
    }

    /// Adds a batch of this user's to the slots that are there.
    fn accept(&mut self, batch: &PointBatch, now_us: i64) {
        for part in batch.parts() {
            let Some(slot) = self.slot(part.metric) else { continue };
            slot.found.add_part(batch, *part, now_us);
            if !slot.found.is_sound() {
                self.forget(part.metric);
            }
        }
    }
}

/// Some of the users, behind one lock.
#[derive(Debug, Default)]
struct Shard {
    index: HashMap<UserId, usize>,
    people: Vec<Person>,
    bytes: usize,
    /// Where the eviction's hand stands.
    hand: usize,
    next_token: u64,
}

impl Shard {
    fn person(&mut self, user: UserId) -> Option<&mut Person> {
        let at = *self.index.get(&user)?;
        self.people.get_mut(at)
    }

    fn mark(&mut self, user: UserId, metric: MetricId, last: &[Arc<PointBatch>], now_us: i64) -> Token {
        self.next_token += 1;
        let fresh = Token(self.next_token);
        let at = *self.index.entry(user).or_insert_with(|| {
            self.people.push(Person { user, slots: Vec::new(), is_referenced: true });
            self.bytes += PERSON_BYTES;
            self.people.len() - 1
        });
        let Some(person) = self.people.get_mut(at) else { return fresh };
        let before = person.bytes();
        let token = person.mark(metric, fresh);
        self.bytes += person.bytes() - before;
        if token == fresh {
            for batch in last.iter().filter(|batch| batch.user() == user) {
                let Some(part) = batch.parts().iter().find(|part| part.metric == metric) else { continue };
                let Some(slot) = person.slot(metric) else { continue };
                slot.found.add_part(batch, *part, now_us);
            }
        }
        token
    }

    fn remove(&mut self, at: usize) {
        if at >= self.people.len() {
            return;
        }
        let person = self.people.swap_remove(at);
        self.bytes -= person.bytes();
        self.index.remove(&person.user);
        if let Some(moved) = self.people.get(at) {
            self.index.insert(moved.user, at);
        }
    }

    /// Second chance: the hand passes over those who were read since it last came by, once.
    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && !self.people.is_empty() {
            if self.hand >= self.people.len() {
                self.hand = 0;
            }
            let Some(person) = self.people.get_mut(self.hand) else { return };
            if std::mem::take(&mut person.is_referenced) {
                self.hand += 1;
            } else {
                self.remove(self.hand);
            }
        }
    }
}

/// The newest point per user and metric. See the module.
pub(crate) struct LatestCache {
    /// The last group told of, which snapshots may not see yet. Locked before a shard.
    last: Mutex<Vec<Arc<PointBatch>>>,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    shard_bytes_max: usize,
}

impl std::fmt::Debug for LatestCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatestCache").field("shard_bytes_max", &self.shard_bytes_max).finish_non_exhaustive()
    }
}

impl LatestCache {
    /// An empty cache that holds at most `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { last: Mutex::default(), shards, hasher: RandomState::new(), shard_bytes_max: bytes_max / SHARDS }
    }

    fn shard(&self, user: UserId) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hasher.hash_one(user) >> 32;
        let at = usize::try_from(hash).unwrap_or_default() % SHARDS;
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn last(&self) -> MutexGuard<'_, Vec<Arc<PointBatch>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one [`Reading`] per metric. Cost: one short lock, nothing allocated.
    pub(crate) fn look_up(&self, user: UserId, metrics: &[MetricId], now_us: i64, readings: &mut Vec<Reading>) {
        let mut shard = self.shard(user);
        match shard.as_mut().and_then(|shard| shard.person(user)) {
            Some(person) => {
                person.is_referenced = true;
                readings.extend(metrics.iter().map(|metric| person.read(*metric, now_us)));
            }
            None => readings.extend(metrics.iter().map(|_| Reading::Unknown)),
        }
    }

    /// Marks a slot that was found unknown; a snapshot taken afterwards is what may be put back.
    pub(crate) fn mark(&self, user: UserId, metric: MetricId, now_us: i64) -> Option<Token> {
        let last = self.last();
        let mut shard = self.shard(user)?;
        let token = shard.mark(user, metric, &last, now_us);
        shard.evict(self.shard_bytes_max);
        Some(token)
    }

    /// Fills the slot that `token` marked, unless a deletion or eviction came between.
    pub(crate) fn put_back(&self, user: UserId, metric: MetricId, token: Token, scanned: Found) {
        let Some(mut shard) = self.shard(user) else { return };
        let Some(person) = shard.person(user) else { return };
        let Some(slot) = person.slot(metric) else { return };
        if slot.loading != Some(token) {
            return;
        }
        let since = slot.found;
        slot.loading = None;
        slot.found = Found { newest: scanned.newest, pending: scanned.pending.min(since.pending) };
        if let Some(point) = since.newest
            && slot.found.newest.is_none_or(|newest| point.recorded_at >= newest.recorded_at)
        {
            slot.found.newest = Some(point);
        }
        if !slot.found.is_sound() {
            person.forget(metric);
        }
    }

    /// Takes what the log thread tells. `now_us` is the clock's.
    pub(crate) fn observe(&self, event: &Event<'_>, now_us: i64) {
        let mut last = self.last();
        // Whatever was told before is visible by now.
        last.clear();
        match event {
            Event::Accepted(group) => {
                last.extend(group.iter().map(|accepted| Arc::clone(&accepted.batch)));
                for batch in last.iter() {
                    if let Some(mut shard) = self.shard(batch.user())
                        && let Some(person) = shard.person(batch.user())
                    {
                        person.accept(batch, now_us);
                    }
                }
            }
            Event::Deleted { user, metric } => self.forget(*user, *metric),
        }
    }

    /// Makes a metric of a user, or all of them, unknown.
    pub(crate) fn forget(&self, user: UserId, metric: Option<MetricId>) {
        let Some(mut shard) = self.shard(user) else { return };
        match metric {
            Some(metric) => {
                if let Some(person) = shard.person(user) {
                    person.forget(metric);
                }
            }
            None => {
                if let Some(at) = shard.index.get(&user).copied() {
                    shard.remove(at);
                }
            }
        }
    }

    /// Memory in use, bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes).sum()
    }
}

#[cfg(test)]
mod tests;
