//! The answer to SQL as a document: JSON, CSV, an Arrow stream or a Parquet file, each written in pieces.

mod cells;
mod json;

use arrow::csv::WriterBuilder;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

use self::json::Document;
use crate::error::{Error, Place, Result};

/// Rows of a row group of an answer: what is in memory before it leaves.
const ROW_GROUP_ROWS: usize = 1 << 16;
/// Times of CSV: RFC 3339 in UTC, a fraction where it is not zero.
const CSV_TIME: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `{"columns":[{"name","type"}],"rows":[[…]],"row_count":n}`
    Json,
    /// A line of names, then one a row; times as in JSON, nothing where there is no value.
    Csv,
    /// Arrow's IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Arrow, Self::Parquet];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// What stands behind the rows of an answer that could not go on, in place of its end; `None` for a format that
    /// has no words: without its end the answer cannot be taken for a whole one.
    ///
    /// JSON gets the member `error` and stays JSON; CSV a line of one field, which no number or time is.
    pub fn last_words(self, status: u16, detail: &str) -> Option<Bytes> {
        match self {
            Self::Json => Some(json::last_words(status, detail).into()),
            Self::Csv => Some(format!("\"error {status}: {}\"\n", detail.replace('"', "\"\"")).into()),
            Self::Arrow | Self::Parquet => None,
        }
    }
}

/// Writes one answer. What is written is taken away piece by piece.
pub(crate) enum Encoder {
    Json(Document),
    Csv { out: Vec<u8>, has_head: bool, schema: SchemaRef },
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl Encoder {
    /// Begins an answer with the columns of `schema`; `plain` is the same with texts as plain columns.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Statement`] for a type that the format does not have.
    pub(crate) fn new(format: Format, schema: &Schema, plain: &SchemaRef) -> Result<Self> {
        Ok(match format {
            Format::Json => Self::Json(Document::begin(schema)),
            Format::Csv => Self::Csv { out: Vec::new(), has_head: false, schema: Arc::clone(plain) },
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), plain);
                Self::Arrow(Box::new(writer.map_err(|error| refused(&error))?))
            }
            Format::Parquet => {
                let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(plain), Some(properties().map_err(failed)?));
                Self::Parquet(Box::new(writer.map_err(failed)?))
            }
        })
    }

    /// Whether batches must come with texts as plain columns.
    pub(crate) fn wants_plain(&self) -> bool {
        matches!(self, Self::Arrow(_) | Self::Parquet(_))
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn rows(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Json(document) => document.rows(batch).map_err(|error| refused(&error)),
            Self::Csv { out, has_head, .. } => {
                let mut writer = csv().with_header(!*has_head).build(out);
                *has_head = true;
                writer.write(batch).map_err(|error| refused(&error))
            }
            Self::Arrow(writer) => writer.write(batch).map_err(|error| refused(&error)),
            Self::Parquet(writer) => writer.write(batch).map_err(failed),
        }
    }

    /// What is written and was not taken yet, if it is at least so much; else nothing.
    pub(crate) fn take(&mut self, bytes_min: usize) -> Bytes {
        let out = match self {
            Self::Json(document) => document.out(),
            Self::Csv { out, .. } => out,
            Self::Arrow(writer) => writer.get_mut(),
            Self::Parquet(writer) => writer.inner_mut(),
        };
        if out.len() < bytes_min { Bytes::new() } else { std::mem::take(out).into() }
    }

    /// The end of the document, with what was not taken yet.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn finish(self) -> Result<Bytes> {
        Ok(match self {
            Self::Json(document) => document.finish().into(),
            Self::Csv { mut out, has_head, schema } => {
                if !has_head {
                    let nothing = RecordBatch::new_empty(schema);
                    csv().with_header(true).build(&mut out).write(&nothing).map_err(|error| refused(&error))?;
                }
                out.into()
            }
            Self::Arrow(writer) => writer.into_inner().map_err(|error| refused(&error))?.into(),
            Self::Parquet(writer) => writer.into_inner().map_err(failed)?.into(),
        })
    }
}

fn csv() -> WriterBuilder {
    WriterBuilder::new().with_timestamp_format(CSV_TIME.to_owned()).with_timestamp_tz_format(CSV_TIME.to_owned())
}

fn properties() -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_created_by("avycenna".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build())
}

/// A column of the statement's own making that the format has no words for.
fn refused(error: &ArrowError) -> Error {
    Error::Statement { msg: format!("the format cannot hold this answer: {error}"), place: Place::Text }
}

fn failed(error: ParquetError) -> Error {
    Error::Parquet(Arc::new(error))
}

#[cfg(test)]
mod tests;
