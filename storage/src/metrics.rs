//! What the storage counts: every name once, exported by whoever has a Prometheus endpoint.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter or gauge.
#[derive(Debug)]
pub struct Metric {
    /// Prometheus name, base unit and `_total` for counters.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    value: AtomicU64,
}

impl Metric {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, is_counter: true, value: AtomicU64::new(0) }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, is_counter: false, value: AtomicU64::new(0) }
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, by: u64) {
        self.value.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: u64) {
        self.value.store(to, Ordering::Relaxed);
    }
}

macro_rules! metrics {
    ($($field:ident = $sort:ident($name:literal, $help:literal);)*) => {
        /// The storage's counters and gauges.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: Metric,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $($field: Metric::$sort($name, $help),)* }
            }
        }

        impl Metrics {
            /// All of them, in a fixed order.
            pub fn all(&self) -> Vec<&Metric> {
                vec![$(&self.$field),*]
            }
        }
    };
}

metrics! {
    points_accepted = counter("avycenna_points_accepted_total", "Points made durable.");
    batches_accepted = counter("avycenna_batches_accepted_total", "Batches (requests) made durable.");
    wal_groups = counter("avycenna_wal_groups_total", "Group commits: one write and one sync each.");
    wal_bytes = counter("avycenna_wal_written_bytes_total", "Bytes written to the log.");
    wal_group_micros = counter("avycenna_wal_group_microseconds_total", "Time spent to encode, write and sync groups.");
    memtable_bytes = gauge("avycenna_memtable_bytes", "Memory of points that are in the log but not in Parquet yet.");
    seals = counter("avycenna_seals_total", "Memtables sealed.");
    flushes = counter("avycenna_flushes_total", "Sealed memtables written to level 0.");
    flushed_points = counter("avycenna_flushed_points_total", "Points written to level 0.");
    flushed_bytes = counter("avycenna_flushed_bytes_total", "Bytes of Parquet written to level 0.");
    flush_micros = counter("avycenna_flush_microseconds_total", "Time spent in flushes.");
    compactions = counter("avycenna_compactions_total", "Compactions done.");
    compacted_points = counter("avycenna_compacted_points_total", "Points written by compactions.");
    compacted_bytes = counter("avycenna_compacted_bytes_total", "Bytes of Parquet written by compactions.");
    compaction_micros = counter("avycenna_compaction_microseconds_total", "Time spent in compactions.");
    files = gauge("avycenna_parquet_files", "Live Parquet files.");
    file_bytes = gauge("avycenna_parquet_bytes", "Bytes of live Parquet files.");
    tombstones = gauge("avycenna_tombstones", "Deletions that are not physical everywhere yet.");
    manifest_version = gauge("avycenna_manifest_version", "Number of the newest manifest version.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_counters_end_in_total() {
        let metrics = Metrics::default();
        let all = metrics.all();
        for (nth, metric) in all.iter().enumerate() {
            assert_eq!(metric.is_counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(all[..nth].iter().all(|before| before.name != metric.name), "{} twice", metric.name);
        }
    }
}
