//! Writes a sorted run as one Parquet file.

use std::collections::HashSet;
use std::fmt::Write as _;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::footer::{KEY_CHECKSUMS, key_values, row_group_range};
use super::guarded;
use crate::error::{Error, Result};
use crate::manifest::Level;
use crate::point::{Seq, UserId};
use crate::run::Keys;
use crate::schema::{ACCEPTED_AT, CORRECTED, RECORDED_AT, SORT_KEY, SOURCE, SOURCE_DEVICE_ID, USER_ID, VALUE, schema};
use crate::selection::PointStream;

/// How a file is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Rows of a page.
    pub(super) page_rows: usize,
    /// Rows of a row group.
    pub(super) row_group_rows: usize,
}

impl Shape {
    /// One person's month of heart rates (8,640) lies in at most two pages; a row group of twelve pages keeps the
    /// dictionary of users small.
    pub(super) const DEFAULT: Self = Self { page_rows: 10_240, row_group_rows: 12 * 10_240 };
    /// Rows that a column's writer takes at a time, after which it looks whether the page is full.
    const STEP_ROWS: usize = 1_024;
}

/// No page and no dictionary ends for its size: pages hold the same rows in every column.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Above this many distinct values among the first rows a dictionary costs more than it saves.
const DICTIONARY_VALUES_MAX: usize = 4_096;
/// Rows that the choice of encodings looks at.
const SAMPLE_ROWS: usize = 32_768;
/// From this many rows a user on, the columns that repeat with the user are so small that compressing them only costs:
/// each compressed column takes some 20 µs more to open.
const LONG_USER_ROWS: usize = 256;
/// Size of an upload's parts; a smaller file is put at once. S3 takes no part below 5 MiB but the last.
const PART_BYTES: usize = 8 << 20;
const CREATED_BY: &str = concat!("avycenna storage schema ", 1);

/// Which file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its path, not in use yet.
    pub(crate) path: String,
    /// The metric's key.
    pub(crate) metric: String,
    /// Its level, which also says how hard to compress.
    pub(crate) level: Level,
    /// Smallest seq that went into the run.
    pub(crate) first_seq: Seq,
    /// Largest seq that went into the run.
    pub(crate) last_seq: Seq,
}

/// What a file holds, for its [`crate::manifest::FileMeta`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Rows, never 0.
    pub(crate) rows: u64,
    /// Length, bytes.
    pub(crate) bytes: u64,
    /// Smallest user.
    pub(crate) user_min: UserId,
    /// Largest user.
    pub(crate) user_max: UserId,
    /// Earliest time, microseconds UTC.
    pub(crate) time_min: i64,
    /// Latest time, microseconds UTC.
    pub(crate) time_max: i64,
    /// Latest acceptance, milliseconds UTC.
    pub(crate) accepted_max_ms: i64,
}

/// A run on its way into one or more files.
pub(crate) struct Feed {
    stream: PointStream,
    returned: Option<RecordBatch>,
}

impl Feed {
    /// Of sorted batches with all columns.
    pub(crate) fn new(stream: PointStream) -> Self {
        Self { stream, returned: None }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.returned.take() {
            Some(batch) => Ok(Some(batch)),
            None => self.stream.next().await.transpose(),
        }
    }
}

/// Writes rows from a feed until it ends, or until the file has `bytes_max` bytes and the next user begins: then the
/// rest stays in the feed for the next file. `None` if the feed was at its end.
///
/// The object appears under its name whole or not at all. Memory: one row group and one part of the upload.
///
/// # Errors
/// What the feed gives; [`Error::Object`], [`Error::Full`]; [`Error::Batch`] if the rows are not sorted.
pub(crate) async fn write(
    store: &dyn ObjectStore,
    target: &Target,
    feed: &mut Feed,
    bytes_max: u64,
) -> Result<Option<Written>> {
    write_shaped(store, target, feed, bytes_max, Shape::DEFAULT).await
}

pub(super) async fn write_shaped(
    store: &dyn ObjectStore,
    target: &Target,
    feed: &mut Feed,
    bytes_max: u64,
    shape: Shape,
) -> Result<Option<Written>> {
    let mut upload = Upload::new(store, &target.path);
    let written = write_rows(&mut upload, target, feed, bytes_max, shape).await;
    match written {
        Ok(Some(mut written)) => {
            written.bytes = upload.complete().await?;
            Ok(Some(written))
        }
        Ok(None) => Ok(None),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn write_rows(
    upload: &mut Upload<'_>,
    target: &Target,
    feed: &mut Feed,
    bytes_max: u64,
    shape: Shape,
) -> Result<Option<Written>> {
    let first = loop {
        match feed.next().await? {
            Some(batch) if batch.num_rows() > 0 => break batch,
            Some(_) => {}
            None => return Ok(None),
        }
    };
    let mut encoder = Encoder::new(target, &first, shape)?;
    let mut next = Some(first);
    while let Some(batch) = next {
        let keys = Keys::of(&batch)?;
        if encoder.bounds.rows > 0 && encoder.bytes() >= bytes_max {
            let end = keys.rows_of(encoder.bounds.last_user.as_str()).end;
            if end < batch.num_rows() {
                feed.returned = Some(batch.slice(end, batch.num_rows() - end));
                if end > 0 {
                    let batch = batch.slice(0, end);
                    encoder.push(&batch, &Keys::of(&batch)?)?;
                }
                break;
            }
        }
        encoder.push(&batch, &keys)?;
        upload.push(encoder.drain()?).await?;
        next = feed.next().await?;
    }
    let (bytes, bounds) = encoder.finish()?;
    upload.push(bytes).await?;
    bounds.written().map(Some)
}

/// Encodes batches to the bytes of a file.
struct Encoder<'a> {
    path: &'a str,
    writer: ArrowWriter<Vec<u8>>,
    page_rows: usize,
    drained_bytes: u64,
    checksums: String,
    row_groups: usize,
    bounds: Bounds,
}

impl<'a> Encoder<'a> {
    fn new(target: &'a Target, first: &RecordBatch, shape: Shape) -> Result<Self> {
        let writer = guarded("write", &target.path, || {
            let options = ArrowWriterOptions::new()
                .with_properties(properties(target, &Traits::of(first), shape)?)
                .with_skip_arrow_metadata(true);
            ArrowWriter::try_new_with_options(Vec::new(), schema(), options)
        })?;
        Ok(Self {
            path: &target.path,
            writer,
            page_rows: shape.page_rows,
            drained_bytes: 0,
            checksums: String::new(),
            row_groups: 0,
            bounds: Bounds::default(),
        })
    }

    fn push(&mut self, batch: &RecordBatch, keys: &Keys) -> Result<()> {
        let mut rows_before = self.bounds.rows;
        self.bounds.add(batch, keys)?;
        let page_rows = self.page_rows.max(1);
        let mut start = 0;
        // A page ends where a write does: that, not the columns' own count, makes pages the same in all columns.
        while start < batch.num_rows() {
            let in_page = usize::try_from(rows_before % page_rows as u64).unwrap_or_default();
            let rows = (page_rows - in_page).min(batch.num_rows() - start);
            guarded("write", self.path, || self.writer.write(&batch.slice(start, rows)))?;
            start += rows;
            rows_before += rows as u64;
        }
        Ok(())
    }

    /// Bytes of the file so far, about.
    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// The bytes that are final since the last call: whole row groups.
    fn drain(&mut self) -> Result<Bytes> {
        if self.writer.flushed_row_groups().len() == self.row_groups {
            return Ok(Bytes::new());
        }
        let failed =
            |error: std::io::Error| Error::parquet("write", self.path, ParquetError::External(Box::new(error)));
        self.writer.sync().map_err(failed)?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        for row_group in self.writer.flushed_row_groups().iter().skip(self.row_groups) {
            let range = row_group_range(row_group).and_then(|range| {
                let start = usize::try_from(range.start.checked_sub(self.drained_bytes)?).ok()?;
                let end = usize::try_from(range.end.checked_sub(self.drained_bytes)?).ok()?;
                bytes.get(start..end)
            });
            let Some(range) = range else {
                return Err(Error::Batch { what: "a row group is not where it was written" });
            };
            // Writing to a string cannot fail.
            let _ = write!(self.checksums, "{:08x}", crc32c::crc32c(range));
        }
        self.row_groups = self.writer.flushed_row_groups().len();
        self.drained_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    fn finish(mut self) -> Result<(Bytes, Bounds)> {
        guarded("write", self.path, || self.writer.flush())?;
        let rows = self.drain()?;
        self.writer.append_key_value_metadata(KeyValue::new(KEY_CHECKSUMS.to_owned(), self.checksums.clone()));
        guarded("write", self.path, || self.writer.finish())?;
        let failed =
            |error: std::io::Error| Error::parquet("write", self.path, ParquetError::External(Box::new(error)));
        self.writer.sync().map_err(failed)?;
        let footer = std::mem::take(self.writer.inner_mut());
        Ok((Bytes::from([rows.as_ref(), footer.as_slice()].concat()), self.bounds))
    }
}

fn properties(target: &Target, traits: &Traits, shape: Shape) -> Result<WriterProperties, ParquetError> {
    let zstd_level = match target.level {
        Level::Zero => 1,
        Level::One { .. } => 3,
    };
    let column = |nth: usize| ColumnPath::from(schema().field(nth).name().as_str());
    let sorting = SORT_KEY.iter().filter_map(|nth| i32::try_from(*nth).ok());
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(key_values(&target.metric, target.level, (target.first_seq, target.last_seq))))
        .set_sorting_columns(Some(
            sorting.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true }).collect(),
        ))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_max_row_group_row_count(Some(shape.row_group_rows))
        .set_data_page_row_count_limit(shape.page_rows)
        .set_write_batch_size(shape.page_rows.min(Shape::STEP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(PAGE_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(column(USER_ID), EnabledStatistics::Page)
        .set_column_statistics_enabled(column(RECORDED_AT), EnabledStatistics::Page)
        .set_column_dictionary_enabled(column(RECORDED_AT), false)
        .set_column_encoding(column(RECORDED_AT), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column(CORRECTED), false)
        .set_column_encoding(column(CORRECTED), Encoding::RLE)
        .set_column_compression(column(CORRECTED), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(column(VALUE), EnabledStatistics::Chunk)
        .set_column_statistics_enabled(column(ACCEPTED_AT), EnabledStatistics::Chunk);
    if traits.has_long_users {
        for text in [USER_ID, SOURCE, SOURCE_DEVICE_ID] {
            properties = properties.set_column_compression(column(text), Compression::UNCOMPRESSED);
        }
    }
    if !traits.has_few_values {
        properties = properties
            .set_column_dictionary_enabled(column(VALUE), false)
            .set_column_encoding(column(VALUE), Encoding::BYTE_STREAM_SPLIT);
    }
    Ok(properties.build())
}

/// What a run's first rows say about the encodings that suit it.
#[derive(Debug)]
struct Traits {
    /// A dictionary of the values pays.
    has_few_values: bool,
    /// A user has many rows in a row.
    has_long_users: bool,
}

impl Traits {
    fn of(batch: &RecordBatch) -> Self {
        let rows = batch.num_rows().min(SAMPLE_ROWS);
        let values = batch.column_by_name("value").and_then(|values| values.as_primitive_opt::<Float64Type>());
        let values = values.and_then(|values| values.values().get(..rows)).unwrap_or_default();
        let distinct: HashSet<u64> = values.iter().map(|value| value.to_bits()).collect();
        let users = batch.column_by_name("user_id").and_then(|users| users.as_dictionary_opt::<Int32Type>());
        let users = users.and_then(|users| users.keys().values().get(..rows)).unwrap_or_default();
        Self {
            has_few_values: distinct.len() <= DICTIONARY_VALUES_MAX,
            has_long_users: users.chunk_by(|a, b| a == b).count() * LONG_USER_ROWS <= rows,
        }
    }
}

/// What is known of the rows so far.
#[derive(Debug)]
struct Bounds {
    rows: u64,
    first_user: String,
    last_user: String,
    last_time: i64,
    time_min: i64,
    time_max: i64,
    accepted_max_ms: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            rows: 0,
            first_user: String::new(),
            last_user: String::new(),
            last_time: i64::MIN,
            time_min: i64::MAX,
            time_max: i64::MIN,
            accepted_max_ms: i64::MIN,
        }
    }
}

impl Bounds {
    fn add(&mut self, batch: &RecordBatch, keys: &Keys) -> Result<()> {
        let (Some(first), Some(last)) = (keys.times().first(), keys.times().last()) else { return Ok(()) };
        let (first_user, last_user) = (keys.user(0), keys.user(keys.len() - 1));
        if (self.last_user.as_str(), self.last_time) > (first_user, *first) {
            return Err(Error::Batch { what: "a run is not sorted" });
        }
        if self.rows == 0 {
            first_user.clone_into(&mut self.first_user);
        }
        last_user.clone_into(&mut self.last_user);
        self.last_time = *last;
        self.rows += keys.len() as u64;
        for time in keys.times() {
            self.time_min = self.time_min.min(*time);
            self.time_max = self.time_max.max(*time);
        }
        let accepted = batch.column_by_name("accepted_at");
        let accepted = accepted.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let Some(accepted) = accepted else { return Err(Error::Batch { what: "no column of acceptance" }) };
        self.accepted_max_ms = accepted.values().iter().fold(self.accepted_max_ms, |max, ms| max.max(*ms));
        Ok(())
    }

    fn written(&self) -> Result<Written> {
        let users = UserId::parse(&self.first_user).zip(UserId::parse(&self.last_user));
        let Some((user_min, user_max)) = users else { return Err(Error::Batch { what: "a user id is malformed" }) };
        Ok(Written {
            rows: self.rows,
            bytes: 0,
            user_min,
            user_max,
            time_min: self.time_min,
            time_max: self.time_max,
            accepted_max_ms: self.accepted_max_ms,
        })
    }
}

/// Bytes on their way into an object: one put if they are few, parts if they are many.
struct Upload<'a> {
    store: &'a dyn ObjectStore,
    path: Path,
    buffer: Vec<u8>,
    bytes: u64,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl<'a> Upload<'a> {
    fn new(store: &'a dyn ObjectStore, path: &str) -> Self {
        Self { store, path: Path::from(path), buffer: Vec::new(), bytes: 0, parts: None }
    }

    async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= PART_BYTES {
            let rest = self.buffer.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.put_part(part).await?;
        }
        Ok(())
    }

    async fn put_part(&mut self, part: Vec<u8>) -> Result<()> {
        let failed = |source| Error::object("write", &self.path, source);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(self.store.put_multipart(&self.path).await.map_err(failed)?),
        };
        parts.put_part(PutPayload::from(part)).await.map_err(failed)
    }

    /// Makes the object appear; its length.
    async fn complete(mut self) -> Result<u64> {
        let rest = std::mem::take(&mut self.buffer);
        if self.parts.is_none() {
            let put = self.store.put(&self.path, PutPayload::from(rest)).await;
            return put.map(|_| self.bytes).map_err(|source| Error::object("write", &self.path, source));
        }
        let completed = match self.put_part(rest).await {
            Ok(()) => match &mut self.parts {
                Some(parts) => parts.complete().await.map_err(|source| Error::object("write", &self.path, source)),
                None => return Ok(self.bytes),
            },
            Err(error) => Err(error),
        };
        match completed {
            Ok(_) => Ok(self.bytes),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Lets go of the parts that were put; they have no name yet. A failure leaves garbage that the store's own rules
    /// or the next start remove, and the first error is what the caller hears.
    async fn abort(mut self) {
        if let Some(parts) = &mut self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(path = %self.path, %error, "an unfinished upload could not be taken back");
        }
    }
}
