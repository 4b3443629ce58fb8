//! A run's rows into the column chunks of a Parquet row group.
//!
//! The Parquet crate's own column writers look at every row of every column, hash each text, and make a compressor for
//! each column. A run is sorted by user and came in requests, so that five of its seven columns are a few runs of equal
//! values: here a run costs the same however long it is, and one compressor serves all. The pages are ordinary ones; the
//! crate's own reader reads them, and so does every other. Every page is a frame of zstd with a checksum of its content,
//! so that a flipped bit is never read as somebody's value, nor as somebody else's.
//!
//! ```text
//! rows ─▶ page under construction ─▶ seven pages ─▶ column chunks ─▶ row group
//!         (times, values, runs)      (delta, dictionary keys, hybrid; zstd)
//! ```
//!
//! Not here: where a page or a row group ends, what is in the footer beside the columns.

mod chunk;
mod delta;
mod dictionary;
mod hybrid;
mod text;
mod value;

use std::io::Write;
use std::ops::Range;

use parquet::basic::{BoundaryOrder, Encoding};
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use zstd::bulk::Compressor;

use self::chunk::{Chunk, Dictionary};
use self::dictionary::Numbers;
use self::hybrid::{Hybrid, width_of};
use self::text::TextColumn;
use self::value::ValueColumn;
use crate::run::Rows;
use crate::schema::{ACCEPTED_AT, CORRECTED, RECORDED_AT, SOURCE, SOURCE_DEVICE_ID, USER_ID, VALUE};

/// How many different values a row group seems to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Few: keys of a dictionary.
    Few,
    /// Many: their bytes, split into streams.
    Many,
}

/// The row group under construction.
pub(super) struct RowGroup {
    user: TextColumn,
    time: TimeColumn,
    value: ValueColumn,
    source: TextColumn,
    device: TextColumn,
    accepted: AcceptedColumn,
    corrected: CorrectedColumn,
    page_rows: usize,
    rows: usize,
    body: Vec<u8>,
}

impl RowGroup {
    /// An empty one; `None` if the schema is not that of a run.
    pub(super) fn new(schema: &SchemaDescriptor, values: Values) -> Option<Self> {
        let column = |nth: usize| schema.columns().get(nth).cloned();
        Some(Self {
            user: TextColumn::new(column(USER_ID)?, Some(BoundaryOrder::ASCENDING)),
            time: TimeColumn::new(column(RECORDED_AT)?),
            value: ValueColumn::new(column(VALUE)?, values),
            source: TextColumn::new(column(SOURCE)?, None),
            device: TextColumn::new(column(SOURCE_DEVICE_ID)?, None),
            accepted: AcceptedColumn::new(column(ACCEPTED_AT)?),
            corrected: CorrectedColumn::new(column(CORRECTED)?),
            page_rows: 0,
            rows: 0,
            body: Vec::new(),
        })
    }

    /// Rows in the page under construction.
    pub(super) fn page_rows(&self) -> usize {
        self.page_rows
    }

    /// Rows, those of the page under construction included.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Length of the longest dictionary.
    pub(super) fn dictionary_bytes(&self) -> usize {
        let texts = [&self.user, &self.source, &self.device].map(TextColumn::dictionary_bytes);
        let numbers = self.value.dictionary_bytes().max(self.accepted.dictionary.bytes());
        texts.into_iter().fold(numbers, usize::max)
    }

    /// Bytes of the pages that are done.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.user, &self.source, &self.device].map(|column| column.chunk.bytes());
        let others =
            [&self.time.chunk, &self.value.chunk, &self.accepted.chunk, &self.corrected.chunk].map(Chunk::bytes);
        texts.iter().chain(&others).sum()
    }

    /// Appends rows to the page.
    pub(super) fn push(&mut self, rows: &Rows, range: Range<usize>) {
        self.user.push(rows.keys().users(), range.clone());
        self.time.push(rows.keys().times().get(range.clone()).unwrap_or_default());
        self.value.push(rows.values().get(range.clone()).unwrap_or_default());
        self.source.push(rows.source(), range.clone());
        self.device.push(rows.device(), range.clone());
        if let Some((accepted, corrected)) = rows.acceptance() {
            self.accepted.push(accepted.get(range.clone()).unwrap_or_default());
            for (start, end) in corrected.slice(range.start, range.len()).set_slices() {
                self.corrected.set(self.page_rows + start..self.page_rows + end);
            }
        }
        self.page_rows += range.len();
        self.rows += range.len();
    }

    /// Ends the page in all columns.
    ///
    /// # Errors
    /// Compression, which would be a defect.
    pub(super) fn end_page(&mut self, compressor: &mut Compressor<'_>) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.page_rows);
        if rows == 0 {
            return Ok(());
        }
        self.user.end_page(compressor, &mut self.body)?;
        self.time.end_page(compressor, &mut self.body)?;
        self.value.end_page(compressor, &mut self.body)?;
        self.source.end_page(compressor, &mut self.body)?;
        self.device.end_page(compressor, &mut self.body)?;
        self.accepted.end_page(compressor, &mut self.body)?;
        self.corrected.end_page(compressor, rows, &mut self.body)
    }

    /// Ends the page and the row group, and appends it to a file.
    ///
    /// # Errors
    /// The writer's, or a column chunk of 2 GiB.
    pub(super) fn finish<W: Write + Send>(
        mut self,
        compressor: &mut Compressor<'_>,
        writer: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        self.end_page(compressor)?;
        let mut group = writer.next_row_group()?;
        let chunks = [
            self.user.close(compressor)?,
            self.time.close(compressor)?,
            self.value.close(compressor)?,
            self.source.close(compressor)?,
            self.device.close(compressor)?,
            self.accepted.close(compressor)?,
            self.corrected.chunk.close(compressor, None, None)?,
        ];
        for (bytes, closed) in chunks {
            group.append_column(&bytes, closed)?;
        }
        group.close()?;
        Ok(())
    }
}

type Closed = Result<(bytes::Bytes, parquet::column::writer::ColumnCloseResult), ParquetError>;

/// `recorded_at`: differences.
struct TimeColumn {
    chunk: Chunk,
    page: Vec<i64>,
    bounds: (i64, i64),
}

impl TimeColumn {
    fn new(descr: ColumnDescPtr) -> Self {
        let order = Some(BoundaryOrder::UNORDERED);
        Self {
            chunk: Chunk::new(descr, Encoding::DELTA_BINARY_PACKED, order),
            page: Vec::new(),
            bounds: (i64::MAX, i64::MIN),
        }
    }

    fn push(&mut self, times: &[i64]) {
        self.page.extend_from_slice(times);
    }

    fn end_page(&mut self, compressor: &mut Compressor<'_>, body: &mut Vec<u8>) -> Result<(), ParquetError> {
        body.clear();
        delta::encode(&self.page, body);
        let (least, greatest) = bounds_of(&self.page);
        self.bounds = (self.bounds.0.min(least), self.bounds.1.max(greatest));
        let bounds = (least.to_le_bytes().to_vec(), greatest.to_le_bytes().to_vec());
        self.chunk.push(compressor, body, self.page.len(), Some(bounds))?;
        self.page.clear();
        Ok(())
    }

    fn close(self, compressor: &mut Compressor<'_>) -> Closed {
        self.chunk.close(compressor, None, Some(int64(self.bounds)))
    }
}

/// `accepted_at`: keys of a dictionary, in runs.
struct AcceptedColumn {
    chunk: Chunk,
    dictionary: Numbers,
    page: Vec<(u32, usize)>,
    last: Option<i64>,
    bounds: (i64, i64),
}

impl AcceptedColumn {
    fn new(descr: ColumnDescPtr) -> Self {
        Self {
            chunk: Chunk::new(descr, Encoding::RLE_DICTIONARY, None),
            dictionary: Numbers::default(),
            page: Vec::new(),
            last: None,
            bounds: (i64::MAX, i64::MIN),
        }
    }

    fn push(&mut self, times: &[i64]) {
        for run in times.chunk_by(|a, b| a == b) {
            let Some(first) = run.first() else { continue };
            match self.page.last_mut() {
                Some((_, count)) if self.last == Some(*first) => *count += run.len(),
                _ => self.page.push((self.dictionary.key(first.cast_unsigned()), run.len())),
            }
            self.last = Some(*first);
            self.bounds = (self.bounds.0.min(*first), self.bounds.1.max(*first));
        }
    }

    fn end_page(&mut self, compressor: &mut Compressor<'_>, body: &mut Vec<u8>) -> Result<(), ParquetError> {
        body.clear();
        let rows = encode_keys(&self.page, body);
        self.chunk.push(compressor, body, rows, None)?;
        self.page.clear();
        Ok(())
    }

    fn close(self, compressor: &mut Compressor<'_>) -> Closed {
        let plain = self.dictionary.plain();
        let dictionary = Dictionary { plain: &plain, len: self.dictionary.len() };
        self.chunk.close(compressor, Some(dictionary), Some(int64(self.bounds)))
    }
}

/// `corrected`: nearly always unset.
struct CorrectedColumn {
    chunk: Chunk,
    /// Rows of the page that are set: ascending, none empty.
    set: Vec<Range<usize>>,
}

impl CorrectedColumn {
    fn new(descr: ColumnDescPtr) -> Self {
        Self { chunk: Chunk::new(descr, Encoding::RLE, None), set: Vec::new() }
    }

    fn set(&mut self, rows: Range<usize>) {
        self.set.push(rows);
    }

    fn end_page(
        &mut self,
        compressor: &mut Compressor<'_>,
        rows: usize,
        body: &mut Vec<u8>,
    ) -> Result<(), ParquetError> {
        body.clear();
        prefixed(body, |body| {
            let mut bits = Hybrid::new(body, 1);
            let mut row = 0;
            for set in self.set.drain(..) {
                bits.push(0, set.start - row);
                bits.push(1, set.len());
                row = set.end;
            }
            bits.push(0, rows - row);
            bits.finish();
        });
        self.chunk.push(compressor, body, rows, None)
    }
}

/// Appends dictionary keys that come in runs: a byte of width, then the hybrid. The number of rows.
fn encode_keys(runs: &[(u32, usize)], body: &mut Vec<u8>) -> usize {
    let width = width_of(runs.iter().map(|(key, _)| *key).max().unwrap_or_default());
    // A width is at most 32.
    body.push(u8::try_from(width).unwrap_or_default());
    let mut hybrid = Hybrid::new(body, width);
    for (key, count) in runs {
        hybrid.push(*key, *count);
    }
    hybrid.finish();
    runs.iter().map(|(_, count)| count).sum()
}

/// Appends what `write` appends, its length in four bytes before it.
fn prefixed(body: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = body.len();
    body.extend([0; 4]);
    write(body);
    // A page is far below 4 GiB.
    let len = u32::try_from(body.len() - start - 4).unwrap_or_default();
    if let Some(prefix) = body.get_mut(start..start + 4) {
        prefix.copy_from_slice(&len.to_le_bytes());
    }
}

fn bounds_of(values: &[i64]) -> (i64, i64) {
    values.iter().fold((i64::MAX, i64::MIN), |(least, greatest), value| (least.min(*value), greatest.max(*value)))
}

fn int64((least, greatest): (i64, i64)) -> Statistics {
    Statistics::Int64(ValueStatistics::new(Some(least), Some(greatest), None, Some(0), false))
}

#[cfg(test)]
mod tests;
