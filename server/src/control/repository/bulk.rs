//! Exports of FHIR, and their files.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, Statement, Value,
};

use super::super::entities::bulk_file::{Column as FileColumn, Entity as Files, Model as File};
use super::super::entities::bulk_job::{Column, Entity, Model};
use super::super::error::{Result, at};

/// Stores a new export.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    let inserted = Entity::insert(row.into_active_model()).exec_without_returning(on).await;
    inserted.map(|_| ()).map_err(at("insert an export"))
}

/// How many exports a person has at a place, and how many of these run.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn count_of(on: &impl ConnectionTrait, user_id: &str, place: &str) -> Result<(u64, u64)> {
    let own = Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Place.eq(place));
    let all = own.clone().count(on).await.map_err(at("count exports"))?;
    let running = own.filter(Column::Status.eq("running")).count(on).await.map_err(at("count exports"))?;
    Ok((all, running))
}

/// How many exports run at a place.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn count_running(on: &impl ConnectionTrait, place: &str) -> Result<u64> {
    let running = Entity::find().filter(Column::Place.eq(place)).filter(Column::Status.eq("running"));
    running.count(on).await.map_err(at("count exports that run"))
}

/// The export of an id.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).one(on).await.map_err(at("find an export"))
}

/// The export of an id, held against changes until the transaction ends.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).lock_exclusive().one(on).await.map_err(at("hold an export"))
}

/// The running export of a place that has waited longest for its turn.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn next(on: &impl ConnectionTrait, place: &str) -> Result<Option<Model>> {
    select_next(place).one(on).await.map_err(at("find the next export"))
}

/// The statement of [`next`].
pub(in crate::control) fn select_next(place: &str) -> Select<Entity> {
    let waiting = Entity::find().filter(Column::Place.eq(place)).filter(Column::Status.eq("running"));
    waiting.order_by_asc(Column::SteppedAt).order_by_asc(Column::Id).limit(1)
}

/// Notes a patient as done, with the files that were written.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn step(
    on: &impl ConnectionTrait,
    job: &Model,
    patient_id: &str,
    files: Vec<File>,
    now_us: i64,
) -> Result<()> {
    if !files.is_empty() {
        let rows = files.into_iter().map(IntoActiveModel::into_active_model);
        Files::insert_many(rows).exec_without_returning(on).await.map_err(at("insert an export's files"))?;
    }
    let updated = Entity::update_many()
        .col_expr(Column::AfterPatient, Expr::value(patient_id))
        .col_expr(Column::PatientsDone, Expr::value(job.patients_done.saturating_add(1)))
        .col_expr(Column::SteppedAt, Expr::value(now_us))
        .filter(Column::Id.eq(&job.id))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note an export's step"))
}

/// Notes the end of an export: done, or failed for a reason.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn end(on: &impl ConnectionTrait, id: &str, error: Option<&str>, now_us: i64) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::Status, Expr::value(if error.is_some() { "failed" } else { "done" }))
        .col_expr(Column::Error, Expr::value(error))
        .col_expr(Column::EndedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note the end of an export"))
}

/// Forgets an export and its files' rows.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, id: &str) -> Result<()> {
    let files = Files::delete_many().filter(FileColumn::JobId.eq(id)).exec(on).await;
    files.map_err(at("forget an export's files"))?;
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).exec(on).await;
    deleted.map(|_| ()).map_err(at("forget an export"))
}

/// Forgets the files of an export that failed.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete_files(on: &impl ConnectionTrait, id: &str) -> Result<()> {
    let deleted = Files::delete_many().filter(FileColumn::JobId.eq(id)).exec(on).await;
    deleted.map(|_| ()).map_err(at("forget an export's files"))
}

/// Forgets the exports of every place that ended at a moment or before, and those that were asked for at another moment
/// or before and have never ended: their place is gone.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn sweep(on: &impl ConnectionTrait, ended_us: i64, asked_us: i64) -> Result<()> {
    let is_over = Condition::any().add(Column::EndedAt.lte(ended_us)).add(Column::CreatedAt.lte(asked_us));
    let deleted = Entity::delete_many().filter(is_over).exec(on).await;
    deleted.map(|_| ()).map_err(at("sweep exports"))
}

/// Which of some ids are exports of a place.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn known(on: &impl ConnectionTrait, place: &str, ids: &[String]) -> Result<Vec<String>> {
    let found = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Place.eq(place))
        .filter(Column::Id.is_in(ids.iter().map(String::as_str)))
        .into_tuple();
    found.all(on).await.map_err(at("find exports"))
}

/// Files of an export behind a number, in their order.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn files(on: &impl ConnectionTrait, id: &str, after: i64, limit: u64) -> Result<Vec<File>> {
    let found = Files::find().filter(FileColumn::JobId.eq(id)).filter(FileColumn::Seq.gt(after));
    found.order_by_asc(FileColumn::Seq).limit(limit).all(on).await.map_err(at("list an export's files"))
}

/// One file of an export.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn file(on: &impl ConnectionTrait, id: &str, seq: i64) -> Result<Option<File>> {
    Files::find_by_id((id.to_owned(), seq)).one(on).await.map_err(at("find an export's file"))
}

/// The highest number of an export's files, 0 without any.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn last_seq(on: &impl ConnectionTrait, id: &str) -> Result<i64> {
    let last = Files::find().filter(FileColumn::JobId.eq(id)).order_by_desc(FileColumn::Seq).limit(1);
    Ok(last.one(on).await.map_err(at("find an export's last file"))?.map_or(0, |file| file.seq))
}

/// Bytes of all files at a place.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn bytes_at(on: &impl ConnectionTrait, place: &str) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Used {
        bytes: i64,
    }
    let sql = "SELECT CAST(COALESCE(SUM(f.bytes), 0) AS BIGINT) AS bytes \
               FROM bulk_files f JOIN bulk_jobs j ON j.id = f.job_id WHERE j.place = $1";
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, [Value::from(place)]);
    let found = Used::find_by_statement(statement).one(on).await.map_err(at("sum up the files of exports"))?;
    Ok(found.map_or(0, |used| used.bytes))
}
