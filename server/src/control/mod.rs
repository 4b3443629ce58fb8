//! The control database: people, sessions, keys, codes, check-ins, symptoms, grants, the trail of reads. SQLite in the
//! data directory, or PostgreSQL.
//!
//! ```text
//! routes, cli ─▶ repository (one file a table's purpose) ─▶ Control::read    pooled connections
//!                                                        └▶ Control::write   one writer of this process at a time
//! triggers ─▶ auth_changes.counter ─▶ Control::changes   read on a connection of its own, several times a second
//! ```
//!
//! What it guarantees: a [`Write`] that was committed survives a crash and loss of power; one that was dropped has
//! changed nothing. Several processes may use the same database; migrations run under a lock.
//!
//! Not here: points, and what a credential allows (`auth`).

pub mod copy;
pub mod entities;
mod error;
mod migrations;
mod open;
pub mod pages;
#[cfg(test)]
mod plans;
pub mod repository;
mod scrub;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use storage::Clock;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use self::error::{Error, ErrorKind, Result};
use crate::config::Config;

/// The open database. `Clone` is a reference count.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    pool: DatabaseConnection,
    /// Alone for [`Control::changes`], so that a busy pool cannot delay the end of a credential.
    watch: DatabaseConnection,
    /// SQLite has one writer; ours queue here in order instead of sleeping in its busy handler.
    turn: Option<Arc<Mutex<()>>>,
    wait_max: Duration,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("backend", &self.inner.pool.get_database_backend()).finish_non_exhaustive()
    }
}

impl Control {
    /// Opens the database that `config` names, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Open`].
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let open::Opened { pool, watch } = open::open(config).await?;
        let turn = (pool.get_database_backend() == DbBackend::Sqlite).then(Arc::default);
        let wait_max = Duration::from_millis(config.control.wait_ms_max);
        Ok(Self { inner: Arc::new(Inner { pool, watch, turn, wait_max, clock }) })
    }

    /// Whether [`Self::open`] would make the file of the database.
    pub fn is_absent(config: &Config) -> bool {
        open::is_absent(config)
    }

    /// As [`Self::open`], but makes no file: `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_existing(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Self>> {
        if Self::is_absent(config) {
            return Ok(None);
        }
        Self::open(config, clock).await.map(Some)
    }

    /// A database that is there and has a trail of reads, for looking at it alone: nothing is made, nothing brought up to
    /// date. `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub async fn look(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Self>> {
        let Some(pool) = open::look(config).await? else { return Ok(None) };
        let wait_max = Duration::from_millis(config.control.wait_ms_max);
        let (watch, turn) = (pool.clone(), Some(Arc::default()));
        Ok(Some(Self { inner: Arc::new(Inner { pool, watch, turn, wait_max, clock }) }))
    }

    /// Connections for statements that only read.
    pub fn read(&self) -> &DatabaseConnection {
        &self.inner.pool
    }

    /// Begins a transaction that may write. Dropped without [`Write::commit`], it changes nothing.
    ///
    /// # Errors
    /// [`Error::Busy`] if another writer takes too long, [`Error::Database`].
    pub async fn write(&self) -> Result<Write> {
        let turn = self.turn().await?;
        // A deferred transaction that reads before it writes would fail when another process wrote in between.
        let options = TransactionOptions {
            sqlite_transaction_mode: turn.as_ref().map(|_| SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.inner.pool.begin_with_options(options).await.map_err(error::at("begin"))?;
        Ok(Write { transaction, _turn: turn })
    }

    /// Begins a transaction that only reads, and sees one moment: that of its first statement. End it soon: SQLite cannot
    /// empty its write-ahead file while it is open.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn snapshot(&self) -> Result<DatabaseTransaction> {
        // SQLite gives every transaction one moment.
        let is_postgres = self.inner.pool.get_database_backend() == DbBackend::Postgres;
        let options = TransactionOptions {
            isolation_level: is_postgres.then_some(IsolationLevel::RepeatableRead),
            access_mode: is_postgres.then_some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        self.inner.pool.begin_with_options(options).await.map_err(error::at("begin a snapshot"))
    }

    /// Waits for this process's turn to write, where the database has one writer.
    async fn turn(&self) -> Result<Option<OwnedMutexGuard<()>>> {
        let Some(turn) = &self.inner.turn else { return Ok(None) };
        let waited_ms = u64::try_from(self.inner.wait_max.as_millis()).unwrap_or(u64::MAX);
        let turn = tokio::time::timeout(self.inner.wait_max, Arc::clone(turn).lock_owned()).await;
        turn.map(Some).map_err(|_| Error::Busy { waited_ms })
    }

    /// The counter of changes that can end a credential, by any process.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn changes(&self) -> Result<i64> {
        let statement = Statement::from_string(
            self.inner.watch.get_database_backend(),
            "SELECT counter FROM auth_changes WHERE id = 1",
        );
        let at = error::at("read the counter of changes");
        let row = self.inner.watch.query_one_raw(statement).await.map_err(&at)?;
        row.map_or(Ok(0), |row| row.try_get_by_index(0).map_err(&at))
    }

    /// Microseconds since 1970 UTC.
    pub fn now_us(&self) -> i64 {
        self.inner.clock.now_us()
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Closes all connections once they are idle. Idempotent.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn close(&self) -> Result<()> {
        self.inner.watch.close_by_ref().await.map_err(error::at("close"))?;
        self.inner.pool.close_by_ref().await.map_err(error::at("close"))
    }
}

/// A transaction that may write.
#[must_use = "nothing is written without `commit`"]
pub struct Write {
    transaction: DatabaseTransaction,
    /// Held until the transaction is over; declared behind it, so dropped after it.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

impl Write {
    /// The transaction, for the repositories.
    pub fn on(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// [`Error::Database`]; then nothing was written.
    pub async fn commit(self) -> Result<()> {
        self.transaction.commit().await.map_err(error::at("commit"))
    }
}
