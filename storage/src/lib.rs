//! Bytes that survive: write-ahead log, memtable, segments, Parquet, manifest, compaction.
//!
//! ```text
//! append ─▶ queue ─▶ log thread: one frame per group ─▶ write ─▶ sync ─┬─▶ memtable ─ seal ─▶ segment ─ flush ─▶ Parquet level 0
//!                                                                    └─▶ ticket answers                     │ compaction
//! snapshot = manifest version + segments + memtable view, one Arc                                    Parquet level 1
//! ```
//!
//! What it guarantees: a point whose [`Ticket`] answered `Ok` is found by every later [`Snapshot`], across any crash
//! or loss of power, until it is deleted or displaced by a later point of the same identity. A point whose ticket
//! answered an error, or did not answer, is stored as a whole batch or not at all.
//!
//! Not here: HTTP, SQL, JSON, what a metric means, who may see what.

mod background;
pub mod clock;
mod compaction;
pub mod config;
mod cursor;
pub(crate) mod dedup;
pub mod disk;
mod ending;
mod erasure;
pub mod error;
pub mod event;
mod flush;
#[cfg(test)]
mod format_tests;
pub mod ledger;
pub mod manifest;
pub(crate) mod memtable;
pub(crate) mod merge;
pub mod metrics;
mod names;
pub(crate) mod parquet;
pub mod place;
pub mod point;
pub mod priority;
mod recovery;
mod retention;
pub(crate) mod run;
pub mod schema;
pub mod search;
pub(crate) mod segment;
pub mod selection;
#[cfg(any(test, feature = "sim"))]
pub mod simulation;
pub mod snapshot;
mod state;
pub mod store;
pub(crate) mod tombstone;
pub mod verify;
pub mod wal;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::config::StorageConfig;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::event::{Event, Observer};
pub use crate::metrics::Metrics;
pub use crate::place::Place;
pub use crate::point::{Accepted, Deletion, MetricId, Origins, Part, PointBatch, Seq, TimeRange, UserId};
pub use crate::recovery::lock;
pub use crate::selection::{Columns, PointStream, Selection, Users};
pub use crate::snapshot::Snapshot;
pub use crate::state::Health;
pub use crate::store::{Storage, Ticket};
