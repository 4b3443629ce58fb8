//! Every budget and age of the storage, with its unit in the name.

use std::time::Duration;

use crate::error::{Error, Result};

/// Longest wait of a deletion before it is made physical: a day, less an hour for the work and for the last snapshot that
/// may see the files before.
const TOMBSTONE_AGE_LIMIT: Duration = Duration::from_hours(23);

/// Budgets and ages. `Default` is what the documentation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    /// Size of one log file, preallocated. A group that does not fit begins the next file.
    pub log_file_bytes: u64,
    /// Bytes of batches that may wait for the log; more is refused as overloaded.
    pub queue_bytes_max: usize,
    /// Memory of points that are in the log but not in Parquet yet (memtable and segments); more is refused.
    pub memtable_bytes_max: usize,
    /// The memtable is sealed when it holds this much; at most half of `memtable_bytes_max`.
    pub seal_bytes: usize,
    /// The memtable is sealed when its oldest point has been in it this long.
    pub seal_age: Duration,
    /// Level-0 files of one metric that set a compaction off.
    pub level0_files: usize,
    /// A level-1 run above this size is split by user.
    pub level1_file_bytes: u64,
    /// Overlapping level-1 runs of one metric and month that set a merge off.
    pub level1_runs: usize,
    /// Longest life of a snapshot; an older one ends with an error at its next read.
    pub snapshot_age_max: Duration,
    /// Latest moment at which a tombstone is applied physically, counted from the deletion.
    pub tombstone_age_max: Duration,
    /// Cached Parquet footers and page indexes, bytes.
    pub footer_cache_bytes: usize,
    /// Whether threads flush and compact by size and age. Off in tests that call `flush` and `compact` themselves.
    pub background: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            log_file_bytes: 64 << 20,
            queue_bytes_max: 32 << 20,
            memtable_bytes_max: 192 << 20,
            seal_bytes: 64 << 20,
            seal_age: Duration::from_mins(10),
            level0_files: 8,
            level1_file_bytes: 128 << 20,
            level1_runs: 4,
            snapshot_age_max: Duration::from_mins(15),
            tombstone_age_max: Duration::from_hours(12),
            footer_cache_bytes: 64 << 20,
            background: true,
        }
    }
}

impl StorageConfig {
    /// Checks every budget against its bounds.
    ///
    /// # Errors
    /// [`Error::Config`] names the first setting that is out of bounds.
    pub fn checked(self) -> Result<Self> {
        let fail = |key, what| Err(Error::Config { key, what });
        if !(1 << 16..=1 << 32).contains(&self.log_file_bytes) {
            return fail("log_file_bytes", "must be between 64 KiB and 4 GiB");
        }
        if self.queue_bytes_max < 1 << 16 {
            return fail("queue_bytes_max", "must be at least 64 KiB");
        }
        if self.seal_bytes < 1 << 12 || self.seal_bytes > self.memtable_bytes_max / 2 {
            return fail("seal_bytes", "must be at least 4 KiB and at most half of memtable_bytes_max");
        }
        if self.seal_age.is_zero() {
            return fail("seal_age", "must be more than nothing");
        }
        if self.level0_files < 2 {
            return fail("level0_files", "must be at least 2");
        }
        if self.level1_runs < 2 {
            return fail("level1_runs", "must be at least 2");
        }
        if self.level1_file_bytes < 1 << 16 {
            return fail("level1_file_bytes", "must be at least 64 KiB");
        }
        if self.tombstone_age_max > TOMBSTONE_AGE_LIMIT {
            return fail(
                "tombstone_age_max",
                "must be at most 23 hours: who is erased was promised a day, and the work takes time",
            );
        }
        Ok(self)
    }
}
