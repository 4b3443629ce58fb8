//! What can go wrong with the control database.

use std::path::PathBuf;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something else has that name already: tell the caller.
    Conflict,
    /// A limit on the number of things is reached: tell the caller.
    Limit,
    /// The database did not answer in time: try again in a moment.
    Busy,
    /// Anything else: logged.
    Internal,
}

/// An error of the control database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A unique value is taken.
    #[error("{what} is taken already")]
    Conflict {
        /// Which value.
        what: &'static str,
    },
    /// One person has as many of a thing as one may have.
    #[error("there are {count_max} {what} already, which is the limit; delete one first")]
    Limit {
        /// Of which thing.
        what: &'static str,
        /// The limit.
        count_max: u64,
    },
    /// Another writer held the database for too long.
    #[error("the control database was busy for {waited_ms} ms; try again in a moment")]
    Busy {
        /// How long the wait was, milliseconds.
        waited_ms: u64,
    },
    /// The database could not be opened or brought up to date.
    #[error("open control database {place}")]
    Open {
        /// The file, or the URL without its password.
        place: String,
        /// Why not.
        source: DbErr,
    },
    /// The file of the database could not be made.
    #[error("create {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("control database: {op}")]
    Database {
        /// What was tried.
        op: &'static str,
        /// Why it failed.
        source: DbErr,
    },
    /// A row holds what this program does not know, such as a role of a later version.
    #[error("control database: {table} row {id} holds an unknown {column}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        id: String,
        /// The column.
        column: &'static str,
    },
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Database { source, .. } if is_busy(source) => ErrorKind::Busy,
            Self::Open { .. } | Self::File { .. } | Self::Database { .. } | Self::Row { .. } => ErrorKind::Internal,
        }
    }
}

/// Whether the database is in use for now: no connection is free, or another process writes.
fn is_busy(error: &DbErr) -> bool {
    /// SQLite's `SQLITE_BUSY`; the bits above say why.
    const SQLITE_BUSY: u32 = 5;
    let error = match error {
        DbErr::ConnectionAcquire(_) => return true,
        DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error) => error,
        _ => return false,
    };
    let RuntimeErr::SqlxError(error) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.try_downcast_ref::<SqliteError>()?.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

/// Names the operation of a failed statement.
pub(super) fn at(op: &'static str) -> impl Fn(DbErr) -> Error {
    move |source| Error::Database { op, source }
}

/// As [`at`], but a unique value that is taken becomes [`Error::Conflict`].
pub(super) fn conflict_at(op: &'static str, what: &'static str) -> impl Fn(DbErr) -> Error {
    move |source| match source.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => Error::Conflict { what },
        _ => Error::Database { op, source },
    }
}

/// The control database's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
