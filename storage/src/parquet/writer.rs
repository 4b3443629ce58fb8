//! Writes a sorted run as one Parquet file.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use zstd::bulk::Compressor;

use super::encode::{RowGroup, Values};
use super::footer::{KEY_CHECKSUMS, key_values, row_group_range};
use super::guarded;
use crate::error::{Error, Result};
use crate::manifest::Level;
use crate::point::{Seq, UserId};
use crate::run::Rows;
use crate::schema::{SORT_KEY, schema};
use crate::selection::PointStream;

/// How a file is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Rows from which on a page ends where a user does.
    pub(super) page_rows_min: usize,
    /// Most rows of a page.
    pub(super) page_rows_max: usize,
    /// Rows from which on a row group ends with its page.
    pub(super) row_group_rows: usize,
}

impl Shape {
    /// Of what stays. One person's month of heart rates every five minutes (8,640) is one page, and nobody else's rows
    /// are in it; of what is measured less often, several people share one. A row group of at most 131,072 rows keeps
    /// the dictionaries small.
    pub(super) const LEVEL_ONE: Self = Self { page_rows_min: 4_096, page_rows_max: 16_384, row_group_rows: 7 * 16_384 };

    /// Of what goes soon. A flush has little of everybody, and a read looks into every file of it, so smaller pages
    /// spare it the rows of others.
    pub(super) const LEVEL_ZERO: Self = Self { page_rows_min: 1_024, ..Self::LEVEL_ONE };

    fn of(level: Level) -> Self {
        match level {
            Level::Zero => Self::LEVEL_ZERO,
            Level::One { .. } => Self::LEVEL_ONE,
        }
    }
}

/// Above this many distinct values among the first rows a dictionary costs more than it saves.
const DICTIONARY_VALUES_MAX: usize = 4_096;
/// Length of a dictionary from which on its row group ends with the page. A page adds 8.5 MB at most (16,384 different
/// texts of 512 bytes), so that a reader's bound is never reached.
const DICTIONARY_BYTES_MAX: usize = 8 << 20;
/// Rows that the choice of encodings looks at.
const SAMPLE_ROWS: usize = 32_768;
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
    write_shaped(store, target, feed, bytes_max, Shape::of(target.level)).await
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
    let mut encoder = Encoder::new(target, shape)?;
    let mut next = Some(first);
    while let Some(batch) = next {
        let rows = Rows::of(&batch)?;
        if encoder.bounds.rows > 0 && encoder.bytes() >= bytes_max {
            let end = rows.keys().rows_of(encoder.bounds.last_user.as_str()).end;
            if end < batch.num_rows() {
                feed.returned = Some(batch.slice(end, batch.num_rows() - end));
                encoder.push(&rows, 0..end)?;
                break;
            }
        }
        encoder.push(&rows, 0..batch.num_rows())?;
        upload.push(encoder.drain()?).await?;
        next = feed.next().await?;
    }
    let (bytes, bounds) = encoder.finish()?;
    upload.push(bytes).await?;
    bounds.written().map(Some)
}

/// Encodes rows to the bytes of a file.
struct Encoder<'a> {
    path: &'a str,
    writer: SerializedFileWriter<Vec<u8>>,
    compressor: Compressor<'static>,
    group: Option<RowGroup>,
    shape: Shape,
    drained_bytes: u64,
    checksums: String,
    row_groups: usize,
    bounds: Bounds,
}

impl<'a> Encoder<'a> {
    fn new(target: &'a Target, shape: Shape) -> Result<Self> {
        let writer = guarded("write", &target.path, || {
            let descriptor = ArrowSchemaConverter::new().convert(&schema())?;
            SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::new(properties(target)))
        })?;
        let failed = |error| Error::parquet("write", &target.path, ParquetError::External(Box::new(error)));
        let mut compressor = Compressor::new(zstd_level(target.level)).map_err(failed)?;
        compressor.include_checksum(true).map_err(failed)?;
        Ok(Self {
            path: &target.path,
            writer,
            compressor,
            group: None,
            shape,
            drained_bytes: 0,
            checksums: String::new(),
            row_groups: 0,
            bounds: Bounds::default(),
        })
    }

    /// Appends rows. A page ends at its most rows, or where a user ends and it has enough; a row group with a page.
    fn push(&mut self, rows: &Rows, range: Range<usize>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut start = range.start;
        for (user, count) in rows.keys().users().runs(range.clone()) {
            let is_new = user.is_some_and(|user| user != self.bounds.last_user);
            if is_new && self.page_rows() >= self.shape.page_rows_min {
                self.end_page()?;
            }
            let end = start + count;
            self.bounds.add(rows, user.unwrap_or_default(), start..end)?;
            while start < end {
                let taken = (self.shape.page_rows_max - self.page_rows()).min(end - start);
                self.group(rows, start)?.push(rows, start..start + taken);
                start += taken;
                if self.page_rows() >= self.shape.page_rows_max {
                    self.end_page()?;
                }
            }
        }
        Ok(())
    }

    fn page_rows(&self) -> usize {
        self.group.as_ref().map_or(0, RowGroup::page_rows)
    }

    /// The row group under construction; of a new one, the rows from `start` on choose the encodings.
    fn group(&mut self, rows: &Rows, start: usize) -> Result<&mut RowGroup> {
        if self.group.is_none() {
            let group = RowGroup::new(self.writer.schema_descr(), values_from(rows, start));
            self.group = Some(group.ok_or(Error::Batch { what: "the schema is not that of a run" })?);
        }
        self.group.as_mut().ok_or(Error::Batch { what: "no row group" })
    }

    fn end_page(&mut self) -> Result<()> {
        let Some(group) = &mut self.group else { return Ok(()) };
        guarded("write", self.path, || group.end_page(&mut self.compressor))?;
        if group.rows() >= self.shape.row_group_rows || group.dictionary_bytes() >= DICTIONARY_BYTES_MAX {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        guarded("write", self.path, || group.finish(&mut self.compressor, &mut self.writer))
    }

    /// Bytes of the file so far, about.
    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.group.as_ref().map_or(0, RowGroup::bytes)) as u64
    }

    /// The bytes that are final since the last call: whole row groups.
    fn drain(&mut self) -> Result<Bytes> {
        if self.writer.flushed_row_groups().len() == self.row_groups {
            return Ok(Bytes::new());
        }
        self.flush()?;
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

    /// Brings what the crate's writer has buffered to the bytes at hand.
    fn flush(&mut self) -> Result<()> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| Error::parquet("write", self.path, ParquetError::External(Box::new(error))))
    }

    fn finish(mut self) -> Result<(Bytes, Bounds)> {
        self.end_group()?;
        let rows = self.drain()?;
        self.writer.append_key_value_metadata(KeyValue::new(KEY_CHECKSUMS.to_owned(), self.checksums.clone()));
        guarded("write", self.path, || self.writer.finish())?;
        self.flush()?;
        let footer = std::mem::take(self.writer.inner_mut());
        Ok((Bytes::from([rows.as_ref(), footer.as_slice()].concat()), self.bounds))
    }
}

/// Level 0 is read again soon and then goes away; level 1 stays.
fn zstd_level(level: Level) -> i32 {
    match level {
        Level::Zero => 1,
        Level::One { .. } => 3,
    }
}

fn properties(target: &Target) -> WriterProperties {
    let sorting = SORT_KEY.iter().filter_map(|nth| i32::try_from(*nth).ok());
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(key_values(&target.metric, target.level, (target.first_seq, target.last_seq))))
        .set_sorting_columns(Some(
            sorting.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true }).collect(),
        ))
        .build()
}

/// What the first rows from `start` on say about the values of a row group.
fn values_from(rows: &Rows, start: usize) -> Values {
    let values = rows.values();
    let mut distinct = HashSet::new();
    for value in values.get(start..values.len().min(start + SAMPLE_ROWS)).unwrap_or_default() {
        distinct.insert(value.to_bits());
        if distinct.len() > DICTIONARY_VALUES_MAX {
            return Values::Many;
        }
    }
    Values::Few
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
    /// Adds rows of one user.
    fn add(&mut self, rows: &Rows, user: &str, range: Range<usize>) -> Result<()> {
        let times = rows.keys().times().get(range.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        if (self.last_user.as_str(), self.last_time) > (user, *first) {
            return Err(Error::Batch { what: "a run is not sorted" });
        }
        if self.rows == 0 {
            user.clone_into(&mut self.first_user);
        }
        if self.last_user != user {
            user.clone_into(&mut self.last_user);
        }
        // One user's times ascend.
        self.time_min = self.time_min.min(*first);
        self.time_max = self.time_max.max(*last);
        self.last_time = *last;
        self.rows += range.len() as u64;
        let Some((accepted, _)) = rows.acceptance() else {
            return Err(Error::Batch { what: "no column of acceptance" });
        };
        let accepted = accepted.get(range).unwrap_or_default();
        self.accepted_max_ms = accepted.iter().fold(self.accepted_max_ms, |max, ms| max.max(*ms));
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
