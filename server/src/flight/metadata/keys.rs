//! Keys: what makes a row one of its table. None refers to another table.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::CommandGetPrimaryKeys;
use engine::query::sql::{CATALOG, SCHEMA};

/// The columns of each table's key, in order.
const PRIMARY: [(&str, &[&str]); 3] = [
    ("latest", &["metric", "user_id"]),
    ("metrics", &["metric"]),
    ("points", &["metric", "user_id", "recorded_at", "source", "source_device_id"]),
];

/// Columns of the answer for primary keys, as Flight SQL names them.
pub(in crate::flight) static PRIMARY_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

/// Columns of the answer for keys that refer to others.
pub(in crate::flight) static FOREIGN_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let side = |side: &str| {
        ["catalog_name", "db_schema_name", "table_name", "column_name"].map(|name| {
            let is_optional = name.ends_with("catalog_name") || name.ends_with("db_schema_name");
            Field::new(format!("{side}_{name}"), DataType::Utf8, is_optional)
        })
    };
    let behind = [
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ];
    Arc::new(Schema::new(side("pk").into_iter().chain(side("fk")).chain(behind).collect::<Vec<_>>()))
});

/// The key of a table; nothing of one that is not there.
///
/// # Errors
/// Arrow's.
pub(in crate::flight) fn primary(asked: &CommandGetPrimaryKeys) -> Result<RecordBatch, FlightError> {
    let is_here = asked.catalog.as_deref().is_none_or(|catalog| catalog == CATALOG)
        && asked.db_schema.as_deref().is_none_or(|schema| schema == SCHEMA);
    let found = PRIMARY.iter().find(|(table, _)| is_here && *table == asked.table);
    let columns = found.map_or(&[][..], |(_, columns)| columns);
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; columns.len()])) };
    let arrays: Vec<ArrayRef> = vec![
        same(CATALOG),
        same(SCHEMA),
        same(&asked.table),
        Arc::new(StringArray::from(columns.to_vec())),
        same(&format!("{}_key", asked.table)),
        Arc::new((1..).take(columns.len()).collect::<Int32Array>()),
    ];
    RecordBatch::try_new(Arc::clone(&PRIMARY_SCHEMA), arrays).map_err(FlightError::from)
}

/// Keys that refer to others: none.
pub(in crate::flight) fn foreign() -> RecordBatch {
    RecordBatch::new_empty(Arc::clone(&FOREIGN_SCHEMA))
}
