//! The trail of reads, as rows. What makes a chain of them is `crate::access::audit`'s.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::super::entities::audit_head;
use super::super::entities::audit_record::{Column, Entity, Model};
use super::super::error::{Result, at};

/// Where a patient's trail ends, held until the transaction ends: trails grow by one record at a time.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold_head(on: &impl ConnectionTrait, patient_id: &str) -> Result<audit_head::Model> {
    let find = || audit_head::Entity::find_by_id(patient_id).lock_exclusive().one(on);
    if let Some(head) = find().await.map_err(at("find the end of a trail"))? {
        return Ok(head);
    }
    let first = audit_head::Model { patient_id: patient_id.to_owned(), seq: 0, hash: vec![0; 32] };
    // Of two that begin the same trail one waits for the other here, and finds its row below.
    let insert = audit_head::Entity::insert(first.clone().into_active_model())
        .on_conflict(OnConflict::column(audit_head::Column::PatientId).do_nothing().to_owned());
    insert.exec_without_returning(on).await.map_err(at("begin a trail"))?;
    Ok(find().await.map_err(at("find the end of a trail"))?.unwrap_or(first))
}

/// Stores a record and moves the end of its trail there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn append(on: &impl ConnectionTrait, record: Model) -> Result<()> {
    let head = audit_head::Entity::update_many()
        .col_expr(audit_head::Column::Seq, Expr::value(record.seq))
        .col_expr(audit_head::Column::Hash, Expr::value(record.hash.clone()))
        .filter(audit_head::Column::PatientId.eq(&record.patient_id));
    head.exec(on).await.map_err(at("move the end of a trail"))?;
    Entity::insert(record.into_active_model())
        .exec_without_returning(on)
        .await
        .map_err(at("insert an audit record"))?;
    Ok(())
}

/// A patient's records below a number, newest first.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn page(on: &impl ConnectionTrait, patient_id: &str, below: i64, limit: u64) -> Result<Vec<Model>> {
    select_page(patient_id, below, limit).all(on).await.map_err(at("list audit records"))
}

/// The statement of [`page`].
pub(in crate::control) fn select_page(patient_id: &str, below: i64, limit: u64) -> Select<Entity> {
    Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Seq.lt(below))
        .order_by_desc(Column::Seq)
        .limit(limit)
}

/// A patient's records above a number, oldest first.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn after(on: &impl ConnectionTrait, patient_id: &str, above: i64, limit: u64) -> Result<Vec<Model>> {
    select_after(patient_id, above, limit).all(on).await.map_err(at("walk a trail"))
}

/// The statement of [`after`].
pub(in crate::control) fn select_after(patient_id: &str, above: i64, limit: u64) -> Select<Entity> {
    Entity::find()
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Seq.gt(above))
        .order_by_asc(Column::Seq)
        .limit(limit)
}

/// The records of all patients behind a place, in the order of patient and number.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn walk(on: &impl ConnectionTrait, after: (&str, i64), limit: u64) -> Result<Vec<Model>> {
    let (patient_id, seq) = after;
    let of_this = Condition::all().add(Column::PatientId.eq(patient_id)).add(Column::Seq.gt(seq));
    let found = Entity::find()
        .filter(Condition::any().add(of_this).add(Column::PatientId.gt(patient_id)))
        .order_by_asc(Column::PatientId)
        .order_by_asc(Column::Seq)
        .limit(limit);
    found.all(on).await.map_err(at("walk audit records"))
}

/// The ends of all trails behind a patient, in the order of patients.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn heads(on: &impl ConnectionTrait, after: &str, limit: u64) -> Result<Vec<audit_head::Model>> {
    let found = audit_head::Entity::find()
        .filter(audit_head::Column::PatientId.gt(after))
        .order_by_asc(audit_head::Column::PatientId)
        .limit(limit);
    found.all(on).await.map_err(at("list the ends of trails"))
}
