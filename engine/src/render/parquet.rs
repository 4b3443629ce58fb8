//! One metric's points as a Parquet file that any reader opens, written without seeking.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::export::Series;
use crate::query::{malformed, window};

/// Rows of a row group, DuckDB's own measure. What is in memory at once is one of them, encoded: 1 to 2 MB.
const ROW_GROUP_ROWS: usize = 122_880;
/// Column that the rows are sorted by.
const RECORDED_AT: i32 = 3;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("metric", text(), false),
        Field::new("value", DataType::Float64, false),
        Field::new("unit", text(), true),
        Field::new("recorded_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("source", text(), false),
        Field::new("source_device_id", text(), true),
    ]))
});

/// A file on its way: columns `metric, value, unit, recorded_at, source, source_device_id`, sorted by the time.
pub struct PointFile<W: Write + Send> {
    writer: ArrowWriter<W>,
    /// The metric's key, alone in a dictionary.
    metric: ArrayRef,
    /// Its unit; nothing where it is not known.
    unit: ArrayRef,
}

impl<W: Write + Send> std::fmt::Debug for PointFile<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PointFile").field("bytes", &self.writer.bytes_written()).finish_non_exhaustive()
    }
}

impl<W: Write + Send> PointFile<W> {
    /// Begins a file of a metric's points.
    ///
    /// # Errors
    /// [`Error::Parquet`] with what `out` says.
    pub fn new(series: &Series, out: W) -> Result<Self> {
        // Readers take what the file itself says of its columns; Arrow's own words would make dictionaries of the texts.
        let options =
            ArrowWriterOptions::new().with_properties(properties().map_err(failed)?).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&SCHEMA), options).map_err(failed)?;
        let metric = Arc::new(StringArray::from_iter_values([&series.key]));
        let unit = Arc::new(StringArray::from_iter_values(series.unit.iter()));
        Ok(Self { writer, metric, unit })
    }

    /// Adds a batch of [`crate::Points`].
    ///
    /// # Errors
    /// [`Error::Parquet`]; a batch of another shape.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |place: usize| batch.columns().get(place).cloned().ok_or_else(|| malformed("batch of points"));
        let columns = vec![
            repeated(&self.metric, batch.num_rows())?,
            column(window::VALUE)?,
            repeated(&self.unit, batch.num_rows())?,
            column(window::RECORDED_AT)?,
            column(window::SOURCE)?,
            column(window::DEVICE)?,
        ];
        let rows = RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(|_| malformed("batch of points"))?;
        self.writer.write(&rows).map_err(failed)
    }

    /// Writes what is left, and the footer.
    ///
    /// # Errors
    /// [`Error::Parquet`].
    pub fn finish(self) -> Result<()> {
        self.writer.close().map(drop).map_err(failed)
    }
}

/// The one text of a dictionary in each row; null in each row of an empty one.
fn repeated(text: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    let keys = if text.is_empty() { Int32Array::new_null(rows) } else { Int32Array::from_value(0, rows) };
    let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(text));
    Ok(Arc::new(column.map_err(|_| malformed("text"))?))
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let recorded_at = || ColumnPath::from("recorded_at");
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("avycenna".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_column_dictionary_enabled(recorded_at(), false)
        .set_column_encoding(recorded_at(), Encoding::DELTA_BINARY_PACKED)
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: RECORDED_AT,
            descending: false,
            nulls_first: true,
        }]))
        .build())
}

fn failed(error: ParquetError) -> Error {
    Error::Parquet(Arc::new(error))
}
