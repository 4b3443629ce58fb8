//! The whole database moved into another one, from SQLite to PostgreSQL or back, and proved to be the same there.
//!
//! ```text
//! Schema::of_migrations ─▶ every table, parents first
//! source, held ─ rows in the order of the key ─▶ insert ─▶ target, held ─ rows in the same order ─▶ count, SHA-256
//!            └─────────── count, SHA-256 ────────────────── alike? ───────────────────────────────────┘ ─▶ commit
//! ```
//!
//! - The tables and columns are those that the migrations make in an empty database: a later step's tables are copied
//!   without a line here.
//! - Both sides are held against writers until the end, and the target's one transaction commits only what reads back
//!   equal. Whatever goes wrong, the target stays empty and the source as it was.
//! - Memory is that of one batch, however many rows there are.
//!
//! Not here: whether a server runs on the data directory (`cli::control`), and what lies beside the database, such as the
//! signing secret.

mod rows;
mod schema;
#[cfg(test)]
mod tests;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use self::rows::Digest;
use self::schema::{Schema, Table};
use super::error::{Error, Result, at};
use super::{Control, Write};

/// The one table that migrations put a row into: a target that holds nothing else is empty.
const COUNTER: &str = "auth_changes";

/// Columns that the database numbers by itself: table, column, and the table that keeps such numbers of rows that are gone,
/// or the same one where a number may come again.
const NUMBERED: [(&str, &str, &str); 2] = [("events", "seq", "forgotten_events"), ("notices", "seq", "notices")];

/// One table that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over all rows in the order of the primary key, the same on both databases.
    pub hash: [u8; 32],
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The table at hand.
    pub table: &'a str,
    /// Rows of it that were written and read back: each counts twice.
    pub steps: u64,
    /// Twice its rows.
    pub steps_total: u64,
}

/// Copies every row of `source` into the empty `target`, both of this program's newest schema. Calls `tell` after each
/// batch. Cost: each row is read twice and written once.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Differs`], [`Error::Uncopied`]; [`Error::Busy`] and [`Error::Database`] of either side.
/// The target is then as it was.
pub async fn copy(source: &Control, target: &Control, mut tell: impl FnMut(Progress<'_>)) -> Result<Vec<Copied>> {
    let schema = Schema::of_migrations().await?;
    let from = source.write().await?;
    hold(&from, source, &schema).await?;
    let to = target.write().await?;
    hold(&to, target, &schema).await?;
    clear(&to, &schema).await?;
    let mut copied = Vec::new();
    for table in &schema.tables {
        copied.push(copy_table(&from, &to, table, &mut tell).await?);
    }
    go_on_behind(&to).await?;
    to.commit().await?;
    drop(from);
    Ok(copied)
}

/// All tables of the newest schema.
#[cfg(test)]
pub(crate) async fn tables() -> Result<Vec<String>> {
    Ok(Schema::of_migrations().await?.tables.into_iter().map(|table| table.name).collect())
}

/// Keeps writers away until the transaction ends. On SQLite it is the only one that may write already.
async fn hold(write: &Write, control: &Control, schema: &Schema) -> Result<()> {
    if write.on().get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let tables: Vec<_> = schema.tables.iter().map(Table::quoted).collect();
    let wait_ms = control.inner.wait_max.as_millis();
    let lock = format!("SET LOCAL lock_timeout = {wait_ms}; LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "));
    write.on().execute_unprepared(&lock).await.map_err(at("hold the tables"))?;
    Ok(())
}

/// Refuses a target that somebody uses, and takes out what the migrations put there.
async fn clear(to: &Write, schema: &Schema) -> Result<()> {
    for table in schema.tables.iter().filter(|table| table.name != COUNTER) {
        let statement = format!("SELECT 1 AS one FROM {} LIMIT 1", table.quoted());
        let statement = Statement::from_string(to.on().get_database_backend(), statement);
        if to.on().query_one_raw(statement).await.map_err(at("look into a table"))?.is_some() {
            return Err(Error::NotEmpty { table: table.name.clone() });
        }
    }
    to.on().execute_unprepared(&format!("DELETE FROM {COUNTER}")).await.map_err(at("clear the counter"))?;
    Ok(())
}

/// Lets the target number what comes behind what was copied.
async fn go_on_behind(to: &Write) -> Result<()> {
    for (table, column, kept) in NUMBERED {
        let highest = format!(
            "(SELECT COALESCE(MAX(n), 0) FROM (SELECT MAX({column}) AS n FROM {table} \
             UNION ALL SELECT MAX({column}) FROM {kept}) AS numbers)"
        );
        let sql = if to.on().get_database_backend() == DbBackend::Postgres {
            format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {highest} + 1, false)")
        } else {
            format!(
                "DELETE FROM sqlite_sequence WHERE name = '{table}'; \
                 INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {highest})"
            )
        };
        to.on().execute_unprepared(&sql).await.map_err(at("set the next number"))?;
    }
    Ok(())
}

async fn copy_table(from: &Write, to: &Write, table: &Table, tell: &mut impl FnMut(Progress<'_>)) -> Result<Copied> {
    let steps_total = rows::count(from.on(), table).await?.saturating_mul(2);
    let mut tell = |steps| tell(Progress { table: &table.name, steps, steps_total });
    tell(0);
    let read = rows::transfer(from.on(), to.on(), table, &mut tell).await?;
    let found = rows::digest(to.on(), table, |rows| tell(read.rows.saturating_add(rows))).await?;
    if read != found {
        let (source_rows, target_rows) = (read.rows, found.rows);
        return Err(Error::Differs { table: table.name.clone(), source_rows, target_rows });
    }
    let Digest { rows, hash } = read;
    Ok(Copied { table: table.name.clone(), rows, hash })
}
