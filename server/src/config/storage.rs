//! `[storage]`: where the points are, and the memory they may take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::disk::Disk;
use storage::disk::real::RealDisk;
use storage::{Clock, Place, StorageConfig};

use super::Flaw;

/// The data directory and the budgets of storage and engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Everything of this server lives here. Made at the first start.
    pub data_dir: PathBuf,
    /// Folder of the ledger of erased people; `erased` in the data directory if not set. It must outlive backups.
    pub erasure_ledger: Option<PathBuf>,
    /// Size of one log file, bytes, preallocated.
    pub log_file_bytes: u64,
    /// Bytes of points that may wait for the log; beyond it the answer is 503.
    pub queue_bytes_max: usize,
    /// Memory of points that are not in Parquet yet, bytes; beyond it the answer is 503.
    pub memtable_bytes_max: usize,
    /// The memtable is sealed and flushed at this size, bytes; at most half of `memtable_bytes_max`.
    pub seal_bytes: usize,
    /// The memtable is sealed and flushed at this age, seconds.
    pub seal_age_s: u64,
    /// Level-0 files of one metric that set a compaction off.
    pub level0_files: usize,
    /// A level-1 file above this size is split by user, bytes.
    pub level1_file_bytes: u64,
    /// Overlapping level-1 runs of one metric and month that set a merge off.
    pub level1_runs: usize,
    /// Longest life of a reader's snapshot, seconds.
    pub snapshot_age_max_s: u64,
    /// Latest physical removal of deleted points, seconds after the deletion; at most 82,800 (23 hours).
    pub tombstone_age_max_s: u64,
    /// Cached Parquet footers and page indexes, bytes.
    pub footer_cache_bytes: usize,
    /// Memory of the last-value cache, bytes.
    pub latest_cache_bytes: usize,
    /// Memory of one SQL query, bytes.
    pub query_memory_bytes: usize,
    /// Longest run of one query, seconds.
    pub query_s: u64,
    /// Most rows of one SQL answer.
    pub query_rows_max: usize,
}

impl Default for Storage {
    fn default() -> Self {
        let budgets = StorageConfig::default();
        Self {
            data_dir: PathBuf::from("data"),
            erasure_ledger: None,
            log_file_bytes: budgets.log_file_bytes,
            queue_bytes_max: budgets.queue_bytes_max,
            memtable_bytes_max: budgets.memtable_bytes_max,
            seal_bytes: budgets.seal_bytes,
            seal_age_s: budgets.seal_age.as_secs(),
            level0_files: budgets.level0_files,
            level1_file_bytes: budgets.level1_file_bytes,
            level1_runs: budgets.level1_runs,
            snapshot_age_max_s: budgets.snapshot_age_max.as_secs(),
            tombstone_age_max_s: budgets.tombstone_age_max.as_secs(),
            footer_cache_bytes: budgets.footer_cache_bytes,
            latest_cache_bytes: 32 << 20,
            query_memory_bytes: 128 << 20,
            query_s: 30,
            query_rows_max: 1_000_000,
        }
    }
}

impl Storage {
    /// The storage's own budgets, as it takes them.
    pub fn budgets(&self) -> StorageConfig {
        StorageConfig {
            log_file_bytes: self.log_file_bytes,
            queue_bytes_max: self.queue_bytes_max,
            memtable_bytes_max: self.memtable_bytes_max,
            seal_bytes: self.seal_bytes,
            seal_age: Duration::from_secs(self.seal_age_s),
            level0_files: self.level0_files,
            level1_file_bytes: self.level1_file_bytes,
            level1_runs: self.level1_runs,
            snapshot_age_max: Duration::from_secs(self.snapshot_age_max_s),
            tombstone_age_max: Duration::from_secs(self.tombstone_age_max_s),
            footer_cache_bytes: self.footer_cache_bytes,
            ..StorageConfig::default()
        }
    }

    /// Where the points are, on the local disk; makes the folders.
    ///
    /// # Errors
    /// The operating system's.
    pub fn place(&self, clock: Arc<dyn Clock>) -> std::io::Result<Place> {
        let disk = Arc::new(RealDisk::open(&self.data_dir)?);
        let ledger = match &self.erasure_ledger {
            Some(folder) => Some(Arc::new(RealDisk::open(folder)?) as Arc<dyn Disk>),
            None => None,
        };
        Ok(Place { disk, objects: None, ledger, clock })
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(Flaw::new("data_dir", "must not be empty"));
        }
        if self.erasure_ledger.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            return Err(Flaw::new("erasure_ledger", "must not be empty"));
        }
        match self.budgets().checked() {
            Ok(_) => {}
            Err(storage::Error::Config { key, what }) => return Err(Flaw::new(setting_of(key), what)),
            Err(other) => return Err(Flaw::new("data_dir", other.to_string())),
        }
        if self.snapshot_age_max_s == 0 {
            return Err(Flaw::new("snapshot_age_max_s", "must be at least 1"));
        }
        if self.query_s == 0 {
            return Err(Flaw::new("query_s", "must be at least 1"));
        }
        if self.query_rows_max == 0 {
            return Err(Flaw::new("query_rows_max", "must be at least 1"));
        }
        if self.query_memory_bytes < 1 << 20 {
            return Err(Flaw::new("query_memory_bytes", "must be at least 1048576 (1 MiB)"));
        }
        Ok(())
    }
}

/// The storage's word for a budget, as the configuration spells it: ages carry their unit.
fn setting_of(key: &'static str) -> &'static str {
    match key {
        "seal_age" => "seal_age_s",
        "snapshot_age_max" => "snapshot_age_max_s",
        "tombstone_age_max" => "tombstone_age_max_s",
        other => other,
    }
}
