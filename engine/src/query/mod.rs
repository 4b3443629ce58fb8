//! Questions and their answers.
//!
//! The questions of the API have plans of one node each, built straight from a snapshot and executed by DataFusion
//! ([`window`], [`bucket`], `latest`): planning would cost more than their work. SQL goes through the planner ([`sql`]).

pub(crate) mod bucket;
pub mod budget;
pub(crate) mod cursor;
pub(crate) mod leaf;
pub(crate) mod metrics;
pub mod sql;
pub(crate) mod window;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{Error, Result};

/// A JSON answer: whole, or as a stream when it is large.
pub enum JsonBody {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece; an error in the middle must break the connection, so that nobody takes the part for the whole.
    Stream(BoxStream<'static, Result<Bytes>>),
}

impl std::fmt::Debug for JsonBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Raw points of one metric in `[start, end)`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowQuery {
    /// The metric's key.
    pub metric: String,
    /// When measured, microseconds UTC.
    pub times: storage::TimeRange,
    /// Only this source.
    pub source: Option<String>,
    /// At most this many, 1 to 1,000,000; then `next_cursor` is there if more follow.
    pub limit: Option<usize>,
    /// Where the page before ended: its `next_cursor`.
    pub cursor: Option<String>,
}

/// One figure per bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Mean.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Sum.
    Sum,
    /// Number of points.
    Count,
    /// Value of the earliest point.
    First,
    /// Value of the latest point.
    Last,
    /// Median, linearly interpolated.
    P50,
    /// 95th percentile, linearly interpolated.
    P95,
    /// Sample standard deviation; absent with a single point.
    Stddev,
}

impl Aggregate {
    /// Every figure.
    pub const ALL: [Self; 10] = [
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Count,
        Self::First,
        Self::Last,
        Self::P50,
        Self::P95,
        Self::Stddev,
    ];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::First => "first",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Stddev => "stddev",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.as_str() == word)
    }
}

/// Width of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketWidth {
    /// 15 minutes.
    QuarterHour,
    /// One hour.
    Hour,
    /// A local day.
    Day,
    /// A local week, from Monday.
    Week,
    /// A local calendar month.
    Month,
}

impl BucketWidth {
    /// Every width.
    pub const ALL: [Self; 5] = [Self::QuarterHour, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "7d",
            Self::Month => "1mo",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|width| width.as_str() == word)
    }
}

/// Figures per bucket of one metric in `[start, end)`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketQuery {
    /// The metric's key.
    pub metric: String,
    /// When measured, microseconds UTC.
    pub times: storage::TimeRange,
    /// Only this source.
    pub source: Option<String>,
    /// How wide.
    pub width: BucketWidth,
    /// Which figures, in the order they are written.
    pub aggregates: Vec<Aggregate>,
    /// IANA name of the time zone, e.g. `Europe/Berlin`; `UTC` by default.
    pub tz: String,
}

/// The error for what the storage must never give: a bug, not an input.
pub(crate) fn malformed(what: &str) -> Error {
    Error::Query(std::sync::Arc::new(datafusion::error::DataFusionError::Internal(format!("unexpected {what}"))))
}
