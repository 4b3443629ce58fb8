//! `{"columns":[{"name":"day","type":"date"}],"rows":[["2026-06-01"]],"row_count":1}`
//!
//! `row_count` is the end: a document without it is a part of one, and says by `error` why.

use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cells::Cells;
use crate::number;
use crate::render::json::write_string;

/// A document on its way.
pub(crate) struct Document {
    out: Vec<u8>,
    row_count: u64,
}

impl Document {
    /// Writes what stands before the rows.
    pub(super) fn begin(schema: &Schema) -> Self {
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(b"{\"columns\":[");
        for (nth, field) in schema.fields().iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            write_string(field.name(), &mut out);
            out.extend_from_slice(b",\"type\":\"");
            out.extend_from_slice(type_name(field.data_type()).as_bytes());
            out.extend_from_slice(b"\"}");
        }
        out.extend_from_slice(b"],\"rows\":[");
        Self { out, row_count: 0 }
    }

    /// Writes the rows of a batch.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut columns = batch.columns().iter().map(Cells::of).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            self.out.extend_from_slice(if self.row_count == 0 { b"[" } else { b",[" });
            for (nth, column) in columns.iter_mut().enumerate() {
                if nth > 0 {
                    self.out.push(b',');
                }
                column.write(row, &mut self.out);
            }
            self.out.push(b']');
            self.row_count += 1;
        }
        Ok(())
    }

    /// What is written.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Writes what stands behind the rows.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"],\"row_count\":");
        number::write_u64(self.row_count, &mut self.out);
        self.out.push(b'}');
        self.out
    }
}

/// Stands behind the rows of a document that has no end: `],"error":{"status":413,"detail":"…"}}`.
pub(super) fn last_words(status: u16, detail: &str) -> Vec<u8> {
    let mut out = b"],\"error\":{\"status\":".to_vec();
    number::write_u64(u64::from(status), &mut out);
    out.extend_from_slice(b",\"detail\":");
    write_string(detail, &mut out);
    out.extend_from_slice(b"}}");
    out
}

/// A type in a word.
fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        data_type if data_type.is_integer() => "integer",
        data_type if data_type.is_floating() || data_type.is_decimal() => "number",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "list",
        DataType::Struct(_) | DataType::Map(..) => "object",
        _ => "text",
    }
}
