//! What can go wrong with a question or a body, located where it can be.

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong, and [`Error::Invalid`] or [`Error::Statement`] says where: 422.
    Invalid,
    /// The thing asked for does not exist (a metric): 404 or 422, as the place in the request says.
    Unknown,
    /// Try again in a moment: 503.
    Overloaded,
    /// No room on the disk: 507.
    Full,
    /// A query hit its bound: 413 or 504.
    Budget,
    /// The storage takes nothing more: 503, not ready.
    Unavailable,
    /// Anything else: 500, logged.
    Internal,
}

/// One step of the way to a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loc {
    /// A field's name.
    Key(&'static str),
    /// An array index, or a byte offset behind `body` where the JSON itself is malformed.
    Index(usize),
}

/// What sort of fault, as the API's `type` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `value_error`: right type, impossible value.
    Value,
    /// `missing`: a required field is not there.
    Missing,
    /// `type_error`: another JSON type.
    Type,
    /// `json_invalid`: not JSON at all.
    Json,
}

impl FaultKind {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value_error",
            Self::Missing => "missing",
            Self::Type => "type_error",
            Self::Json => "json_invalid",
        }
    }
}

/// Most faults that one answer lists.
pub const FAULTS_MAX: usize = 20;

/// One located fault of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The way to it, e.g. `["body", "data_points", 3, "value"]` or `["query", "days"]`.
    pub loc: Vec<Loc>,
    /// What is wrong, for people.
    pub msg: std::borrow::Cow<'static, str>,
    /// Its sort.
    pub kind: FaultKind,
}

/// A bound of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Its run took too long.
    Time,
    /// Its text, its rows or its memory were too much.
    Size,
}

/// Where in a statement something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Somewhere.
    Text,
    /// At this byte of its text.
    Byte(usize),
    /// In the parameter of this number, the first being 0.
    Param(usize),
}

/// An error of the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input has faults: 1 to [`FAULTS_MAX`] of them.
    #[error("the input has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// The storage refused.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// No such metric.
    #[error("unknown metric `{0}`")]
    UnknownMetric(String),
    /// A catalogue entry in the configuration is wrong.
    #[error("metric `{key}`: {what}")]
    Catalogue {
        /// The metric's key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A query hit its bound.
    #[error("the query hit its bound: {what}")]
    Budget {
        /// Which one.
        bound: Bound,
        /// The same with its value and unit.
        what: String,
    },
    /// SQL that cannot be answered: the planner's words, or those of a row that an expression failed at.
    #[error("{msg}")]
    Statement {
        /// What is wrong.
        msg: String,
        /// Where.
        place: Place,
    },
    /// A Parquet file could not be made or written.
    #[error("write Parquet: {0}")]
    Parquet(std::sync::Arc<parquet::errors::ParquetError>),
    /// DataFusion refused or failed.
    #[error("query: {0}")]
    Query(std::sync::Arc<datafusion::error::DataFusionError>),
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Statement { .. } => ErrorKind::Invalid,
            Self::UnknownMetric(_) => ErrorKind::Unknown,
            Self::Budget { .. } => ErrorKind::Budget,
            Self::Catalogue { .. } | Self::Parquet(_) | Self::Query(_) => ErrorKind::Internal,
            Self::Storage(error) => match error.kind() {
                storage::ErrorKind::Overloaded => ErrorKind::Overloaded,
                storage::ErrorKind::Full => ErrorKind::Full,
                storage::ErrorKind::Poisoned | storage::ErrorKind::Closed | storage::ErrorKind::Fenced => {
                    ErrorKind::Unavailable
                }
                _ => ErrorKind::Internal,
            },
        }
    }
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
