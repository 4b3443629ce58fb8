//! Meaning: which metrics there are, what a point must look like, what the newest value is, how a window is answered.
//!
//! ```text
//! body bytes ─▶ ingest (simd-json → columns, validated, canonical units) ─▶ storage::append ─▶ ticket
//! question   ─▶ query (an ExecutionPlan built from a snapshot) ─▶ Arrow batches ─▶ render ─▶ JSON bytes
//! ```
//!
//! Not here: HTTP, accounts, who may see what. The caller has decided whose points they are.

pub mod catalogue;
pub mod engine;
pub mod error;
pub mod export;
pub mod import;
pub mod ingest;
mod latest;
pub mod number;
pub mod observe;
pub mod query;
mod render;
pub mod time;

pub use crate::catalogue::Catalogue;
pub use crate::engine::{Engine, EngineConfig};
pub use crate::error::{Error, ErrorKind, Fault, FaultKind, Loc, Result};
pub use crate::export::{Export, Points, Series};
pub use crate::query::{Aggregate, BucketQuery, BucketWidth, JsonBody, WindowQuery};
pub use crate::render::json::points::{PointWriter, Style};
pub use crate::render::parquet::PointFile;
pub use crate::render::table::Format;
