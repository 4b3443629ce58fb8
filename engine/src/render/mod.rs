//! Batches to the bytes of an answer.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod parquet;
