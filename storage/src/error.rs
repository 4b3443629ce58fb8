//! What can go wrong with bytes, and what a caller does about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a caller does about an error. The message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong: tell the caller.
    Invalid,
    /// A budget is used up for now: try again in a moment.
    Overloaded,
    /// The disk is full: writes go on by themselves when there is room.
    Full,
    /// Stored bytes are not what was written: a person must look.
    Corrupt,
    /// A write or sync failed: no further acknowledgement until a restart.
    Poisoned,
    /// Another process owns the data.
    Fenced,
    /// The storage is closed or closing.
    Closed,
    /// The operating system refused.
    Io,
}

/// An error of the storage. Cheap to clone, because one failed group answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch breaks an invariant of [`crate::PointBatch`].
    #[error("not a batch: {what}")]
    Batch {
        /// The invariant.
        what: &'static str,
    },
    /// A configured budget is out of its range.
    #[error("storage setting `{key}`: {what}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// A metric key is empty, too long, or not of `[a-z0-9_]`, or there are too many.
    #[error("metric `{key}`: {what}")]
    Metric {
        /// The key as given.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The user was erased; nothing of theirs is taken any more.
    #[error("user {user} was erased")]
    Erased {
        /// Who.
        user: crate::UserId,
    },
    /// Too many bytes wait for the log, or the memtable outgrew its budget.
    #[error("{what} is full ({bytes} of {bytes_max} bytes); try again in a moment")]
    Overloaded {
        /// Which budget.
        what: &'static str,
        /// Bytes in it.
        bytes: usize,
        /// Its limit.
        bytes_max: usize,
    },
    /// No room on the disk.
    #[error("no space left for {}; free some, writes go on by themselves", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// Stored bytes are damaged.
    #[error("{} is damaged at byte {offset}: {what}; run `avycenna verify --data-dir …`", path.display())]
    Corrupt {
        /// The file or object.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Expected and found.
        what: String,
    },
    /// Stored bytes are of a version that this program does not know.
    #[error("{} has format version {found}, this program reads {known}; use a newer avycenna", path.display())]
    Version {
        /// The file or object.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// An earlier write or sync failed.
    #[error("the log is poisoned since {reason}; restart the server when the disk is sound")]
    Poisoned {
        /// The first failure.
        reason: Arc<str>,
    },
    /// The data directory is another process's.
    #[error("the data directory is in use by another process (it holds {}); stop it first", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Another process has committed a manifest since we opened.
    #[error("manifest {version} was written by another process; this one stops writing")]
    Fenced {
        /// The version that we wanted to write.
        version: u64,
    },
    /// A new manifest version would not be sane; a defect of the program, stopped before it reached the disk.
    #[error("manifest {version} was not written, it breaks an invariant: {what}")]
    Invariant {
        /// The version that was to be written.
        version: u64,
        /// The invariant.
        what: &'static str,
    },
    /// A snapshot was held too long; the files it saw may be gone.
    #[error("the snapshot is {age_s} s old and has ended; take a new one")]
    SnapshotExpired {
        /// Its age, seconds.
        age_s: u64,
    },
    /// The storage is closed.
    #[error("the storage is closed")]
    Closed,
    /// The operating system refused.
    #[error("{op} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`, `sync`, `rename`, `remove`, `list`.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// Arrow or Parquet refused.
    #[error("{op} {}", path.display())]
    Parquet {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: Arc<parquet::errors::ParquetError>,
    },
    /// The object store refused.
    #[error("{op} {path}")]
    Object {
        /// What was tried.
        op: &'static str,
        /// On which object.
        path: String,
        /// Why not.
        source: Arc<object_store::Error>,
    },
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Batch { .. } | Self::Config { .. } | Self::Metric { .. } | Self::Erased { .. } => ErrorKind::Invalid,
            Self::Overloaded { .. } | Self::SnapshotExpired { .. } => ErrorKind::Overloaded,
            Self::Full { .. } => ErrorKind::Full,
            Self::Corrupt { .. } | Self::Version { .. } | Self::Invariant { .. } => ErrorKind::Corrupt,
            Self::Poisoned { .. } => ErrorKind::Poisoned,
            Self::Locked { .. } | Self::Fenced { .. } => ErrorKind::Fenced,
            Self::Closed => ErrorKind::Closed,
            Self::Io { .. } | Self::Parquet { .. } | Self::Object { .. } => ErrorKind::Io,
        }
    }

    /// An I/O failure with its place; a full disk becomes [`Error::Full`].
    pub(crate) fn io(op: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.to_path_buf() }
            }
            _ => Self::Io { op, path: path.to_path_buf(), source: Arc::new(source) },
        }
    }

    /// A failure of the object store with its place; a full local disk becomes [`Error::Full`].
    pub(crate) fn object(op: &'static str, path: &object_store::path::Path, source: object_store::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            {
                return Self::Full { path: PathBuf::from(path.as_ref()) };
            }
            if let Some(own) = error.downcast_ref::<Self>() {
                return own.clone();
            }
            cause = error.source();
        }
        Self::Object { op, path: path.to_string(), source: Arc::new(source) }
    }

    /// A failure of Parquet or Arrow with its place.
    pub(crate) fn parquet(op: &'static str, path: &str, source: parquet::errors::ParquetError) -> Self {
        Self::Parquet { op, path: PathBuf::from(path), source: Arc::new(source) }
    }
}

/// The storage's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
