//! Opening the database: connections, settings, migrations.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use super::error::{Error, Result};
use super::migrations::Migrator;
use crate::config::{Config, Database};

/// Any number: it names the migrations of this program among PostgreSQL's advisory locks.
const MIGRATION_LOCK: i64 = 0x6176_7963_656e_6e61;

/// Pause between two tries to open a database that another process is opening.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Rows that a connection to SQLite reads ahead of who takes them: with fewer its thread and theirs wake each other again
/// and again.
const ROWS_AHEAD: usize = 1_024;

/// The connections of an open database.
pub(super) struct Opened {
    /// For statements.
    pub(super) pool: DatabaseConnection,
    /// One more, for the counter of changes.
    pub(super) watch: DatabaseConnection,
}

/// Connects and migrates.
pub(super) async fn open(config: &Config) -> Result<Opened> {
    let database = config.control.database(&config.storage.data_dir);
    if let Database::Sqlite(path) = &database {
        create(path)?;
    }
    let at = |source| Error::Open { place: database.to_string(), source };
    let wait = Duration::from_millis(config.control.wait_ms_max);
    let connect = |count| {
        let database = &database;
        in_turn(wait, move || sea_orm::Database::connect(options(database, count, wait)))
    };
    let pool = connect(config.control.connections_max).await.map_err(at)?;
    in_turn(wait, || migrate(&pool)).await.map_err(at)?;
    let watch = connect(1).await.map_err(at)?;
    Ok(Opened { pool, watch })
}

/// Tries again, up to `wait`, while another process opens the same file: SQLite does not wait by itself for the lock
/// under which a new file begins to keep a write-ahead log.
async fn in_turn<T, F>(wait: Duration, step: impl Fn() -> F) -> std::result::Result<T, DbErr>
where
    F: Future<Output = std::result::Result<T, DbErr>>,
{
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        match step().await {
            Err(error) if is_locked(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            done => return done,
        }
    }
}

fn is_locked(error: &DbErr) -> bool {
    error.to_string().contains("database is locked")
}

/// Whether the database is a file that is not there.
pub(super) fn is_absent(config: &Config) -> bool {
    match config.control.database(&config.storage.data_dir) {
        Database::Sqlite(path) => matches!(path.try_exists(), Ok(false)),
        Database::Postgres(_) => false,
    }
}

/// Connects to a database that is there, and changes nothing; `None` where there is none yet.
pub(super) async fn look(config: &Config) -> Result<Option<DatabaseConnection>> {
    let database = config.control.database(&config.storage.data_dir);
    if let Database::Sqlite(path) = &database
        && matches!(path.try_exists(), Ok(false))
    {
        return Ok(None);
    }
    let at = |source| Error::Open { place: database.to_string(), source };
    let wait = Duration::from_millis(config.control.wait_ms_max);
    let pool = sea_orm::Database::connect(options(&database, 1, wait)).await.map_err(at)?;
    let has_trail = SchemaManager::new(&pool).has_table("audit_records").await.map_err(at)?;
    if has_trail {
        return Ok(Some(pool));
    }
    pool.close().await.map_err(at)?;
    Ok(None)
}

/// Makes the file and its directory, readable by their owner alone; SQLite gives its side files the same mode.
fn create(path: &Path) -> Result<()> {
    let at = |source| Error::File { path: path.to_path_buf(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(at)?;
    Ok(())
}

fn options(database: &Database, connections: u32, wait: Duration) -> ConnectOptions {
    let url = match database {
        Database::Sqlite(_) => "sqlite:control.db",
        Database::Postgres(url) => url.reveal(),
    };
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(wait)
        .acquire_timeout(wait)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    if let Database::Sqlite(path) = database {
        let path = path.clone();
        options.map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .create_if_missing(false)
                .busy_timeout(wait)
                .foreign_keys(true)
                .row_buffer_size(ROWS_AHEAD)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                // Erased people leave no bytes in free pages.
                .pragma("secure_delete", "ON")
                .pragma("temp_store", "MEMORY")
        });
    }
    options
}

/// Applies the pending steps in one transaction under a lock, so that processes that start together take turns. Takes
/// no lock where nothing is pending.
async fn migrate(pool: &DatabaseConnection) -> std::result::Result<(), DbErr> {
    if Migrator::get_pending_migrations_read_only(pool).await?.is_empty() {
        return Ok(());
    }
    let is_sqlite = pool.get_database_backend() == DbBackend::Sqlite;
    let options = TransactionOptions {
        sqlite_transaction_mode: is_sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction: DatabaseTransaction = pool.begin_with_options(options).await?;
    if !is_sqlite {
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}
