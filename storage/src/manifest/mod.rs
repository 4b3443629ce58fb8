//! Which files exist: the truth, one numbered object per version.
//!
//! A [`Version`] is immutable; an [`Edit`] makes the next one. What a version names is durable before the version is.

pub(crate) mod codec;
pub(crate) mod index;
pub(crate) mod invariants;
pub(crate) mod store;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::point::{Seq, TimeRange, UserId};

/// Length of a digest of the erasure ledger: SHA-256.
pub const DIGEST_BYTES: usize = 32;

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Written by a flush: one file per metric and flush, any months, ranges overlap; newer over older.
    Zero,
    /// Written by compaction: one month (months since 1970, UTC) of one metric.
    One {
        /// Months since January 1970.
        month: i32,
    },
}

/// A live Parquet file: one sorted run (or a slice by user of one) of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Number of the file, unique for ever in this data directory, part of its path.
    pub id: u64,
    /// Path in the object store, e.g. `points/metric=heart_rate/month=2026-06/1-500000-7.parquet`.
    pub path: String,
    /// The metric's key.
    pub metric: String,
    /// Its level.
    pub level: Level,
    /// Rows, never 0.
    pub rows: u64,
    /// Length, bytes.
    pub bytes: u64,
    /// Smallest seq that went into it (inclusive).
    pub first_seq: Seq,
    /// Largest seq that went into it (inclusive). Runs of a metric never overlap in seqs; the greater displaces.
    pub last_seq: Seq,
    /// Number of the manifest version whose tombstones were all applied when the file was written; later ones may
    /// apply to it still.
    pub clean_through: u64,
    /// Smallest user in it.
    pub user_min: UserId,
    /// Largest user in it (inclusive).
    pub user_max: UserId,
    /// Earliest time in it, microseconds UTC.
    pub time_min: i64,
    /// Latest time in it (inclusive), microseconds UTC.
    pub time_max: i64,
    /// Latest `accepted_at` in it, milliseconds UTC.
    pub accepted_max_ms: i64,
}

/// What a tombstone covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One user's points of one metric in a range of time.
    Range {
        /// Whose.
        user: UserId,
        /// The metric's key.
        metric: String,
        /// Which times.
        times: TimeRange,
    },
    /// Everything of a user.
    User(UserId),
}

impl Scope {
    /// Whose points it covers.
    pub fn user(&self) -> UserId {
        match self {
            Self::Range { user, .. } | Self::User(user) => *user,
        }
    }
}

/// A deletion that may not be physical everywhere yet: covers all points with a seq of at most `seq` (a user's: all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The cut that the deletion made: points with a greater seq came later.
    pub seq: Seq,
    /// Number of the manifest version that brought it.
    pub version: u64,
    /// What it covers.
    pub scope: Scope,
    /// When it was made, milliseconds UTC.
    pub created_ms: i64,
}

impl Tombstone {
    /// Whether a file may still hold points that this covers.
    pub fn covers(&self, file: &FileMeta) -> bool {
        self.version > file.clean_through
            && match &self.scope {
                Scope::User(user) => file.user_min <= *user && *user <= file.user_max,
                Scope::Range { user, metric, times } => {
                    self.seq >= file.last_seq
                        && *metric == file.metric
                        && file.user_min <= *user
                        && *user <= file.user_max
                        && times.overlaps(file.time_min, file.time_max)
                }
            }
    }
}

/// One version of the truth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// Its number: 1 for the first.
    pub number: u64,
    /// Number of the next file to be made.
    pub next_file_id: u64,
    /// Everything up to this seq is in Parquet; the log is replayed after it.
    pub watermark: Seq,
    /// Latest `accepted_at` of anything up to the watermark, milliseconds UTC.
    pub accepted_max_ms: i64,
    /// Digest of the erasure ledger's entries that were applied to these files; zeros if there were none. Another
    /// digest than the ledger's says that people in it may stand in the files: after a restore, or a crash.
    pub erased: [u8; DIGEST_BYTES],
    /// The live files, oldest first (by `last_seq`, then id).
    pub files: Vec<FileMeta>,
    /// The deletions that are not physical everywhere, oldest first.
    pub tombstones: Vec<Tombstone>,
}

/// A change from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// Files that come, durable already.
    pub add: Vec<FileMeta>,
    /// Ids of files that go.
    pub remove: Vec<u64>,
    /// The new watermark, with the latest `accepted_at` up to it.
    pub watermark: Option<(Seq, i64)>,
    /// Deletions that come.
    pub add_tombstones: Vec<Tombstone>,
    /// Deletions that are physical now, or contained in one that comes; in the version's order.
    pub drop_tombstones: Vec<Tombstone>,
    /// The new `next_file_id`, where files were numbered.
    pub next_file_id: Option<u64>,
    /// The new digest of the ledger, where people were erased.
    pub erased: Option<[u8; DIGEST_BYTES]>,
}

impl Version {
    /// The next version. Files are in order again, and the tombstones that come get its number.
    ///
    /// # Errors
    /// [`Error::Invariant`] if the edit removes what is not there or the result would break an invariant of
    /// [`invariants`]: a defect of the caller, found before anything is written.
    pub(crate) fn apply(&self, edit: &Edit) -> Result<Self> {
        let mut next = self.clone();
        next.number = self.number.saturating_add(1);
        let fail = |what| Err(Error::Invariant { version: next.number, what });
        let removed: BTreeSet<u64> = edit.remove.iter().copied().collect();
        next.files.retain(|file| !removed.contains(&file.id));
        if next.files.len() + removed.len() != self.files.len() {
            return fail("a file is removed that is not there");
        }
        next.files.extend(edit.add.iter().cloned());
        next.files.sort_by_key(FileMeta::age);
        let mut dropped = edit.drop_tombstones.iter().peekable();
        next.tombstones.retain(|tombstone| dropped.next_if_eq(&tombstone).is_none());
        if dropped.next().is_some() {
            return fail("a tombstone is dropped that is not there");
        }
        let number = next.number;
        next.tombstones.extend(edit.add_tombstones.iter().cloned().map(|mut tombstone| {
            tombstone.version = number;
            tombstone
        }));
        if let Some((watermark, accepted_max_ms)) = edit.watermark {
            (next.watermark, next.accepted_max_ms) = (watermark, accepted_max_ms);
        }
        if let Some(next_file_id) = edit.next_file_id {
            next.next_file_id = next_file_id;
        }
        if let Some(erased) = edit.erased {
            next.erased = erased;
        }
        invariants::check_step(self, &next)?;
        Ok(next)
    }

    /// Whether any file or deletion names a user of whom `is_meant` is true.
    pub(crate) fn names(&self, is_meant: impl Fn(UserId) -> bool) -> bool {
        self.files.iter().any(|file| is_meant(file.user_min) || is_meant(file.user_max))
            || self.tombstones.iter().any(|tombstone| is_meant(tombstone.scope.user()))
    }
}

impl FileMeta {
    /// What files are ordered by, oldest first.
    fn age(&self) -> (Seq, u64) {
        (self.last_seq, self.id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
