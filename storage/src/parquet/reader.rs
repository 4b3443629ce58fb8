//! Reads one file: the pages that can match, and of those the rows that do.
//!
//! Of a page first users and times are decoded, to find the rows; the other columns wanted only if there are any. Where
//! all rows of a page are one user's, which its bounds say, not even the users are read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, TimestampMicrosecondArray, TimestampMillisecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::ObjectStore;

use super::cache::Footers;
use super::footer::{Footer, Page, RowGroup};
use super::page::{Names, Page as PageBytes};
use super::{corrupt, fetch};
use crate::error::{Error, Result};
use crate::manifest::FileMeta;
use crate::point::TimeRange;
use crate::run::{Keys, Text, assemble};
use crate::schema::{ACCEPTED_AT, COLUMNS, CORRECTED, RECORDED_AT, SOURCE, SOURCE_DEVICE_ID, USER_ID, VALUE};
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
        let read = Read::open(store, file, footer, selection, columns, mask);
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
    footer: Arc<Footer>,
    users: Users,
    times: TimeRange,
    mask: Mask,
    columns: Columns,
    schema: SchemaRef,
    /// Everything of everybody is wanted: row groups are read as wholes, and checked.
    is_whole: bool,
    /// Numbers of pages that can match and were not fetched yet.
    candidates: VecDeque<usize>,
    /// Pages that were, all of one row group.
    fetched: VecDeque<(usize, [Option<Bytes>; COLUMNS])>,
    dictionaries: Dictionaries,
    ready: VecDeque<RecordBatch>,
}

/// The dictionaries of a row group, as far as its columns were wanted.
#[derive(Default)]
struct Dictionaries {
    users: Names,
    values: Option<Vec<f64>>,
    sources: Names,
    devices: Names,
    accepted: Option<Vec<i64>>,
}

impl Read {
    fn open(
        store: Arc<dyn ObjectStore>,
        file: Arc<FileMeta>,
        footer: Arc<Footer>,
        selection: Selection,
        columns: Columns,
        mask: Mask,
    ) -> Self {
        let candidates = footer.candidates(&selection.users, selection.times).into();
        Self {
            store,
            file,
            footer,
            is_whole: matches!(selection.users, Users::All) && columns == Columns::ALL,
            users: selection.users,
            times: selection.times,
            mask,
            columns,
            schema: columns.schema(),
            candidates,
            fetched: VecDeque::new(),
            dictionaries: Dictionaries::default(),
            ready: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            if let Some((nth, bytes)) = self.fetched.pop_front() {
                self.decode(nth, &bytes)?;
            } else if !self.fetch().await? {
                return Ok(None);
            }
        }
    }

    /// Which columns have to be decoded for a page.
    fn wanted(&self, page: &Page) -> [bool; COLUMNS] {
        let Columns { user_id: _, source, source_device_id, acceptance } = self.columns;
        [self.is_whole || !page.is_of_one_user(), true, true, source, source_device_id, acceptance, acceptance]
    }

    /// Fetches the candidates of the next row group, and its dictionaries; `false` at the end.
    async fn fetch(&mut self) -> Result<bool> {
        let footer = Arc::clone(&self.footer);
        let next = self.candidates.front().and_then(|nth| footer.pages.get(*nth));
        let Some((number, row_group)) =
            next.and_then(|page| Some((page.row_group, footer.row_groups.get(page.row_group)?)))
        else {
            return Ok(false);
        };
        let mut pages: Vec<(usize, &Page, [bool; COLUMNS])> = Vec::new();
        while let Some(nth) = self.candidates.front().copied()
            && let Some(page) = footer.pages.get(nth).filter(|page| page.row_group == number)
        {
            pages.push((nth, page, self.wanted(page)));
            self.candidates.pop_front();
        }
        // In the order of the file, so that neighbours are read together.
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (column, chunk) in row_group.columns.iter().enumerate() {
            let wanted = pages.iter().filter(|(_, _, wanted)| wanted.get(column) == Some(&true));
            let mut places = wanted.filter_map(|(_, page, _)| page.places.get(column).copied()).peekable();
            if places.peek().is_some() {
                ranges.extend(chunk.dictionary.into_iter().chain(places).map(super::footer::Place::range));
            }
        }
        let fetched = if self.is_whole {
            self.fetch_whole(row_group, &ranges).await?
        } else {
            fetch(self.store.as_ref(), &self.file, &footer.path, &ranges).await?
        };
        self.hand_out(row_group, &pages, fetched)?;
        Ok(true)
    }

    /// A row group as one piece, checked; its parts.
    async fn fetch_whole(&self, row_group: &RowGroup, parts: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let RowGroup { range, crc, .. } = row_group;
        let whole = std::slice::from_ref(range);
        let fetched = fetch(self.store.as_ref(), &self.file, &self.footer.path, whole).await?;
        let bytes = fetched.into_iter().next().unwrap_or_default();
        let found = crc32c::crc32c(&bytes);
        if found != *crc {
            let what = format!("row group checksum: expected {crc:08x}, found {found:08x}");
            return Err(corrupt(&self.file.path, range.start, what));
        }
        let part = |part: &Range<u64>| {
            let start = usize::try_from(part.start.checked_sub(range.start)?).ok()?;
            let end = usize::try_from(part.end.checked_sub(range.start)?).ok()?;
            (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
        };
        parts
            .iter()
            .map(|place| part(place).ok_or_else(|| self.damaged(place.start, "a page outside of its row group")))
            .collect()
    }

    /// Gives each page its bytes, and decodes the dictionaries.
    fn hand_out(
        &mut self,
        row_group: &RowGroup,
        pages: &[(usize, &Page, [bool; COLUMNS])],
        fetched: Vec<Bytes>,
    ) -> Result<()> {
        let mut fetched = fetched.into_iter();
        let mut bytes: Vec<[Option<Bytes>; COLUMNS]> = vec![[const { None }; COLUMNS]; pages.len()];
        self.dictionaries = Dictionaries::default();
        for (column, chunk) in row_group.columns.iter().enumerate() {
            let is_wanted = |wanted: &[bool; COLUMNS]| wanted.get(column) == Some(&true);
            if !pages.iter().any(|(_, _, wanted)| is_wanted(wanted)) {
                continue;
            }
            if let Some(place) = chunk.dictionary {
                let dictionary = fetched.next().unwrap_or_default();
                let page = PageBytes { bytes: &dictionary, is_compressed: chunk.is_compressed };
                self.dictionaries
                    .decode(column, page)
                    .ok_or_else(|| self.damaged(place.offset, "a dictionary cannot be decoded"))?;
            }
            for (slots, (_, _, wanted)) in bytes.iter_mut().zip(pages) {
                if let Some(slot) = slots.get_mut(column).filter(|_| is_wanted(wanted)) {
                    *slot = fetched.next();
                }
            }
        }
        self.fetched = pages.iter().map(|(nth, ..)| *nth).zip(bytes).collect();
        Ok(())
    }

    /// Decodes a page and keeps the rows that the selection wants.
    fn decode(&mut self, nth: usize, bytes: &[Option<Bytes>; COLUMNS]) -> Result<()> {
        let footer = Arc::clone(&self.footer);
        let Some(page) = footer.pages.get(nth) else { return Ok(()) };
        let Some(row_group) = footer.row_groups.get(page.row_group) else { return Ok(()) };
        let decode = PageDecode { page, row_group, bytes, dictionaries: &self.dictionaries };
        let damaged = |column: usize| {
            let offset = page.places.get(column).map_or(0, |place| place.offset);
            self.damaged(offset, "a page cannot be decoded")
        };
        let times = decode.times().ok_or_else(|| damaged(RECORDED_AT))?;
        let users = match decode.text(USER_ID).transpose().map_err(damaged)? {
            Some(users) => Text::new(&users)?,
            None => Text::same(page.users.0.as_str(), page.rows.len()),
        };
        let keys = Keys::new(users, times.clone());
        let ranges = self.mask.cut(&keys, keys.select(&self.users, self.times));
        if ranges.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(COLUMNS);
        if self.columns.user_id {
            columns.push(keys.users().column()?);
        }
        columns.push(Arc::new(TimestampMicrosecondArray::new(times, None).with_timezone("UTC")));
        columns.push(decode.values().ok_or_else(|| damaged(VALUE))?);
        for (column, is_wanted) in [(SOURCE, self.columns.source), (SOURCE_DEVICE_ID, self.columns.source_device_id)] {
            if is_wanted {
                let text = decode.text(column).transpose().map_err(damaged)?;
                columns.push(text.ok_or_else(|| damaged(column))?);
            }
        }
        if self.columns.acceptance {
            columns.push(decode.accepted().ok_or_else(|| damaged(ACCEPTED_AT))?);
            columns.push(decode.corrected().ok_or_else(|| damaged(CORRECTED))?);
        }
        let batch = assemble(Arc::clone(&self.schema), columns)?;
        for rows in ranges {
            let is_all = rows.len() == batch.num_rows();
            self.ready.push_back(if is_all { batch.clone() } else { batch.slice(rows.start, rows.len()) });
        }
        Ok(())
    }

    fn damaged(&self, offset: u64, what: &str) -> Error {
        corrupt(&self.file.path, offset, what)
    }
}

impl Dictionaries {
    fn decode(&mut self, column: usize, page: PageBytes<'_>) -> Option<()> {
        match column {
            USER_ID => self.users = page.text_dictionary()?,
            VALUE => self.values = Some(page.float_dictionary()?),
            SOURCE => self.sources = page.text_dictionary()?,
            SOURCE_DEVICE_ID => self.devices = page.text_dictionary()?,
            ACCEPTED_AT => self.accepted = Some(page.integer_dictionary()?),
            _ => return None,
        }
        Some(())
    }
}

/// A page and what its decoding needs. `None` is damage.
struct PageDecode<'a> {
    page: &'a Page,
    row_group: &'a RowGroup,
    bytes: &'a [Option<Bytes>; COLUMNS],
    dictionaries: &'a Dictionaries,
}

impl PageDecode<'_> {
    fn rows(&self) -> usize {
        self.page.rows.len()
    }

    fn bytes(&self, column: usize) -> Option<PageBytes<'_>> {
        let bytes = self.bytes.get(column)?.as_ref()?;
        Some(PageBytes { bytes, is_compressed: self.row_group.columns.get(column)?.is_compressed })
    }

    fn times(&self) -> Option<ScalarBuffer<i64>> {
        Some(self.bytes(RECORDED_AT)?.integers(self.rows(), None)?.into())
    }

    fn values(&self) -> Option<ArrayRef> {
        let values = self.bytes(VALUE)?.floats(self.rows(), self.dictionaries.values.as_deref())?;
        Some(Arc::new(Float64Array::from(values)))
    }

    fn accepted(&self) -> Option<ArrayRef> {
        let accepted = self.bytes(ACCEPTED_AT)?.integers(self.rows(), self.dictionaries.accepted.as_deref())?;
        Some(Arc::new(TimestampMillisecondArray::from(accepted).with_timezone("UTC")))
    }

    fn corrected(&self) -> Option<ArrayRef> {
        Some(Arc::new(BooleanArray::new(self.bytes(CORRECTED)?.flags(self.rows())?, None)))
    }

    /// A column of texts, if it was fetched; the error is the number of a damaged one.
    fn text(&self, column: usize) -> Option<Result<ArrayRef, usize>> {
        let bytes = self.bytes(column)?;
        let Dictionaries { users, sources, devices, .. } = self.dictionaries;
        let names = match column {
            USER_ID => users,
            SOURCE => sources,
            _ => devices,
        };
        Some(bytes.texts(self.rows(), names, column == SOURCE_DEVICE_ID).ok_or(column))
    }
}
