//! Reads one file: the pages that can match, and of those the rows that do.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelectionPolicy};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};

use super::cache::Footers;
use super::footer::{Footer, Page, outside};
use super::{corrupt, fetch, guarded};
use crate::error::{Error, Result};
use crate::manifest::FileMeta;
use crate::point::TimeRange;
use crate::run::{BATCH_ROWS_MAX, Keys, Projection};
use crate::selection::{Columns, PointStream, Selection, Users};
use crate::tombstone::Mask;

/// Reads a selection from a file, without what the mask covers. Nothing happens before the first poll.
///
/// Cost: for one user's month one or two pages of each column wanted, fetched together. For everybody's points one
/// row group at a time, each checked against its checksum, so that a compaction never passes damage on.
pub(crate) fn read(
    store: Arc<dyn ObjectStore>,
    file: Arc<FileMeta>,
    footers: Arc<Footers>,
    selection: Selection,
    columns: Columns,
    mask: Mask,
) -> PointStream {
    let opening = async move {
        let footer = footers.get(store.as_ref(), &file).await?;
        let read = Read::open(store, file, footer, selection, columns, mask)?;
        Ok::<_, Error>(stream::try_unfold(read, |mut read| async move {
            let batch = read.next().await?;
            Ok(batch.map(|batch| (batch, read)))
        }))
    };
    stream::once(opening)
        .map(|opened| match opened {
            Ok(batches) => batches.boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        })
        .flatten()
        .boxed()
}

struct Read {
    store: Arc<dyn ObjectStore>,
    file: Arc<FileMeta>,
    path: Path,
    footer: Arc<Footer>,
    users: Users,
    times: TimeRange,
    mask: Mask,
    projection: Projection,
    /// `None` if no page can match.
    decoder: Option<ParquetPushDecoder>,
    /// Row groups are read as wholes, and checked.
    is_whole: bool,
    ready: VecDeque<RecordBatch>,
}

impl Read {
    fn open(
        store: Arc<dyn ObjectStore>,
        file: Arc<FileMeta>,
        footer: Arc<Footer>,
        selection: Selection,
        columns: Columns,
        mask: Mask,
    ) -> Result<Self> {
        let candidates = footer.candidates(&selection.users, selection.times);
        let is_whole = matches!(selection.users, Users::All) && columns == Columns::ALL;
        let decoder = if candidates.is_empty() {
            None
        } else {
            let pages = candidates.iter().filter_map(|nth| footer.pages.get(*nth));
            Some(guarded("read", &file.path, || decoder(&footer, pages, columns))?)
        };
        Ok(Self {
            path: Path::from(file.path.as_str()),
            store,
            file,
            footer,
            users: selection.users,
            times: selection.times,
            mask,
            projection: Projection::to(columns),
            decoder,
            is_whole,
            ready: VecDeque::new(),
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            match guarded("read", &self.file.path, || decoder.try_decode())? {
                DecodeResult::Data(batch) => self.select(&batch)?,
                DecodeResult::Finished => self.decoder = None,
                DecodeResult::NeedsData(ranges) => self.fetch(ranges).await?,
            }
        }
    }

    async fn fetch(&mut self, mut ranges: Vec<Range<u64>>) -> Result<()> {
        if let Some(range) = ranges.iter().find(|range| range.start > range.end || range.end > self.file.bytes) {
            return Err(outside(&self.file.path, range));
        }
        let whole = if self.is_whole { self.row_group_of(&ranges) } else { None };
        if let Some((range, _)) = &whole {
            ranges = std::iter::once(range.clone()).collect();
        }
        let fetched = fetch(self.store.as_ref(), &self.file, &self.path, &ranges).await?;
        if let (Some((range, crc)), Some(bytes)) = (whole, fetched.first()) {
            let found = crc32c::crc32c(bytes);
            if found != crc {
                let what = format!("row group checksum: expected {crc:08x}, found {found:08x}");
                return Err(corrupt(&self.file.path, range.start, what));
            }
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        guarded("read", &self.file.path, || decoder.push_ranges(ranges, fetched))
    }

    /// The row group that holds all of some ranges.
    fn row_group_of(&self, ranges: &[Range<u64>]) -> Option<(Range<u64>, u32)> {
        let start = ranges.iter().map(|range| range.start).min()?;
        let end = ranges.iter().map(|range| range.end).max()?;
        let nth = self.footer.row_groups.partition_point(|(group, _)| group.end <= start);
        self.footer.row_groups.get(nth).filter(|(group, _)| group.start <= start && end <= group.end).cloned()
    }

    fn select(&mut self, batch: &RecordBatch) -> Result<()> {
        let damaged = |_| corrupt(&self.file.path, 0, "a batch has not the columns of a run");
        let keys = Keys::of(batch).map_err(damaged)?;
        let ranges = keys.select(&self.users, self.times);
        for rows in self.mask.cut(&keys, ranges) {
            self.ready.push_back(self.projection.slice(batch, rows)?);
        }
        Ok(())
    }
}

/// A decoder of some pages (ascending) and columns; users and times always come, to find the rows.
fn decoder<'a>(
    footer: &Footer,
    pages: impl Iterator<Item = &'a Page>,
    columns: Columns,
) -> Result<ParquetPushDecoder, parquet::errors::ParquetError> {
    let metadata = footer.arrow.metadata();
    let mut row_groups: Vec<usize> = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    // Rows count on over the row groups that are read.
    let (mut offset, mut total, mut selected) = (0, 0, 0);
    for page in pages {
        if row_groups.last() != Some(&page.row_group) {
            row_groups.push(page.row_group);
            offset = total;
            total += usize::try_from(metadata.row_group(page.row_group).num_rows()).unwrap_or_default();
        }
        selected += page.rows.len();
        ranges.push(offset + page.rows.start..offset + page.rows.end);
    }
    let wanted = [true, true, true, columns.source, columns.source_device_id, columns.acceptance, columns.acceptance];
    let leaves = wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(leaf, _)| leaf);
    let mut builder = ParquetPushDecoderBuilder::new_with_metadata(footer.arrow.clone())
        .with_projection(ProjectionMask::leaves(footer.arrow.parquet_schema(), leaves))
        .with_batch_size(selected.clamp(1, BATCH_ROWS_MAX))
        .with_row_groups(row_groups);
    if selected < total {
        builder = builder
            .with_row_selection(RowSelection::from_consecutive_ranges(ranges.into_iter(), total))
            .with_row_selection_policy(RowSelectionPolicy::Selectors);
    }
    builder.build()
}
