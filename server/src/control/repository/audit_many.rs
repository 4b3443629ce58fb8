//! The trails of many patients at once, and what was asked of all of them.

use std::collections::HashMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use super::super::entities::{audit_head, audit_query, audit_record};
use super::super::error::{Result, at};

/// Trails that one statement speaks of: a record has sixteen columns, and SQLite takes 32,766 values.
const TRAILS_AT_ONCE: usize = 1_000;

/// Where the trails of these patients end, held until the transaction ends. `patients` is sorted, so that of two who hold
/// many none waits for the other.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold_heads(on: &impl ConnectionTrait, patients: &[&str]) -> Result<HashMap<String, audit_head::Model>> {
    let mut heads = HashMap::with_capacity(patients.len());
    for patients in patients.chunks(TRAILS_AT_ONCE) {
        let mut found = held(on, patients).await?;
        if found.len() < patients.len() {
            let missing = patients.iter().filter(|id| found.iter().all(|head| head.patient_id != **id));
            let first = missing.map(|id| {
                let head = audit_head::Model { patient_id: (*id).to_owned(), seq: 0, hash: vec![0; 32] };
                head.into_active_model()
            });
            // Of two that begin the same trail one waits for the other here, and finds its row below.
            let insert = audit_head::Entity::insert_many(first)
                .on_conflict(OnConflict::column(audit_head::Column::PatientId).do_nothing().to_owned());
            insert.exec_without_returning(on).await.map_err(at("begin trails"))?;
            found = held(on, patients).await?;
        }
        heads.extend(found.into_iter().map(|head| (head.patient_id.clone(), head)));
    }
    Ok(heads)
}

async fn held(on: &impl ConnectionTrait, patients: &[&str]) -> Result<Vec<audit_head::Model>> {
    audit_head::Entity::find()
        .filter(audit_head::Column::PatientId.is_in(patients.iter().copied()))
        .order_by_asc(audit_head::Column::PatientId)
        .lock_exclusive()
        .all(on)
        .await
        .map_err(at("find the ends of trails"))
}

/// Stores a record of each trail and moves its end there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn append(on: &impl ConnectionTrait, records: &[audit_record::Model]) -> Result<()> {
    for records in records.chunks(TRAILS_AT_ONCE) {
        let heads = records.iter().map(|record| {
            let head =
                audit_head::Model { patient_id: record.patient_id.clone(), seq: record.seq, hash: record.hash.clone() };
            head.into_active_model()
        });
        let moved = OnConflict::column(audit_head::Column::PatientId)
            .update_columns([audit_head::Column::Seq, audit_head::Column::Hash])
            .to_owned();
        let heads = audit_head::Entity::insert_many(heads).on_conflict(moved);
        heads.exec_without_returning(on).await.map_err(at("move the ends of trails"))?;
        let rows = records.iter().map(|record| record.clone().into_active_model());
        let insert = audit_record::Entity::insert_many(rows).exec_without_returning(on).await;
        insert.map_err(at("insert audit records"))?;
    }
    Ok(())
}

/// Stores a text, unless it is there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn keep_query(on: &impl ConnectionTrait, hash: Vec<u8>, text: String) -> Result<()> {
    let row = audit_query::Model { hash, text };
    let insert = audit_query::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(audit_query::Column::Hash).do_nothing().to_owned());
    insert.exec_without_returning(on).await.map_err(at("store what was asked"))?;
    Ok(())
}

#[derive(Debug, FromQueryResult)]
struct Begin {
    hash: Vec<u8>,
    text: String,
}

/// The texts of these hashes, each up to so many characters; those that are gone are not there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn queries(
    on: &impl ConnectionTrait,
    mut hashes: Vec<Vec<u8>>,
    characters_max: u32,
) -> Result<HashMap<Vec<u8>, String>> {
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let text = sea_orm::sea_query::Expr::cust(format!("substr(text, 1, {characters_max})"));
    let found = audit_query::Entity::find()
        .select_only()
        .column(audit_query::Column::Hash)
        .column_as(text, "text")
        .filter(audit_query::Column::Hash.is_in(hashes))
        .into_model::<Begin>()
        .all(on)
        .await
        .map_err(at("find what was asked"))?;
    Ok(found.into_iter().map(|begin| (begin.hash, begin.text)).collect())
}

/// Deletes the texts that hold one of these, in whatever case of ASCII letters. The records keep their hashes.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_queries(on: &impl ConnectionTrait, named: [&str; 2]) -> Result<()> {
    let backend = on.get_database_backend();
    let sql = match backend {
        sea_orm::DbBackend::Postgres => {
            "DELETE FROM audit_queries WHERE position($1 in lower(text)) > 0 OR position($2 in lower(text)) > 0"
        }
        _ => "DELETE FROM audit_queries WHERE instr(lower(text), ?) > 0 OR instr(lower(text), ?) > 0",
    };
    let values = named.map(|text| text.to_ascii_lowercase().into());
    let statement = Statement::from_sql_and_values(backend, sql, values);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("erase what was asked"))
}
