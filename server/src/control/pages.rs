//! Looking for a text in the control database: rows by SQL, and, on SQLite, who owns which page of the file.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Control, Result, error};

/// Tables whose rows outlive the people they name: the trails of reads. They hold ids, no names and no addresses.
pub const TRAILS: [&str; 2] = ["audit_records", "audit_heads"];

/// Rows of one column that hold a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Rows of it that hold the text.
    pub rows: i64,
}

impl Control {
    /// The columns of text of all tables that hold `text`, in whatever case of ASCII letters, the trails among them.
    /// Cost: one pass over every table.
    ///
    /// # Errors
    /// [`super::Error::Database`].
    pub async fn columns_with(&self, text: &str) -> Result<Vec<Column>> {
        let pool = &self.inner.pool;
        let backend = pool.get_database_backend();
        let (columns, find) = match backend {
            DbBackend::Postgres => (
                "SELECT table_name, column_name FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying') ORDER BY 1, 2",
                "position($1 in lower(\"COLUMN\"))",
            ),
            _ => (
                "SELECT m.name AS table_name, c.name AS column_name FROM sqlite_schema m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND c.type IN ('TEXT', 'varchar', 'VARCHAR') ORDER BY 1, 2",
                "instr(lower(\"COLUMN\"), ?)",
            ),
        };
        let at = error::at("look for a text");
        let listed = pool.query_all_raw(Statement::from_string(backend, columns)).await.map_err(&at)?;
        let mut found = Vec::new();
        for row in listed {
            let table: String = row.try_get("", "table_name").map_err(&at)?;
            let column: String = row.try_get("", "column_name").map_err(&at)?;
            // The names come from the database's own catalogue; a quote in one would still end it.
            if table.contains('"') || column.contains('"') {
                continue;
            }
            let place = find.replace("COLUMN", &column);
            let sql = format!("SELECT count(*) AS n FROM \"{table}\" WHERE {place} > 0");
            let statement = Statement::from_sql_and_values(backend, sql, [text.to_ascii_lowercase().into()]);
            let counted = pool.query_one_raw(statement).await.map_err(&at)?;
            let rows: i64 = counted.map_or(Ok(0), |row| row.try_get("", "n")).map_err(&at)?;
            if rows > 0 {
                found.push(Column { table, column, rows });
            }
        }
        Ok(found)
    }

    /// The table of each page of a SQLite file that belongs to one, or to an index of one; a page that is not named is
    /// free. Nothing on PostgreSQL.
    ///
    /// # Errors
    /// [`super::Error::Database`].
    pub async fn page_owners(&self) -> Result<BTreeMap<u64, String>> {
        let pool = &self.inner.pool;
        let backend = pool.get_database_backend();
        if backend != DbBackend::Sqlite {
            return Ok(BTreeMap::new());
        }
        let at = error::at("look at the pages");
        let sql = "SELECT d.pageno AS page, coalesce(m.tbl_name, d.name) AS owner \
                   FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name";
        let rows = pool.query_all_raw(Statement::from_string(backend, sql)).await.map_err(&at)?;
        rows.iter()
            .map(|row| {
                let page: i64 = row.try_get("", "page").map_err(&at)?;
                let owner: String = row.try_get("", "owner").map_err(&at)?;
                Ok((u64::try_from(page).unwrap_or(0), owner))
            })
            .collect()
    }
}
