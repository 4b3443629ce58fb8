//! Looks for a text in every byte that a place keeps: the proof that somebody is gone.
//!
//! Each file is read as it is, from its first to its last byte: log, manifests, and whatever else lies in the folder. A
//! Parquet file is also taken apart, because its pages are compressed: every dictionary and data page of every column,
//! and every text of every row (an encoding may store a text as a difference from the one before it). Statistics,
//! bounds and key-value metadata stand in the file as they are.
//!
//! Changes nothing. Not here: what a finding means, and databases, whose bytes are looked at as those of any file.

use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::place::Place;
use crate::recovery::{lock, runtime};

/// Bytes of a file that are in memory at once.
const PIECE_BYTES: usize = 1 << 20;
/// First bytes of a Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// A text to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    text: Vec<u8>,
    ignores_case: bool,
}

impl Needle {
    /// Finds `text` alone.
    pub fn exact(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), ignores_case: false }
    }

    /// Finds `text` in every mixture of small and capital ASCII letters.
    pub fn in_any_case(text: &str) -> Self {
        Self { text: text.to_ascii_lowercase().into_bytes(), ignores_case: true }
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        if self.ignores_case { bytes.eq_ignore_ascii_case(&self.text) } else { bytes == self.text }
    }

    /// Places in `bytes`, ascending.
    fn places<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let length = self.text.len().max(1);
        bytes.windows(length).enumerate().filter(|(_, window)| self.is_at(window)).map(|(at, _)| at)
    }
}

/// Where a needle was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The file, relative to the place.
    pub path: PathBuf,
    /// Which part of it: bytes as they are, or a part of a Parquet file that was decoded.
    pub part: Part,
    /// Number of the needle.
    pub needle: usize,
}

/// Which part of a file was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The file's bytes; the offset of the first.
    Bytes(u64),
    /// A page that was decoded, or the rows of a batch: column and number of the row group or row.
    Column {
        /// The column's name.
        column: String,
        /// `page` or `row`.
        of: &'static str,
        /// Row group of the page, or number of the first row of the batch.
        nth: usize,
    },
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(offset) => write!(f, "byte {offset}"),
            Self::Column { column, of: "page", nth } => write!(f, "a page of column {column} in row group {nth}"),
            Self::Column { column, nth, .. } => write!(f, "column {column}, behind row {nth}"),
        }
    }
}

/// What a search read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Searched {
    /// Files that were read.
    pub files: usize,
    /// Parquet files among them that were decoded.
    pub decoded: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// Where the needles are; empty is good.
    pub hits: Vec<Hit>,
    /// Parquet files that cannot be decoded, and why: nobody knows what is in them.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Looks for needles in every file of a place, and in every object where those are elsewhere. Takes the lock, so that
/// nothing changes meanwhile. Memory: a Parquet file at a time.
///
/// # Errors
/// [`Error::Locked`] while a server runs on the directory; I/O.
pub fn search(place: &Place, needles: &[Needle]) -> Result<Searched> {
    let _lock = lock(place)?;
    search_unlocked(place, needles)
}

/// As [`search`], for those who have the lock.
pub(crate) fn search_unlocked(place: &Place, needles: &[Needle]) -> Result<Searched> {
    let mut searched = Searched::default();
    let root = Path::new("");
    for entry in place.disk.list(root).map_err(|error| Error::io("list", root, error))? {
        searched.read_file(&*place.disk, &entry.path, needles)?;
    }
    let Some(objects) = &place.objects else { return Ok(searched) };
    runtime()?.block_on(async {
        let root = object_store::path::Path::default();
        let at = |source| Error::object("list", &root, source);
        let mut listed = objects.list(None);
        while let Some(object) = listed.try_next().await.map_err(at)? {
            let at = |source| Error::object("read", &object.location, source);
            let bytes = objects.get(&object.location).await.map_err(at)?.bytes().await.map_err(at)?;
            searched.read_whole(Path::new(object.location.as_ref()), &bytes, needles);
        }
        Ok(searched)
    })
}

impl Searched {
    /// Reads one more file, of whatever disk. Memory: a piece of it, or all of it if it is a Parquet file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read_file(&mut self, disk: &dyn Disk, path: &Path, needles: &[Needle]) -> Result<()> {
        let at = |error| Error::io("read", path, error);
        let file = disk.open_read(path).map_err(at)?;
        let length = file.len().map_err(at)?;
        let overlap = needles.iter().map(|needle| needle.text.len()).max().unwrap_or(1).saturating_sub(1);
        let mut kept: Vec<u8> = Vec::new();
        let mut offset = 0;
        let mut is_parquet = false;
        while offset < length {
            let piece = usize::try_from(length - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let start = kept.len();
            kept.resize(start + piece, 0);
            file.read_at(kept.get_mut(start..).unwrap_or_default(), offset).map_err(at)?;
            is_parquet |= offset == 0 && kept.starts_with(PARQUET_MAGIC);
            self.look(path, &kept, needles, &|at| Part::Bytes(offset - start as u64 + at as u64), start);
            offset += piece as u64;
            // A needle may begin in this piece and end in the next.
            kept.drain(..kept.len().saturating_sub(overlap));
        }
        self.files += 1;
        self.bytes += length;
        if is_parquet {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_at(&mut bytes, 0).map_err(at)?;
            self.read_parquet(path, &bytes.into(), needles);
        }
        Ok(())
    }

    fn read_whole(&mut self, path: &Path, bytes: &Bytes, needles: &[Needle]) {
        self.files += 1;
        self.bytes += bytes.len() as u64;
        self.look(path, bytes, needles, &|at| Part::Bytes(at as u64), 0);
        if bytes.starts_with(PARQUET_MAGIC) {
            self.read_parquet(path, bytes, needles);
        }
    }

    /// Notes every place of the needles in `bytes`, but for those that lie within the first `seen`.
    fn look(&mut self, path: &Path, bytes: &[u8], needles: &[Needle], part: &dyn Fn(usize) -> Part, seen: usize) {
        for (nth, needle) in needles.iter().enumerate() {
            let places = needle.places(bytes).filter(|at| at + needle.text.len() > seen);
            self.hits.extend(places.map(|at| Hit { path: path.to_path_buf(), part: part(at), needle: nth }));
        }
    }

    /// Notes which needles are in a part that was decoded: once each, for an offset in it would tell nobody anything.
    fn look_decoded(&mut self, path: &Path, bytes: &[u8], needles: &[Needle], part: &Part) {
        for (nth, needle) in needles.iter().enumerate() {
            if needle.places(bytes).next().is_some() {
                self.hits.push(Hit { path: path.to_path_buf(), part: part.clone(), needle: nth });
            }
        }
    }

    fn read_parquet(&mut self, path: &Path, bytes: &Bytes, needles: &[Needle]) {
        match self.decode(path, bytes, needles) {
            Ok(()) => self.decoded += 1,
            Err(error) => self.unreadable.push((path.to_path_buf(), error.to_string())),
        }
    }

    fn decode(&mut self, path: &Path, bytes: &Bytes, needles: &[Needle]) -> Result<(), ParquetError> {
        let pages = SerializedFileReader::new(bytes.clone())?;
        for row_group in 0..pages.num_row_groups() {
            let group = pages.get_row_group(row_group)?;
            for column in 0..group.num_columns() {
                let name = group.metadata().column(column).column_path().string();
                for page in group.get_column_page_reader(column)? {
                    let part = Part::Column { column: name.clone(), of: "page", nth: row_group };
                    self.look_decoded(path, page?.buffer(), needles, &part);
                }
            }
        }
        let mut row = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.build()? {
            let batch = batch?;
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let part = Part::Column { column: field.name().clone(), of: "row", nth: row };
                let texts = arrow::compute::cast(column, &DataType::Utf8);
                let texts = texts.as_ref().ok().and_then(|texts| texts.as_string_opt::<i32>());
                if let Some(texts) = texts.filter(|_| is_text(field.data_type())) {
                    self.look_decoded(path, texts.value_data(), needles, &part);
                }
            }
            row += batch.num_rows();
        }
        Ok(())
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text(value),
        kind => matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::disk::sim::SimDisk;

    fn place(disk: &SimDisk) -> Place {
        Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock: Arc::new(ManualClock::at(0)) }
    }

    #[test]
    fn a_needle_is_found_once_wherever_it_lies_between_two_pieces() {
        for at in PIECE_BYTES - 13..=PIECE_BYTES + 1 {
            let disk = SimDisk::new(1);
            let mut bytes = vec![b'.'; PIECE_BYTES * 2 + 100];
            bytes[at..at + 12].copy_from_slice(b"usr_0000000a");
            disk.create(Path::new("x"), 0).unwrap().write_at(&bytes, 0).unwrap();
            let searched = search(&place(&disk), &[Needle::exact("usr_0000000a")]).unwrap();
            let parts: Vec<_> = searched.hits.iter().map(|hit| hit.part.clone()).collect();
            assert_eq!(parts, [Part::Bytes(at as u64)]);
        }
    }

    #[test]
    fn case_matters_where_it_is_said_to() {
        let disk = SimDisk::new(1);
        disk.create(Path::new("x"), 0).unwrap().write_at(b"To: Ada@Example.org USR_0000000A", 0).unwrap();
        let needles = [Needle::in_any_case("ada@example.ORG"), Needle::exact("usr_0000000a")];
        let searched = search(&place(&disk), &needles).unwrap();
        assert_eq!(searched.hits.iter().map(|hit| hit.needle).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_parquet_file_that_cannot_be_decoded_is_told() {
        let disk = SimDisk::new(1);
        disk.create(Path::new("x"), 0).unwrap().write_at(b"PAR1 and no more", 0).unwrap();
        let searched = search(&place(&disk), &[Needle::exact("usr_0000000a")]).unwrap();
        assert_eq!((searched.unreadable.len(), searched.decoded), (1, 0));
    }
}
