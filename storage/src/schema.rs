//! The Arrow schema of a run of points: the only place that names a column.
//!
//! A run holds one metric, which is therefore no column. Its rows are sorted by [`SORT_KEY`]; no two rows have the
//! same key. The order of acceptance (`seq`) is no column either: inside a run there are no duplicates left, and
//! between runs the place decides (memtable over segment over level 0, newer over older, over level 1).

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of this schema, in every Parquet file's key-value metadata.
pub const SCHEMA_VERSION: u32 = 1;

/// Whose point it is: dictionary of 32-bit keys over UTF-8, 12 bytes each.
pub const USER_ID: usize = 0;
/// When it was measured: microseconds UTC.
pub const RECORDED_AT: usize = 1;
/// The value in the metric's canonical unit.
pub const VALUE: usize = 2;
/// The sender's name for where it comes from: dictionary.
pub const SOURCE: usize = 3;
/// The sender's device id, null where there is none: dictionary.
pub const SOURCE_DEVICE_ID: usize = 4;
/// When it was accepted: milliseconds UTC, the same for all points of one group commit.
pub const ACCEPTED_AT: usize = 5;
/// Whether the point displaced one of the same identity with a different value.
pub const CORRECTED: usize = 6;

/// The columns that a run is sorted by, in this order; nulls (no device) first.
pub const SORT_KEY: [usize; 4] = [USER_ID, RECORDED_AT, SOURCE, SOURCE_DEVICE_ID];

/// Number of columns.
pub(crate) const COLUMNS: usize = 7;

/// Type of the text columns.
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let utc: Arc<str> = "UTC".into();
    Arc::new(Schema::new(vec![
        Field::new("user_id", text_type(), false),
        Field::new("recorded_at", DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&utc))), false),
        Field::new("value", DataType::Float64, false),
        Field::new("source", text_type(), false),
        Field::new("source_device_id", text_type(), true),
        Field::new("accepted_at", DataType::Timestamp(TimeUnit::Millisecond, Some(utc)), false),
        Field::new("corrected", DataType::Boolean, false),
    ]))
});

/// The schema of a run.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
