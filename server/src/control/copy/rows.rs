//! The rows of a table: read in the order of its key, written in batches, hashed.
//!
//! A hash is taken over the rows one after the other. A field is a byte 0 where it is null; else a byte 1 and its value:
//! numbers as eight bytes, little-endian; text and bytes as their length, the same way, and themselves.

use futures::TryStreamExt as _;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement, StreamTrait as _, Value};
use sha2::{Digest as _, Sha256};

use super::super::error::{Result, at};
use super::schema::{Column, Kind, Table};

/// Most rows of one statement.
const BATCH_ROWS_MAX: usize = 500;

/// Most values of one statement: SQLite takes 32,766, PostgreSQL 65,535.
const BATCH_VALUES_MAX: usize = 30_000;

/// Rows between two calls of `tell` while rows are only read.
const TELL_ROWS: u64 = 1_000;

/// What is compared of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: u64,
    pub(super) hash: [u8; 32],
}

/// Two traits of a transaction answer this.
fn backend(on: &DatabaseTransaction) -> DbBackend {
    ConnectionTrait::get_database_backend(on)
}

/// How many rows there are.
pub(super) async fn count(on: &DatabaseTransaction, table: &Table) -> Result<u64> {
    let statement = format!("SELECT COUNT(*) FROM {}", table.quoted());
    let row = on.query_one_raw(Statement::from_string(backend(on), statement)).await;
    let count = match row.map_err(at("count rows"))? {
        Some(row) => row.try_get_by_index::<i64>(0).map_err(at("count rows"))?,
        None => 0,
    };
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Writes every row of a table of `from` into `to`, and says what they were.
pub(super) async fn transfer(
    from: &DatabaseTransaction,
    to: &DatabaseTransaction,
    table: &Table,
    tell: &mut impl FnMut(u64),
) -> Result<Digest> {
    let rows_max = (BATCH_VALUES_MAX / table.columns.len().max(1)).clamp(1, BATCH_ROWS_MAX);
    let mut hashing = Hashing::default();
    let mut batch: Vec<Value> = Vec::new();
    let mut stream = from.stream_raw(select(from, table)).await.map_err(at("read a table"))?;
    while let Some(row) = stream.try_next().await.map_err(at("read a table"))? {
        let start = batch.len();
        for (index, column) in table.columns.iter().enumerate() {
            batch.push(value(&row, index, column.kind)?);
        }
        hashing.row(batch.get(start..).unwrap_or_default());
        if batch.len() >= rows_max.saturating_mul(table.columns.len()) {
            insert(to, table, std::mem::take(&mut batch)).await?;
            tell(hashing.rows);
        }
    }
    insert(to, table, batch).await?;
    tell(hashing.rows);
    Ok(hashing.finish())
}

/// Reads every row of a table, and says what they were.
pub(super) async fn digest(on: &DatabaseTransaction, table: &Table, mut tell: impl FnMut(u64)) -> Result<Digest> {
    let mut hashing = Hashing::default();
    let mut stream = on.stream_raw(select(on, table)).await.map_err(at("read a table"))?;
    while let Some(row) = stream.try_next().await.map_err(at("read a table"))? {
        let fields = table.columns.iter().enumerate().map(|(index, column)| value(&row, index, column.kind));
        hashing.row(&fields.collect::<Result<Vec<_>>>()?);
        if hashing.rows.is_multiple_of(TELL_ROWS) {
            tell(hashing.rows);
        }
    }
    tell(hashing.rows);
    Ok(hashing.finish())
}

/// All rows in an order that both databases share: texts by their bytes.
fn select(on: &DatabaseTransaction, table: &Table) -> Statement {
    let by_bytes = if backend(on) == DbBackend::Postgres { " COLLATE \"C\"" } else { "" };
    let columns: Vec<_> = table.columns.iter().map(read_as).collect();
    let order: Vec<_> = table
        .key
        .iter()
        .map(|column| column.quoted() + if column.kind == Kind::Text { by_bytes } else { "" })
        .collect();
    let sql = format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.quoted(), order.join(", "));
    Statement::from_string(backend(on), sql)
}

/// Integers of any width are read as the widest.
fn read_as(column: &Column) -> String {
    match column.kind {
        Kind::Int => format!("CAST({} AS BIGINT)", column.quoted()),
        Kind::Real | Kind::Text | Kind::Bytes => column.quoted(),
    }
}

fn value(row: &QueryResult, index: usize, kind: Kind) -> Result<Value> {
    let at = at("read a field");
    Ok(match kind {
        Kind::Int => Value::from(row.try_get_by_index::<Option<i64>>(index).map_err(at)?),
        Kind::Real => Value::from(row.try_get_by_index::<Option<f64>>(index).map_err(at)?),
        Kind::Text => Value::from(row.try_get_by_index::<Option<String>>(index).map_err(at)?),
        Kind::Bytes => Value::from(row.try_get_by_index::<Option<Vec<u8>>>(index).map_err(at)?),
    })
}

/// Inserts whole rows, given as all their fields in a line.
async fn insert(on: &DatabaseTransaction, table: &Table, values: Vec<Value>) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let dialect = backend(on);
    let columns: Vec<_> = table.columns.iter().map(Column::quoted).collect();
    let marks: Vec<_> = match dialect {
        DbBackend::Postgres => (1..=values.len()).map(|number| format!("${number}")).collect(),
        _ => vec!["?".to_owned(); values.len()],
    };
    let rows: Vec<_> = marks.chunks(columns.len()).map(|row| format!("({})", row.join(", "))).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES {}", table.quoted(), columns.join(", "), rows.join(", "));
    let inserted = on.execute_raw(Statement::from_sql_and_values(dialect, sql, values)).await;
    inserted.map(|_| ()).map_err(at("insert rows"))
}

#[derive(Default)]
struct Hashing {
    rows: u64,
    hash: Sha256,
}

impl Hashing {
    fn row(&mut self, fields: &[Value]) {
        self.rows += 1;
        for field in fields {
            match field {
                Value::BigInt(Some(number)) => self.number(number.to_le_bytes()),
                Value::Double(Some(number)) => self.number(number.to_bits().to_le_bytes()),
                Value::String(Some(text)) => self.bytes(text.as_bytes()),
                Value::Bytes(Some(bytes)) => self.bytes(bytes),
                _ => self.hash.update([0]),
            }
        }
    }

    fn number(&mut self, bytes: [u8; 8]) {
        self.hash.update([1]);
        self.hash.update(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.hash.update(bytes);
    }

    fn finish(self) -> Digest {
        Digest { rows: self.rows, hash: self.hash.finalize().into() }
    }
}
