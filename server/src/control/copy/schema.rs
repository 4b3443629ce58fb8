//! Which tables there are, as the migrations say: what they make in an empty database in memory.

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, Value};
use sea_orm_migration::MigratorTrait;

use super::super::error::{Error, Result, at};
use super::super::migrations::Migrator;

/// What the migrations note about themselves: each database has its own.
const NOTES: &str = "seaql_migrations";

/// All tables of the newest schema.
#[derive(Debug)]
pub(super) struct Schema {
    /// Each behind those that it refers to.
    pub(super) tables: Vec<Table>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    /// In the order of their declaration.
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, in its order.
    pub(super) key: Vec<Column>,
    /// The tables that it refers to.
    parents: Vec<String>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Real,
    Text,
    Bytes,
}

impl Table {
    /// Its name as SQL.
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }
}

impl Column {
    /// Its name as SQL.
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Schema {
    /// Runs every migration in memory and looks at what is there.
    ///
    /// # Errors
    /// [`Error::Uncopied`] for a table that cannot be copied by what is known of it here, [`Error::Database`].
    pub(super) async fn of_migrations() -> Result<Self> {
        let mut options = ConnectOptions::new("sqlite::memory:");
        // A second connection would be a second database.
        options.max_connections(1).min_connections(1).sqlx_logging(false);
        let memory = sea_orm::Database::connect(options).await.map_err(at("open a database in memory"))?;
        Migrator::up(&memory, None).await.map_err(at("make the schema in memory"))?;
        let schema = Self::of(&memory).await;
        memory.close().await.map_err(at("close the database in memory"))?;
        schema
    }

    /// The schema of a SQLite database.
    pub(super) async fn of(database: &DatabaseConnection) -> Result<Self> {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> ? \
                     ORDER BY name";
        let mut tables = Vec::new();
        for row in ask(database, names, NOTES).await? {
            tables.push(table(database, text(&row, "name")?).await?);
        }
        Ok(Self { tables: parents_first(tables)? })
    }
}

async fn table(database: &DatabaseConnection, name: String) -> Result<Table> {
    let mut columns = Vec::new();
    let mut key = Vec::new();
    // Columns that the database computes itself are not listed here, and must not be written.
    for row in ask(database, "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid", &name).await? {
        let column = Column { name: text(&row, "name")?, kind: kind(&name, &text(&row, "type")?)? };
        let place: i64 = row.try_get("", "pk").map_err(at("read the schema"))?;
        if place > 0 {
            key.push((place, column.clone()));
        }
        columns.push(column);
    }
    if key.is_empty() {
        return Err(Error::Uncopied { table: name, what: "it has no primary key".to_owned() });
    }
    key.sort_by_key(|(place, _)| *place);
    let mut parents = Vec::new();
    for row in ask(database, "SELECT \"table\" AS parent FROM pragma_foreign_key_list(?)", &name).await? {
        parents.push(text(&row, "parent")?);
    }
    Ok(Table { name, columns, key: key.into_iter().map(|(_, column)| column).collect(), parents })
}

/// Strict tables know these types and `ANY`.
fn kind(table: &str, declared: &str) -> Result<Kind> {
    match declared {
        "INTEGER" | "INT" => Ok(Kind::Int),
        "REAL" => Ok(Kind::Real),
        "TEXT" => Ok(Kind::Text),
        "BLOB" => Ok(Kind::Bytes),
        other => Err(Error::Uncopied { table: table.to_owned(), what: format!("a column is of type `{other}`") }),
    }
}

/// The tables in an order in which each stands behind those that it refers to.
fn parents_first(mut waiting: Vec<Table>) -> Result<Vec<Table>> {
    let mut placed: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |table: &Table| table.parents.iter().all(|parent| placed.iter().any(|one| one.name == *parent));
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        if let (true, Some(stuck)) = (ready.is_empty(), rest.first()) {
            let what = format!("its references lead in a circle: {}", stuck.parents.join(", "));
            return Err(Error::Uncopied { table: stuck.name.clone(), what });
        }
        placed.extend(ready);
        waiting = rest;
    }
    Ok(placed)
}

async fn ask(database: &DatabaseConnection, sql: &str, argument: &str) -> Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [Value::from(argument)]);
    database.query_all_raw(statement).await.map_err(at("read the schema"))
}

fn text(row: &QueryResult, column: &str) -> Result<String> {
    row.try_get("", column).map_err(at("read the schema"))
}
