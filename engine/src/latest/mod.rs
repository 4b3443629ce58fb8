//! The newest value of each metric: kept in memory as it comes, scanned where memory does not know.
//!
//! ```text
//! log thread ─ observe ─▶ cache ◀─ look up ─ LatestExec ─▶ batch ─▶ JSON
//!                          ▲ put back          │ unknown
//!                          └───── scan ◀───────┘
//! ```
//!
//! "Newest" is by `recorded_at`; of equal times the one accepted last. Points later than now do not count until their
//! time has come.

pub(crate) mod cache;
pub(crate) mod plan;
pub(crate) mod scan;

pub(crate) use cache::LatestCache;
pub(crate) use plan::Latest;
