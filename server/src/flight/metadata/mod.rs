//! What a client asks of the server before it asks a question: tables, keys, types, abilities.

mod keys;
mod types;

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfoData};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo, SqlNullOrdering,
    SqlSupportedCaseSensitivity,
};
use engine::query::sql::{CATALOG, SCHEMA};
use tonic::Status;

pub(super) use self::keys::{FOREIGN_SCHEMA, PRIMARY_SCHEMA, foreign, primary};
use super::status::of_error;
use crate::access::Visitor;
use crate::sql::Question;
use crate::state::AppState;

/// The tables.
const TABLES: [&str; 3] = ["latest", "metrics", "points"];
const TABLE_TYPE: &str = "TABLE";

static INFO: LazyLock<Option<SqlInfoData>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "avycenna");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, 0_i32);
    info.append(SqlInfo::FlightSqlServerCancel, false);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.build().ok()
});

/// What the server can do.
///
/// # Errors
/// `INTERNAL`, for a bug.
pub(super) fn sql_info() -> Result<&'static SqlInfoData, Status> {
    INFO.as_ref().ok_or_else(|| Status::internal("no information about SQL"))
}

/// The types of columns.
///
/// # Errors
/// `INTERNAL`, for a bug.
pub(super) fn types() -> Result<&'static XdbcTypeInfoData, Status> {
    types::types().ok_or_else(|| Status::internal("no information about types"))
}

/// The one catalog.
///
/// # Errors
/// Arrow's.
pub(super) fn catalogs(asked: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut catalogs = asked.into_builder();
    catalogs.append(CATALOG);
    catalogs.build()
}

/// The one schema.
///
/// # Errors
/// Arrow's.
pub(super) fn schemas(asked: CommandGetDbSchemas) -> Result<RecordBatch, FlightError> {
    let mut schemas = asked.into_builder();
    schemas.append(CATALOG, SCHEMA);
    schemas.build()
}

/// The one type.
///
/// # Errors
/// Arrow's.
pub(super) fn table_types(asked: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut types = asked.into_builder();
    types.append(TABLE_TYPE);
    types.build()
}

/// The tables, with their columns.
///
/// # Errors
/// As a statement's over them.
pub(super) async fn tables(state: &AppState, visitor: Visitor, asked: CommandGetTables) -> Result<RecordBatch, Status> {
    let mut tables = asked.into_builder();
    for table in TABLES {
        let sql = format!("SELECT * FROM {table}");
        let question = Question { visitor: visitor.clone(), sql, params: Vec::new() };
        let (columns, _) = question.describe(state).await.map_err(|error| of_error(&error))?;
        let columns: Arc<Schema> = columns;
        tables.append(CATALOG, SCHEMA, table, TABLE_TYPE, &columns).map_err(Status::from)?;
    }
    tables.build().map_err(Status::from)
}
