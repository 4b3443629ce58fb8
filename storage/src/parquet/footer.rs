//! What is known of a file without decoding a page: schema, key-value metadata, and bounds of every page.

use std::ops::Range;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::DecodeResult;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::{corrupt, fetch, guarded};
use crate::error::{Error, Result};
use crate::manifest::{FileMeta, Level};
use crate::point::{Seq, TimeRange, UserId};
use crate::schema::{COLUMNS, RECORDED_AT, SCHEMA_VERSION, SOURCE_DEVICE_ID, USER_ID, schema};
use crate::selection::Users;

/// Key of the schema's version.
pub(super) const KEY_VERSION: &str = "avycenna.schema_version";
const KEY_METRIC: &str = "avycenna.metric";
const KEY_FIRST_SEQ: &str = "avycenna.first_seq";
const KEY_LAST_SEQ: &str = "avycenna.last_seq";
const KEY_LEVEL: &str = "avycenna.level";
/// Key of the checksums: CRC-32C of each row group's column chunks, 8 hex digits each.
pub(super) const KEY_CHECKSUMS: &str = "avycenna.row_group_crc32c";

/// Bytes at the end of a file that are fetched first: footer and page index of most files.
const TAIL_BYTES: u64 = 64 << 10;
/// Length of the footer's own length, and the magic.
const TAIL_BYTES_MIN: u64 = 8;

/// The key-value metadata of a file, but for the checksums, which come at its end.
pub(super) fn key_values(metric: &str, level: Level, (first_seq, last_seq): (Seq, Seq)) -> Vec<KeyValue> {
    let level = match level {
        Level::Zero => "0",
        Level::One { .. } => "1",
    };
    vec![
        KeyValue::new(KEY_VERSION.to_owned(), SCHEMA_VERSION.to_string()),
        KeyValue::new(KEY_METRIC.to_owned(), metric.to_owned()),
        KeyValue::new(KEY_FIRST_SEQ.to_owned(), first_seq.to_string()),
        KeyValue::new(KEY_LAST_SEQ.to_owned(), last_seq.to_string()),
        KeyValue::new(KEY_LEVEL.to_owned(), level.to_owned()),
    ]
}

/// Bytes of a row group's column chunks in the file.
pub(super) fn row_group_range(row_group: &RowGroupMetaData) -> Option<Range<u64>> {
    let mut range: Option<Range<u64>> = None;
    for column in row_group.columns() {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let start = u64::try_from(start).ok()?;
        let end = start.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
        let before = range.unwrap_or(start..end);
        range = Some(before.start.min(start)..before.end.max(end));
    }
    range
}

/// A page: the same rows in every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) row_group: usize,
    /// Rows of the row group.
    pub(super) rows: Range<usize>,
    pub(super) users: (UserId, UserId),
    pub(super) times: (i64, i64),
    /// Bytes in the file, by column.
    pub(super) places: [Place; COLUMNS],
}

impl Page {
    /// Whether all of its rows are one user's.
    pub(super) fn is_of_one_user(&self) -> bool {
        self.users.0 == self.users.1
    }
}

/// Where something lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

impl Place {
    fn new(offset: i64, bytes: i64) -> Option<Self> {
        Some(Self { offset: u64::try_from(offset).ok()?, bytes: u32::try_from(bytes).ok()? })
    }

    /// The bytes.
    pub(super) fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.bytes))
    }
}

/// What the pages of a row group have in common.
#[derive(Debug, Clone)]
pub(super) struct RowGroup {
    /// Bytes of its column chunks.
    pub(super) range: Range<u64>,
    /// Their CRC-32C.
    pub(super) crc: u32,
    /// By column.
    pub(super) columns: [Column; COLUMNS],
}

/// A column of a row group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Column {
    /// Whether its pages are compressed by zstd.
    pub(super) is_compressed: bool,
    /// Its dictionary, if it has one.
    pub(super) dictionary: Option<Place>,
}

/// Everything about a file that its reader needs before it decodes.
#[derive(Debug)]
pub(crate) struct Footer {
    /// Where the file is in the store.
    pub(super) path: Path,
    pub(super) pages: Vec<Page>,
    pub(super) row_groups: Vec<RowGroup>,
    bytes: usize,
}

impl Footer {
    /// Fetches and checks a file's footer and page index.
    ///
    /// # Errors
    /// [`Error::Object`], [`Error::Version`], [`Error::Parquet`], or [`Error::Corrupt`] where it is not the file that
    /// the manifest means.
    pub(super) async fn load(store: &dyn ObjectStore, file: &FileMeta) -> Result<Self> {
        let path = Path::from(file.path.as_str());
        if file.bytes < TAIL_BYTES_MIN {
            return Err(corrupt(&file.path, 0, "shorter than a footer"));
        }
        let fetch = async |range: Range<u64>| {
            let fetched = fetch(store, file, &path, std::slice::from_ref(&range)).await?;
            fetched.into_iter().next().ok_or_else(|| corrupt(&file.path, range.start, "no bytes"))
        };
        let tail = file.bytes - file.bytes.min(TAIL_BYTES)..file.bytes;
        let bytes = fetch(tail.clone()).await?;
        check_footer_length(file, &bytes)?;
        let mut decoder = guarded("open", &file.path, || {
            let mut decoder =
                ParquetMetaDataPushDecoder::try_new(file.bytes)?.with_page_index_policy(PageIndexPolicy::Required);
            decoder.push_range(tail, bytes)?;
            Ok(decoder)
        })?;
        loop {
            match guarded("open", &file.path, || decoder.try_decode())? {
                DecodeResult::Data(metadata) => {
                    return guarded("open", &file.path, || Ok(Self::checked(file, path.clone(), &metadata)))?;
                }
                DecodeResult::Finished => return Err(corrupt(&file.path, file.bytes, "no footer")),
                DecodeResult::NeedsData(ranges) => {
                    for range in ranges {
                        if range.start > range.end || range.end > file.bytes {
                            return Err(corrupt(&file.path, range.start, "the footer points outside the file"));
                        }
                        let bytes = fetch(range.clone()).await?;
                        guarded("open", &file.path, || decoder.push_range(range, bytes))?;
                    }
                }
            }
        }
    }

    fn checked(file: &FileMeta, path: Path, metadata: &ParquetMetaData) -> Result<Self> {
        check_key_values(file, metadata)?;
        check_columns(file, metadata)?;
        let row_groups = row_groups(file, metadata)?;
        let pages = pages(file, metadata)?;
        let bytes = size_of::<Self>() + pages.len() * size_of::<Page>() + row_groups.len() * size_of::<RowGroup>();
        Ok(Self { path, pages, row_groups, bytes })
    }

    /// Memory that it holds, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers of the pages that can hold what is wanted, ascending. O(log pages) per user.
    pub(super) fn candidates(&self, users: &Users, times: TimeRange) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        let mut push = |nth: usize, page: &Page| {
            if times.overlaps(page.times.0, page.times.1) && found.last() != Some(&nth) {
                found.push(nth);
            }
        };
        let users: &[UserId] = match users {
            Users::One(user) => std::slice::from_ref(user),
            Users::Sorted(users) => users,
            Users::All => {
                self.pages.iter().enumerate().for_each(|(nth, page)| push(nth, page));
                return found;
            }
        };
        let mut from = 0;
        for user in users {
            let rest = self.pages.get(from..).unwrap_or_default();
            from += rest.partition_point(|page| page.users.1 < *user);
            let pages = self.pages.iter().enumerate().skip(from);
            for (nth, page) in pages.take_while(|(_, page)| page.users.0 <= *user) {
                push(nth, page);
            }
        }
        found
    }
}

/// The crate subtracts this length unchecked.
fn check_footer_length(file: &FileMeta, tail: &Bytes) -> Result<()> {
    let at = tail.len().checked_sub(8);
    let Some([a, b, c, d, magic @ ..]) = at.and_then(|at| tail.get(at..)) else {
        return Err(corrupt(&file.path, 0, "shorter than a footer"));
    };
    if magic != b"PAR1" {
        return Err(corrupt(&file.path, file.bytes - 4, "does not end with PAR1"));
    }
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    if length > file.bytes - TAIL_BYTES_MIN {
        return Err(corrupt(&file.path, file.bytes - 8, format!("a footer of {length} bytes does not fit")));
    }
    Ok(())
}

fn value_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    pairs.iter().rev().find(|pair| pair.key == key)?.value.as_deref()
}

fn check_key_values(file: &FileMeta, metadata: &ParquetMetaData) -> Result<()> {
    let wrong = |what: String| Err(corrupt(&file.path, file.bytes, what));
    let found = |key: &str| value_of(metadata, key).unwrap_or_default();
    match found(KEY_VERSION).parse::<u32>() {
        Ok(SCHEMA_VERSION) => {}
        Ok(found) => {
            return Err(Error::Version { path: file.path.clone().into(), found, known: SCHEMA_VERSION });
        }
        Err(_) => return wrong(format!("no {KEY_VERSION}: not a file of points")),
    }
    if found(KEY_METRIC) != file.metric {
        return wrong(format!("expected metric {}, found {}", file.metric, found(KEY_METRIC)));
    }
    for (key, expected) in [(KEY_FIRST_SEQ, file.first_seq), (KEY_LAST_SEQ, file.last_seq)] {
        if found(key) != expected.to_string() {
            return wrong(format!("expected {key} {expected}, found {}", found(key)));
        }
    }
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
    if rows != file.rows {
        return wrong(format!("expected {} rows, found {rows}", file.rows));
    }
    Ok(())
}

/// The columns of [`crate::schema`], as the writer stores them.
fn check_columns(file: &FileMeta, metadata: &ParquetMetaData) -> Result<()> {
    const TYPES: [Type; COLUMNS] =
        [Type::BYTE_ARRAY, Type::INT64, Type::DOUBLE, Type::BYTE_ARRAY, Type::BYTE_ARRAY, Type::INT64, Type::BOOLEAN];
    let schema = schema();
    let expected = schema.fields().iter().zip(TYPES).enumerate();
    let found = metadata.file_metadata().schema_descr();
    let are_right = found.num_columns() == COLUMNS
        && expected.into_iter().all(|(nth, (field, stored))| {
            let column = found.column(nth);
            let levels = (column.max_def_level(), column.max_rep_level());
            column.name() == field.name()
                && column.physical_type() == stored
                && levels == (i16::from(nth == SOURCE_DEVICE_ID), 0)
        });
    if are_right { Ok(()) } else { Err(corrupt(&file.path, file.bytes, "expected the columns of a run")) }
}

fn row_groups(file: &FileMeta, metadata: &ParquetMetaData) -> Result<Vec<RowGroup>> {
    let checksums = value_of(metadata, KEY_CHECKSUMS).unwrap_or_default().as_bytes();
    let mut checksums =
        checksums.chunks(8).map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    let mut found = Vec::with_capacity(metadata.num_row_groups());
    for row_group in metadata.row_groups() {
        let range = row_group_range(row_group).filter(|range| range.end <= file.bytes);
        let Some((range, crc)) = range.zip(checksums.next().flatten()) else {
            return Err(corrupt(&file.path, file.bytes, "a row group has no place or no checksum"));
        };
        let mut columns = [Column::default(); COLUMNS];
        for (column, chunk) in columns.iter_mut().zip(row_group.columns()) {
            *column = column_of(chunk).ok_or_else(|| corrupt(&file.path, range.start, "a column that is not ours"))?;
        }
        found.push(RowGroup { range, crc, columns });
    }
    if checksums.next().is_some() {
        return Err(corrupt(&file.path, file.bytes, "there are more checksums than row groups"));
    }
    Ok(found)
}

fn column_of(chunk: &ColumnChunkMetaData) -> Option<Column> {
    let is_compressed = match chunk.compression() {
        Compression::ZSTD(_) => true,
        Compression::UNCOMPRESSED => false,
        _ => return None,
    };
    let dictionary = match chunk.dictionary_page_offset() {
        None => None,
        Some(start) => Some(Place::new(start, chunk.data_page_offset().checked_sub(start)?)?),
    };
    Some(Column { is_compressed, dictionary })
}

/// All pages, from the page index; checks that users ascend, and that pages hold the same rows in every column.
fn pages(file: &FileMeta, metadata: &ParquetMetaData) -> Result<Vec<Page>> {
    let wrong = |what: &str| corrupt(&file.path, file.bytes, what);
    let (Some(columns), Some(offsets)) = (metadata.column_index(), metadata.offset_index()) else {
        return Err(wrong("no page index"));
    };
    let mut pages: Vec<Page> = Vec::new();
    for (row_group, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).unwrap_or_default();
        let columns = columns.get(row_group).map(Vec::as_slice).unwrap_or_default();
        let (Some(ColumnIndexMetaData::BYTE_ARRAY(users)), Some(ColumnIndexMetaData::INT64(times))) =
            (columns.get(USER_ID), columns.get(RECORDED_AT))
        else {
            return Err(wrong("no page index of users and times"));
        };
        let offsets = offsets.get(row_group).map(Vec::as_slice).unwrap_or_default();
        let offsets: Vec<&[PageLocation]> = offsets.iter().map(|index| index.page_locations().as_slice()).collect();
        let Some(starts) = offsets.first().filter(|_| offsets.len() == COLUMNS) else {
            return Err(wrong("no page offsets of all columns"));
        };
        let indexed = usize::try_from(users.num_pages().min(times.num_pages())).unwrap_or_default();
        if indexed != starts.len() || offsets.iter().any(|pages| pages.len() != indexed) {
            return Err(wrong("the page index has not all pages"));
        }
        for (nth, location) in starts.iter().enumerate() {
            let start = usize::try_from(location.first_row_index).unwrap_or(usize::MAX);
            let next = starts.get(nth + 1).map(|next| usize::try_from(next.first_row_index).unwrap_or(usize::MAX));
            let end = next.unwrap_or(rows);
            let user = |bytes: Option<&[u8]>| UserId::parse(std::str::from_utf8(bytes?).ok()?);
            let users = user(users.min_value(nth)).zip(user(users.max_value(nth)));
            let times = times.min_value(nth).copied().zip(times.max_value(nth).copied());
            let Some((users, times)) = users.zip(times).filter(|_| start < end && end <= rows) else {
                return Err(wrong("a page has no bounds"));
            };
            if users.0 > users.1 || pages.last().is_some_and(|before| before.users.1 > users.0) {
                return Err(wrong("pages are not in order of user"));
            }
            let places = places(&offsets, nth, file.bytes)
                .ok_or_else(|| wrong("the columns' pages are not in the file, or do not hold the same rows"))?;
            pages.push(Page { row_group, rows: start..end, users, times, places });
        }
    }
    Ok(pages)
}

/// Where page `nth` of a row group lies in every column.
fn places(offsets: &[&[PageLocation]], nth: usize, file_bytes: u64) -> Option<[Place; COLUMNS]> {
    let first_row = offsets.first()?.get(nth)?.first_row_index;
    let mut places = [Place::default(); COLUMNS];
    for (place, locations) in places.iter_mut().zip(offsets) {
        let location = locations.get(nth)?;
        *place = Place::new(location.offset, i64::from(location.compressed_page_size))?;
        if location.first_row_index != first_row || place.range().end > file_bytes {
            return None;
        }
    }
    Some(places)
}
