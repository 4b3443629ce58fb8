//! Answers as bytes.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod parquet;
pub(crate) mod table;
