//! What can go wrong with the control database.

use std::path::PathBuf;

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
    /// There is no room for what is to be written.
    Full,
    /// The database cannot be written until somebody has looked.
    ReadOnly,
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
    /// The database that is to take a copy is in use.
    #[error("the target's table {table} is not empty; a copy goes into an empty database only")]
    NotEmpty {
        /// The first table that holds something.
        table: String,
    },
    /// What was copied did not read back as it was.
    #[error(
        "table {table} reads back otherwise: {source_rows} rows were copied, {target_rows} are there; nothing was kept"
    )]
    Differs {
        /// The table.
        table: String,
        /// Rows that were read.
        source_rows: u64,
        /// Rows that were found.
        target_rows: u64,
    },
    /// The schema holds a table of a form that a copy does not know.
    #[error("table {table} cannot be copied: {what}")]
    Uncopied {
        /// The table.
        table: String,
        /// What is not known.
        what: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Database { source, .. } => refusal_of(source),
            Self::Open { .. }
            | Self::File { .. }
            | Self::Row { .. }
            | Self::NotEmpty { .. }
            | Self::Differs { .. }
            | Self::Uncopied { .. } => ErrorKind::Internal,
        }
    }
}

/// What a failed statement means for its caller.
fn refusal_of(error: &DbErr) -> ErrorKind {
    let error = match error {
        DbErr::ConnectionAcquire(_) => return ErrorKind::Busy,
        DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error) => error,
        _ => return ErrorKind::Internal,
    };
    let RuntimeErr::SqlxError(error) = error else { return ErrorKind::Internal };
    let Some(error) = error.as_database_error() else { return ErrorKind::Internal };
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // The bits above the lowest eight say why (https://www.sqlite.org/rescode.html).
        match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => ErrorKind::Busy,
            Ok(13) => ErrorKind::Full,
            Ok(8) => ErrorKind::ReadOnly,
            _ => ErrorKind::Internal,
        }
    } else {
        // PostgreSQL's, appendix A: serialization failures, deadlocks, lock timeouts, too many connections; no room;
        // a read-only transaction.
        match &*code {
            "40001" | "40P01" | "55P03" | "53300" => ErrorKind::Busy,
            "53100" => ErrorKind::Full,
            "25006" => ErrorKind::ReadOnly,
            _ => ErrorKind::Internal,
        }
    }
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
