//! The shapes of `/query`, for the API description.

use serde_json::Value;
use utoipa::ToSchema;

/// One statement.
#[derive(Debug, ToSchema)]
pub struct NewQuery {
    /// One `SELECT` (or `WITH`, `EXPLAIN`, `DESCRIBE`), at most 65,536 bytes.
    #[schema(example = "SELECT metric, count(*) AS n FROM points GROUP BY metric", min_length = 1, max_length = 65536)]
    pub sql: String,
    /// The values of `$1`, `$2` … or of each `?`: strings, numbers, `true`, `false`, null. A string is a time in RFC 3339
    /// where the statement wants a time.
    #[schema(value_type = Option<Vec<Value>>, max_items = 1000)]
    pub params: Option<Vec<Value>>,
    /// How the answer is written.
    pub format: Option<TableFormat>,
}

/// How an answer is written.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// `{"columns","rows","row_count"}`
    Json,
    /// A line of names, then one a row.
    Csv,
    /// Arrow's IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// An answer in JSON.
#[derive(Debug, ToSchema)]
pub struct Table {
    /// In the order of the statement.
    pub columns: Vec<TableColumn>,
    /// A list for each row, a value for each column: times and dates as strings in UTC, numbers that are none as null.
    #[schema(value_type = Vec<Vec<Value>>)]
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are; it stands last, and only in an answer that is whole. One that is not has `error` in its
    /// place, with `status` and `detail`, and its connection breaks.
    #[schema(example = 1, minimum = 0)]
    pub row_count: u64,
}

/// A column.
#[derive(Debug, ToSchema)]
pub struct TableColumn {
    /// Its name.
    #[schema(example = "n")]
    pub name: String,
    /// `text`, `number`, `integer`, `boolean`, `timestamp`, `date`, `time`, `interval`, `list`, `object` or `null`.
    #[schema(example = "integer")]
    pub r#type: String,
}
