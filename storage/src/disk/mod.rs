//! The local disk behind one small trait, so that a simulated one can fail at every call.
//!
//! Every byte that this crate writes locally goes through [`Disk`]: the log, and, by way of [`store`], Parquet files
//! and manifests. Paths are relative to the disk's root; `/` separates.
//!
//! What the trait promises, and no more: bytes are durable after `sync_data` of the file **and** `sync_dir` of its
//! folder (for the entry: creation, rename, link, removal). Anything else may be lost, in any order, when power fails.

pub mod real;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod store;

use std::fmt::Debug;
use std::io;
use std::path::Path;

/// A local disk. Two implementations: [`real::RealDisk`] and `sim::SimDisk`.
///
/// Errors are plain [`io::Error`]s; the caller adds operation and path.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates a file that must not exist yet, for writing, with `bytes` reserved for it (zeros; 0 reserves nothing).
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull` (then there is no such file), `NotFound` if its folder is missing.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn File>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file for reading; cheap enough to call per query, and safe to share between threads.
    ///
    /// # Errors
    /// `NotFound`.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Makes a folder and its parents; one that is there is fine.
    ///
    /// # Errors
    /// `StorageFull`, or the system's.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names and sizes of the files below a folder, recursively, sorted by path (relative to the root); a folder that
    /// is not there has none.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Gives a file a second name; fails with `AlreadyExists` if that name is taken. Atomic.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file over whatever is there. Atomic.
    ///
    /// # Errors
    /// `NotFound`, `StorageFull`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    ///
    /// # Errors
    /// The system's: then it is unknown what is durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock file for this process until the returned guard is dropped (or the process dies). Fails with
    /// `WouldBlock` if another has it.
    ///
    /// # Errors
    /// `WouldBlock` if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait File: Debug + Send + Sync {
    /// Fills `buf` from `offset`; `UnexpectedEof` if the file ends before.
    ///
    /// # Errors
    /// `UnexpectedEof`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// `StorageFull`; a part may be written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the written bytes and the length durable.
    ///
    /// # Errors
    /// The system's: then it is unknown what is durable, for ever.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) to `bytes`.
    ///
    /// # Errors
    /// `StorageFull`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Length, bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;
    /// When it was last written, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// The system's.
    fn modified_ms(&self) -> io::Result<i64>;
    /// Whether the length is 0.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// One file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the disk's root.
    pub path: std::path::PathBuf,
    /// Length, bytes.
    pub bytes: u64,
    /// When it was last written, milliseconds since 1970 UTC.
    pub modified_ms: i64,
}
