//! Runs at rest: one Parquet file holds one sorted run of one metric (or a slice of one by user).
//!
//! ```text
//! writer ─▶ pages of 4,096 to 16,384 rows, the same rows in every column (encode) ─▶ row groups
//!           footer: page index, key-value metadata (version, metric, seqs, level, checksum of each row group)
//! reader ─▶ cached footer ─▶ pages by user and time ─▶ decode those ─▶ binary search ─▶ slices
//! ```
//!
//! Not here: which files exist (the manifest), which to merge (compaction).

mod cache;
mod encode;
mod footer;
mod page;
mod reader;
mod verify;
mod writer;

pub(crate) use cache::Footers;
pub(crate) use reader::read;
pub(crate) use verify::verify;
pub(crate) use writer::{Feed, Target, Written, write};

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;

use crate::error::{Error, Result};
use crate::manifest::FileMeta;

/// Runs a step of the Parquet crate. Its errors get their place; a panic in it (a few of its asserts can be reached by
/// damaged bytes) is damage, not the end of the thread.
fn guarded<T>(op: &'static str, path: &str, step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(answer) => answer.map_err(|source| Error::parquet(op, path, source)),
        Err(_) => Err(corrupt(path, 0, "the bytes cannot be decoded")),
    }
}

fn corrupt(path: &str, offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { path: PathBuf::from(path), offset, what: what.into() }
}

/// Fetches ranges of a file, exactly. Where the store cannot, it is asked for the length first, so that a file that was
/// cut is told from a store that is away.
async fn fetch(store: &dyn ObjectStore, file: &FileMeta, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let failed = match store.get_ranges(path, ranges).await {
        Ok(fetched) => {
            let lengths = ranges.iter().map(|range| range.end - range.start);
            if lengths.eq(fetched.iter().map(|bytes| bytes.len() as u64)) {
                return Ok(fetched);
            }
            None
        }
        Err(error) => Some(error),
    };
    let found = store.head(path).await.map_err(|source| Error::object("read", path, source))?.size;
    if found != file.bytes {
        return Err(corrupt(
            &file.path,
            found.min(file.bytes),
            format!("expected {} bytes, found {found}", file.bytes),
        ));
    }
    Err(match failed {
        Some(source) => Error::object("read", path, source),
        None => corrupt(&file.path, 0, "the store gave fewer bytes than there are"),
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
